"""Alerts in the store: the transitions that rules commit, and all that must come of them, in one transaction.

`write_outcomes` is called inside the rules' transaction: alert rows, history, group episodes, obligations, incidents
and group timers are written together or not at all (promise P7). Everything is set-based over a whole batch.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from watchtower.model.alert import Alert, AlertState, Planned, Transition, TransitionKind
from watchtower.model.delivery import Plan, Raised, Source
from watchtower.model.incident import cause_of, is_open
from watchtower.model.rule import SubjectKey
from watchtower.model.run import Run
from watchtower.ports import Outcome
from watchtower.store import dialect, flapping, groups, incidents, shown
from watchtower.store.alert_rows import NOTED, OPEN, to_alert, to_row
from watchtower.store.alert_rows import load as load_alerts
from watchtower.store.schema.alerting import alerts, group_alerts, transitions
from watchtower.store.schema.alerting import groups as group_rows
from watchtower.store.statements import any_of, given, prepared
from watchtower.store.touched import Touched

_LATELY = 50  # alerts of one subject among which those of a run are sought


def write_outcome(connection: Connection, outcome: Outcome, now: datetime) -> Touched:
    return write_outcomes(connection, [outcome], now)


def write_outcomes(connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> Touched:
    """Write the alerts and transitions of outcomes and what is owed for them; the groups in which something changed by
    it. now: of the evaluation."""
    return write(
        connection,
        [alert for outcome in outcomes for alert in outcome.alerts],
        [transition for outcome in outcomes for transition in outcome.transitions],
        now,
    )


def write(
    connection: Connection,
    states: Sequence[Alert],
    changes: Sequence[tuple[Transition, Sequence[Planned]]],
    now: datetime,
) -> Touched:
    """states: alerts as they are now; changes: transitions with their plans; the groups in which alerts began or ended
    to fire. A repetition changes nothing.

    Historical alerts are kept and owe nothing. Where a resolved alert must be told is known from where its firing was
    owed: a receiver that came later has nothing to forget.
    """
    if not states and not changes:  # as of most evaluations
        return {}
    explained = _explained(connection, states, {change.alert.id for change, _ in changes})
    newest = {alert.id: alert for alert in states}
    newest |= {change.alert.id: change.alert for change, _ in changes if change.alert.id not in newest}
    dialect.upsert(connection, alerts, [to_row(alert, now) for alert in newest.values()], keep=NOTED)
    dialect.insert_new(connection, transitions, [_transition_row(change) for change, _ in changes])
    live = [(change, plan) for change, plan in changes if not change.alert.historical]
    back = flapping.note(connection, live, now)
    firing = [(change.alert, plan) for change, plan in live if change.kind is TransitionKind.FIRING]
    touched = groups.attach(connection, firing, now, back)
    over = [change.alert for change, _ in live if change.kind is TransitionKind.RESOLVED]
    touched |= groups.release(connection, over, now)
    groups.tell_causes(connection, explained, now)
    told = {change.alert.id for change, _ in changes}
    incidents.retell(connection, [alert.id for alert in states if is_open(alert) and alert.id not in told])
    return touched


def _explained(connection: Connection, states: Sequence[Alert], changed: Collection[str]) -> list[Alert]:
    """Those that fire as before, whose cause has become known by now."""
    known = {alert.id: alert for alert in states if is_open(alert) and cause_of(alert) and alert.id not in changed}
    if not known:
        return []
    before = load_alerts(connection, known)
    return [known[ident] for ident in sorted(before) if not cause_of(before[ident])]


def replan(connection: Connection, plan: Plan, destinations: Collection[str], now: datetime) -> int:
    """After a reload: owe every open alert to the destinations of the routes now in force; the number of open alerts.

    What is owed already is not owed twice. Episodes to which no route leads any more are retired: what was told there
    is still brought to its end, and nothing new is told. Destinations that are gone are given up altogether.
    """
    groups.abandon(connection, destinations, now)
    rows = connection.execute(select(alerts).where(alerts.c.state.in_(OPEN), alerts.c.historical.is_(False)))
    planned = [(alert, plan(alert.labels)) for alert in map(to_alert, rows)]
    groups.retire(
        connection, {(item.group_key, item.receiver, item.destination) for _, p in planned for item in p}, now
    )
    groups.attach(connection, planned, now)
    return len(planned)


def raise_once(connection: Connection, raised: Raised, now: datetime) -> bool:
    """Open one of Watchtower's own alerts (state firing) unless its fingerprint is open already; True if it did."""
    if open_by_fingerprint(connection, [raised.alert.fingerprint]):
        return False
    write(connection, [raised.alert], [(Transition(raised.alert, TransitionKind.FIRING, now), raised.planned)], now)
    return True


def clear(connection: Connection, fingerprints: Collection[str], now: datetime) -> int:
    """Resolve the open alerts with these fingerprints (Watchtower's own ones); their number."""
    found = [resolved(alert, now) for alert in open_by_fingerprint(connection, fingerprints)]
    if found:
        write(connection, found, [(Transition(alert, TransitionKind.RESOLVED, now), ()) for alert in found], now)
    return len(found)


def end(connection: Connection, subjects: Collection[str], reason: str, now: datetime) -> None:
    """Resolve every open alert of subjects that are no longer watched, saying why."""
    ended = [_ended(alert, reason, now) for some in of_subjects(connection, subjects).values() for alert in some]
    told = [(Transition(alert, TransitionKind.RESOLVED, now), ()) for alert in ended if alert.starts_at is not None]
    if ended:
        write(connection, ended, told, now)


def _ended(alert: Alert, reason: str, now: datetime) -> Alert:
    evidence = {name: value for name, value in alert.evidence.items() if name != "unknown"}
    return replace(resolved(alert, now), evidence={**evidence, "resolution": {"reason": reason}})


def resolved(alert: Alert, now: datetime) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, ends_at=now, clear_since=None)


# -- reading ------------------------------------------------------------------------------------------------------


def open_by_fingerprint(connection: Connection, fingerprints: Collection[str]) -> list[Alert]:
    return [
        to_alert(row)
        for some in dialect.chunks(sorted(fingerprints))
        for row in _OPEN_BY_FINGERPRINT.all(connection, {"fingerprints": some})
    ]


def open_by_rule(connection: Connection, rule: str) -> list[Alert]:
    """The alerts of Watchtower's own kind rule that are not resolved."""
    query = select(alerts).where(alerts.c.rule == rule, alerts.c.state != AlertState.RESOLVED)
    return [to_alert(row) for row in connection.execute(query)]


_OPEN_BY_FINGERPRINT = prepared(
    select(alerts).where(alerts.c.fingerprint.in_(any_of("fingerprints")), alerts.c.state != AlertState.RESOLVED)
)
_OPEN_OF = prepared(
    select(alerts)
    .where(
        alerts.c.subject.in_(any_of("subjects")),
        alerts.c.state != AlertState.RESOLVED,
    )
    .order_by(alerts.c.active_since, alerts.c.id)
)


def of_subjects(connection: Connection, subjects: Collection[str]) -> dict[str, tuple[Alert, ...]]:
    """The alerts that are not resolved (pending, firing, unknown) of each subject, oldest first; for snapshots."""
    found: dict[str, list[Alert]] = {subject: [] for subject in subjects}
    for some in dialect.chunks(sorted(found)):
        for row in _OPEN_OF.all(connection, {"subjects": some}):
            found[row.subject].append(to_alert(row))
    return {subject: tuple(items) for subject, items in found.items()}


_OF_SUBJECT = prepared(
    select(alerts.c.evidence)
    .where(alerts.c.subject == given("subject"))
    .order_by(alerts.c.active_since.desc(), alerts.c.id)
    .limit(_LATELY)
)


def cause_of_run(connection: Connection, run: Run) -> str:
    """What was told to be the cause of run being late or failing; of a task's, if the cause lies in that task. ""
    if nothing was."""
    pipeline = run.job.pipeline_ref
    for evidence in _OF_SUBJECT.scalars(connection, {"subject": str(SubjectKey("job", pipeline.id))}):
        told: dict[str, Any] = evidence or {}
        if told.get("cause") and told.get("run_id") == (run.parent_run_id or run.id):
            task = told.get("cause_evidence", {}).get("task")
            return str(told["cause"]) if run.job.task in (None, task) else ""
    return ""


def firing_sources(connection: Connection) -> list[Source]:
    """All that fires now, as inhibition sees it."""
    query = select(alerts.c.id, alerts.c.labels).where(
        alerts.c.state.in_(OPEN), alerts.c.historical.is_(False), shown.ALERTS
    )
    return [Source(row.id, row.labels) for row in connection.execute(query.order_by(alerts.c.id))]


@dataclass(frozen=True, slots=True)
class Listed:
    """An alert of a list, with the receivers of the groups that hold it. updated_at: of its last change."""

    alert: Alert
    receivers: tuple[str, ...]
    updated_at: datetime


def list_alerts(
    connection: Connection,
    *,
    states: Collection[AlertState] = (),
    team: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Listed]:
    """Newest first by (active_since, id). before: the last item of the page before. states empty: all."""
    query = select(alerts).where(shown.ALERTS).order_by(alerts.c.active_since.desc(), alerts.c.id.desc()).limit(limit)
    if states:
        query = query.where(alerts.c.state.in_(sorted(states)))
    if team is not None:
        query = query.where(alerts.c.team == team)
    if before is not None:
        instant, ident = before
        query = query.where(
            or_(alerts.c.active_since < instant, and_(alerts.c.active_since == instant, alerts.c.id < ident))
        )
    rows = connection.execute(query).all()
    receivers = _receivers(connection, [row.id for row in rows])
    return [Listed(to_alert(row), receivers.get(row.id, ()), row.updated_at) for row in rows]


def _receivers(connection: Connection, ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for some in dialect.chunks(ids):
        query = (
            select(group_alerts.c.alert_id, group_rows.c.receiver)
            .join(group_rows, group_rows.c.id == group_alerts.c.group_id)
            .where(group_alerts.c.alert_id.in_(some))
        )
        for row in connection.execute(query):
            found.setdefault(row.alert_id, set()).add(row.receiver)
    return {alert_id: tuple(sorted(names)) for alert_id, names in found.items()}


def _transition_row(change: Transition) -> dict[str, Any]:
    return {
        "alert_id": change.alert.id,
        "kind": change.kind.value,
        "at": change.at,
        "value": change.alert.value,
        "evidence": dict(change.alert.evidence),
    }
