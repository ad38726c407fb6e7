"""Folding walked spans: each once, into its trace, its operation's hour, and the rows of whole spans.

Everything a slice of a batch changes, the mark that it is walked included, is one transaction: a walker that is killed
in between has done nothing, and one that does it again finds it done. A span that comes again, with a batch that an
exporter repeated, is known by (trace, span, start).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from watchtower.model.instants import to_micros
from watchtower.model.sketch import Sketch
from watchtower.model.trace import Claim, Operation, Span
from watchtower.store import dialect, driver, span_batches
from watchtower.store.schema.base import dump_json
from watchtower.store.schema.traces import operations
from watchtower.store.span_batches import Waiting

MAX_OPERATIONS = 2_000  # of one service; spans beyond them are called OTHER
OTHER = "(other)"

_HOUR_US = 3_600_000_000
_WALKERS = 0x77745F7370616E73  # "wt_spans": the advisory lock of PostgreSQL by which walkers take turns


class TraceRow(NamedTuple):
    """A row of `traces` as it is stored: instants in microseconds, the claim as JSON."""

    trace_id: bytes
    run_id: str | None
    job_id: str | None
    source: str | None
    claim: str | None
    join_at: int | None
    first_at: int
    last_at: int
    spans: int
    tallied: int
    seen_at: int
    kept: str | None


TRACE_COLUMNS = ", ".join(TraceRow._fields)


class SaidClaim(msgspec.Struct, frozen=True, order=True):
    """A claim with its place in the trace: of several the one whose span begins first counts, whenever it came."""

    at: int
    span: str
    claim: Claim


@dataclass(slots=True)
class Hour:
    calls: int = 0
    errors: int = 0
    total_us: int = 0
    durations: Sketch = field(default_factory=Sketch)

    def add(self, span: Span) -> None:
        self.calls += 1
        self.errors += span.is_error
        self.total_us += span.duration_us
        self.durations.add(span.duration_us / 1e6)


class OperationNames:
    """Keeps the number of operations of a service bounded, whatever its spans are called."""

    def __init__(self, most: int = MAX_OPERATIONS) -> None:
        self._most = most
        self._known: dict[str, set[str]] = {}

    def bounded(self, connection: Connection, some: Iterable[Span]) -> list[Span]:
        return [self._bounded(connection, span) for span in some]

    def _bounded(self, connection: Connection, span: Span) -> Span:
        operation = span.operation
        known = self._known.get(operation.service)
        if known is None:
            query = select(operations.c.id).where(operations.c.service == operation.service).limit(self._most)
            known = self._known[operation.service] = set(connection.scalars(query))
        if operation.id not in known:
            if len(known) >= self._most:
                return span._replace(operation=Operation(operation.service, OTHER, operation.kind))
            known.add(operation.id)
        return span


def fold(connection: Connection, row: Waiting, until: int, some: Sequence[Span], now: datetime) -> int | None:
    """Fold some, which are the spans of row up to until; the number of those that were new. None: another walker was
    quicker, and nothing was written."""
    one_at_a_time(connection)
    if not span_batches.advance(connection, row, until):
        return None
    known = load_traces(connection, {span.trace_id for span in some})
    fresh = _fresh(connection, some, known)
    decided = {trace_id for trace_id, trace in known.items() if trace.kept is not None}
    whole = [span for span in fresh if span.trace_id not in decided]
    _write_operations(connection, fresh, now)
    _write_hours(connection, fresh)
    driver.insert(connection, _INSERT_SPANS, [_span_row(span) for span in whole])
    write_traces(connection, _merged(known, whole, row.batch.source, to_micros(now)))
    return len(fresh)


def one_at_a_time(connection: Connection) -> None:
    """Until this transaction ends, no other replica adds to traces and hours: what is read here is still so then."""
    if not dialect.is_sqlite(connection):
        driver.rows(connection, "SELECT pg_advisory_xact_lock(%s)", (_WALKERS,))


def _fresh(connection: Connection, some: Sequence[Span], known: Collection[bytes]) -> list[Span]:
    """Those that are not there yet. Of a trace that is not known none is."""
    unique = {(span.trace_id, span.span_id, span.started_us): span for span in some}
    doubtful = [key for key in unique if key[0] in known]
    there = _present(connection, doubtful)
    return [span for key, span in unique.items() if key not in there]


def _present(connection: Connection, keys: Sequence[tuple[bytes, bytes, int]]) -> set[tuple[bytes, bytes, int]]:
    place = dialect.mark(connection)
    found: set[tuple[bytes, bytes, int]] = set()
    for some in dialect.chunks(keys, 256):
        asked = " UNION ALL ".join([f"SELECT {place} AS t, {place} AS s, CAST({place} AS BIGINT) AS a"] * len(some))
        sql = (
            f"SELECT spans.trace_id, spans.span_id, spans.started_at FROM ({asked}) asked "  # noqa: S608 - only marks
            "JOIN spans ON spans.trace_id = asked.t AND spans.span_id = asked.s AND spans.started_at = asked.a"
        )
        rows = driver.rows(connection, sql, [value for key in some for value in key])
        found.update((bytes(trace_id), bytes(span_id), at) for trace_id, span_id, at in rows)
    return found


# -- traces -------------------------------------------------------------------------------------------------------


def load_traces(connection: Connection, trace_ids: Collection[bytes]) -> dict[bytes, TraceRow]:
    found: dict[bytes, TraceRow] = {}
    place = dialect.mark(connection)
    for some in dialect.chunks(sorted(trace_ids)):
        sql = f"SELECT {TRACE_COLUMNS} FROM traces WHERE trace_id IN ({', '.join([place] * len(some))})"  # noqa: S608
        for row in driver.rows(connection, sql, some):
            trace = trace_row(row)
            found[trace.trace_id] = trace
    return found


def trace_row(row: Sequence[Any]) -> TraceRow:
    return TraceRow(bytes(row[0]), *row[1:])


def claim_of(trace: TraceRow) -> Claim | None:
    return msgspec.json.decode(trace.claim, type=SaidClaim).claim if trace.claim else None


def write_traces(connection: Connection, traces: Iterable[TraceRow]) -> None:
    # Sorted: two replicas that write the same traces lock the rows in the same order.
    driver.insert(connection, _UPSERT_TRACES, sorted(traces, key=itemgetter(0)))


_UPSERT_TRACES = (
    f"INSERT INTO traces ({TRACE_COLUMNS}) VALUES {{values}} ON CONFLICT (trace_id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = excluded.{name}" for name in TraceRow._fields[1:])
)


def _merged(known: dict[bytes, TraceRow], some: Sequence[Span], source: str | None, now_us: int) -> list[TraceRow]:
    by_trace: dict[bytes, list[Span]] = {}
    for span in some:
        by_trace.setdefault(span.trace_id, []).append(span)
    return [_with(known.get(trace_id), trace_id, news, source, now_us) for trace_id, news in by_trace.items()]


def _with(before: TraceRow | None, trace_id: bytes, news: Sequence[Span], source: str | None, now_us: int) -> TraceRow:
    first = min(span.started_us for span in news)
    last = max(span.started_us + span.duration_us for span in news)
    claims = [SaidClaim(span.started_us, span.span_id.hex(), span.claim) for span in news if span.claim]
    if before is None:
        before = TraceRow(trace_id, None, None, source, None, None, first, last, 0, 0, now_us, None)
    if before.claim:
        claims.append(msgspec.json.decode(before.claim, type=SaidClaim))
    claim = dump_json(min(claims)) if claims else None
    looks_again = claim is not None and (claim != before.claim or (before.run_id is None and before.join_at is None))
    return before._replace(
        claim=claim,
        join_at=now_us if looks_again else before.join_at,
        first_at=min(before.first_at, first),
        last_at=max(before.last_at, last),
        spans=before.spans + len(news),
        seen_at=now_us,
    )


# -- rows ---------------------------------------------------------------------------------------------------------

_INSERT_SPANS = (
    "INSERT INTO spans (trace_id, span_id, started_at, parent_span_id, operation_id, name, task, duration_us, "
    "is_error, message, attributes) VALUES {values} ON CONFLICT DO NOTHING"
)
_INSERT_OPERATIONS = (
    "INSERT INTO operations (id, service, name, kind, first_seen) VALUES {values} ON CONFLICT DO NOTHING"
)


def _span_row(span: Span) -> tuple[Any, ...]:
    return (
        span.trace_id,
        span.span_id,
        span.started_us,
        span.parent_span_id,
        span.operation.id,
        span.name,
        span.task,
        span.duration_us,
        span.is_error,
        span.message,
        span.attributes,
    )


def _write_operations(connection: Connection, some: Sequence[Span], now: datetime) -> None:
    rows = {
        (operation.id, operation.service, operation.name, operation.kind, to_micros(now))
        for operation in {span.operation for span in some}
    }
    driver.insert(connection, _INSERT_OPERATIONS, sorted(rows))


def _write_hours(connection: Connection, some: Sequence[Span]) -> None:
    hours: dict[tuple[str, int], Hour] = {}
    for span in some:
        key = (span.operation.id, span.started_us // _HOUR_US)
        hour = hours.get(key)
        if hour is None:
            hour = hours[key] = Hour()
        hour.add(span)
    for key, before in _load_hours(connection, hours).items():
        hour = hours[key]
        hour.calls += before.calls
        hour.errors += before.errors
        hour.total_us += before.total_us
        hour.durations = hour.durations.merge(before.durations)
    rows = [(*key, one.calls, one.errors, one.total_us, one.durations.encode()) for key, one in sorted(hours.items())]
    driver.insert(connection, _UPSERT_HOURS, rows)


_UPSERT_HOURS = (
    "INSERT INTO operation_hours (operation_id, hour, calls, errors, total_us, durations) VALUES {values} "
    "ON CONFLICT (operation_id, hour) DO UPDATE SET calls = excluded.calls, errors = excluded.errors, "
    "total_us = excluded.total_us, durations = excluded.durations"
)


_HOURS = (
    "SELECT operation_id, hour, calls, errors, total_us, durations FROM operation_hours "
    "WHERE operation_id {among} AND hour BETWEEN {first:d} AND {last:d}"
)


def _load_hours(connection: Connection, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Hour]:
    if not keys:
        return {}
    hours = {hour for _, hour in keys}
    sql = _HOURS.format(among="{among}", first=min(hours), last=max(hours))
    return {
        (operation_id, hour): Hour(calls, errors, total_us, Sketch.decode(bytes(durations)))
        for operation_id, hour, calls, errors, total_us, durations in dialect.rows_among(
            connection, sql, {operation_id for operation_id, _ in keys}
        )
        if (operation_id, hour) in keys
    }
