"""Ingest routes as raw ASGI: half the cost of a request in a framework, and nothing between bytes and the disk.

Answers are those of docs/openlineage.md, events.md and traces.md and no others: 2xx durable, 400 what cannot be read,
401 and 403 access, 405, 408 the body did not come in time, 413 too large, 415 an encoding that the protocol does not
know, 503 nothing can take it now. Never 500. Each protocol has its own dialect in which these are told.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from collectors.events.envelopes import structured, validation_code
from watchtower.errors import BadInput, StoreError
from watchtower.model.access import LOCAL, Permission, Principal
from watchtower.model.round_trip import KIND as ROUND_TRIP
from watchtower.ports import Reject
from watchtower.server.arrivals import in_time
from watchtower.server.authentication import Authenticator, Unauthenticated, is_local_socket
from watchtower.server.bodies import Admission, Busy, Disconnected, Lease, Receive, TooLarge, inflate, read_body
from watchtower.server.deadlines import within
from watchtower.server.headers import RawHeaders, Scope, Send, answer, problem, security_headers
from watchtower.server.otlp_answers import OtlpDialect
from watchtower.server.receiving import INLINE_BYTES, Receiver, Report
from watchtower.server.services import Settings
from watchtower.spool import Spooled, SpoolFull
from watchtower.telemetry import metrics, traces
from watchtower.telemetry.instruments import Tally, tally

log = logging.getLogger(__name__)

# path → kind of the collector that reads what is posted there
INGEST_ROUTES: Mapping[str, str] = {
    "/api/v1/lineage": "openlineage",
    "/api/v1/lineage/batch": "openlineage",
    "/api/v1/series": "series",
    "/api/v1/prefect": "prefect",
    "/api/v1/data_factory": "data_factory",
    "/api/v1/events": "events",
    "/v1/traces": "otlp_traces",
    "/v1/metrics": "otlp_metrics",
}
# With its kind behind it: where a collector is fed that none of these paths names, an outsider's for example.
PLUG_INS = "/api/v1/ingest/"
_OTHER_DOORS = frozenset({"pings", "ci"})  # URLs whose path is the secret, and hooks that providers sign
# Told apart from what is not there: an exporter of these drops them at once, and its log says why.
NOT_TAKEN: Mapping[str, str] = {"/v1/logs": "otlp_logs"}
# Watchtower's own round trip: taken from its own process, through the socket of its state directory.
OWN_ROUTES: Mapping[str, str] = {"/api/v1/round-trip": ROUND_TRIP}
RETRY_AFTER_S = 5
_ORIGIN = re.compile(rb"[A-Za-z0-9.:_-]{1,253}")
_SHOWN_FAILURES = 100  # of one batch; the rest is in the quarantine too


def routes_of(kinds: Iterable[str]) -> dict[str, str]:
    """Every path that takes bytes for one of these kinds of collectors."""
    known = {*INGEST_ROUTES.values(), *OWN_ROUTES.values(), *_OTHER_DOORS}
    return {**INGEST_ROUTES, **{f"{PLUG_INS}{kind}": kind for kind in kinds if kind not in known}}


class Summary(msgspec.Struct, frozen=True):
    received: int
    successful: int
    failed: int
    retriable: int
    non_retriable: int


class FailedEvent(msgspec.Struct, frozen=True):
    """index: place in the list that was sent, from 0."""

    index: int
    reason: str
    retriable: bool = False


class IngestAnswer(msgspec.Struct, frozen=True):
    """The answer of OpenLineage's batch endpoint, for single events too. An event that failed is in the quarantine.

    status: success, partial_success, or error when all failed; stored: in the store, or in the spool for now."""

    status: str
    summary: Summary
    failed_events: list[FailedEvent]
    stored: str


class Dialect(Protocol):
    """How the senders of one protocol are spoken to. An answer is its status, body and content type."""

    def max_bytes(self, settings: Settings) -> int: ...

    def greeting(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[bytes, RawHeaders] | None:
        """What is answered to a question that brings nothing, and needs no token; None: it is none of those."""
        ...

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        """What is kept: the body, and what of the headers belongs to it."""
        ...

    def at_once(self, body: bytes) -> bytes | None:
        """The JSON that answers body where it is a question of the protocol itself."""
        ...

    def content_type(self, sent: str) -> str | None:
        """As the collector is told of it; None: the protocol does not know what was sent."""
        ...

    def taken(self, report: Report, content_type: str) -> tuple[int, bytes, str]: ...

    def refused(self, status: int, message: str, reason: str, content_type: str) -> tuple[int, bytes, str]: ...


class OpenLineageDialect:
    def max_bytes(self, settings: Settings) -> int:
        return settings.max_body_bytes

    def greeting(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[bytes, RawHeaders] | None:
        return None

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        return body

    def at_once(self, body: bytes) -> bytes | None:
        return None

    def content_type(self, sent: str) -> str | None:
        """Whatever it is called, it is JSON or it is refused."""
        return sent

    def taken(self, report: Report, content_type: str) -> tuple[int, bytes, str]:
        return 202 if report.spooled else 200, _answer_of(report), "application/json"

    def refused(self, status: int, message: str, reason: str, content_type: str) -> tuple[int, bytes, str]:
        return status, problem(status, message, slug=reason), "application/problem+json"


class EventsDialect(OpenLineageDialect):
    """As for OpenLineage, and the handshakes by which clouds make sure that events are wanted here: OPTIONS of the
    CloudEvents webhook specification ("Abuse Protection"), and Event Grid's validation event."""

    def greeting(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[bytes, RawHeaders] | None:
        origin = headers.get(b"webhook-request-origin", b"")
        if method != "OPTIONS" or not _ORIGIN.fullmatch(origin):
            return None
        return b"", [(b"webhook-allowed-origin", origin), (b"webhook-allowed-rate", b"*"), (b"allow", b"POST")]

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        return structured(headers, body) or body

    def at_once(self, body: bytes) -> bytes | None:
        code = validation_code(body)
        return msgspec.json.encode({"validationResponse": code}) if code is not None else None


def dialect_of(collector: str) -> Dialect:
    if collector == "events":
        return EventsDialect()
    return OtlpDialect(collector) if collector.startswith("otlp_") else OpenLineageDialect()


class _Refused(Exception):
    def __init__(self, status: int, message: str, reason: str, *, close: bool = False) -> None:
        self.status = status
        self.reason = reason
        self.close = close
        super().__init__(message)


class IngestRoute:
    """One path of `routes_of`, or of NOT_TAKEN."""

    def __init__(self, collector: str, receiver: Receiver, authenticator: Authenticator, admission: Admission) -> None:
        self._collector = collector
        self._receiver = receiver
        self._authenticator = authenticator
        self._admission = admission
        self._headers = security_headers(secure=receiver.services.settings.secure)
        self._seconds = metrics.INGEST_SECONDS.labels(collector=collector)
        self._bytes = tally(metrics.INGEST_BYTES, collector)
        self._answers = _Answers(collector)
        self._dialect = dialect_of(collector)

    @property
    def is_otlp(self) -> bool:
        return isinstance(self._dialect, OtlpDialect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict[bytes, bytes](scope["headers"])
        lease = Lease(self._admission)
        sent = headers.get(b"content-type", b"").decode("latin-1")
        try:
            with traces.span("ingest", {"collector": self._collector}):
                (status, body, kind), extra = await self._take(scope, headers, sent, receive, lease)
        except Disconnected:
            self._answers[499].inc()
            return
        except Exception:
            # Nothing is known of the event: let the sender come again, never tell it that it was at fault.
            log.exception("an ingest request met a fault of ours")
            metrics.HTTP_FAULTS.labels(route=scope["path"]).inc()
            (status, body, kind), extra = self._refusal(_Refused(503, "a fault here; send it again", "fault"), sent)
        finally:
            lease.close()
        self._answers[status].inc()
        await answer(send, status, body, self._headers + extra if extra else self._headers, content_type=kind.encode())

    async def _take(
        self, scope: Scope, headers: Mapping[bytes, bytes], sent: str, receive: Receive, lease: Lease
    ) -> tuple[tuple[int, bytes, str], RawHeaders]:
        greeted = self._dialect.greeting(scope["method"], headers)
        if greeted is not None:
            return (200, greeted[0], "text/plain"), greeted[1]
        try:
            principal = self._principal(scope, headers)
            if self._collector not in self._receiver.services.collectors:
                what = self._collector.removeprefix("otlp_")
                raise _Refused(501, f"{what} are not taken here yet (docs/limits.md)", "not_taken", close=True)
            content_type = self._content_type(sent)
            received_at = self._receiver.services.clock.now()
            body = self._dialect.whole(headers, await self._body(headers, receive, lease, principal))
            answer_now = self._dialect.at_once(body)
            if answer_now is not None:
                return (200, answer_now, "application/json"), []
            began = self._receiver.services.clock.boottime()
            report = await self._receiver.receive(
                Spooled(
                    self._collector,
                    received_at,
                    body,
                    content_type,
                    principal.source,
                    _is_replay(scope["query_string"]),
                )
            )
        except _Refused as refused:
            metrics.INGEST_DROPS.labels(collector=self._collector, reason=refused.reason).inc()
            return self._refusal(refused, sent)
        except SpoolFull as error:
            metrics.INGEST_DROPS.labels(collector=self._collector, reason=error.reason).inc()
            return self._refusal(_Refused(503, str(error), error.reason), sent)
        traces.observe(self._seconds, self._receiver.services.clock.boottime() - began)
        if report.refusal is not None:
            return self._refusal(_Refused(400, report.refusal, report.rejects[0].reason), sent)
        return self._dialect.taken(report, content_type), []

    def _content_type(self, sent: str) -> str:
        known = self._dialect.content_type(sent)
        if known is None:
            raise _Refused(
                415,
                f"content type {sent[:80]!r} is not known here; send application/x-protobuf or application/json",
                "content_type",
                close=True,
            )
        return known

    def _known(self, scope: Scope, header: str) -> Principal:
        return LOCAL if not header and is_local_socket(scope) else self._authenticator.bearer(header)

    def _principal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal:
        if scope["method"] != "POST":
            raise _Refused(405, f"{scope['path']} takes POST only", "method")
        try:
            principal = self._known(scope, headers.get(b"authorization", b"").decode("latin-1"))
        except Unauthenticated as error:
            metrics.AUTH_FAILURES.labels(reason=error.reason).inc()
            raise _Refused(401, str(error), "unauthenticated", close=True) from error
        except StoreError as error:
            raise _Refused(503, "tokens cannot be checked while the store is away", "tokens_unknown") from error
        if scope["path"] in OWN_ROUTES and not is_local_socket(scope):
            raise _Refused(403, f"{scope['path']} is Watchtower's own", "scope", close=True)
        if not principal.may(Permission.INGEST):
            metrics.AUTH_FAILURES.labels(reason="scope").inc()
            raise _Refused(
                403, "this token may not write events: create one with the scope `ingest`", "scope", close=True
            )
        return principal

    async def _body(
        self, headers: Mapping[bytes, bytes], receive: Receive, lease: Lease, principal: Principal
    ) -> bytes:
        settings = self._receiver.services.settings
        limit, length = self._dialect.max_bytes(settings), headers.get(b"content-length")
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        try:
            with within(settings.body_timeout_s):
                raw = await read_body(receive, lease, limit, int(length) if length and length.isdigit() else None)
            body = await self._inflated(raw, encoding, lease, limit)
        except TimeoutError as error:
            raise _Refused(
                408, f"the body did not come within {settings.body_timeout_s:g} s", "slow", close=True
            ) from error
        except Busy as error:
            raise _Refused(503, "too many bytes are in flight; come again", "busy", close=True) from error
        except TooLarge as error:
            await self._keep_head(error, encoding, principal)
            raise _Refused(413, str(error), "too_large", close=True) from error
        except BadInput as error:
            raise _Refused(400, str(error), "encoding") from error
        self._bytes.inc(len(body))
        return body

    async def _inflated(self, raw: bytes, encoding: str, lease: Lease, limit: int) -> bytes:
        if not encoding and raw[:1] in (b"{", b"["):
            return raw
        if len(raw) <= INLINE_BYTES // 16:  # at most 1000 : 1, so a few ms at worst
            body = inflate(raw, encoding, limit)
        else:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._receiver.pool, inflate, raw, encoding, limit)
        await lease.grow_to(len(body))
        return body

    async def _keep_head(self, error: TooLarge, encoding: str, principal: Principal) -> None:
        """So that someone can see what was sent; the sender hears 413 whether or not this works."""
        record = Spooled(self._collector, self._receiver.services.clock.now(), error.head, encoding, principal.source)
        try:
            await in_time(
                self._receiver.quarantine(record, "too_large", str(error)), self._receiver.services.settings.patience_s
            )
        except Exception:
            log.warning("the head of a body that is too large could not be kept", exc_info=True)

    def _refusal(self, refused: _Refused, content_type: str) -> tuple[tuple[int, bytes, str], RawHeaders]:
        told = self._dialect.refused(refused.status, str(refused), refused.reason, content_type)
        extra: RawHeaders = []
        if told[0] == 503:
            extra.append((b"retry-after", str(RETRY_AFTER_S).encode()))
        if refused.status == 401:
            extra.append((b"www-authenticate", b'Bearer realm="watchtower"'))
        if refused.status == 405:
            extra.append((b"allow", b"POST"))
        if refused.close:  # the rest of the body is not read
            extra.append((b"connection", b"close"))
        return told, extra


def _is_replay(query: bytes) -> bool:
    """`?replay=true`: the sender says that these events are history."""
    if not query:
        return False
    return parse_qs(query.decode("latin-1"), keep_blank_values=True).get("replay", ["false"])[-1] in ("", "1", "true")


class _Answers(dict[int, Tally]):
    """Counts by status."""

    def __init__(self, collector: str) -> None:
        self._collector = collector

    def __missing__(self, status: int) -> Tally:
        found = self[status] = tally(metrics.INGEST_REQUESTS, self._collector, str(status))
        return found


def _answer_of(report: Report) -> bytes:
    return _all_taken(report.accepted, report.spooled) if not report.rejects else _in_full(report)


@lru_cache(maxsize=1024)
def _all_taken(accepted: int, spooled: bool) -> bytes:
    """Most answers are one of a few."""
    return _in_full(Report(accepted, spooled=spooled))


def _in_full(report: Report) -> bytes:
    failed = len(report.rejects)
    if not failed:
        status = "success"
    else:
        status = "partial_success" if report.accepted else "error"
    shown = [FailedEvent(reject.index, _said(reject)) for reject in report.rejects[:_SHOWN_FAILURES]]
    summary = Summary(report.accepted + failed, report.accepted, failed, 0, failed)
    return msgspec.json.encode(IngestAnswer(status, summary, shown, "spool" if report.spooled else "store"))


def _said(reject: Reject) -> str:
    return f"{reject.reason}: {reject.message}; it is kept in the quarantine"
