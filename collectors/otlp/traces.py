"""The collector of OTLP traces: a request's body → one batch of spans that is worth keeping, and what is wrong with
the others.

All that the answer depends on is checked here, before it: an exporter is told at once which spans were rejected
(`partial_success`). What the spans say is read later, from the stored batch, by the walker (`collectors.otlp.spans`).
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic import BaseModel, ConfigDict

from collectors.otlp.wire import parse
from watchtower.errors import BadInput
from watchtower.model.trace import SpanBatch
from watchtower.ports import Decoded, Received, Refused, Reject

MAX_ATTRIBUTES: Final = 1_024  # of one span; SDKs stop at 128 by default
# Times outside of these are a broken clock or the wrong unit (ms or µs for ns), and would open hours of their own.
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=31)

_NS: Final = 1_000_000_000
_EARLIEST_NS: Final = int(EARLIEST.timestamp()) * _NS
_LONGEST_NS: Final = int(LONGEST.total_seconds()) * _NS
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


class RefusedReason(StrEnum):
    """Why a span was rejected. Closed: it is also a metric label."""

    TRACE_ID = "trace_id"
    SPAN_ID = "span_id"
    PARENT_SPAN_ID = "parent_span_id"
    NO_START = "no_start"
    ENDS_BEFORE_START = "ends_before_start"
    FAR_TIME = "far_time"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"


_MESSAGES: Final = {
    RefusedReason.TRACE_ID: "trace_id is not 16 bytes, or all zero",
    RefusedReason.SPAN_ID: "span_id is not 8 bytes, or all zero",
    RefusedReason.PARENT_SPAN_ID: "parent_span_id is neither empty nor 8 bytes",
    RefusedReason.NO_START: "start_time_unix_nano is missing",
    RefusedReason.ENDS_BEFORE_START: "the span ends before it starts",
    RefusedReason.FAR_TIME: "the span begins before 2000, more than 1h ahead of our clock, or takes more than 31 days",
    RefusedReason.TOO_MANY_ATTRIBUTES: f"the span has more than {MAX_ATTRIBUTES} attributes",
}


class OtlpTracesConfig(BaseModel):
    """`collectors: {otlp_traces: …}`. There is nothing to set yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OtlpTraces:
    kind: ClassVar[str] = "otlp_traces"
    Config: ClassVar[type[Any]] = OtlpTracesConfig

    def __init__(self, config: OtlpTracesConfig | None = None) -> None:
        self._config = config or OtlpTracesConfig()

    def decode(self, body: bytes, received: Received) -> Decoded:
        """One batch of the spans that can be told apart and placed in time. Never raises for what body holds."""
        try:
            request = parse(ExportTraceServiceRequest, body, received.content_type)
        except BadInput as error:
            return Decoded((), (Reject("not_otlp", str(error), body, permanent=True),))
        spans, refused = _check(request, _latest_ns(received.received_at))
        if not spans:
            return Decoded((), refused=refused)
        is_kept_as_sent = not refused and not received.content_type.startswith("application/json")
        kept = body if is_kept_as_sent else request.SerializeToString()
        return Decoded((), batches=(SpanBatch(received.received_at, spans, kept),), refused=refused)


def _check(request: ExportTraceServiceRequest, latest_ns: int) -> tuple[int, tuple[Refused, ...]]:
    """How many spans are fit; the others are taken out of request."""
    fit = 0
    found: Counter[RefusedReason] = Counter()
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            faults = [fault_of(span, latest_ns) for span in scope_spans.spans]
            bad = [place for place, fault in enumerate(faults) if fault is not None]
            fit += len(faults) - len(bad)
            if bad:
                found.update(fault for fault in faults if fault is not None)
                _leave_out(scope_spans.spans, bad)
    return fit, tuple(Refused(reason, _MESSAGES[reason], count) for reason, count in sorted(found.items()))


def _leave_out(spans: Any, places: Sequence[int]) -> None:
    """Built anew: taking many out of the middle one by one would be quadratic."""
    out = set(places)
    kept = [span for place, span in enumerate(spans) if place not in out]
    copies = [Span.FromString(span.SerializeToString()) for span in kept]
    del spans[:]
    spans.extend(copies)


def fault_of(span: Span, latest_ns: int) -> RefusedReason | None:
    """What is wrong with span; None if nothing is."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return RefusedReason.TRACE_ID
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return RefusedReason.SPAN_ID
    if len(span.parent_span_id) not in (0, 8):
        return RefusedReason.PARENT_SPAN_ID
    return _fault_of_times(span, latest_ns) or (
        RefusedReason.TOO_MANY_ATTRIBUTES if len(span.attributes) > MAX_ATTRIBUTES else None
    )


def _fault_of_times(span: Span, latest_ns: int) -> RefusedReason | None:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if not start:
        return RefusedReason.NO_START
    if end < start:
        return RefusedReason.ENDS_BEFORE_START
    if start < _EARLIEST_NS or start > latest_ns or end - start > _LONGEST_NS:
        return RefusedReason.FAR_TIME
    return None


def _latest_ns(received_at: datetime) -> int:
    return int((received_at + AHEAD).timestamp()) * _NS
