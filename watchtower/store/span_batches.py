"""Batches of spans between their receipt and their walk: one durable row a request, taken out by whoever walks it.

Its statements are those that a request waits for, so they go through the driver underneath.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from watchtower.model.instants import from_micros, to_micros
from watchtower.model.trace import SpanBatch
from watchtower.store import bodies, dialect, driver, due
from watchtower.store.schema.traces import span_batches

LANE = "spans"  # of those who wait for commits that bring some; no rows of the due queue
AT_ONCE = 64  # batches

BatchRow = tuple[str | None, int, int, int, bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that waits. walked: how many of its spans, from the first, are folded already."""

    id: int
    walked: int
    batch: SpanBatch


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be walked. oldest: when the first of it was received; None: nothing waits."""

    spans: int
    oldest: datetime | None


def pack(batch: SpanBatch) -> BatchRow:
    """As it is stored: made in the thread that decoded it, not in the one that writes."""
    return (batch.source, to_micros(batch.received_at), batch.spans, 0, bodies.pack(batch.body))


def insert(connection: Connection, rows: Sequence[BatchRow]) -> None:
    if rows:
        due.concern(connection, LANE)
        driver.insert(connection, _INSERT, rows)


_INSERT = "INSERT INTO span_batches (source, received_at, spans, walked, body) VALUES {values}"


def waiting(connection: Connection, *, limit: int) -> list[Waiting]:
    """The oldest batches: as many as hold about limit spans together, and at least one."""
    place = dialect.mark(connection)
    ids: list[int] = []
    held = 0
    for ident, spans in driver.rows(connection, _LENGTHS.format(mark=place), (AT_ONCE,)):
        if ids and held + spans > limit:
            break
        ids.append(ident)
        held += spans
    if not ids:
        return []
    rows = driver.rows(connection, _WAITING.format(mark=place), (ids[0], ids[-1]))
    return [
        Waiting(ident, walked, SpanBatch(from_micros(received_at), spans, bodies.unpack(bytes(body)), source))
        for ident, source, received_at, spans, walked, body in rows
    ]


_LENGTHS = "SELECT id, spans - walked FROM span_batches ORDER BY id LIMIT {mark}"
_WAITING = (
    "SELECT id, source, received_at, spans, walked, body FROM span_batches WHERE id >= {mark} AND id <= {mark} "
    "ORDER BY id"
)


def advance(connection: Connection, row: Waiting, walked: int) -> bool:
    """Write down that the spans up to walked are folded, or take the batch out when those are all. False: another
    walker was quicker, and nothing of it may be folded here."""
    place = dialect.mark(connection)
    if walked >= row.batch.spans:
        return driver.write(connection, _TAKE_OUT.format(mark=place), [(row.id, row.walked)]) == 1
    return driver.write(connection, _ADVANCE.format(mark=place), [(walked, row.id, row.walked)]) == 1


_TAKE_OUT = "DELETE FROM span_batches WHERE id = {mark} AND walked = {mark}"
_ADVANCE = "UPDATE span_batches SET walked = {mark} WHERE id = {mark} AND walked = {mark}"


def backlog(connection: Connection) -> Backlog:
    columns = func.sum(span_batches.c.spans - span_batches.c.walked), func.min(span_batches.c.received_at)
    spans, oldest = connection.execute(select(*columns)).one()
    return Backlog(int(spans or 0), oldest)
