"""Group episodes: which alerts stand together at one receiver, what each of them owes, and when the group is told.

Part of the rules' transaction (see `store.alerts`). A group's row is locked before it is read, always in the order of
ids, so that on PostgreSQL a group that closes and an alert that joins it cannot miss each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, exists, select, tuple_, update

from watchtower.model.alert import Alert, ObligationState, Planned, Severity, TransitionKind
from watchtower.model.delivery import Owed, Superseded, first_flush_at, group_hash, next_tick, obligation_id
from watchtower.model.incident import urgency
from watchtower.model.labels import Labels, party_of
from watchtower.model.round_trip import KIND as ROUND_TRIP
from watchtower.model.run import stable_id
from watchtower.store import dialect, due, incidents, opening
from watchtower.store.alert_rows import OPEN
from watchtower.store.schema.alerting import alerts, group_alerts, groups, notices, obligations
from watchtower.store.statements import Row, any_of, change, given, prepared
from watchtower.store.touched import Opened

_NONE: Mapping[str, str] = {}
_OPEN_STATES = (ObligationState.DUE.value, ObligationState.SENDING.value)

_Key = tuple[str, str]  # group key, receiver


_OPEN = prepared(
    select(groups)
    .where(groups.c.id.in_(any_of("ids")), groups.c.closed_at.is_(None))
    .order_by(groups.c.id)
    .with_for_update()
)
_OPEN_BY_KEY = prepared(
    select(groups)
    .where(tuple_(groups.c.group_key, groups.c.receiver).in_(any_of("keys")), groups.c.closed_at.is_(None))
    .order_by(groups.c.id)
    .with_for_update()
)
_BEGIN = prepared(
    update(group_alerts)
    .where(
        group_alerts.c.group_id == given("of_group"),
        group_alerts.c.counts_from.is_(None),
        group_alerts.c.left_at.is_(None),
    )
    .values(counts_from=given("now"))
)
_START_OVER = prepared(
    update(group_alerts)
    .where(group_alerts.c.group_id == given("of_group"), group_alerts.c.alert_id.in_(any_of("ids")))
    .values(counts_from=None)
)
_HOLDING = prepared(select(group_alerts.c.group_id).distinct().where(group_alerts.c.alert_id.in_(any_of("alert_ids"))))
_TOLD_TO_FIRE = prepared(
    select(obligations.c.group_id, groups.c.group_key, obligations.c.destination, obligations.c.alert_id)
    .distinct()
    .join(groups, groups.c.id == obligations.c.group_id)
    .where(obligations.c.alert_id.in_(any_of("alert_ids")), obligations.c.transition == TransitionKind.FIRING)
)
_PAGED = prepared(
    select(group_alerts.c.group_id)
    .join(alerts, alerts.c.id == group_alerts.c.alert_id)
    .where(
        group_alerts.c.group_id.in_(any_of("ids")),
        alerts.c.severity == Severity.PAGE,
        alerts.c.state.in_(OPEN),
        alerts.c.id.not_in(any_of("but")),
    )
)
_CLEAR = prepared(
    select(groups.c.id).where(
        groups.c.id.in_(any_of("ids")),
        ~exists().where(
            group_alerts.c.group_id == groups.c.id,
            group_alerts.c.alert_id == alerts.c.id,
            alerts.c.state.in_(OPEN),
        ),
    )
)
_LEAVE = prepared(
    update(group_alerts)
    .where(
        group_alerts.c.group_id.in_(any_of("ids")),
        group_alerts.c.left_at.is_(None),
        ~exists().where(
            obligations.c.group_id == group_alerts.c.group_id,
            obligations.c.alert_id == group_alerts.c.alert_id,
            obligations.c.state.in_((ObligationState.DUE, ObligationState.SENDING)),
        ),
        ~exists().where(alerts.c.id == group_alerts.c.alert_id, alerts.c.state.in_(OPEN)),
    )
    .values(left_at=given("now"))
)


@dataclass(slots=True)
class _Wanted:
    """What a batch asks of one group: its plan by destination, and the firing alerts with where each must go."""

    plan: dict[str, Planned] = field(default_factory=dict[str, Planned])
    owed: list[tuple[Alert, Planned]] = field(default_factory=list[tuple[Alert, Planned]])

    @property
    def alert_ids(self) -> list[str]:
        return list(dict.fromkeys(alert.id for alert, _ in self.owed))


def attach(
    connection: Connection,
    firing: Sequence[tuple[Alert, Sequence[Planned]]],
    now: datetime,
    back: Mapping[str, str] = _NONE,
) -> dict[str, Opened | None]:
    """Put firing alerts into their open group episodes, or into new ones, and owe them to every planned destination.
    back: of alerts that came back, the episode that they continue. These groups."""
    wanted = _by_group(firing)
    if not wanted:
        return {}
    known = _lock_open(connection, wanted)
    new = sorted(key for key in wanted if key not in known)
    told: set[str] = set()
    ours: set[_Key] = set()
    if new:
        opened = [_opened(key, wanted[key], now) for key in new]
        assigned, told = opening.assign(
            connection,
            [
                opening.NewGroup(row["id"], key[0], row["labels"], wanted[key].alert_ids)
                for key, row in zip(new, opened, strict=True)
                if key[1] != ROUND_TRIP  # nobody is shown it
            ],
            [alert for key in new if key[1] != ROUND_TRIP for alert, _ in wanted[key].owed],
            now,
            back,
        )
        made = [{**row, "incident_id": assigned.get(row["id"])} for row in opened]
        if dialect.insert_new(connection, groups, made) == len(made):
            ours = set(new)
        known |= _lock_open(connection, new)  # of another replica, where it came first
    owed = _join(connection, wanted, known, now)
    _set_timers(connection, wanted, known, frozenset(new), now)
    incidents.refresh(connection, {row.incident_id for row in known.values() if row.incident_id} - told)
    untold = {None, *told}
    return {
        row.id: _opened_here(row, owed) if key in ours and row.incident_id in untold else None
        for key, row in known.items()
    }


def release(connection: Connection, resolved: Sequence[Alert], now: datetime) -> dict[str, None]:
    """Owe the end of resolved alerts wherever their firing was owed; close groups and incidents that are all clear.
    The groups that held them."""
    if not resolved:
        return {}
    ids = [alert.id for alert in resolved]
    held = _lock(connection, _holding(connection, ids))
    _owe_resolved(connection, ids, now)
    clear = _clear(connection, list(held))
    for some in dialect.chunks(sorted(clear)):
        connection.execute(update(groups).where(groups.c.id.in_(some)).values(closed_at=now))
    due.mark(connection, due.GROUP, clear, now)
    for group_id, row in held.items():
        if group_id not in clear and row.last_flush_at is not None:
            due.mark(connection, due.GROUP, [group_id], next_tick(row.last_flush_at, _interval(row), now))
    wake_suppressed(connection, ids, now)
    touched = {row.incident_id for row in held.values() if row.incident_id}
    incidents.refresh(connection, touched)
    incidents.close_clear(connection, touched, now)
    return dict.fromkeys(held)


def tell_causes(connection: Connection, explained: Sequence[Alert], now: datetime) -> None:
    """The causes of these alerts have become known: groups that have told anybody of them look again at once."""
    if not explained:
        return
    incidents.note_causes(connection, explained, now)
    held = _lock(connection, _holding(connection, [alert.id for alert in explained]))
    due.mark(connection, due.GROUP, [row.id for row in held.values() if row.last_flush_at is not None], now)


def wake_suppressed(connection: Connection, causes: Collection[str], now: datetime) -> int:
    """Look again now at the open groups in which something was not told because of one of causes; their number."""
    found: set[str] = set()
    for some in dialect.chunks(sorted(causes)):
        query = (
            select(obligations.c.group_id)
            .distinct()
            .join(groups, groups.c.id == obligations.c.group_id)
            .where(
                obligations.c.suppressed_by.in_(some),
                obligations.c.state == ObligationState.SUPERSEDED,
                groups.c.closed_at.is_(None),
            )
        )
        found.update(connection.execute(query).scalars())
    due.mark(connection, due.GROUP, found, now)
    return len(found)


def retire(connection: Connection, live: Collection[tuple[str, str, str]], now: datetime) -> int:
    """Mark the destinations of open groups that are not among live (group key, receiver, destination); their number.

    Also wakes every open group that has anything suppressed: the new configuration may judge otherwise.
    """
    retired = 0
    rows = connection.execute(
        select(groups).where(groups.c.closed_at.is_(None)).order_by(groups.c.id).with_for_update()
    ).all()
    for row in rows:
        plan: dict[str, Any] = {
            destination: {**planned, "retired": True}
            if (row.group_key, row.receiver, destination) not in live
            else planned
            for destination, planned in row.plan.items()
        }
        if plan != row.plan:
            retired += sum(plan[name] != row.plan[name] for name in plan)
            connection.execute(update(groups).where(groups.c.id == row.id).values(plan=plan))
    due.mark(connection, due.GROUP, [row.id for row in rows], now)
    return retired


def abandon(connection: Connection, destinations: Collection[str], now: datetime) -> None:
    """Drop what is owed to destinations other than these: they are no longer in the configuration."""
    open_notices = select(notices.c.destination).distinct().where(notices.c.state.in_(_OPEN_STATES))
    owing = select(obligations.c.destination).distinct().where(obligations.c.state.in_(_OPEN_STATES))
    found = {*connection.execute(open_notices).scalars(), *connection.execute(owing).scalars()}
    for gone in sorted(found - set(destinations)):
        connection.execute(
            update(notices)
            .where(notices.c.destination == gone, notices.c.state.in_(_OPEN_STATES))
            .values(state=ObligationState.SUPERSEDED.value, fence=notices.c.fence + 1, updated_at=now)
        )
        connection.execute(
            update(obligations)
            .where(obligations.c.destination == gone, obligations.c.state.in_(_OPEN_STATES))
            .values(state=ObligationState.SUPERSEDED.value, reason=Superseded.RECEIVER_REMOVED.value, updated_at=now)
        )


def planned_of(document: dict[str, Any]) -> Planned:
    """A plan as it was stored, back as a value."""
    known = {name: value for name, value in document.items() if name != "retired"}
    for name in ("mute_time_intervals", "active_time_intervals", "severities"):
        known[name] = tuple(known.get(name, ()))
    return Planned(**known)


# -- parts --------------------------------------------------------------------------------------------------------


def _by_group(firing: Iterable[tuple[Alert, Sequence[Planned]]]) -> dict[_Key, _Wanted]:
    wanted: dict[_Key, _Wanted] = {}
    for alert, plan in firing:
        for planned in plan:
            group = wanted.setdefault((planned.group_key, planned.receiver), _Wanted())
            group.plan[planned.destination] = planned
            group.owed.append((alert, planned))
    return wanted


def _opened(key: _Key, wanted: _Wanted, now: datetime) -> dict[str, Any]:
    group_key, receiver = key
    first = next(iter(wanted.plan.values()))
    return {
        "id": stable_id("group", group_key, receiver, wanted.alert_ids[0], now.isoformat()),
        "group_key": group_key,
        "group_hash": group_hash(group_key, receiver),
        "receiver": receiver,
        "labels": dict(first.group_labels),
        "plan": _plan_document(wanted.plan),
        "opened_at": now,
    }


_PLANNED = tuple(each.name for each in fields(Planned) if each.name != "flap")


def _plan_document(plan: dict[str, Planned]) -> dict[str, Any]:
    """As it is read back, so that a plan that is kept already is seen to be equal."""
    return {
        destination: {name: _plain(getattr(planned, name)) for name in _PLANNED}
        for destination, planned in plan.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(cast("tuple[Any, ...]", value))
    return dict(cast("Labels", value)) if isinstance(value, Mapping) else value


def _lock_open(connection: Connection, keys: Iterable[_Key]) -> dict[_Key, Row]:
    found: dict[_Key, Row] = {}
    for some in dialect.chunks(sorted(keys), 200):
        for row in _OPEN_BY_KEY.all(connection, {"keys": some}):
            found[row.group_key, row.receiver] = row
    return found


def _lock(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for some in dialect.chunks(sorted(ids)):
        for row in _OPEN.all(connection, {"ids": some}):
            found[row.id] = row
    return found


def _join(
    connection: Connection, wanted: dict[_Key, _Wanted], known: dict[_Key, Row], now: datetime
) -> list[dict[str, Any]]:
    """The obligations that came of it; nothing where one of them was there already."""
    members: list[dict[str, Any]] = []
    owed: list[dict[str, Any]] = []
    for key, group in wanted.items():
        row = known[key]
        plan = {**row.plan, **_plan_document(group.plan)}
        if plan != row.plan:
            change(connection, groups, {"id": row.id}, plan=plan)
        members += [{"group_id": row.id, "alert_id": alert_id, "joined_at": now} for alert_id in group.alert_ids]
        owed += [
            obligation((row.id, row.group_key), planned.destination, alert.id, TransitionKind.FIRING, now)
            for alert, planned in group.owed
        ]
    dialect.insert_new(connection, group_alerts, members)
    return owed if dialect.insert_new(connection, obligations, owed) == len(owed) else []


def _opened_here(row: Row, owed: Sequence[Mapping[str, Any]]) -> Opened | None:
    """None where more is to be known of it than was written now."""
    mine = sorted((each for each in owed if each["group_id"] == row.id), key=itemgetter("id"))
    if not mine or any(planned.get("person") for planned in row.plan.values()):
        return None
    by_destination: dict[str, list[Owed]] = defaultdict(list)
    for each in mine:
        by_destination[each["destination"]].append(Owed(each["id"], each["alert_id"], TransitionKind.FIRING))
    return Opened(row, {destination: tuple(some) for destination, some in by_destination.items()})


def obligation(
    group: tuple[str, str], destination: str, alert_id: str, kind: TransitionKind, now: datetime, *, occasion: int = 0
) -> dict[str, Any]:
    """A row to be inserted. group: its id and key."""
    group_id, group_key = group
    return {
        "id": obligation_id(alert_id, kind, group_key, destination, occasion),
        "group_id": group_id,
        "destination": destination,
        "alert_id": alert_id,
        "transition": kind.value,
        "occasion": occasion,
        "state": ObligationState.DUE.value,
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
    }


def _set_timers(
    connection: Connection,
    wanted: dict[_Key, _Wanted],
    known: dict[_Key, Row],
    new: frozenset[_Key],
    now: datetime,
) -> None:
    hurried = _first_pages(connection, wanted, known)
    for key, group in wanted.items():
        row = known[key]
        if row.id in hurried:
            at = now
        elif key in new or row.last_flush_at is None:
            at = first_flush_at(list(group.plan.values()), row.opened_at)
        else:
            at = next_tick(row.last_flush_at, _interval(row), now)
        alerts_owed = [alert for alert, _ in group.owed]
        place = due.Place(urgency(alerts_owed), party_of(alerts_owed[0].labels))
        due.mark_ranked(connection, due.GROUP, row.id, at, place)


def _first_pages(connection: Connection, wanted: dict[_Key, _Wanted], known: dict[_Key, Row]) -> set[str]:
    """Groups that hold their first alert of severity page, where the route says that this one does not wait."""
    hurried = {
        known[key].id: group.alert_ids
        for key, group in wanted.items()
        if any(planned.immediate for planned in group.plan.values())
    }
    if not hurried:
        return set()
    ours = [alert_id for ids in hurried.values() for alert_id in ids]
    paged_before: list[str] = [
        group_id
        for some in dialect.chunks(sorted(hurried))
        for group_id in _PAGED.scalars(connection, {"ids": some, "but": ours})
    ]
    return set(hurried) - set(paged_before)


def _interval(row: Row) -> float:
    return min((planned["group_interval_s"] for planned in row.plan.values()), default=0.0)


def _holding(connection: Connection, alert_ids: Sequence[str]) -> list[str]:
    return [
        group_id for some in dialect.chunks(alert_ids) for group_id in _HOLDING.scalars(connection, {"alert_ids": some})
    ]


def _owe_resolved(connection: Connection, alert_ids: Sequence[str], now: datetime) -> None:
    for some in dialect.chunks(alert_ids):
        rows = [
            obligation((row.group_id, row.group_key), row.destination, row.alert_id, TransitionKind.RESOLVED, now)
            for row in _TOLD_TO_FIRE.all(connection, {"alert_ids": some})
        ]
        dialect.insert_new(connection, obligations, rows)


def _clear(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the groups in which nothing fires any more."""
    return {group_id for some in dialect.chunks(ids) for group_id in _CLEAR.scalars(connection, {"ids": some})}


def begin_escalations(connection: Connection, rows: Sequence[Row], now: datetime) -> None:
    """From now on the waits of escalations count for those members of groups for which they do not count yet."""
    for row in rows:
        if row.closed_at is None and any(planned.get("person") for planned in row.plan.values()):
            _BEGIN.run(connection, {"of_group": row.id, "now": now})


def start_over(connection: Connection, group_id: str, alert_ids: Sequence[str]) -> None:
    """These cannot be told at present: the waits of escalations count from when they can be."""
    for some in dialect.chunks(alert_ids):
        _START_OVER.run(connection, {"of_group": group_id, "ids": some})


def leave(connection: Connection, group_ids: Sequence[str], now: datetime) -> None:
    """Let go of resolved members of which nothing is owed any more, so that a group that never clears stays small."""
    for some in dialect.chunks(group_ids):
        _LEAVE.run(connection, {"ids": some, "now": now})
