"""Which alerts flap or come back, in the store: noted in the transaction of each change. Spells are ended by a timer
of the due queue.

What is kept from being told by it is looked at again in the moment in which it ends. The limits come with the plan of
each change, since they are the configuration's.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from watchtower.model.alert import Alert, ObligationState, Planned, Transition, TransitionKind
from watchtower.model.flapping import Change, FlapLimits, Spell, begins, comes_back
from watchtower.model.incident import IncidentEvent, is_open, since
from watchtower.store import dialect, due, groups, incidents
from watchtower.store.alert_rows import OPEN
from watchtower.store.schema.alerting import alerts, flapping, group_alerts, obligations, transitions
from watchtower.store.schema.alerting import groups as group_rows
from watchtower.store.schema.alerting import incidents as incident_rows
from watchtower.store.statements import Row, any_of, given, prepared

_SPELLS = prepared(select(flapping).where(flapping.c.fingerprint.in_(any_of("fingerprints"))))
_CHANGES = prepared(
    select(
        alerts.c.fingerprint,
        alerts.c.id,
        transitions.c.kind,
        transitions.c.at,
        func.coalesce(alerts.c.trouble_since, alerts.c.starts_at, alerts.c.active_since).label("trouble_since"),
    )
    .join(transitions, transitions.c.alert_id == alerts.c.id)
    .where(alerts.c.fingerprint.in_(any_of("fingerprints")), transitions.c.at > given("since"))
)
_COMES_BACK = prepared(
    update(alerts)
    .where(alerts.c.id == given("alert_id"))
    .values(trouble_since=given("began"), rings_from=given("rings_at"))
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
_INCIDENTS_OF = prepared(
    select(group_rows.c.incident_id)
    .distinct()
    .join(group_alerts, group_alerts.c.group_id == group_rows.c.id)
    .join(alerts, alerts.c.id == group_alerts.c.alert_id)
    .join(incident_rows, incident_rows.c.id == group_rows.c.incident_id)
    .where(alerts.c.fingerprint.in_(any_of("fingerprints")), incident_rows.c.resolved_at.is_(None))
)


def note(
    connection: Connection, changes: Sequence[tuple[Transition, Sequence[Planned]]], now: datetime
) -> dict[str, str]:
    """Alerts have changed (their transitions are written): some begin to flap by it, others go on. Of those that came
    back: the episode that they continue; ids of alerts."""
    back: dict[str, str] = {}
    limited = [(change, flap) for change, planned in changes if planned and (flap := planned[0].flap) is not None]
    if not limited:
        return back
    before = _spells(connection, {change.alert.fingerprint for change, _ in limited})
    running = {name: row.since for name, row in before.items() if row.ends_at > now}
    past = _past(connection, limited, before, now)
    for change, limits in limited:
        print_of = change.alert.fingerprint
        began = running.get(print_of)
        if began is None and (end := _end_before(change, past[print_of], limits)) is not None:
            _note_return(connection, change, end, limits)
            back[change.alert.id] = end.alert_id
        if began is None and not begins([one.at for one in past[print_of]], limits, now):
            continue
        if began is None:
            began = running[print_of] = change.at
            _tell_incidents(connection, change.alert.id, limits, change.at)
        ends_at = change.at + timedelta(seconds=limits.stable_for_s)
        row = {"fingerprint": print_of, "since": began, "ends_at": ends_at, "within_s": limits.within_s}
        dialect.upsert(connection, flapping, [row])
        _MARK.run(connection, {"ids": [change.alert.id], "began": began})
        due.plan(connection, due.FLAP, print_of, ends_at)
    return back


def spells(connection: Connection, held: Collection[Alert], destination: str, now: datetime) -> dict[str, Spell]:
    """What of these alerts flaps or has come back, by fingerprint, and when destination was last told of it."""
    back = {alert.fingerprint: alert for alert in held if is_open(alert) and _waits(alert, now)}
    marked = sorted({*back, *(alert.fingerprint for alert in held if alert.flapping_since is not None)})
    found: dict[str, Spell] = {}
    for some in dialect.chunks(marked):
        rows = _TOLD.all(connection, {"fingerprints": some, "destination": destination})
        told = {row.fingerprint: row.told_at for row in rows}
        for name in set(some) & back.keys():
            began, until = back[name].trouble_since or since(back[name]), back[name].rings_from or now
            found[name] = Spell(name, None, began, until, told.get(name))
        for name, row in _spells(connection, some).items():
            if row.ends_at > now:
                led_to_it = row.since - timedelta(seconds=row.within_s)
                found[name] = Spell(name, row.since, led_to_it, row.ends_at, told.get(name))
    return found


def end(connection: Connection, now: datetime, limit: int = 100) -> int:
    """Look at spells whose time is over: what still fires is told now, what does not is over; the number of spells
    looked at.

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
    held = [name for some in dialect.chunks(over) for name in _INCIDENTS_OF.scalars(connection, {"fingerprints": some})]
    incidents.close_clear(connection, set(held), now)
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
) -> dict[str, list[Change]]:
    """How these alerts changed lately; what an earlier spell was made of counts no more."""
    span = max(max(limits.within_s, limits.returns_s) for _, limits in limited)
    found: dict[str, list[Change]] = defaultdict(list)
    for some in dialect.chunks(sorted({change.alert.fingerprint for change, _ in limited})):
        for row in _CHANGES.all(connection, {"fingerprints": some, "since": now - timedelta(seconds=span + 1)}):
            name = row.fingerprint
            if name not in before or row.at > before[name].ends_at:
                firing = row.kind == TransitionKind.FIRING
                found[name].append(Change(row.at, firing, row.id, row.trouble_since))
    return found


def _end_before(change: Transition, past: Sequence[Change], limits: FlapLimits) -> Change | None:
    """The end after which this beginning is the same trouble come back."""
    if change.kind is not TransitionKind.FIRING:
        return None
    return comes_back([one for one in past if one.alert_id != change.alert.id], limits, change.at)


def _note_return(connection: Connection, change: Transition, end: Change, limits: FlapLimits) -> None:
    rings_at = change.at + timedelta(seconds=limits.stands_s)
    values = {"alert_id": change.alert.id, "began": end.trouble_since, "rings_at": rings_at}
    _COMES_BACK.run(connection, values)


def _waits(alert: Alert, now: datetime) -> bool:
    return alert.rings_from is not None and alert.rings_from > now


def _tell_incidents(connection: Connection, alert_id: str, limits: FlapLimits, now: datetime) -> None:
    """One line in the story of each incident that the alert belongs to."""
    span, calm = (f"{seconds / 60:g} min" for seconds in (limits.within_s, limits.stable_for_s))
    text = f"Flapping: {limits.changes} changes within {span}; nothing more is told until it is stable for {calm}."
    for incident_id in _INCIDENTS.scalars(connection, {"alert_id": alert_id}):
        incidents.note(connection, incident_id, IncidentEvent(now, "flapping", text))
