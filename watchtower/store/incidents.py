"""Incidents in the store: each group episode belongs to exactly one, which is over when all its groups are clear.

Part of the rules' transaction (see `store.alerts`); acknowledgements come through `edit`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from prometheus_client import Histogram
from sqlalchemy import Connection, and_, case, distinct, exists, func, or_, select, update

from watchtower.errors import BadInput
from watchtower.model.alert import Alert, Incident, IncidentStatus, Severity
from watchtower.model.incident import IncidentEdit, IncidentEvent, cause_of, describe, worse
from watchtower.model.instants import from_micros, to_micros
from watchtower.store import dialect, due
from watchtower.store.alert_rows import OPEN, to_alert
from watchtower.store.schema.alerting import alerts, flapping, group_alerts, groups, incident_events, incidents
from watchtower.store.statements import Row, any_of, change, given, prepared
from watchtower.store.work import after_commit
from watchtower.telemetry import metrics, traces

_SHOWN = 8  # alerts that are read to describe an incident; the rest are counted


_OPEN_ONES = prepared(
    select(incidents.c.id, incidents.c.severity).where(
        incidents.c.id.in_(any_of("ids")), incidents.c.resolved_at.is_(None)
    )
)
_OPEN_BY_KEY = prepared(
    select(incidents.c.incident_key, incidents.c.id)
    .where(incidents.c.incident_key.in_(any_of("keys")), incidents.c.resolved_at.is_(None))
    .order_by(incidents.c.id)
    .with_for_update()
)
_HOLDING = prepared(
    select(group_alerts.c.alert_id, groups.c.incident_id)
    .join(groups, groups.c.id == group_alerts.c.group_id)
    .join(incidents, incidents.c.id == groups.c.incident_id)
    .where(group_alerts.c.alert_id.in_(any_of("alert_ids")), incidents.c.resolved_at.is_(None))
    .order_by(groups.c.id)
)
_COUNT = prepared(
    select(func.count(distinct(alerts.c.fingerprint)))
    .join(group_alerts, group_alerts.c.alert_id == alerts.c.id)
    .join(groups, groups.c.id == group_alerts.c.group_id)
    .where(groups.c.incident_id == given("incident_id"))
)
# The alerts of one incident; the order is that of `model.incident.describe`.
_RANKED = prepared(
    select(alerts)
    .where(
        alerts.c.id.in_(
            select(group_alerts.c.alert_id)
            .join(groups, groups.c.id == group_alerts.c.group_id)
            .where(groups.c.incident_id == given("incident_id"))
        )
    )
    .order_by(
        case((alerts.c.state.in_(OPEN), 0), else_=1),
        case((alerts.c.severity == Severity.PAGE, 0), (alerts.c.severity == Severity.TICKET, 1), else_=2),
        func.coalesce(alerts.c.starts_at, alerts.c.active_since),
        alerts.c.id,
    )
    .limit(given("limit"))
)
_NOTE = prepared(incident_events.insert())


def refresh(connection: Connection, ids: Collection[str]) -> None:
    """Let open incidents say anew what they are about. Their severity only ever grows."""
    for some in dialect.chunks(sorted(ids)):
        rows = _OPEN_ONES.all(connection, {"ids": some})
        for row in rows:
            top, total = _worst(connection, row.id)
            said = describe(top, total)
            severity = worse(said.severity, Severity(row.severity))
            change(
                connection, incidents, {"id": row.id},
                severity=severity.value, title=said.title, summary=said.summary,
            )  # fmt: skip


def retell(connection: Connection, alert_ids: Sequence[str]) -> None:
    """Let the incidents that hold these alerts say what their alerts say now: what was one missed run may be three."""
    refresh(connection, set(holding(connection, alert_ids).values()))


def note_causes(connection: Connection, explained: Sequence[Alert], now: datetime) -> None:
    """The timelines of the incidents that hold these alerts say what their causes are."""
    for alert_id, incident_id in holding(connection, [alert.id for alert in explained]).items():
        cause = next(cause_of(alert) for alert in explained if alert.id == alert_id)
        note(connection, incident_id, IncidentEvent(now, "cause_found", f"The cause is known: {cause}"))


def close_clear(connection: Connection, ids: Collection[str], now: datetime) -> None:
    """Resolve those incidents all of whose groups are clear, and of whose alerts none flaps."""
    still_open = exists().where(groups.c.incident_id == incidents.c.id, groups.c.closed_at.is_(None))
    still_flaps = exists().where(
        groups.c.incident_id == incidents.c.id,
        group_alerts.c.group_id == groups.c.id,
        alerts.c.id == group_alerts.c.alert_id,
        flapping.c.fingerprint == alerts.c.fingerprint,
        flapping.c.ends_at > now,
    )
    for some in dialect.chunks(sorted(ids)):
        query = select(incidents).where(
            incidents.c.id.in_(some), incidents.c.resolved_at.is_(None), ~still_open, ~still_flaps
        )
        over = connection.execute(query).all()
        clear = [row.id for row in over]
        if not clear:
            continue
        for row in over:
            _time(connection, metrics.RESOLVE_SECONDS, row, now)
        connection.execute(
            update(incidents)
            .where(incidents.c.id.in_(clear))
            .values(status=IncidentStatus.RESOLVED.value, resolved_at=now, ack_until=None)
        )
        due.forget(connection, due.ACK, clear)
        for incident_id in clear:
            note(connection, incident_id, IncidentEvent(now, "resolved", "All alerts are clear."))


def edit(connection: Connection, incident_id: str, change: IncidentEdit) -> Incident:
    """Apply what a person does. Raises BadInput for an unknown incident, and what change raises."""
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id).with_for_update()).first()
    if row is None:
        raise BadInput(f"incident {incident_id!r}: there is no such incident; see `watchtower incidents`")
    before = to_incident(row)
    after, event = change(before)
    if after != before:
        connection.execute(
            update(incidents)
            .where(incidents.c.id == incident_id)
            .values(
                status=after.status.value,
                acknowledged_at=after.acknowledged_at,
                acknowledged_by=after.acknowledged_by,
                ack_until=after.ack_until,
                unacknowledged_at=after.unacknowledged_at,
                past_acks=[[to_micros(first), to_micros(last)] for first, last in after.past_acks],
            )
        )
        due.plan(connection, due.ACK, incident_id, after.ack_until)
        if after.unacknowledged_at is not None:
            _wake_groups(connection, incident_id, after.unacknowledged_at)
        elif after.acknowledged_at is not None and after.acknowledged_at != before.acknowledged_at:
            _call_off(connection, incident_id, after.acknowledged_at)
        if before.acknowledged_at is None and after.acknowledged_at is not None and before.unacknowledged_at is None:
            _time(connection, metrics.ACK_SECONDS, row, after.acknowledged_at)
    if event is not None:
        note(connection, incident_id, event)
    return after


def _time(connection: Connection, histogram: Histogram, row: Row, until: datetime) -> None:
    """How long people took with an incident, for MTTA and MTTR: counted by the process that committed it."""
    seconds = (until - row.started_at).total_seconds()
    labelled = histogram.labels(row.severity, row.team or "")
    after_commit(connection, partial(traces.observe, labelled, seconds, {"incident_id": row.id}))


def note(connection: Connection, incident_id: str, event: IncidentEvent) -> None:
    row = {"incident_id": incident_id, "at": event.at, "kind": event.kind, "actor": event.actor, "text": event.text}
    _NOTE.run(connection, row)


# -- reading ------------------------------------------------------------------------------------------------------


def get(connection: Connection, incident_id: str) -> Incident | None:
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id)).first()
    return to_incident(row) if row else None


def list_incidents(
    connection: Connection,
    *,
    statuses: Collection[IncidentStatus] = (),
    team: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Newest first by (started_at, id). before: of the last item of the page before. statuses empty: all."""
    query = select(incidents).order_by(incidents.c.started_at.desc(), incidents.c.id.desc()).limit(limit)
    if statuses:
        query = query.where(incidents.c.status.in_(sorted(statuses)))
    if team is not None:
        query = query.where(incidents.c.team == team)
    if before is not None:
        instant, ident = before
        query = query.where(
            or_(
                incidents.c.started_at < instant,
                and_(incidents.c.started_at == instant, incidents.c.id < ident),
            )
        )
    return [to_incident(row) for row in connection.execute(query)]


def alerts_of(connection: Connection, incident_id: str, limit: int = 1_000) -> list[Alert]:
    """The alerts of an incident: what fires first, the worst and oldest on top."""
    return [to_alert(row) for row in _RANKED.all(connection, {"incident_id": incident_id, "limit": limit})]


def timeline(connection: Connection, incident_id: str, limit: int = 1_000) -> list[IncidentEvent]:
    query = (
        select(incident_events)
        .where(incident_events.c.incident_id == incident_id)
        .order_by(incident_events.c.at, incident_events.c.id)
        .limit(limit)
    )
    return [IncidentEvent(row.at, row.kind, row.text, row.actor) for row in connection.execute(query)]


def to_incident(row: Row) -> Incident:
    return Incident(
        id=row.id,
        status=IncidentStatus(row.status),
        severity=Severity(row.severity),
        title=row.title,
        summary=row.summary,
        labels=row.labels,
        started_at=row.started_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        resolved_at=row.resolved_at,
        ack_until=row.ack_until,
        unacknowledged_at=row.unacknowledged_at,
        past_acks=tuple((from_micros(first), from_micros(last)) for first, last in row.past_acks or ()),
    )


# -- parts --------------------------------------------------------------------------------------------------------


def holding(connection: Connection, alert_ids: Sequence[str]) -> dict[str, str]:
    """The open incident that holds each alert already."""
    found: dict[str, str] = {}
    for some in dialect.chunks(alert_ids):
        for row in _HOLDING.all(connection, {"alert_ids": some}):
            found.setdefault(row.alert_id, row.incident_id)
    return found


def lock_open(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in dialect.chunks(sorted(keys)):
        found |= {row.incident_key: row.id for row in _OPEN_BY_KEY.all(connection, {"keys": some})}
    return found


def _worst(connection: Connection, incident_id: str) -> tuple[list[Alert], int]:
    """The first alerts of an incident, and how many different ones it has."""
    held = {"incident_id": incident_id}
    total: int = _COUNT.scalar(connection, held)
    return [to_alert(row) for row in _RANKED.all(connection, held | {"limit": _SHOWN})], total


def _wake_groups(connection: Connection, incident_id: str, now: datetime) -> None:
    open_groups = select(groups.c.id).where(groups.c.incident_id == incident_id, groups.c.closed_at.is_(None))
    due.mark(connection, due.GROUP, list(connection.execute(open_groups).scalars()), now)


def _call_off(connection: Connection, incident_id: str, now: datetime) -> None:
    """Somebody has it: groups that have told anybody look again at whom they were still going to tell, and who shows
    it."""
    rows = connection.execute(
        select(groups.c.id, groups.c.plan).where(
            groups.c.incident_id == incident_id, groups.c.closed_at.is_(None), groups.c.last_flush_at.is_not(None)
        )
    )
    concerned = [row.id for row in rows if any(map(_heeds_acks, row.plan.values()))]
    due.mark(connection, due.GROUP, concerned, now)


def _heeds_acks(planned: Mapping[str, Any]) -> bool:
    """A destination that is not told any more, or that shows who has it."""
    return bool(planned.get("person") or planned.get("shows_acks"))


def end_acknowledgements(connection: Connection, now: datetime, change: IncidentEdit, limit: int = 100) -> int:
    """Apply change to each incident whose acknowledgement has run out; their number."""
    claimed = due.claim(connection, due.ACK, now, limit, "ack")
    for item in claimed:
        if get(connection, item.subject) is not None:
            edit(connection, item.subject, change)
    due.settle(connection, due.ACK, [(item.subject, item.version, None) for item in claimed])
    return len(claimed)
