"""Rules that can be read and make no sense: that can match nothing, that page for everything, that contradict another.

They are warnings: the file can be used. What can be known only from what comes in, such as a name that is misspelt, is
not said here.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from watchtower.config.document import Path
from watchtower.config.faults import Faults
from watchtower.errors import ConfigError
from watchtower.model.alert import Severity
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.registry import Registry

_OWNED = ("owner", "team")
_ANY = ("a", "Z_9", "some-name.of/anything", "0")
_LABELS = {
    "job": ("pipeline", "task", "namespace", "source", "environment", *_OWNED),
    "dataset": ("dataset", "namespace", *_OWNED),
    "series": ("pipeline", "task", "namespace", "source", *_OWNED),
    "budget": ("budget", "service", "account", "source", *_OWNED),
    "source": ("source", "namespace", "collector", *_OWNED),
}
Written = tuple[Path, Rule]


def doubt(written: Sequence[Written], kinds: Registry, faults: Faults) -> None:
    """Warn of each rule of the file that makes no sense."""
    for path, rule in written:
        subject = _subject(rule, kinds)
        if subject is None:
            continue
        _of_labels(path, rule, subject, faults)
        if rule.severity is Severity.PAGE and all(map(_takes_all, rule.matchers)) and not _narrowed(rule):
            remedy = "name them: match: {team: …} or {pipeline: …}; or write severity: ticket"
            what = f"the match of {rule.name} takes anything" if rule.matchers else f"{rule.name} has no match"
            faults.warn(path, f"{what}, so it pages for every {subject} there is", remedy)
    for (path, one), (_, other) in combinations(written, 2):
        for problem in _contradictions(one, other):
            faults.warn(path, problem, "bring the limits together, or let the two match different ones")


def _subject(rule: Rule, kinds: Registry) -> str | None:
    try:
        if rule.kind not in kinds or rule.options is None:
            return None
        return getattr(rule.options, "subject", kinds.get(rule.kind).subject)
    except ConfigError:
        return None  # said where the kind is named


def _takes_all(matcher: Matcher) -> bool:
    """`~.*` and `~.+`: whatever a thing is called."""
    return matcher.op == "=~" and all(matcher.matches({matcher.name: value}) for value in _ANY)


def _narrowed(rule: Rule) -> bool:
    return bool(getattr(rule.options, "matchers", ()))


def _of_labels(path: Path, rule: Rule, subject: str, faults: Faults) -> None:
    known = _LABELS.get(subject)
    for matcher in rule.matchers:
        if known and matcher.name not in known and not matcher.name.startswith("tag_") and not matcher.matches({}):
            problem = f"a {subject} has no label {matcher.name!r}, so {rule.name} ({rule.kind}) watches nothing"
            faults.warn((*path, "match", matcher.name), problem, f"match by {', '.join(known)} or tag_NAME")


def _contradictions(one: Rule, other: Rule) -> Iterator[str]:
    """Two rules on the same subjects whose limits nothing can keep together."""
    if set(one.matchers) != set(other.matchers):
        return
    mine, theirs = getattr(one.options, "limits", {}), getattr(other.options, "limits", {})
    for what in mine.keys() & theirs.keys():
        low, high = max(mine[what][0], theirs[what][0]), min(mine[what][1], theirs[what][1])
        if low > high:
            yield (
                f"{one.name} and {other.name} contradict each other: {what} cannot be at least {low:g} and at most "
                f"{high:g}"
            )
