"""OTLP requests for tests, as an SDK would send them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

NS = 1_000_000_000
TRACE = bytes.fromhex("5b8efff798038103d269b633813fc60c")
BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def span(
    number: int,
    name: str = "work",
    *,
    parent: int | None = None,
    at: float = 0.0,
    seconds: float = 1.0,
    trace: bytes = TRACE,
    error: str | None = None,
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_INTERNAL,
    begin: datetime = BEGIN,
    said: Mapping[str, Any] | None = None,
) -> Span:
    """Span number, which begins `at` seconds after begin. said: its attributes."""
    start = int(begin.timestamp()) * NS + round(at * NS)
    return Span(
        trace_id=trace,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + round(seconds * NS),
        status=Status(code=Status.STATUS_CODE_ERROR, message=error) if error is not None else None,
        attributes=key_values(said or {}),
    )


def request(
    spans: Sequence[Span], *, service: str = "shop", resource: Mapping[str, Any] | None = None
) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    of_resource = made.resource_spans.add()
    of_resource.resource.attributes.extend(key_values({"service.name": service, **(resource or {})}))
    of_resource.scope_spans.add().spans.extend(spans)
    return made


def body(*spans: Span, **options: Any) -> bytes:
    return request(spans, **options).SerializeToString()


def as_json(made: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON: protobuf's, with numbers for enums and hexadecimal ids."""
    document = MessageToDict(made, use_integers_for_enums=True)
    for of_resource, sent in zip(document.get("resourceSpans", []), made.resource_spans, strict=True):
        for of_scope, sent_scope in zip(of_resource.get("scopeSpans", []), sent.scope_spans, strict=True):
            for one, sent_span in zip(of_scope.get("spans", []), sent_scope.spans, strict=True):
                one["traceId"], one["spanId"] = sent_span.trace_id.hex(), sent_span.span_id.hex()
                if sent_span.parent_span_id:
                    one["parentSpanId"] = sent_span.parent_span_id.hex()
    return document


def key_values(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=any_value(value)) for name, value in values.items()]


def any_value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
