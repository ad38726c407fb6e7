"""Traces of runs: which there are, what they come to by operation, and the spans that are kept."""

from datetime import datetime
from typing import Any

import msgspec

from watchtower.model.trace import OperationStats
from watchtower.server.endpoints import Call, Problem, not_found
from watchtower.store.reading import observed, traces
from watchtower.store.reading.traces import KeptSpan, TraceHead


class TraceItem(msgspec.Struct, frozen=True):
    """kept: why its spans are still there (failed, slow, sampled), `no` if they are gone, null while that is not
    decided. complete: no span of it waits to be added up."""

    trace_id: str
    run_id: str | None
    job_id: str | None
    first_at: datetime
    last_at: datetime
    span_count: int
    kept: str | None
    complete: bool


class TraceList(msgspec.Struct, frozen=True):
    items: list[TraceItem]
    next_cursor: str | None = None


class OperationItem(msgspec.Struct, frozen=True):
    """calls: of all spans. total_s: of all calls together; own_s: without the time of their child spans; p50_s, p95_s:
    of one call, within 2 %. message: of the first error; slowest_span_id: of the call that took longest."""

    service: str
    name: str
    kind: str
    task: str
    calls: int
    errors: int
    total_s: float
    own_s: float
    p50_s: float | None
    p95_s: float | None
    message: str
    slowest_span_id: str


class SpanItem(msgspec.Struct, frozen=True):
    """task: as this span names it itself."""

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


class TraceDetail(TraceItem, frozen=True):
    """operations: those that took most time themselves first. spans: in the order in which they began, at most 10,000;
    empty where they were let go."""

    operations: list[OperationItem]
    spans: list[SpanItem]


class TraceQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """run_id: of a pipeline's run."""

    run_id: str


def list_traces(call: Call) -> TraceList:
    """Of one run, oldest first."""
    run_id = call.asked(TraceQuery).run_id
    run = call.read(lambda connection: observed.get_run(connection, run_id, call.principal.team))
    if run is None:
        raise not_found("run", run_id)
    found = call.read(lambda connection: traces.of_run(connection, run.id))
    return TraceList([_item(head) for head in found])


def get_trace(call: Call) -> TraceDetail:
    text = call.path["id"]
    try:
        trace_id = bytes.fromhex(text)
    except ValueError as error:
        raise Problem(400, f"trace id {text[:64]!r} is not hexadecimal", slug="bad_input") from error
    head = call.read(lambda connection: traces.get(connection, trace_id, call.principal.team))
    if head is None:
        raise not_found("trace", text)
    return TraceDetail(
        **msgspec.structs.asdict(_item(head)),
        operations=[_operation(one) for one in call.read(lambda c: traces.operations_of(c, trace_id))],
        spans=[_span(one) for one in call.read(lambda c: traces.spans_of(c, trace_id))],
    )


def _item(head: TraceHead) -> TraceItem:
    return TraceItem(
        trace_id=head.trace_id,
        run_id=head.run_id,
        job_id=head.job_id,
        first_at=head.first_at,
        last_at=head.last_at,
        span_count=head.spans,
        kept=head.kept,
        complete=head.complete,
    )


def _operation(one: OperationStats) -> OperationItem:
    operation = one.operation
    return OperationItem(
        service=operation.service,
        name=operation.name,
        kind=operation.kind,
        task=operation.task,
        calls=one.calls,
        errors=one.errors,
        total_s=one.total_s,
        own_s=one.own_s,
        p50_s=one.durations.quantile(0.5),
        p95_s=one.durations.quantile(0.95),
        message=one.message,
        slowest_span_id=one.span_id,
    )


def _span(one: KeptSpan) -> SpanItem:
    return SpanItem(
        span_id=one.span_id,
        parent_span_id=one.parent_span_id,
        service=one.service,
        name=one.name,
        operation=one.operation,
        kind=one.kind,
        task=one.task,
        started_at=one.started_at,
        duration_s=one.duration_s,
        is_error=one.is_error,
        message=one.message,
        attributes=one.attributes,
    )
