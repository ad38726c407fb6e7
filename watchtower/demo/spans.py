"""The recorded exports of spans, each with the run that it belongs to, and moved with it.

A trace belongs to the run that any of its spans names; Airflow gives each run one. Durations, nesting, ids, statuses
stay as they were recorded; start and end move with the run, and so do the times and run ids among the attributes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

RunKey = tuple[str, str]  # DAG id, DAG run id
_DAG, _RUN = "airflow.dag_id", "airflow.dag_run.run_id"
_NOMINAL = frozenset({"airflow.dag_run.logical_date", "airflow.dag_run.run_after"})
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Export:
    """What one request told of one run. received_at: aware UTC."""

    received_at: datetime
    run: RunKey
    request: ExportTraceServiceRequest


def by_run(exports: Sequence[tuple[datetime, bytes]]) -> list[Export]:
    """Each request taken apart by run, in order of arrival. Spans of no run (there are a few of the scheduler itself)
    are left out."""
    requests = [(at, ExportTraceServiceRequest.FromString(body)) for at, body in exports]
    runs = {
        span.trace_id: run
        for _, request in requests
        for _, _, span in _spans(request)
        if (run := _named(span.attributes)) is not None
    }
    return [
        Export(at, run, _only(request, {trace for trace, of in runs.items() if of == run}))
        for at, request in requests
        for run in dict.fromkeys(runs[span.trace_id] for _, _, span in _spans(request) if span.trace_id in runs)
    ]


def moved(export: Export, happened: timedelta, nominal: timedelta, rename: Callable[[str], str]) -> bytes:
    """The request as it would have been sent. happened, nominal: how far times and slots of the schedule move."""
    request = ExportTraceServiceRequest.FromString(export.request.SerializeToString())
    by_ns = happened // timedelta(microseconds=1) * 1_000
    for _, _, span in _spans(request):
        span.start_time_unix_nano += by_ns
        span.end_time_unix_nano += by_ns
        for event in span.events:
            event.time_unix_nano += by_ns
        for attribute in span.attributes:
            if attribute.value.HasField("string_value"):
                by = nominal if attribute.key in _NOMINAL else happened
                attribute.value.string_value = _retimed(rename(attribute.value.string_value), by)
    return request.SerializeToString()


def _retimed(text: str, by: timedelta) -> str:
    return str(datetime.fromisoformat(text) + by) if _TIME.fullmatch(text) else text


def _spans(request: ExportTraceServiceRequest) -> Iterator[tuple[ResourceSpans, ScopeSpans, Span]]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield resource, scope, span


def _named(attributes: Sequence[KeyValue]) -> RunKey | None:
    said: Mapping[str, str] = {item.key: item.value.string_value for item in attributes if item.key in (_DAG, _RUN)}
    return (said[_DAG], said[_RUN]) if _DAG in said and _RUN in said else None


def _only(request: ExportTraceServiceRequest, traces: set[bytes]) -> ExportTraceServiceRequest:
    kept = ExportTraceServiceRequest.FromString(request.SerializeToString())
    for resource in kept.resource_spans:
        for scope in resource.scope_spans:
            wanted = [span for span in scope.spans if span.trace_id in traces]
            del scope.spans[:]
            scope.spans.extend(wanted)
    return kept
