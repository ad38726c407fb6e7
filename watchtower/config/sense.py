"""Rules that can be read and make no sense: that can match nothing, that page for everything, that compare a thing with
itself, that contradict another or repeat it.

They are warnings: the file can be used. What can be known only from what comes in, such as a name that is misspelt, is
not said here.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.errors import ConfigError
from watchtower.model.alert import Severity
from watchtower.model.companion import Companion
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.registry import Registry

_OWNED = ("owner", "team")
_OF_TWO = ("compare", "out_of_sequence")
_ANY = ("a", "Z_9", "some-name.of/anything", "0")
_LABELS = {
    "job": ("pipeline", "task", "namespace", "source", "environment", *_OWNED),
    "dataset": ("dataset", "namespace", *_OWNED),
    "series": ("pipeline", "task", "namespace", "source", *_OWNED),
    "budget": ("budget", "service", "account", "source", *_OWNED),
    "source": ("source", "namespace", "collector", *_OWNED),
}
Written = tuple[Path, Rule]


def doubt(written: Sequence[Written], kinds: Registry, faults: Faults, declared: Mapping[str, Collection[str]]) -> None:
    """Warn of each rule of the file that makes no sense. declared: the names of all budgets and SLOs that there are, by
    kind of subject."""
    for path, rule in written:
        subject = _subject(rule, kinds)
        if subject is None:
            continue
        _of_labels(path, rule, subject, faults)
        if subject in declared:
            _of_names(path, rule, subject, declared[subject], faults)
        _of_companions(path, rule, faults)
        if rule.severity is Severity.PAGE and all(map(_takes_all, rule.matchers)) and not _narrowed(rule):
            remedy = "name them: match: {team: …} or {pipeline: …}; or write severity: ticket"
            what = f"the match of {rule.name} takes anything" if rule.matchers else f"{rule.name} has no match"
            faults.warn(path, f"{what}, so it pages for every {subject} there is", remedy)
    for (path, one), (_, other) in combinations(written, 2):
        if _is_again(one, other):
            problem = f"{one.name} and {other.name} are one rule under two names, so each alert comes twice"
            faults.warn(path, problem, "leave one of them out")
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
            remedy = f"match by {', '.join(known)} or tag_NAME"
            if hasattr(rule.options, "where"):
                remedy += ", or name labels of the series: where: {…}"
            faults.warn((*path, "match", matcher.name), problem, remedy)


def _of_names(path: Path, rule: Rule, subject: str, names: Collection[str], faults: Faults) -> None:
    """A budget or an SLO is there only if it is declared."""
    for matcher in rule.matchers:
        if matcher.name == subject and not any(matcher.matches({subject: name}) for name in names):
            called = {"slo": "SLO"}.get(subject, subject)
            problem = f"there is no {called} {matcher.value!r}, so {rule.name} ({rule.kind}) watches nothing"
            remedy = close_to(matcher.value, sorted(names)) if names else f"write one under {subject}s"
            faults.warn((*path, "match", subject), problem, remedy)


def _of_companions(path: Path, rule: Rule, faults: Faults) -> None:
    """What is held against itself always agrees: a comparison would call it safe. Kinds that wait for events are left
    alone: a job that must come again after its own failure makes sense."""
    companions: tuple[Companion, ...] = getattr(rule.options, "companions", ()) if rule.kind in _OF_TWO else ()
    own = {matcher.name: matcher.value for matcher in rule.matchers if matcher.op == "="}
    for each in companions:
        labels = {"dataset": each.name} if each.kind == "dataset" else {"pipeline": each.name, "task": each.task or ""}
        same = bool(each.name) and all(own.get(name, "") == value for name, value in labels.items())
        if same and each.namespace in (None, own.get("namespace")):
            problem = f"{rule.name} ({rule.kind}) looks at {each} beside {each} itself, which says nothing"
            faults.warn(path, problem, "name the other one; of the same name elsewhere, its namespace")


def _is_again(one: Rule, other: Rule) -> bool:
    alike = one.kind == other.kind and one.name != other.name and one.options is not None
    return alike and replace(one, name=other.name) == other


def _contradictions(one: Rule, other: Rule) -> Iterator[str]:
    """Two rules whose limits nothing can keep together, the one on all subjects of the other."""
    if not (set(one.matchers) <= set(other.matchers) or set(one.matchers) >= set(other.matchers)):
        return
    mine, theirs = getattr(one.options, "limits", {}), getattr(other.options, "limits", {})
    for what in mine.keys() & theirs.keys():
        low, high = max(mine[what][0], theirs[what][0]), min(mine[what][1], theirs[what][1])
        if low > high:
            yield (
                f"{one.name} and {other.name} contradict each other: {what} cannot be at least {low:g} and at most "
                f"{high:g}"
            )
