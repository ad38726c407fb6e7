"""One subject against all rules that watch it: evaluations, the alerts' next states, and when to look again. Pure but
for the log of a rule kind that raises, and for what is asked of changes once something was found."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rules import state
from rules.annotations import annotations_of
from rules.changes import Changed, nothing_changed, with_change
from rules.labels import Bound, alert_labels, applicable, identity
from rules.state import Said, Step
from watchtower.model.alert import Alert, Transition
from watchtower.model.rule import (
    DatasetSnapshot,
    Evaluation,
    JobSnapshot,
    Rule,
    SeriesSnapshot,
    Snapshot,
    SubjectKey,
    Violation,
)

_log = logging.getLogger(__name__)
# An alert that names one of these was made of facts. Where none is left, that they are gone is no good news.
_RESTS_ON = ("run_id", "last_sample")
_GONE = "nothing that this rests on is known any more: its runs, updates or samples are gone from the store"
_Identity = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule said. failure: the error's text if the kind raised."""

    rule: Rule
    evaluation: Evaluation
    failure: str | None = None

    @property
    def result(self) -> str:
        """One word, also a metric label."""
        if self.failure:
            return "error"
        if self.evaluation.violations:
            return "violation"
        if self.evaluation.unknown:
            return "unknown"
        return "learning" if self.evaluation.learning else "ok"


@dataclass(frozen=True, slots=True)
class Judgement:
    """alerts: every open alert and every one that ended now; changed: those that must be written."""

    key: SubjectKey
    labels: Mapping[str, str]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    changed: tuple[Alert, ...]
    transitions: tuple[Transition, ...]
    next_at: datetime | None

    @property
    def has_failed(self) -> bool:
        return any(verdict.failure for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class _Found:
    rule: Rule
    violation: Violation
    labels: Mapping[str, str]


def judge(snapshot: Snapshot, rules: Iterable[Bound], now: datetime, changed: Changed = nothing_changed) -> Judgement:
    """changed: asked only where something was found."""
    labels = snapshot.labels
    watching = applicable(rules, snapshot, labels)
    verdicts = tuple(_verdict(each, snapshot, now) for each in watching)
    found = _with_yielding(_found(verdicts, labels), snapshot.alerts)
    describe = {each.rule.name: each.kind.describe for each in watching}
    open_alerts = {identity(alert.labels): alert for alert in snapshot.alerts}
    steps: list[Step] = []
    for name, one in found.items():
        each = replace(one, violation=with_change(one.violation, one.rule, snapshot, changed))
        description = describe[each.rule.name](each.rule, snapshot)
        said = Said(str(snapshot.key), each.labels, annotations_of(each.rule, each.violation, each.labels, description))
        alert = open_alerts.pop(name, None)
        steps.append(
            state.seen_again(alert, each.violation, each.rule, said, now)
            if alert
            else state.opened(each.violation, each.rule, said, now)
        )
    is_gone = _is_gone(snapshot)
    for alert in open_alerts.values():
        is_kept = is_gone and any(name in alert.evidence for name in _RESTS_ON)
        steps.append(state.unknown(alert, _GONE) if is_kept else _without_violation(alert, verdicts, now))
    kept = {alert.id: alert for alert in snapshot.alerts}
    return Judgement(
        key=snapshot.key,
        labels=labels,
        verdicts=verdicts,
        alerts=tuple(step.alert for step in steps),
        changed=tuple(step.alert for step in steps if step.alert != kept.get(step.alert.id)),
        transitions=tuple(step.transition for step in steps if step.transition),
        next_at=_earliest(verdicts, steps),
    )


def _verdict(each: Bound, snapshot: Snapshot, now: datetime) -> Verdict:
    """A kind's fault is contained here: logged with its traceback, and its alerts are kept as unknown."""
    try:
        return Verdict(each.rule, each.kind.evaluate(each.rule, snapshot, now))
    except Exception as error:
        _log.exception("rule not evaluated", extra={"rule": each.rule.name, "subject": str(snapshot.key)})
        reason = f"rule {each.rule.name} could not be evaluated: {type(error).__name__}: {error}"
        return Verdict(each.rule, Evaluation(unknown=reason), reason)


def _found(verdicts: Sequence[Verdict], labels: Mapping[str, str]) -> dict[_Identity, _Found]:
    """Violations by the identity of their alert; of two rules that would make the same alert the first one does."""
    found: dict[_Identity, _Found] = {}
    for verdict in verdicts:
        for violation in verdict.evaluation.violations:
            made = alert_labels(verdict.rule, labels, violation)
            found.setdefault(identity(made), _Found(verdict.rule, violation, made))
    return found


def _with_yielding(found: dict[_Identity, _Found], alerts: Sequence[Alert]) -> dict[_Identity, _Found]:
    """A violation that yields to another kind's becomes that one's evidence, unless it was firing before: what people
    were told of ends when it is over, not when something else begins."""
    firing = {identity(alert.labels) for alert in alerts if alert.starts_at is not None and not alert.historical}
    kept: dict[_Identity, _Found] = {}
    taken: dict[str, dict[str, Any]] = {}
    kinds = {each.rule.kind for each in found.values()}
    for name, each in found.items():
        kind = each.violation.yields_to
        if kind is None or kind not in kinds or name in firing:
            kept[name] = each
        else:
            told = {**each.violation.evidence, "summary": each.violation.summary}
            taken.setdefault(kind, {})[each.rule.kind] = told
    if not taken:
        return found
    return {name: _enriched(each, taken.get(each.rule.kind)) for name, each in kept.items()}


def _enriched(each: _Found, evidence: Mapping[str, Any] | None) -> _Found:
    if not evidence:
        return each
    return replace(each, violation=replace(each.violation, evidence={**each.violation.evidence, **evidence}))


def _is_gone(snapshot: Snapshot) -> bool:
    """Whether nothing is known any more of a thing that was known."""
    match snapshot:
        case JobSnapshot():
            return not snapshot.past and not snapshot.runs
        case DatasetSnapshot():
            return not snapshot.updates
        case SeriesSnapshot():
            return not snapshot.samples
        case _:
            return False


def _without_violation(alert: Alert, verdicts: Sequence[Verdict], now: datetime) -> Step:
    """Of the rule that made it: unknown keeps it, else it is over. No such rule any more: over, too."""
    mine = [verdict for verdict in verdicts if verdict.rule.name == alert.rule]
    if not mine:
        return state.gone(alert, 0.0, {"reason": "the rule was removed or no longer applies"}, now)
    for verdict in mine:
        if verdict.evaluation.unknown:
            return state.unknown(alert, verdict.evaluation.unknown)
    keep_s = max(verdict.rule.keep_firing_for_s for verdict in mine)
    return state.gone(alert, keep_s, mine[-1].evaluation.resolution, now)


def _earliest(verdicts: Sequence[Verdict], steps: Sequence[Step]) -> datetime | None:
    moments = [verdict.evaluation.next_at for verdict in verdicts]
    moments += [step.wake_at for step in steps]
    return min((moment for moment in moments if moment is not None), default=None)
