"""Conversations: one group episode at one destination, read back whole so that pure functions can decide about it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from watchtower.model.alert import Alert, AlertState, NoticeReason, ObligationState, Receipt, TransitionKind
from watchtower.model.delivery import Content, Conversation, Owed, Told
from watchtower.model.incident import cause_of
from watchtower.model.instants import from_micros
from watchtower.store import dialect
from watchtower.store.alert_rows import load as load_alerts
from watchtower.store.groups import planned_of
from watchtower.store.schema.alerting import conversations, group_alerts, groups, incidents, notices, obligations
from watchtower.store.statements import Row, any_of, change, given, prepared
from watchtower.store.touched import Opened

_NONE_OPENED: Mapping[str, Opened] = {}
REOPEN_WITHIN = timedelta(days=3)  # field.md: "reopen within 3 d", as SigNoz and Alertmanager's Jira integration do
OPEN_NOTICE = (ObligationState.DUE.value, ObligationState.SENDING.value)

_MEMBERS = prepared(
    select(group_alerts.c.group_id, group_alerts.c.alert_id, group_alerts.c.counts_from)
    .where(group_alerts.c.group_id.in_(any_of("ids")), group_alerts.c.left_at.is_(None))
    .order_by(group_alerts.c.joined_at, group_alerts.c.alert_id)
)
_OWED = prepared(
    select(obligations)
    .where(obligations.c.group_id.in_(any_of("ids")), obligations.c.state == ObligationState.DUE)
    .order_by(obligations.c.created_at, obligations.c.id)
)
_OF_GROUPS = prepared(select(conversations).where(conversations.c.group_id.in_(any_of("ids"))))
_OPEN_NOTICES = prepared(
    select(notices)
    .where(notices.c.group_id.in_(any_of("ids")), notices.c.state.in_(OPEN_NOTICE))
    .order_by(notices.c.seq)
)
_INCIDENTS = prepared(select(incidents).where(incidents.c.id.in_(any_of("ids"))))
_GROUPS_OF = prepared(select(groups).where(groups.c.incident_id == given("incident_id")).order_by(groups.c.opened_at))
_GROUP = prepared(select(groups).where(groups.c.id == given("group_id")).with_for_update())
_ONE = prepared(
    select(conversations).where(
        conversations.c.group_id == given("group_id"), conversations.c.destination == given("destination")
    )
)
_REDIALED = prepared(
    update(conversations)
    .where(conversations.c.group_id == given("of_group"), conversations.c.destination == given("of_destination"))
    .values(redialed=func.coalesce(conversations.c.redialed, 0) + 1)
)
_EARLIER = conversations.alias("earlier")
_PREVIOUS = (
    select(_EARLIER.c.ref)
    .where(
        _EARLIER.c.group_hash == given("group_hash"),
        _EARLIER.c.destination == given("destination"),
        _EARLIER.c.group_id != given("group_id"),
        _EARLIER.c.closed_at >= given("since"),
        _EARLIER.c.closed_at <= given("now"),
    )
    .order_by(_EARLIER.c.closed_at.desc(), _EARLIER.c.opened_at.desc())
    .limit(1)
)
_REFS = prepared(
    select(conversations.c.ref, _PREVIOUS.scalar_subquery().label("previous")).where(
        conversations.c.group_id == given("group_id"), conversations.c.destination == given("destination")
    )
)


def load(
    connection: Connection, group_rows: Sequence[Row], opened: Mapping[str, Opened] = _NONE_OPENED
) -> dict[str, list[Conversation]]:
    """The conversations of each group, by its id; one for each destination of its plan, also retired ones. opened:
    those groups, by id, of which everything is known but how their alerts stand in the store."""
    ids = [row.id for row in group_rows if row.id not in opened]
    members = _members(connection, ids)
    for group_id, here in opened.items():
        members[group_id] = dict.fromkeys(here.alert_ids)
    alerts = load_alerts(connection, {alert_id for some in members.values() for alert_id in some})
    owed = _owed(connection, ids)
    for group_id, here in opened.items():
        owed |= {(group_id, destination): list(some) for destination, some in here.owed.items()}
    told = _rows(connection, ids)
    open_notices = _open_notices(connection, ids)
    acked = _acknowledgements(
        connection, {row.incident_id for row in group_rows if row.incident_id and row.id not in opened}
    )
    found: dict[str, list[Conversation]] = {}
    for row in group_rows:
        held = tuple(alerts[alert_id] for alert_id in members[row.id] if alert_id in alerts)
        counts_from = {alert_id: moment for alert_id, moment in members[row.id].items() if moment}
        found[row.id] = []
        for destination, document in sorted(row.plan.items()):
            place = (row.id, destination)
            planned = planned_of(document)
            proven = _told(told.get(place))
            incident = acked.get(row.incident_id)
            found[row.id].append(
                Conversation(
                    group_id=row.id,
                    group_key=row.group_key,
                    planned=planned,
                    alerts=tuple(alert for alert in held if planned.concerns(alert.labels)),
                    owed=tuple(owed[place]),
                    told=proven,
                    expected=_expected(proven, open_notices[place]),
                    tried_at=told[place].tried_at if place in told else None,
                    waiting=any(_is_waiting(notice) for notice in open_notices[place]),
                    retired=bool(document.get("retired")),
                    incident_id=row.incident_id,
                    acknowledged_at=incident.acknowledged_at if incident and incident.ack_until else None,
                    unacknowledged_at=incident.unacknowledged_at if incident else None,
                    counts_from=counts_from,
                    opened_at=told[place].opened_at if place in told else None,
                    past_acks=past_acks(incident.past_acks) if incident else (),
                )
            )
    return found


def of_incident(connection: Connection, incident_id: str) -> list[Conversation]:
    """Of all groups of an incident, to be shown."""
    rows = _GROUPS_OF.all(connection, {"incident_id": incident_id})
    found = load(connection, rows)
    return [talk for row in rows for talk in found[row.id]]


def past_acks(document: Any) -> tuple[tuple[datetime, datetime], ...]:
    return tuple((from_micros(first), from_micros(last)) for first, last in document or ())


def content_of(document: Any) -> Content:
    others = document.get("others") or (0, 0)
    return Content(
        NoticeReason(document["reason"]),
        tuple(msgspec.convert(document["alerts"], list[Alert])),
        (others[0], others[1]),
    )


def content_document(content: Content) -> dict[str, Any]:
    made: dict[str, Any] = {"reason": content.reason.value}
    made["alerts"] = [msgspec.to_builtins(alert) for alert in content.alerts]
    return made if content.others == (0, 0) else {**made, "others": list(content.others)}


def told_by(content: Content, before: Told | None, at: datetime) -> Told:
    """What a destination knows once it has content. Whom it was told to fire stays so until it is told otherwise."""
    firing = frozenset(alert.id for alert in content.alerts if alert.state is not AlertState.RESOLVED)
    resolved = frozenset(alert.id for alert in content.alerts) - firing
    known = before.resolved if before else frozenset[str]()
    still = before.firing - resolved if before else frozenset[str]()
    redialed = (before.redialed if before else 0) + 1 if content.reason is NoticeReason.REDIAL else 0
    caused = frozenset(alert.id for alert in content.alerts if cause_of(alert))
    caused |= before.caused if before else frozenset[str]()
    return Told(firing | still, known | resolved, at, redialed, caused)


def note_told(
    connection: Connection, where: tuple[str, str], content: Content, at: datetime, receipt: Receipt | None
) -> Told:
    """A destination knows content from now on. Keep what it knows by it, and what its provider said (merged over what
    it said before). where: group id and destination."""
    place = {"group_id": where[0], "destination": where[1]}
    row = _ONE.one(connection, place)
    told = told_by(content, _told(row), at)
    change(
        connection,
        conversations,
        place,
        ref={**row.ref, **receipt.ref} if receipt else row.ref,
        told_firing=sorted(told.firing),
        told_resolved=sorted(told.resolved),
        told_causes=sorted(told.caused),
        told_at=told.at,
        tried_at=told.at,
        redialed=told.redialed,
        closed_at=None if told.firing else told.at,
    )
    return told


def tried(connection: Connection, group_id: str, destination: str, reason: NoticeReason, now: datetime) -> None:
    """A notice ended without reaching its destination. A call that was made again counts all the same."""
    place = {"group_id": group_id, "destination": destination}
    change(connection, conversations, place, tried_at=now)
    if reason is NoticeReason.REDIAL:
        _REDIALED.run(connection, {"of_group": group_id, "of_destination": destination})


def open_rows(
    connection: Connection, places: Collection[tuple[str, str]], hashes: Mapping[str, str], now: datetime
) -> None:
    """Make sure that each (group id, destination) has a row. hashes: group hash by group id."""
    rows: list[dict[str, Any]] = [
        {"group_id": group_id, "destination": name, "group_hash": hashes[group_id], "ref": {}, "opened_at": now}
        for group_id, name in sorted(places)
    ]
    dialect.insert_new(connection, conversations, rows)


def refs(
    connection: Connection, group: Row, destination: str, now: datetime
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """What the provider said in this episode, and in the one before if that ended within the reopen window."""
    place = {"group_id": group.id, "destination": destination}
    lately = {"group_hash": group.group_hash, "since": now - REOPEN_WITHIN, "now": now}
    found = _REFS.one(connection, place | lately)
    return found.ref, found.previous


# -- parts --------------------------------------------------------------------------------------------------------


def _members(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, datetime | None]]:
    """By group: the ids of its alerts, each with the moment from which the waits of escalations count."""
    found: dict[str, dict[str, datetime | None]] = defaultdict(dict)
    for some in dialect.chunks(ids):
        for row in _MEMBERS.all(connection, {"ids": some}):
            found[row.group_id][row.alert_id] = row.counts_from
    return found


def _owed(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], list[Owed]]:
    found: dict[tuple[str, str], list[Owed]] = defaultdict(list)
    for some in dialect.chunks(ids):
        for row in _OWED.all(connection, {"ids": some}):
            found[row.group_id, row.destination].append(Owed(row.id, row.alert_id, TransitionKind(row.transition)))
    return found


def _rows(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], Row]:
    return {
        (row.group_id, row.destination): row
        for some in dialect.chunks(ids)
        for row in _OF_GROUPS.all(connection, {"ids": some})
    }


def _open_notices(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for some in dialect.chunks(ids):
        for row in _OPEN_NOTICES.all(connection, {"ids": some}):
            found[row.group_id, row.destination].append(row)
    return found


def _is_waiting(notice: Row) -> bool:
    """It is composed when it is claimed, so it will take up what is owed by then."""
    return notice.state == ObligationState.DUE and not notice.outcome_unknown and not notice.frozen


def _expected(proven: Told | None, open_notices: Sequence[Row]) -> Told | None:
    """What the destination will know if everything under way arrives."""
    expected = proven
    for notice in open_notices:
        if not _is_waiting(notice) and notice.content is not None:
            expected = told_by(content_of(notice.content), expected, notice.updated_at)
    return expected


def _told(row: Row | None) -> Told | None:
    if row is None or row.told_at is None:
        return None
    caused = frozenset[str](row.told_causes or ())
    return Told(frozenset(row.told_firing), frozenset(row.told_resolved), row.told_at, row.redialed or 0, caused)


def _acknowledgements(connection: Connection, ids: Collection[str]) -> dict[str, Row]:
    """Of incidents that somebody has acknowledged, or had."""
    found: dict[str, Row] = {}
    for some in dialect.chunks(sorted(ids)):
        for row in _INCIDENTS.all(connection, {"ids": some}):
            found[row.id] = row
    return found


def group_row(connection: Connection, group_id: str) -> Row | None:
    """The group, locked against rules that add to it or close it."""
    return _GROUP.first(connection, {"group_id": group_id})
