"""Names in a configuration of which nothing was ever heard: misspelt, of something that was renamed, or too early.

That can be known only beside a store. It is a doubt, not a fault: what is declared may run for the first time tomorrow.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from watchtower.config.model import Config
from watchtower.model.derived import DERIVED
from watchtower.model.heard import Heard
from watchtower.model.labels import Matcher, all_match
from watchtower.model.rule import Rule
from watchtower.registry import Registries

_CLOSE = 0.75  # of difflib's ratio: one or two slips in a name of ten letters
_JOB = ("pipeline", "task", "namespace", "source")
_DATASET = ("dataset", "namespace")

Found = Collection[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Doubt:
    """where: in the configuration; text: what is odd, in one sentence; remedy: the name that may be meant, if one is
    close."""

    where: str
    text: str
    remedy: str


def unheard(config: Config, heard: Heard, registries: Registries | None = None) -> list[Doubt]:
    """Nothing where nothing was heard of at all: then every name is new."""
    kinds = (registries or Registries()).rule_kinds
    doubts: list[Doubt] = []
    for rule in config.declared_rules:
        if rule.kind in kinds:
            subject = getattr(rule.options, "subject", kinds.get(rule.kind).subject)
            doubts += _of_rule(rule, subject, heard)
    return list(dict.fromkeys(doubts))


def _of_rule(rule: Rule, subject: str, heard: Heard) -> Iterator[Doubt]:
    where = f"rule {rule.name}"
    if subject == "dataset":
        yield from _of_names(where, "dataset", _exact(rule.matchers, _DATASET), _DATASET, heard.datasets)
        yield from _of_patterns(where, "dataset", rule.matchers, _DATASET, heard.datasets)
    elif subject in ("job", "series"):
        yield from _of_names(where, "job", _exact(rule.matchers, _JOB), _JOB, heard.jobs)
        yield from _of_patterns(where, "job", rule.matchers, _JOB, heard.jobs)
    name = getattr(rule.options, "series", None)
    if subject == "series" and isinstance(name, str) and name not in DERIVED and name not in heard.series:
        yield from _unknown(where, "series", name, heard.series)


def _exact(matchers: Sequence[Matcher], names: Iterable[str]) -> dict[str, str]:
    return {each.name: each.value for each in matchers if each.op == "=" and each.name in names and each.value}


def _of_names(where: str, what: str, exact: Mapping[str, str], names: Sequence[str], found: Found) -> Iterator[Doubt]:
    """Each name by itself; and where all are known, whether one thing bears them all."""
    if not found:
        return
    known = {name: {each[names.index(name)] for each in found} for name in exact}
    strange = [name for name, value in exact.items() if value not in known[name]]
    for name in strange:
        yield from _unknown(where, name, exact[name], known[name])
    if (
        not strange
        and exact
        and not any(all(each[names.index(name)] == value for name, value in exact.items()) for each in found)
    ):
        said = ", ".join(f"{name} {value!r}" for name, value in exact.items())
        yield Doubt(where, f"no {what} was heard of with {said} together", "")


def _of_patterns(
    where: str, what: str, matchers: Sequence[Matcher], names: Sequence[str], found: Found
) -> Iterator[Doubt]:
    """Where some name is a pattern, whether anything that was heard of fits all of them."""
    mine = [each for each in matchers if each.name in names]
    if not found or all(each.op == "=" for each in mine):
        return
    if not any(all_match(mine, dict(zip(names, each, strict=True))) for each in found):
        said = ", ".join(str(each) for each in mine)
        yield Doubt(where, f"of {len(found)} {what}s that were heard of none fits {said}", "")


def _unknown(where: str, name: str, value: str, known: Collection[str]) -> Iterator[Doubt]:
    if not known:
        return
    close = get_close_matches(value, sorted(known), n=1, cutoff=_CLOSE)
    yield Doubt(where, f"no {name} {value!r} was ever heard of", f"is {close[0]!r} meant?" if close else "")
