"""What OTLP/HTTP answers (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response"): in the encoding of the request.

200 with the signal's own response and, where items were rejected, its `partial_success`; else a `google.rpc.Status`.
Only 429, 502, 503 and 504 make an exporter come again, so nothing else is answered to what may succeed later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from watchtower.ports import Refused
from watchtower.server.receiving import Report
from watchtower.server.services import Settings

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
# collector → its response, and how that calls what was rejected
_RESPONSES: Final[dict[str, tuple[type[Message], str]]] = {
    "otlp_traces": (ExportTraceServiceResponse, "rejected_spans"),
    "otlp_metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
_MAX_REASONS: Final = 5
# google.rpc.Code by HTTP status (google/rpc/code.proto)
_CODES: Final = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 14, 413: 8, 415: 3, 501: 12, 503: 14}
_INTERNAL: Final = 13


class OtlpDialect:
    """How the exporters of one signal are answered over HTTP (server.ingest.Dialect)."""

    def __init__(self, collector: str) -> None:
        self._collector = collector

    def max_bytes(self, settings: Settings) -> int:
        return settings.max_otlp_bytes

    def greeting(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        return None

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        return body

    def at_once(self, body: bytes) -> None:
        return None

    def content_type(self, sent: str) -> str | None:
        return encoding_of(sent)

    def taken(self, report: Report, content_type: str) -> tuple[int, bytes, str]:
        """Also what went to the spool is answered 200: an exporter knows no other success."""
        return 200, success(self._collector, report.refused, content_type), content_type

    def refused(self, status: int, message: str, reason: str, content_type: str) -> tuple[int, bytes, str]:
        """A body that came too slowly may come again, which 408 does not say to an exporter."""
        encoding = encoding_of(content_type) or JSON
        return 503 if status == 408 else status, failure(status, message, encoding), encoding


def encoding_of(content_type: str) -> str | None:
    """`application/x-protobuf` or `application/json`; None for what OTLP/HTTP does not know."""
    kind = content_type.partition(";")[0].strip().lower()
    return {PROTOBUF: PROTOBUF, "application/protobuf": PROTOBUF, JSON: JSON}.get(kind)


def response_of(collector: str, refused: Sequence[Refused]) -> Message:
    """The signal's response. partial_success is left out where all was taken, as the specification wants it."""
    kind, field = _RESPONSES[collector]
    response: Any = kind()
    if refused:
        setattr(response.partial_success, field, sum(some.count for some in refused))
        response.partial_success.error_message = message_of(refused)
    return response


def message_of(refused: Sequence[Refused]) -> str:
    """For the people behind the exporter, who see it in its log."""
    shown = "; ".join(f"{some.count} × {some.message}" for some in refused[:_MAX_REASONS])
    more = len(refused) - _MAX_REASONS
    return f"{shown}; and {more} further reasons" if more > 0 else shown


def success(collector: str, refused: Sequence[Refused], encoding: str) -> bytes:
    response = response_of(collector, refused)
    if encoding == PROTOBUF:
        return response.SerializeToString()
    if not refused:
        return b"{}"
    rejected = str(sum(some.count for some in refused))  # 64-bit integers are strings in protobuf's JSON
    name = _camel(_RESPONSES[collector][1])
    return msgspec.json.encode({"partialSuccess": {name: rejected, "errorMessage": message_of(refused)}})


def failure(status: int, message: str, encoding: str) -> bytes:
    code = _CODES.get(status, _INTERNAL)
    if encoding == PROTOBUF:
        return Status(code=code, message=message).SerializeToString()
    return msgspec.json.encode({"code": code, "message": message})


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
