"""Round trips in the store: how far one came, and the end of its rows. docs/operations.md, "Who watches Watchtower"."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select

from watchtower.model.alert import ObligationState
from watchtower.model.round_trip import DESTINATION, RULE, SUBJECT, Stage, Trip, key_of
from watchtower.store import due
from watchtower.store.notices import lane
from watchtower.store.schema.alerting import (
    alerts,
    conversations,
    group_alerts,
    groups,
    notices,
    obligations,
    transitions,
)
from watchtower.store.schema.observed import facts

ABANDONED_AFTER = timedelta(hours=1)  # a trip whose process never came back to let it go


def stage_of(connection: Connection, trip: Trip) -> Stage:
    """How far trip came since somebody answered that it is durable."""
    query = (
        select(obligations.c.state, obligations.c.notice_id, notices.c.id.label("notice"))
        .join_from(alerts, obligations, obligations.c.alert_id == alerts.c.id)
        .outerjoin(notices, notices.c.group_id == obligations.c.group_id)
        .where(alerts.c.subject == trip.subject)
    )
    row = connection.execute(query).first()
    if row is None:
        return Stage.ANSWERED
    if row.state == ObligationState.DELIVERED:
        return Stage.DELIVERED
    return Stage.JUDGED if row.notice is None else Stage.OWED


def forget(connection: Connection, process: str, now: datetime, *, keep: Trip | None = None) -> int:
    """Let go of the trips of process, and of all that are long abandoned; how many there were. keep: one of process
    that is still under way."""
    old = now - ABANDONED_AFTER
    own = and_(alerts.c.subject.startswith(f"{SUBJECT}:{process}/"), alerts.c.subject != (keep.subject if keep else ""))
    wanted = and_(alerts.c.rule == RULE, or_(own, alerts.c.active_since < old))
    found = connection.execute(select(alerts.c.id, alerts.c.subject).where(wanted).order_by(alerts.c.id)).all()
    if not found:
        return 0
    alert_ids = [row.id for row in found]
    members = select(group_alerts.c.group_id).where(group_alerts.c.alert_id.in_(alert_ids))
    group_rows = connection.execute(select(groups.c.id, groups.c.group_hash).where(groups.c.id.in_(members))).all()
    group_ids = [row.id for row in group_rows]
    for table in (obligations, notices, conversations, group_alerts):
        _delete(connection, table, table.c.group_id.in_(group_ids))
    _delete(connection, groups, groups.c.id.in_(group_ids))
    _delete(connection, transitions, transitions.c.alert_id.in_(alert_ids))
    _delete(connection, alerts, alerts.c.id.in_(alert_ids))
    due.forget(connection, due.GROUP, group_ids)
    due.forget(connection, lane(DESTINATION), [row.group_hash for row in group_rows])
    _forget_facts(connection, [row.subject for row in found])
    return len(found)


def _forget_facts(connection: Connection, subjects: Sequence[str]) -> None:
    due.forget(connection, due.RULES, subjects)
    for subject in subjects:
        key = key_of(Trip.parse(subject.removeprefix(f"{SUBJECT}:")))
        _delete(connection, facts, and_(facts.c.minute == key.minute, facts.c.digest == key.digest))


def _delete(connection: Connection, table: Table, condition: ColumnElement[bool]) -> None:
    connection.execute(delete(table).where(condition))
