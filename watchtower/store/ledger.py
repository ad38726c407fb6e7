"""The ledger: every obligation with its state, reason and proof, so that an outsider can check that nothing is lost.

Also the auditor, which finds obligations that nothing will move any more.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, literal, or_, select

from watchtower.model.alert import IncidentStatus, ObligationState, TransitionKind
from watchtower.model.delivery import OVERDUE_AFTER, LedgerEntry, Overdue, Superseded
from watchtower.store import dialect, due, shown
from watchtower.store.alert_rows import OPEN
from watchtower.store.schema.alerting import alerts, groups, incidents, notices, obligations
from watchtower.store.schema.observed import due as due_rows

_OPEN = (ObligationState.DUE.value, ObligationState.SENDING.value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which obligations to list; None or empty: all. created_from inclusive, created_to exclusive."""

    states: Collection[ObligationState] = ()
    destination: str | None = None
    alert_id: str | None = None
    incident_id: str | None = None
    notice_id: str | None = None
    team: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notice that was given up. reason: why it was to be sent; error_reason, error: why it could not be."""

    notice_id: str
    destination: str
    reason: str
    attempts: int
    error_reason: str | None
    error: str | None
    at: datetime


def ledger(
    connection: Connection,
    wanted: Filter | None = None,
    *,
    after: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[LedgerEntry]:
    """Oldest first by (created_at, id). after: of the last entry of the page before. Stable: none moves."""
    query = (
        entries()
        .where(*_conditions(wanted or Filter()))
        .order_by(obligations.c.created_at, obligations.c.id)
        .limit(limit)
    )
    if after is not None:
        instant, ident = after
        query = query.where(
            or_(
                obligations.c.created_at > instant,
                and_(obligations.c.created_at == instant, obligations.c.id > ident),
            )
        )
    return [to_entry(row) for row in connection.execute(query)]


def entries() -> Select[Any]:
    """All obligations with what belongs to them; rows for `to_entry`."""
    return (
        select(obligations, groups.c.incident_id, alerts.c.fingerprint, notices.c.error.label("notice_error"))
        .join(groups, groups.c.id == obligations.c.group_id)
        .join(alerts, alerts.c.id == obligations.c.alert_id)
        .outerjoin(notices, notices.c.id == obligations.c.notice_id)
        .where(shown.OBLIGATIONS)
    )


def to_entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        id=row.id,
        episode=row.group_id,
        alert_id=row.alert_id,
        fingerprint=row.fingerprint,
        transition=TransitionKind(row.transition),
        occasion=row.occasion,
        destination=row.destination,
        state=ObligationState(row.state),
        reason=row.reason,
        suppressed_by=row.suppressed_by,
        provider_id=row.provider_id,
        attempts=row.attempts,
        error=row.notice_error,  # of what was delivered: what its provider reported afterwards
        incident_id=row.incident_id,
        notice_id=row.notice_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def dead_letters(connection: Connection, limit: int = 1_000) -> list[DeadLetter]:
    """Notices that were given up, newest first; `attempts.replay` tries one again."""
    query = select(notices).where(notices.c.state == ObligationState.DEAD_LETTER, shown.NOTICES)
    rows = connection.execute(query.order_by(notices.c.updated_at.desc(), notices.c.id).limit(limit))
    return [
        DeadLetter(row.id, row.destination, row.reason, row.attempts, row.error_reason, row.error, row.updated_at)
        for row in rows
    ]


def overdue(connection: Connection, now: datetime, limit: int = 1_000) -> list[Overdue]:
    """Open obligations older than 5 min without a next step, or whose next step is more than 5 min late. Healthy: none.

    The next step is a row of the due queue: the timer of the group, or the turn of the conversation at its destination.
    """
    late = now - OVERDUE_AFTER
    turn, timer = due_rows.alias("turn"), due_rows.alias("timer")
    turn_lane = literal(f"{due.DELIVER}:").concat(obligations.c.destination)
    query = (
        select(
            obligations.c.id,
            obligations.c.destination,
            obligations.c.created_at,
            turn.c.at.label("turn_at"),
            timer.c.at.label("timer_at"),
        )
        .join(groups, groups.c.id == obligations.c.group_id)
        .join(turn, and_(turn.c.lane == turn_lane, turn.c.subject == groups.c.group_hash), isouter=True)
        .join(timer, and_(timer.c.lane == due.GROUP, timer.c.subject == groups.c.id), isouter=True)
        .where(
            obligations.c.state.in_(_OPEN),
            obligations.c.created_at < late,
            or_(turn.c.at.is_(None), turn.c.at < late),
            or_(timer.c.at.is_(None), timer.c.at < late),
        )
        .order_by(obligations.c.created_at, obligations.c.id)
        .limit(limit)
    )
    return [
        Overdue(row.id, row.destination, row.created_at, _why(row.turn_at, row.timer_at))
        for row in connection.execute(query)
    ]


def stalled(connection: Connection, now: datetime) -> list[Overdue]:
    """Steps of escalations that stood still for an acknowledgement which has ended, and that nothing will move on.
    Healthy: none. With `overdue`: an open incident that nobody has either told everybody, or has a next step."""
    late = now - OVERDUE_AFTER
    waiting = (
        select(groups.c.id, groups.c.plan, incidents.c.unacknowledged_at)
        .join(incidents, incidents.c.id == groups.c.incident_id)
        .join(due_rows, and_(due_rows.c.lane == due.GROUP, due_rows.c.subject == groups.c.id), isouter=True)
        .where(
            incidents.c.status == IncidentStatus.TRIGGERED,
            incidents.c.unacknowledged_at < late,
            groups.c.closed_at.is_(None),
            or_(due_rows.c.at.is_(None), due_rows.c.at < late),
        )
    )
    held = {row.id: row for row in connection.execute(waiting)}
    later = obligations.alias("later")
    found: list[Overdue] = []
    for some in dialect.chunks(sorted(held)):
        query = (
            select(obligations.c.id, obligations.c.group_id, obligations.c.destination)
            .join(alerts, alerts.c.id == obligations.c.alert_id)
            .where(
                obligations.c.group_id.in_(some),
                obligations.c.state == ObligationState.SUPERSEDED,
                obligations.c.reason == Superseded.ACKNOWLEDGED,
                alerts.c.state.in_(OPEN),
                ~exists().where(
                    later.c.group_id == obligations.c.group_id,
                    later.c.destination == obligations.c.destination,
                    later.c.alert_id == obligations.c.alert_id,
                    later.c.transition == obligations.c.transition,
                    later.c.occasion > obligations.c.occasion,
                ),
            )
            .order_by(obligations.c.id)
        )
        found += [
            Overdue(row.id, row.destination, held[row.group_id].unacknowledged_at, "its escalation does not go on")
            for row in connection.execute(query)
            if not held[row.group_id].plan.get(row.destination, {}).get("retired")
        ]
    return found


def _why(turn_at: datetime | None, timer_at: datetime | None) -> str:
    steps = [moment for moment in (turn_at, timer_at) if moment is not None]
    return f"its next step was due at {min(steps).isoformat()}" if steps else "nothing is planned for it"


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(obligations.c.state.in_(sorted(wanted.states)))
    for column, value in (
        (obligations.c.destination, wanted.destination),
        (obligations.c.alert_id, wanted.alert_id),
        (groups.c.incident_id, wanted.incident_id),
        (obligations.c.notice_id, wanted.notice_id),
        (alerts.c.team, wanted.team),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.created_from is not None:
        found.append(obligations.c.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        found.append(obligations.c.created_at < wanted.created_to)
    return found
