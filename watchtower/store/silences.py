"""Silences in the store. What a silence kept from being told is looked at again in the moment in which it ends."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.alert import Silence
from watchtower.model.delivery import SilenceEdit
from watchtower.model.labels import Matcher
from watchtower.store import dialect, due, groups
from watchtower.store.schema.alerting import silences
from watchtower.store.statements import Row, given, prepared

_ACTIVE = prepared(
    select(silences)
    .where(silences.c.starts_at <= given("now"), silences.c.ends_at > given("now"))
    .order_by(silences.c.id)
)


def revise(connection: Connection, silence_id: str | None, change: SilenceEdit) -> list[Silence]:
    """Apply change to the silence silence_id, or to none, and write what it answers."""
    before = _locked(connection, silence_id) if silence_id is not None else None
    written = list(change(before))
    dialect.upsert(connection, silences, [_to_row(silence) for silence in written], keep=("created_at",))
    for silence in written:
        due.plan(connection, due.SILENCE, silence.id, silence.ends_at)
    return written


def get(connection: Connection, silence_id: str) -> Silence | None:
    row = connection.execute(select(silences).where(silences.c.id == silence_id)).first()
    return to_silence(row) if row else None


def active(connection: Connection, now: datetime) -> tuple[Silence, ...]:
    return tuple(to_silence(row) for row in _ACTIVE.all(connection, {"now": now}))


def list_silences(connection: Connection, *, ended_after: datetime, limit: int) -> list[Silence]:
    """The last to end first. ended_after: leave out those that ended before it."""
    query = select(silences).where(silences.c.ends_at > ended_after)
    query = query.order_by(silences.c.ends_at.desc(), silences.c.id).limit(limit)
    return [to_silence(row) for row in connection.execute(query)]


def end(connection: Connection, now: datetime, limit: int = 100) -> int:
    """Wake the groups that silences which are now over kept quiet; the number of silences looked at."""
    claimed = due.claim(connection, due.SILENCE, now, limit, "silence")
    for item in claimed:
        silence = get(connection, item.subject)
        again = silence.ends_at if silence is not None and silence.ends_at > now else None
        if again is None:
            groups.wake_suppressed(connection, [item.subject], now)
        due.settle(connection, due.SILENCE, [(item.subject, item.version, again)])
    return len(claimed)


def _locked(connection: Connection, silence_id: str) -> Silence | None:
    row = connection.execute(select(silences).where(silences.c.id == silence_id).with_for_update()).first()
    return to_silence(row) if row else None


def to_silence(row: Row) -> Silence:
    return Silence(
        id=row.id,
        matchers=tuple(Matcher(item["name"], item["op"], item["value"]) for item in row.matchers),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        comment=row.comment,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _to_row(silence: Silence) -> dict[str, Any]:
    matchers = [{"name": item.name, "op": item.op, "value": item.value} for item in silence.matchers]
    return {
        "id": silence.id,
        "matchers": matchers,
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "created_by": silence.created_by,
        "comment": silence.comment,
        "created_at": silence.created_at,
        "updated_at": silence.updated_at,
    }
