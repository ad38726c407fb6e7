"""Reads what the spans of a stored batch say: operation, error, attributes, and which run they belong to.

Runs are named by what instrumentation puts on its spans: Airflow (`airflow.dag_id`, `airflow.dag_run.run_id`,
`airflow.task_id`), Prefect (`prefect.run.id` of a flow), OpenLineage's own names (`openlineage.run_id`,
`openlineage.job.namespace`, `openlineage.job.name`), or `watchtower.run_id` with `watchtower.job`, `.namespace` and
`.task`, on a span or on the whole resource.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from collectors.identity import identifier, openlineage_alias
from collectors.otlp.names import MAX_CHARS, operation_name
from collectors.scrub import may_hold_secret, scrub, scrub_text
from watchtower.model.trace import Claim, Operation, Span

MAX_ATTRIBUTES: Final = 128  # kept of one span
MAX_TEXT: Final = 2_048
MAX_ITEMS: Final = 32  # of a list or a map in an attribute
MAX_MESSAGE: Final = 1_024
UNKNOWN_SERVICE: Final = "unknown_service"  # as the SDKs call what was given no name

_KINDS: Final = {0: "internal", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_ERROR: Final = trace_pb2.Status.STATUS_CODE_ERROR
_NO_ID: Final = bytes(8)
# Any of these on a resource belongs to each of its spans.
_OF_RESOURCES: Final = (
    *("watchtower.run_id", "watchtower.job", "watchtower.namespace", "watchtower.task"),
    *("openlineage.run_id", "openlineage.job.namespace", "openlineage.job.name"),
)


def spans_of(body: bytes) -> Iterator[Span]:
    """The spans of a stored batch, in its order, each read when it is asked for."""
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        service = _clean(str(resource.get("service.name") or UNKNOWN_SERVICE))[:MAX_CHARS]
        shared = {name: resource[name] for name in _OF_RESOURCES if name in resource}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield read_span(span, service, shared)


def read_span(span: trace_pb2.Span, service: str, shared: Mapping[str, Any]) -> Span:
    """shared: what its resource says of the run."""
    attributes = attributes_of(span.attributes)
    said = {**shared, **attributes} if shared else attributes
    is_error = span.status.code == _ERROR
    parent = span.parent_span_id
    return Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=parent if parent and parent != _NO_ID else None,
        started_us=span.start_time_unix_nano // 1_000,
        duration_us=(span.end_time_unix_nano - span.start_time_unix_nano) // 1_000,
        operation=Operation(service, _clean(operation_name(span.name, attributes)), _KINDS.get(span.kind, "internal")),
        name=_clean(span.name)[:MAX_TEXT],
        is_error=is_error,
        message=_message(span) if is_error else "",
        attributes=_as_json(attributes),
        task=_task(said),
        claim=claim_of(said),
    )


def claim_of(said: Mapping[str, Any]) -> Claim | None:
    """The run that a span names; None if it names none."""
    run_id = said.get("watchtower.run_id")
    if run_id:
        return Claim(run=_id(run_id), pipeline=_id(said.get("watchtower.job")), namespace=_namespace(said))
    run_id, job = said.get("openlineage.run_id"), said.get("openlineage.job.name")
    if run_id and job:
        namespace = str(said.get("openlineage.job.namespace") or "default")
        return Claim(alias=openlineage_alias(namespace, str(job), str(run_id)))
    run_id, dag = said.get("airflow.dag_run.run_id"), said.get("airflow.dag_id")
    if run_id and dag:
        return Claim(run=_id(run_id), pipeline=_id(dag), namespace=_namespace(said))
    if said.get("prefect.run.type") == "flow" and said.get("prefect.run.id"):
        return Claim(run=_id(said["prefect.run.id"]))
    return None


def attributes_of(values: Any) -> dict[str, Any]:
    """The first attributes as JSON builtins. values: repeated KeyValue."""
    found: dict[str, Any] = {}
    each: KeyValue
    for each in values[:MAX_ATTRIBUTES]:
        found[each.key if len(each.key) <= MAX_CHARS else each.key[:MAX_CHARS]] = _value(each.value)
    return found


def _value(value: AnyValue, depth: int = 4) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text = value.string_value
        return text if len(text) <= MAX_TEXT else text[:MAX_TEXT]
    if kind in ("int_value", "bool_value"):
        return getattr(value, kind)
    if kind == "double_value":
        number = value.double_value
        return number if abs(number) < float("inf") else str(number)  # JSON has no NaN and no infinity
    return _nested(value, kind, depth - 1) if kind and depth else None


def _nested(value: AnyValue, kind: str, depth: int) -> Any:
    if kind == "array_value":
        return [_value(item, depth) for item in value.array_value.values[:MAX_ITEMS]]
    if kind == "kvlist_value":
        return {each.key[:MAX_CHARS]: _value(each.value, depth) for each in value.kvlist_value.values[:MAX_ITEMS]}
    return value.bytes_value[: MAX_TEXT // 2].hex()


def _as_json(attributes: dict[str, Any]) -> str:
    if not attributes:
        return "{}"
    text = msgspec.json.encode(attributes).decode()
    if may_hold_secret(text):
        text = msgspec.json.encode(scrub(attributes)).decode()
    return text


def _message(span: trace_pb2.Span) -> str:
    """Of the status; else of the first exception that the span recorded."""
    text = span.status.message
    if not text:
        for event in span.events:
            if event.name == "exception":
                said = attributes_of(event.attributes)
                kind, what = said.get("exception.type", ""), said.get("exception.message", "")
                text = f"{kind}: {what}" if kind and what else str(kind or what)
                break
    return scrub_text(_clean(text)[:MAX_MESSAGE])


def _task(said: Mapping[str, Any]) -> str:
    return _id(said.get("airflow.task_id") or said.get("watchtower.task"))


def _namespace(said: Mapping[str, Any]) -> str:
    return _id(said.get("watchtower.namespace"))


def _id(value: Any) -> str:
    return identifier(_clean(str(value))) if value else ""


def _clean(text: str) -> str:
    """PostgreSQL stores no NUL."""
    return text.replace("\0", "") if "\0" in text else text
