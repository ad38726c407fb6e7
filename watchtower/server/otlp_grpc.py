"""OTLP over gRPC: the Export call of each signal, on the same path to the disk as the HTTP routes.

Follows opentelemetry.io/docs/specs/otlp, "OTLP/gRPC": what may succeed later is UNAVAILABLE with a RetryInfo, which is
what makes an exporter come again; anything else makes it drop the request.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NoReturn, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from watchtower.errors import StoreError, UsageError
from watchtower.model.access import Permission, Principal
from watchtower.server.application import Application
from watchtower.server.authentication import Unauthenticated
from watchtower.server.bodies import Busy, Lease
from watchtower.server.ingest import RETRY_AFTER_S
from watchtower.server.otlp_answers import PROTOBUF, response_of
from watchtower.server.receiving import Report
from watchtower.server.runner import DRAIN_S, Address, bind
from watchtower.spool import Spooled, SpoolFull
from watchtower.telemetry import metrics, traces

log = logging.getLogger(__name__)

# collector → service whose Export it takes
SERVICES: Final = {
    "otlp_traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "otlp_metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
THREADS: Final = 8  # calls at once; a call waits in its thread for the commit
ANSWER_S: Final = 30.0


class GrpcServer:
    """`bind` takes the address, `start` answers, `stop` lets calls under way end. app: must be served meanwhile, since
    its loop is where requests wait for the store."""

    def __init__(self, app: Application, address: Address) -> None:
        self._app = app
        self._wanted = address
        self._port = 0
        settings = app.services.settings
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="otlp-grpc"),
            options=[("grpc.max_receive_message_length", settings.max_otlp_bytes), ("grpc.so_reuseport", 0)],
        )
        calls = [_Exports(app, collector) for collector in SERVICES if collector in app.services.collectors]
        self._server.add_generic_rpc_handlers([call.handler() for call in calls])

    def bind(self) -> None:
        """Raises UsageError with the remedy. The library takes no socket of ours, so a taken port is found first."""
        wanted = self._wanted
        if wanted.port:
            bind(wanted).close()
        host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        try:
            self._port = self._server.add_insecure_port(f"{host}:{wanted.port}")
        except RuntimeError as error:
            raise UsageError(f"cannot listen on {wanted} for OTLP over gRPC: {error}") from error

    @property
    def address(self) -> str:
        """As bound: `127.0.0.1:4317`."""
        return str(Address(self._wanted.host, self._port))

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(DRAIN_S).wait()


class _Exports:
    """The one call of one signal. Requests come as bytes: the collector parses them."""

    def __init__(self, app: Application, collector: str) -> None:
        self._app = app
        self._collector = collector
        self._requests: Callable[[str], Any] = lambda code: metrics.INGEST_REQUESTS.labels(collector, code)

    def handler(self) -> grpc.GenericRpcHandler:
        method = cast("Any", grpc.unary_unary_rpc_method_handler)(self._export)
        return grpc.method_handlers_generic_handler(SERVICES[self._collector], {"Export": method})

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return self._take(body, context)
        except _Aborted:
            raise
        except Exception:
            log.exception("an OTLP call met a fault of ours")
            metrics.HTTP_FAULTS.labels(route="grpc").inc()
            self._come_again(context, "a fault here; send it again")

    def _take(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        principal = self._principal(context)
        services = self._app.services
        metrics.INGEST_BYTES.labels(self._collector).inc(len(body))
        began = services.clock.boottime()
        record = Spooled(self._collector, services.clock.now(), body, PROTOBUF, principal.source)
        try:
            report = self._received(record).result(ANSWER_S)
        except (SpoolFull, Busy, TimeoutError) as error:
            self._come_again(context, str(error) or "it took too long; send it again")
        traces.observe(metrics.INGEST_SECONDS.labels(self._collector), services.clock.boottime() - began)
        if report.refusal is not None:
            self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, report.refusal)
        self._requests("OK").inc()
        return response_of(self._collector, report.refused).SerializeToString()

    def _received(self, record: Spooled) -> "Future[Report]":
        async def receive() -> Report:
            lease = Lease(self._app.admission)
            try:
                await lease.grow_to(len(record.body))
                return await self._app.receiver.receive(record)
            finally:
                lease.close()

        loop = self._app.loop
        if loop is None or loop.is_closed():
            raise SpoolFull("the server is stopping")
        return asyncio.run_coroutine_threadsafe(receive(), loop)

    def _principal(self, context: grpc.ServicerContext) -> Principal:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        try:
            principal = self._app.authenticator.bearer(metadata.get("authorization", ""))
        except Unauthenticated as error:
            metrics.AUTH_FAILURES.labels(reason=error.reason).inc()
            self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, str(error))
        except StoreError:
            self._come_again(context, "tokens cannot be checked while the store is away")
        if not principal.may(Permission.INGEST):
            metrics.AUTH_FAILURES.labels(reason="scope").inc()
            message = "this token may not write spans: create one with the scope `ingest`"
            self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, message)
        return principal

    def _come_again(self, context: grpc.ServicerContext, message: str) -> NoReturn:
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
        status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message=message, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        self._refuse(context, grpc.StatusCode.UNAVAILABLE, message)

    def _refuse(self, context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
        self._requests(code.name).inc()
        try:
            context.abort(code, message)
        except Exception as error:
            raise _Aborted from error
        raise AssertionError("abort always raises")


class _Aborted(Exception):
    """The call was ended on purpose; the library knows its code already."""
