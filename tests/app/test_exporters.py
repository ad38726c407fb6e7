"""OpenTelemetry's own SDK and exporters against a real Watchtower, over HTTP and gRPC."""

import gzip
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Status as SpanStatus

from tests.app.house import House, running, until
from tests.otlp import body, span
from tests.server.test_spooling import locked
from watchtower.clock import SystemClock
from watchtower.model.access import Scope

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def house(tmp_path: Path) -> Generator[House]:
    with running(tmp_path) as found:
        yield found


def exporter(house: House, protocol: str) -> SpanExporter:
    instance = house.instance
    if protocol == "grpc":
        assert instance.grpc is not None
        headers = (("authorization", f"Bearer {house.ingest}"),)
        return GrpcExporter(
            f"http://{instance.grpc.address}", insecure=True, headers=headers, compression=grpc.Compression.Gzip
        )
    address = instance.server.address_of("otlp_http")
    headers = {"authorization": f"Bearer {house.ingest}"}
    return HttpExporter(f"http://{address}/v1/traces", headers=headers, compression=Compression.Gzip)


class Telling(SimpleSpanProcessor):
    """Remembers what each export came to."""

    def __init__(self, exports: SpanExporter) -> None:
        super().__init__(_Listening(exports, self))
        self.results: list[SpanExportResult] = []


class _Listening(SpanExporter):
    def __init__(self, exports: SpanExporter, owner: Telling) -> None:
        self._exports = exports
        self._owner = owner

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        result = self._exports.export(spans)
        self._owner.results.append(result)
        return result

    def shutdown(self) -> None:
        self._exports.shutdown()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_run_that_fails_is_seen_down_to_the_span_that_failed(house: House, protocol: str) -> None:
    run = "11111111-1111-1111-1111-111111111111"
    house.fail("orders_daily", run)
    named = {"openlineage.run_id": run, "openlineage.job.namespace": "prod", "openlineage.job.name": "orders_daily"}
    provider = TracerProvider(resource=Resource.create({"service.name": "orders", **named}))
    telling = Telling(exporter(house, protocol))
    provider.add_span_processor(telling)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("load"):
        with tracer.start_as_current_span("SELECT orders", kind=SpanKind.CLIENT):
            pass
        with tracer.start_as_current_span("INSERT orders", kind=SpanKind.CLIENT) as failing:
            failing.record_exception(ValueError("bad row"))
            failing.set_status(SpanStatus(StatusCode.ERROR))
    provider.shutdown()
    assert telling.results == [SpanExportResult.SUCCESS] * 3
    [item] = house.items("/api/v1/runs?top_level=true")
    found = until(lambda: _complete(house, item["id"], 3), "its trace is joined")
    whole = house.get(f"/api/v1/traces/{found['trace_id']}")
    assert {one["name"]: (one["errors"], one["message"]) for one in whole["operations"]} == {
        "load": (0, ""),
        "SELECT orders": (0, ""),
        "INSERT orders": (1, "ValueError: bad row"),
    }
    assert [one["name"] for one in whole["spans"]] == ["load", "SELECT orders", "INSERT orders"]


def _complete(house: House, run_id: str, spans: int) -> Any:
    found = house.items(f"/api/v1/traces?run_id={run_id}")
    return next((one for one in found if one["complete"] and one["span_count"] == spans), None)


# -- gRPC: what is told besides success ----------------------------------------------------------------------------


def call(house: House, sent: bytes, *, token: str | None = None, **options: Any) -> Any:
    """The raw answer, or the RpcError."""
    assert house.instance.grpc is not None
    metadata = (("authorization", f"Bearer {house.ingest if token is None else token}"),) if token != "" else ()
    with grpc.insecure_channel(house.instance.grpc.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        export = cast("Any", channel).unary_unary(EXPORT)
        try:
            return export(sent, metadata=metadata, timeout=20, **options)
        except grpc.RpcError as error:
            return error


def fresh(*numbers: int) -> bytes:
    return body(*(span(number, begin=SystemClock().now()) for number in numbers))


def test_partial_success_is_told_over_grpc(house: House) -> None:
    bad = span(9, begin=SystemClock().now())
    bad.trace_id = b"short"
    answer = call(house, body(bad, span(1, begin=SystemClock().now())))
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [("", grpc.StatusCode.UNAUTHENTICATED), ("wt_ingest_nonsense", grpc.StatusCode.UNAUTHENTICATED)],
)
def test_without_a_token_grpc_is_unauthenticated(house: House, token: str, code: grpc.StatusCode) -> None:
    assert call(house, fresh(1), token=token).code() is code


def test_a_token_that_may_only_read_is_denied(house: House) -> None:
    reader = house.instance.first_access.new_token("reads", [Scope.READ])
    assert call(house, fresh(1), token=reader).code() is grpc.StatusCode.PERMISSION_DENIED


def test_noise_is_an_invalid_argument(house: House) -> None:
    assert call(house, b"\xff" * 40).code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_beyond_the_limit_and_a_bomb_are_refused(house: House) -> None:
    assert call(house, bytes(21 << 20)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(gzip.compress(bytes(64 << 20))) < 1 << 20
    bomb = call(house, bytes(64 << 20), compression=grpc.Compression.Gzip)
    assert bomb.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ExportTraceServiceResponse.FromString(call(house, fresh(1))) == ExportTraceServiceResponse()


def test_when_nothing_can_take_it_grpc_says_when_to_come_again(house: House) -> None:
    house.instance.spool.max_bytes = 10
    with locked(house.instance.database):
        error = call(house, fresh(1))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    [packed] = Status.FromString(details).details
    info = RetryInfo()
    assert packed.Unpack(info)
    assert info.retry_delay.seconds == 5


def test_while_the_store_is_locked_grpc_is_answered_from_the_spool(house: House) -> None:
    with locked(house.instance.database):
        assert ExportTraceServiceResponse.FromString(call(house, fresh(1))) == ExportTraceServiceResponse()
        assert house.instance.spool.size_bytes > 0


def test_metrics_and_logs_are_unimplemented_where_they_are_not_taken(house: House) -> None:
    assert house.instance.grpc is not None
    with grpc.insecure_channel(house.instance.grpc.address) as channel:
        export = cast("Any", channel).unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        with pytest.raises(grpc.RpcError) as caught:
            export(b"", timeout=10)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
