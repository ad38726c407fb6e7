"""What the spans of runs say: figures by operation, traces, and the spans that are kept."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.instants import from_micros
from watchtower.model.sketch import Sketch
from watchtower.model.trace import Operation, OperationStats, RunTrace
from watchtower.store import dialect
from watchtower.store.schema.observed import jobs
from watchtower.store.schema.traces import operations, spans, trace_operations, traces

MAX_SPANS = 10_000  # of one trace, in one answer


@dataclass(frozen=True, slots=True)
class TraceHead:
    """kept: failed, slow, sampled, no; None: not decided, its spans are still there. complete: no span of it waits to
    be added up."""

    trace_id: str
    run_id: str | None
    job_id: str | None
    first_at: datetime
    last_at: datetime
    spans: int
    kept: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """A whole span. task: as this span names it itself."""

    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    operation: str
    kind: str
    task: str
    started_at: datetime
    duration_s: float
    is_error: bool
    message: str
    attributes: dict[str, Any]


def of_runs(connection: Connection, run_ids: Collection[str]) -> dict[str, RunTrace]:
    """By run id, of those that have spans."""
    found: dict[str, list[OperationStats]] = {}
    heads: dict[str, list[TraceHead]] = {}
    for row in dialect.rows_among(connection, _HEADS, run_ids):
        heads.setdefault(row[1], []).append(_head(row))
    for row in dialect.rows_among(connection, _STATS, list(heads)):
        found.setdefault(row[0], []).append(_stats(row[1:]))
    return {
        run_id: RunTrace(
            run_id,
            tuple(sorted(head.trace_id for head in some)),
            tuple(one for _, one in sorted(together(found.get(run_id, ())).items())),
            max(head.last_at for head in some),
            all(head.complete for head in some),
        )
        for run_id, some in heads.items()
    }


_HEADS = (
    "SELECT trace_id, run_id, job_id, first_at, last_at, spans, kept, tallied FROM traces WHERE run_id {among} "
    "ORDER BY first_at, trace_id"
)
_STATS = (
    "SELECT traces.run_id, operations.service, operations.name, operations.kind, t.task, t.calls, t.errors, "
    "t.durations, t.total_us, t.own_us, t.message, t.trace_id, t.slowest_span, t.own_errors FROM traces "
    "JOIN trace_operations t ON t.trace_id = traces.trace_id JOIN operations ON operations.id = t.operation_id "
    "WHERE traces.run_id {among} ORDER BY t.slowest_us DESC, t.trace_id"
)


def together(some: Iterable[OperationStats]) -> dict[Operation, OperationStats]:
    """One for each operation, whatever traces they come from. The slowest span is that of the first of some."""
    found: dict[Operation, OperationStats] = {}
    for one in some:
        before = found.get(one.operation)
        found[one.operation] = one if before is None else _sum(before, one)
    return found


def _sum(one: OperationStats, other: OperationStats) -> OperationStats:
    return OperationStats(
        one.operation,
        one.calls + other.calls,
        one.errors + other.errors,
        one.durations.merge(other.durations),
        one.total_s + other.total_s,
        one.own_s + other.own_s,
        (one.message if one.own_errors or not other.own_errors else other.message) or one.message or other.message,
        one.trace_id,
        one.span_id,
        one.own_errors + other.own_errors,
    )


def _head(row: Sequence[Any]) -> TraceHead:
    trace_id, run_id, job_id, first_at, last_at, count, kept, tallied = row
    first, last = from_micros(first_at), from_micros(last_at)
    return TraceHead(bytes(trace_id).hex(), run_id, job_id, first, last, count, kept, tallied == count)


def _stats(row: Sequence[Any]) -> OperationStats:
    service, name, kind, task, calls, errors, durations, total_us, own_us, message, trace_id, span_id, own_errors = row
    return OperationStats(
        Operation(service, name, kind, task),
        calls,
        errors,
        Sketch.decode(bytes(durations)),
        total_us / 1e6,
        own_us / 1e6,
        message,
        bytes(trace_id).hex(),
        bytes(span_id).hex(),
        own_errors,
    )


# -- for people ---------------------------------------------------------------------------------------------------


def of_run(connection: Connection, run_id: str) -> list[TraceHead]:
    """Oldest first."""
    return [_head(row) for row in dialect.rows_among(connection, _HEADS, [run_id])]


def get(connection: Connection, trace_id: bytes, team: str | None) -> TraceHead | None:
    """A trace that belongs to no run yet belongs to no team either."""
    query = select(traces).where(traces.c.trace_id == trace_id)
    if team is not None:
        query = query.where(traces.c.job_id.in_(select(jobs.c.id).where(jobs.c.team == team)))
    row = connection.execute(query).first()
    if row is None:
        return None
    complete = row.tallied == row.spans
    return TraceHead(
        row.trace_id.hex(), row.run_id, row.job_id, row.first_at, row.last_at, row.spans, row.kept, complete
    )


def operations_of(connection: Connection, trace_id: bytes) -> list[OperationStats]:
    """Those that took most time themselves first."""
    t = trace_operations
    query = (
        select(
            *(operations.c.service, operations.c.name, operations.c.kind, t.c.task, t.c.calls, t.c.errors),
            *(t.c.durations, t.c.total_us, t.c.own_us, t.c.message, t.c.trace_id, t.c.slowest_span, t.c.own_errors),
        )
        .join_from(t, operations, operations.c.id == t.c.operation_id)
        .where(t.c.trace_id == trace_id)
        .order_by(t.c.own_us.desc(), t.c.operation_id, t.c.task)
    )
    return [_stats(row) for row in connection.execute(query)]


def spans_of(connection: Connection, trace_id: bytes, limit: int = MAX_SPANS) -> list[KeptSpan]:
    """In the order in which they began."""
    query = (
        select(spans, operations.c.service, operations.c.kind, operations.c.name.label("operation"))
        .join_from(spans, operations, operations.c.id == spans.c.operation_id)
        .where(spans.c.trace_id == trace_id)
        .order_by(spans.c.started_at, spans.c.span_id)
        .limit(limit)
    )
    return [
        KeptSpan(
            span_id=row.span_id.hex(),
            parent_span_id=row.parent_span_id.hex() if row.parent_span_id else None,
            service=row.service,
            name=row.name,
            operation=row.operation,
            kind=row.kind,
            task=row.task,
            started_at=row.started_at,
            duration_s=row.duration_us / 1e6,
            is_error=row.is_error,
            message=row.message,
            attributes=row.attributes,
        )
        for row in connection.execute(query)
    ]
