"""Which alerts flap, in the store: noted in the transaction of each change, ended by a timer of the due queue.

What is kept from being told by it is looked at again in the moment in which it ends. The limits come with the plan of
each change, since they are the configuration's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from watchtower.model.alert import Alert, ObligationState, Planned, Transition
from watchtower.model.flapping import FlapLimits, Spell, begins
from watchtower.model.incident import IncidentEvent
from watchtower.store import dialect, due, groups, incidents
from watchtower.store.alert_rows import OPEN
from watchtower.store.schema.alerting import alerts, flapping, group_alerts, obligations, transitions
from watchtower.store.schema.alerting import groups as group_rows
from watchtower.store.statements import Row, any_of, given, prepared

_SPELLS = prepared(select(flapping).where(flapping.c.fingerprint.in_(any_of("fingerprints"))))
_CHANGES = prepared(
    select(alerts.c.fingerprint, transitions.c.at)
    .join(transitions, transitions.c.alert_id == alerts.c.id)
    .where(alerts.c.fingerprint.in_(any_of("fingerprints")), transitions.c.at > given("since"))
)
_MARK = prepared(update(alerts).where(alerts.c.id.in_(any_of("ids"))).values(flapping_since=given("began")))
_UNMARK = prepared(
    update(alerts)
    .where(alerts.c.fingerprint.in_(any_of("fingerprints")), alerts.c.state.in_(OPEN))
    .values(flapping_since=None)
)
_TOLD = prepared(
    select(alerts.c.fingerprint, func.max(obligations.c.updated_at).label("told_at"))
    .join(obligations, obligations.c.alert_id == alerts.c.id)
    .where(
        alerts.c.fingerprint.in_(any_of("fingerprints")),
        obligations.c.destination == given("destination"),
        obligations.c.state == ObligationState.DELIVERED,
    )
    .group_by(alerts.c.fingerprint)
)
_INCIDENTS = prepared(
    select(group_rows.c.incident_id)
    .distinct()
    .join(group_alerts, group_alerts.c.group_id == group_rows.c.id)
    .where(group_alerts.c.alert_id == given("alert_id"), group_rows.c.incident_id.is_not(None))
)


def note(connection: Connection, changes: Sequence[tuple[Transition, Sequence[Planned]]], now: datetime) -> None:
    """Alerts have changed (their transitions are written): some begin to flap by it, others go on."""
    limited = [(change, flap) for change, planned in changes if planned and (flap := planned[0].flap) is not None]
    if not limited:
        return
    before = _spells(connection, {change.alert.fingerprint for change, _ in limited})
    running = {name: row.since for name, row in before.items() if row.ends_at > now}
    past = _past(connection, limited, before, now)
    for change, limits in limited:
        print_of = change.alert.fingerprint
        since = running.get(print_of)
        if since is None and not begins(past[print_of], limits, now):
            continue
        if since is None:
            since = running[print_of] = change.at
            _tell_incidents(connection, change.alert.id, limits, change.at)
        ends_at = change.at + timedelta(seconds=limits.stable_for_s)
        row = {"fingerprint": print_of, "since": since, "ends_at": ends_at, "within_s": limits.within_s}
        dialect.upsert(connection, flapping, [row])
        _MARK.run(connection, {"ids": [change.alert.id], "began": since})
        due.plan(connection, due.FLAP, print_of, ends_at)


def spells(connection: Connection, held: Collection[Alert], destination: str, now: datetime) -> dict[str, Spell]:
    """What of these alerts flaps, by fingerprint, and when destination was last told of it."""
    marked = sorted({alert.fingerprint for alert in held if alert.flapping_since is not None})
    found: dict[str, Spell] = {}
    for some in dialect.chunks(marked):
        rows = _TOLD.all(connection, {"fingerprints": some, "destination": destination})
        told = {row.fingerprint: row.told_at for row in rows}
        for name, row in _spells(connection, some).items():
            if row.ends_at > now:
                found[name] = Spell(name, row.since, row.ends_at, row.within_s, told.get(name))
    return found


def end(connection: Connection, now: datetime, limit: int = 100) -> int:
    """Look at spells whose time is over: what still fires is told now; the number of spells looked at.

    A spell is remembered for as long as its changes would count, so that they do not begin the next one.
    """
    claimed = due.claim(connection, due.FLAP, now, limit, "flapping")
    known = _spells(connection, [item.subject for item in claimed])
    again = {name: moment for name, row in known.items() if (moment := _looks_again(row, now)) is not None}
    over = [name for name, row in known.items() if row.ends_at <= now]
    gone = [item.subject for item in claimed if item.subject not in again]
    for some in dialect.chunks(over):
        _UNMARK.run(connection, {"fingerprints": some})
    for some in dialect.chunks(gone):
        connection.execute(delete(flapping).where(flapping.c.fingerprint.in_(some)))
    groups.wake_suppressed(connection, over, now)
    due.settle(connection, due.FLAP, [(item.subject, item.version, again.get(item.subject)) for item in claimed])
    due.drop_idle(connection, due.FLAP, gone)
    return len(claimed)


def _looks_again(row: Row, now: datetime) -> datetime | None:
    """When there is next something to do about a spell."""
    forgotten_at = row.ends_at + timedelta(seconds=row.within_s)
    return next((moment for moment in (row.ends_at, forgotten_at) if moment > now), None)


def _spells(connection: Connection, fingerprints: Collection[str]) -> dict[str, Row]:
    """Spells that go on or are remembered, by fingerprint."""
    return {
        row.fingerprint: row
        for some in dialect.chunks(sorted(fingerprints))
        for row in _SPELLS.all(connection, {"fingerprints": some})
    }


def _past(
    connection: Connection,
    limited: Sequence[tuple[Transition, FlapLimits]],
    before: Mapping[str, Row],
    now: datetime,
) -> dict[str, list[datetime]]:
    """When these alerts changed lately; what an earlier spell was made of counts no more."""
    since = now - timedelta(seconds=max(limits.within_s for _, limits in limited))
    found: dict[str, list[datetime]] = defaultdict(list)
    for some in dialect.chunks(sorted({change.alert.fingerprint for change, _ in limited})):
        for name, at in _CHANGES.all(connection, {"fingerprints": some, "since": since}):
            if name not in before or at > before[name].ends_at:
                found[name].append(at)
    return found


def _tell_incidents(connection: Connection, alert_id: str, limits: FlapLimits, now: datetime) -> None:
    """One line in the story of each incident that the alert belongs to."""
    span, calm = (f"{seconds / 60:g} min" for seconds in (limits.within_s, limits.stable_for_s))
    text = f"Flapping: {limits.changes} changes within {span}; nothing more is told until it is stable for {calm}."
    for incident_id in _INCIDENTS.scalars(connection, {"alert_id": alert_id}):
        incidents.note(connection, incident_id, IncidentEvent(now, "flapping", text))
