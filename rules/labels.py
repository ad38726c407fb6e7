"""Which labels a subject and its alerts carry, and which rules apply to it. Run ids and times are never labels.

One exception: the period of a broken budget, which makes it another alert than that of the day before
(rules/kinds/budget.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchtower.model.companion import Companion
from watchtower.model.labels import Labels, Matcher, all_match
from watchtower.model.rule import Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.spent import Asked
from watchtower.ports import RuleKind

ENVIRONMENT = "environment"  # of the newest run that tells it; what the operator says of it counts more

# Made by Watchtower; labels of the operator with these names are ignored (`check` says so).
RESERVED = frozenset(
    {
        *("alertname", "kind", "source", "namespace", "pipeline", "task", "dataset", "series", "budget", "slo"),
        *("owner", "team", "severity"),
    }
)
# Who answers for a thing, and where it runs, may become known or change while its alert is open: it stays the same one.
_NOT_IDENTITY = frozenset({"owner", "team", ENVIRONMENT})


def alert_labels(rule: Rule, subject: Labels, violation: Violation) -> dict[str, str]:
    """Labels of the alert. Empty values are left out, as Alertmanager does."""
    own = {name: value for name, value in rule.labels.items() if name not in RESERVED}
    said = {name: value for name, value in subject.items() if not name.startswith("tag_")}
    labels = own | said | {name: value for name, value in own.items() if name == ENVIRONMENT}
    labels |= {"alertname": rule.name, "kind": rule.kind, "severity": rule.severity.value}
    labels |= violation.labels
    return {name: value for name, value in labels.items() if value}


def identity(labels: Labels) -> frozenset[tuple[str, str]]:
    """What makes it the same alert within one subject while it is open."""
    return frozenset((name, value) for name, value in labels.items() if name not in _NOT_IDENTITY)


@dataclass(frozen=True, slots=True)
class Bound:
    """A rule with the kind that evaluates it, and what is read for it. matchers: of the rule, and what its options say
    of the subjects besides; asked: of the bills."""

    rule: Rule
    kind: RuleKind
    watches_tasks: bool
    matchers: tuple[Matcher, ...]
    reads_timings: bool
    reads_days: bool
    asks_who_follows: bool
    companions: tuple[Companion, ...]
    asked: Asked | None

    @classmethod
    def of(cls, rule: Rule, kind: RuleKind) -> "Bound":
        """Asked for once: it is looked at for every subject that is evaluated."""
        return cls(
            rule,
            kind,
            watches_tasks=any(matcher.name == "task" for matcher in rule.matchers),
            matchers=(*rule.matchers, *getattr(rule.options, "matchers", ())),
            reads_timings=getattr(kind, "reads_timings", False),
            reads_days=getattr(kind, "reads_days", False),
            asks_who_follows=getattr(kind, "asks_who_follows", False),
            companions=getattr(rule.options, "companions", ()),
            asked=getattr(rule.options, "asked", None),
        )


def bound(rules: Iterable[Rule], kinds: Mapping[str, RuleKind]) -> dict[str, tuple[Bound, ...]]:
    """Rules by the subject kind they watch. A rule of an unknown kind is refused at load; here it is left out."""
    by_subject: dict[str, list[Bound]] = {}
    for rule in rules:
        kind = kinds.get(rule.kind)
        if kind is not None:
            by_subject.setdefault(subject_of(rule, kind), []).append(Bound.of(rule, kind))
    return {subject: tuple(found) for subject, found in by_subject.items()}


def subject_of(rule: Rule, kind: RuleKind | type[RuleKind]) -> str:
    """What it watches: of some kinds the options say it."""
    return getattr(rule.options, "subject", kind.subject)


def applicable(rules: Iterable[Bound], snapshot: Snapshot, labels: Labels) -> list[Bound]:
    """Rules that watch this subject. Tasks, and what is worked out from their runs, are watched only by rules that name
    tasks; what a task tells by itself is meant by any. A rule that the operator declared takes the place of the shipped
    one of its kind: whoever says when a job is late is not told a second time by what was learned."""
    found = [each for each in rules if all_match(each.matchers, labels)]
    if not (isinstance(snapshot, SeriesSnapshot) and not snapshot.series.derived):
        is_task = "task" in labels
        found = [each for each in found if each.watches_tasks == is_task]
    declared = {each.rule.kind for each in found if each.rule.declared}
    return [each for each in found if each.rule.declared or each.rule.kind not in declared]
