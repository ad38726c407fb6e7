"""`/ping/…`: the pinging API of healthchecks.io, answer for answer (healthchecks.io/docs/http_api), for its clients.

`/ping/<uuid>` and `/ping/<key>/<slug>`, then nothing, `/start`, `/fail`, `/log` or an exit status. A ping is on the
disk before it is answered OK, in the store or in the spool. The URL is the secret: no log and no trace has it.

A ping without `rid` that ends a run ends the newest one of its job that began without one. That is decided once, on
receipt, and part of what is kept, so that facts need no order. What the store cannot be asked just now is taken as it
comes: a run too many costs less than a failure that nobody is told of.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar, cast
from urllib.parse import parse_qs

from collectors.pings import BODY_BYTES, Action, Ping, Pings, as_text, completed
from watchtower.errors import StoreError
from watchtower.model.access import Permission, Principal
from watchtower.model.checks import is_uuid, run_name
from watchtower.model.run import JobRef
from watchtower.server import checks
from watchtower.server.authentication import Authenticator, Unauthenticated
from watchtower.server.bodies import Admission, Busy, Disconnected, Lease, Receive, TooLarge, read_body
from watchtower.server.headers import RawHeaders, Scope, Send, answer, security_headers
from watchtower.server.ingest import RETRY_AFTER_S
from watchtower.server.receiving import Receiver
from watchtower.spool import Spooled, SpoolFull
from watchtower.store.database import Connection
from watchtower.store.reading.checks import jobs_called, open_run
from watchtower.telemetry import metrics, traces

log = logging.getLogger(__name__)

T = TypeVar("T")

PREFIX: Final = "/ping/"
PATHS: Final = ("/ping/{uuid}", "/ping/{key}/{slug}")
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_BODY_LIMIT: Final = 4 << 20  # read and thrown away beyond what is kept: a client must not fail for its output
_ACTIONS: Final = frozenset({"start", "fail", "log"})
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SLUG: Final = re.compile(r"[a-z0-9_-]{1,200}")
_STATUS: Final = re.compile(r"[0-9]{1,9}")
_AGENT_CHARS: Final = 100


class _Answered(Exception):
    """This is what the client is told, in healthchecks' own words."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for. secret: a UUID (then slug is "") or a ping key."""

    secret: str
    slug: str
    action: Action
    exit_status: int | None


def read_path(path: str) -> Target:
    """path: what follows `/ping/`. Raises _Answered for what no ping looks like."""
    parts = path.strip("/").split("/")
    if is_uuid(parts[0]):
        secret, slug, rest = parts[0].lower(), "", parts[1:]
    elif len(parts) > 1 and _NAME.fullmatch(parts[0]):
        secret, slug, rest = parts[0], parts[1], parts[2:]
        if not _SLUG.fullmatch(slug):
            raise _Answered(400, "invalid url format")
    else:
        raise _Answered(404, "not found")
    if len(rest) > 1:
        raise _Answered(404, "not found")
    word = rest[0] if rest else "success"
    if word in _ACTIONS or not rest:
        return Target(secret, slug, cast("Action", word), None)
    if not _STATUS.fullmatch(word):
        raise _Answered(404, "not found")
    if int(word) > 255:
        raise _Answered(400, "invalid url format")
    return Target(secret, slug, "fail" if int(word) else "success", int(word))


class PingRoute:
    """Everything below PREFIX."""

    def __init__(self, receiver: Receiver, authenticator: Authenticator, admission: Admission) -> None:
        self._receiver = receiver
        self._services = receiver.services
        self._authenticator = authenticator
        self._admission = admission
        self._names = checks.Names()
        self._begun = checks.Begun()
        self._pace = checks.Pace()
        self._headers: RawHeaders = [
            *security_headers(secure=receiver.services.settings.secure),
            (b"ping-body-limit", str(BODY_BYTES).encode()),
            (b"access-control-allow-origin", b"*"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lease = Lease(self._admission)
        try:
            with traces.span("ingest", {"collector": Pings.kind}):
                status, text = await self._take(scope, receive, lease)
        except _Answered as said:
            status, text = said.status, said.text
        except Disconnected:
            metrics.INGEST_REQUESTS.labels(collector=Pings.kind, code="499").inc()
            return
        except Exception:
            log.exception("a ping met a fault of ours")
            metrics.HTTP_FAULTS.labels(route=PREFIX).inc()
            status, text = 503, "a fault here; ping again"
        finally:
            lease.close()
        metrics.INGEST_REQUESTS.labels(collector=Pings.kind, code=str(status)).inc()
        extra: RawHeaders = [(b"retry-after", str(RETRY_AFTER_S).encode())] if status == 503 else []
        await answer(send, status, text.encode(), [*self._headers, *extra], content_type=b"text/plain; charset=utf-8")

    async def _take(self, scope: Scope, receive: Receive, lease: Lease) -> tuple[int, str]:
        if scope["method"] not in METHODS:
            raise _Answered(405, "method not allowed")
        collector = self._services.collectors.get(Pings.kind)
        if not isinstance(collector, Pings):
            raise _Answered(404, "not found")
        target = read_path(scope["path"].removeprefix(PREFIX))
        rid, create = _parameters(scope["query_string"])
        principal = self._principal(target)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        said, rest = await self._said(receive, lease)
        now = self._services.clock.now()
        name, is_new = await self._job(collector, principal, target, create)
        job = collector.job(principal.source, name)
        action = collector.action(name, target.action, said)
        ping = Ping(
            job=name,
            action=action,
            at=now,
            exit_status=target.exit_status,
            said=said,
            rest=rest,
            by=headers.get(b"user-agent", "")[:_AGENT_CHARS],
            run=rid or await self._run(job, action, now),
        )
        ends_a_run = ping.action == "success" and ping.run != run_name(now)
        too_fast = self._pace.is_too_fast(job, now, collector.config.per_minute)
        if too_fast and not ends_a_run and ping.action != "fail":  # what is lost must not hide a failure, nor an end
            metrics.INGEST_DROPS.labels(collector=Pings.kind, reason="too_fast").inc()
            return (429, "rate limited") if target.slug else (200, "OK (rate limited)")
        await self._keep(ping, job, principal, now, has_rid=bool(rid))
        return (201, "Created") if is_new else (200, "OK")

    def _principal(self, target: Target) -> Principal:
        """Raises _Answered: a stranger is not told whether a check exists."""
        try:
            if target.slug:
                principal = self._authenticator.bearer(f"Bearer {target.secret}")
            else:
                principal = self._authenticator.check(target.secret)
        except Unauthenticated as error:
            metrics.AUTH_FAILURES.labels(reason=error.reason).inc()
            raise _Answered(404, "not found") from error
        except StoreError as error:
            raise _Answered(503, "keys cannot be checked at present; ping again") from error
        if not principal.may(Permission.PING) or (principal.check is None) is (target.slug == ""):
            metrics.AUTH_FAILURES.labels(reason="scope").inc()
            raise _Answered(404, "not found")
        return principal

    async def _said(self, receive: Receive, lease: Lease) -> tuple[str, int]:
        try:
            async with asyncio.timeout(self._services.settings.body_timeout_s):
                raw = await read_body(receive, lease, _BODY_LIMIT, None)
        except TimeoutError as error:
            raise _Answered(408, "the body did not come in time") from error
        except Busy as error:
            raise _Answered(503, "too many bytes are in flight; ping again") from error
        except TooLarge as error:  # what it has to say is too much, but that it was said counts
            raw = error.head
            return as_text(raw)[0], _BODY_LIMIT
        metrics.INGEST_BYTES.labels(collector=Pings.kind).inc(len(raw))
        return as_text(raw)

    async def _job(self, collector: Pings, principal: Principal, target: Target, create: bool) -> tuple[str, bool]:
        """The name of the job that is meant, and whether this ping makes it known. Raises _Answered."""
        if principal.check is not None:
            return principal.check, False
        source, namespace = collector.job(principal.source, "").source, collector.config.namespace
        known = self._names.get(source, namespace, target.slug)
        if known is not None:
            return known, False
        try:
            found = await self._ask(lambda c: jobs_called(c, source, namespace, target.slug))
        except StoreError:
            return target.slug, False
        if len(found) > 1:
            raise _Answered(409, "ambiguous slug")
        if not found and not create:
            raise _Answered(404, "not found")
        name = found[0] if found else target.slug
        if found:
            self._names.keep(source, namespace, target.slug, name)
        return name, not found

    async def _run(self, job: JobRef, action: Action, now: datetime) -> str:
        """Which run a ping without a rid belongs to; "" for a log while none is open."""
        if action == "start":
            return run_name(now)
        found: str | None = None
        waits = self._services.spool.size_bytes > 0 or not self._receiver.gate.is_open
        if waits and self._begun.knows(job):
            found = self._begun.of(job)
        else:
            try:
                found = await self._ask(lambda c: open_run(c, job))
            except StoreError:
                log.warning("the store cannot be asked which run a ping ends; it becomes a run of its own")
        return found or ("" if action == "log" else run_name(now))

    async def _ask(self, question: Callable[[Connection], T]) -> T:
        """Raises StoreError as well when there is no answer in good time."""
        if not self._receiver.gate.is_open:
            raise StoreError("the store does not keep up")

        def read() -> T:
            with self._services.database.read() as connection:
                return question(connection)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._services.settings.patience_s):
                return await loop.run_in_executor(self._receiver.pool, read)
        except TimeoutError as error:
            raise StoreError("the store does not answer in time") from error

    async def _keep(self, ping: Ping, job: JobRef, principal: Principal, now: datetime, *, has_rid: bool) -> None:
        record = Spooled(Pings.kind, now, completed(ping), source=principal.source)
        try:
            report = await self._receiver.receive(record)
        except SpoolFull as error:
            metrics.INGEST_DROPS.labels(collector=Pings.kind, reason="spool_full").inc()
            raise _Answered(503, "nothing can take it now; ping again") from error
        if not report.spooled:
            self._begun.clear()
        elif not has_rid and ping.action != "log":
            self._begun.note(job, ping.run if ping.action == "start" else None)


def _parameters(query: bytes) -> tuple[str, bool]:
    """The rid, "" without one, and whether an unknown check is made."""
    given: Mapping[str, list[str]] = parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {}
    rid = given.get("rid", [""])[-1]
    if "rid" in given and not is_uuid(rid):
        raise _Answered(400, "invalid uuid format")
    return rid.lower(), given.get("create", [""])[-1] == "1"
