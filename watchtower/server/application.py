"""The ASGI application: ingest first, then the table of endpoints, both behind the same headers and last resort.

A request to an endpoint is authenticated, permitted, checked for forgery, read, and handed to a plain function in a
worker thread. Whatever that raises becomes problem details; a fault of ours is a 500 with a number to look for.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, cast, get_args, get_origin
from urllib.parse import parse_qs, parse_qsl, quote

import msgspec
from anyio import from_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dashboards import web
from watchtower.errors import BadInput, StoreError
from watchtower.model.access import LOCAL, Permission, Principal
from watchtower.server.authentication import Attempts, Authenticator, SignedIn, Unauthenticated, is_local_socket
from watchtower.server.bodies import Admission, Receive
from watchtower.server.endpoints import Answer, Call, Endpoint, Open, Problem, Raw, Redirect
from watchtower.server.headers import Message, RawHeaders, Scope, Send, answer, problem, security_headers
from watchtower.server.ingest import NOT_TAKEN, OWN_ROUTES, IngestRoute, routes_of
from watchtower.server.otlp_answers import JSON, failure
from watchtower.server.pings import PREFIX, PingRoute
from watchtower.server.receiving import Receiver
from watchtower.server.replaying import Replayer
from watchtower.server.routes import ENDPOINTS
from watchtower.server.services import Services
from watchtower.server.signing_in import cookie_name
from watchtower.telemetry import metrics, traces

log = logging.getLogger(__name__)

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")  # a proxy on this machine
_ZONE_AFTER_SPACE = re.compile(r" (\d\d:\d\d)$")  # a `+` of a time zone that was not escaped
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
_MOST_FIELDS = 100  # of a query or a form
_NOBODY = Principal("nobody", frozenset())


class Application:
    """`create_app` makes one. Its lifespan starts and stops what goes on beside the requests."""

    def __init__(self, services: Services, endpoints: tuple[Endpoint, ...]) -> None:
        self.services = services
        self.authenticator = Authenticator(
            services.database, services.clock, services.keys, enabled=services.settings.access
        )
        self.receiver = Receiver(services)
        self.replayer = Replayer(self.receiver)
        self._attempts = Attempts(services.clock)
        self.admission = Admission(services.settings.inflight_bytes)
        self.loop: asyncio.AbstractEventLoop | None = None  # where requests wait, while it is served
        self._ingest = {
            path: IngestRoute(collector, self.receiver, self.authenticator, self.admission)
            for path, collector in {**routes_of(services.collectors), **NOT_TAKEN, **OWN_ROUTES}.items()
            if collector in services.collectors or path in NOT_TAKEN
        }
        self._pings = PingRoute(self.receiver, self.authenticator, self.admission)
        self._also_read = {endpoint.path for endpoint in endpoints} & self._ingest.keys()
        self._headers = security_headers(secure=services.settings.secure)
        starlette = Starlette(
            routes=[self._route(endpoint) for endpoint in endpoints], exception_handlers={HTTPException: self._unrouted}
        )
        # Here rather than around everything: who sent an event is said by its token, not by its address.
        trusted = [*_LOOPBACK_NETWORKS, *services.settings.proxies]
        self._endpoints = cast("Asgi", ProxyHeadersMiddleware(cast("Any", starlette), trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            ingest = self._ingest.get(scope["path"])
            if ingest is not None and scope["method"] != "POST" and scope["path"] in self._also_read:
                ingest = None
            if ingest is not None and (ingest.is_otlp or not self._is_otlp_only(scope)):
                await ingest(scope, receive, send)
            elif self._is_otlp_only(scope):
                detail = f"{scope['path']} is not answered on this port: it takes OTLP at {', '.join(self._otlp_paths)}"
                body = failure(404, detail, JSON)
                await answer(send, 404, body, self._headers, content_type=JSON.encode())
            elif scope["path"].startswith(PREFIX):
                await self._pings(scope, receive, send)
            else:
                await self._endpoints(scope, receive, self._with_headers(send))
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _is_otlp_only(self, scope: Scope) -> bool:
        server = scope.get("server")
        return server is not None and server[1] is not None and server[1] == self.services.otlp_port

    @property
    def _otlp_paths(self) -> list[str]:
        return [path for path, route in self._ingest.items() if route.is_otlp and path not in NOT_TAKEN]

    def start(self) -> None:
        self.authenticator.start()
        self.replayer.start()

    def stop(self) -> None:
        self.replayer.stop()
        self.authenticator.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.loop = asyncio.get_running_loop()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await run_in_threadpool(self.stop)
        await send({"type": "lifespan.shutdown.complete"})

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        return sending

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        """No such path, or not with this method."""
        assert isinstance(error, HTTPException)
        metrics.HTTP_REQUESTS.labels(route="none", method="any", code=str(error.status_code)).inc()
        detail = f"there is nothing at {request.url.path}" if error.status_code == 404 else str(error.detail)
        if error.status_code == 405:
            detail = f"{request.url.path} does not take {request.method}"
        body = problem(error.status_code, detail)
        return Response(body, error.status_code, dict(error.headers or {}), "application/problem+json")

    def _route(self, endpoint: Endpoint) -> Route:
        exchange = _Exchange(self.receiver, self.authenticator, self._attempts, endpoint)
        return Route(endpoint.path, exchange.respond, methods=[endpoint.method])


@dataclass(frozen=True, slots=True)
class _Asker:
    principal: Principal
    signed_in: SignedIn | None = None
    cookie: str = ""


class _Exchange:
    """What happens between a request and the answer of one endpoint."""

    def __init__(
        self,
        receiver: Receiver,
        authenticator: Authenticator,
        attempts: Attempts,
        endpoint: Endpoint,
    ) -> None:
        self._services = receiver.services
        self._receiver = receiver
        self._authenticator = authenticator
        self._attempts = attempts
        self._endpoint = endpoint
        self._seconds = metrics.HTTP_SECONDS.labels(route=endpoint.path)

    async def respond(self, request: Request) -> Response:
        began = self._services.clock.boottime()
        request_id = secrets.token_hex(8)
        with traces.span(f"{self._endpoint.method} {self._endpoint.path}", {"request_id": request_id}):
            try:
                asker = await run_in_threadpool(self._asker, request)
                body = await self._body(request)
                answer = await run_in_threadpool(self._handle, request, asker, body, request_id)
                response = _response(answer)
            except Problem as error:
                response = self._problem(error, request, request_id)
            except Exception as error:
                response = self._problem(self._translated(error, request_id), request, request_id)
            traces.observe(self._seconds, self._services.clock.boottime() - began)
        metrics.HTTP_REQUESTS.labels(
            route=self._endpoint.path, method=self._endpoint.method, code=str(response.status_code)
        ).inc()
        response.headers["x-request-id"] = request_id
        return response

    async def _body(self, request: Request) -> bytes:
        if self._endpoint.method == "GET":
            return b""
        chunks: list[bytes] = []
        size = 0
        close: RawHeaders = [(b"connection", b"close")]
        try:
            async with asyncio.timeout(self._services.settings.body_timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._endpoint.max_body:
                        raise Problem(413, f"the body has more than {self._endpoint.max_body} bytes", headers=close)
                    chunks.append(chunk)
        except TimeoutError as error:
            raise Problem(408, "the body did not come in time", headers=close) from error
        return b"".join(chunks)

    def _handle(self, request: Request, asker: _Asker, body: bytes, request_id: str) -> Answer:
        """In a worker thread, since it waits for the store."""
        content_type = request.headers.get("content-type", "")
        if asker.signed_in is not None and self._endpoint.method != "GET":
            self._check_forgery(request, asker.cookie, body, content_type)
        query = _read_query(self._endpoint.query, str(request.scope["query_string"], "latin-1"))
        sent = _read_body(self._endpoint.body, body, content_type)
        path = {name: _clean(value, name) for name, value in request.path_params.items()}
        call = Call(
            services=self._services,
            authenticator=self._authenticator,
            attempts=self._attempts,
            principal=asker.principal,
            path=path,
            query=query,
            body=sent,
            request_id=request_id,
            now=self._services.clock.now(),
            client=request.client.host if request.client else "",
            cookie=asker.cookie,
            headers=request.headers,
            signed_in=asker.signed_in,
            is_bypassed=lambda: not self._receiver.gate.is_open,
            receive=lambda record: from_thread.run(self._receiver.receive, record),
            target=_target(request),
            raw=body,
        )
        return self._endpoint.handler(call)

    # -- access ---------------------------------------------------------------------------------------------------

    def _asker(self, request: Request) -> _Asker:
        """Whoever asks, if they may. In a worker thread, since sessions are looked up. Raises Problem 401 or 403."""
        cookie = _cookie(request.headers.get("cookie", ""), cookie_name(self._services.settings))
        wanted = self._endpoint.permission
        if not self._authenticator.enabled:
            self._check_host(request)
            return _Asker(LOCAL)
        if isinstance(wanted, Open):
            return _Asker(_NOBODY)
        signed_in: SignedIn | None = None
        header = request.headers.get("authorization", "")
        if not header and is_local_socket(request.scope):
            return _Asker(LOCAL)
        if wanted is Permission.METRICS_READ and self._services.settings.metrics_public and not (header or cookie):
            return _Asker(_NOBODY)
        if header or not cookie:
            try:
                principal = self._authenticator.bearer(header)
            except Unauthenticated as error:
                raise self._unauthenticated(error.reason, str(error)) from error
        else:
            signed_in = self._authenticator.session(cookie)
            if signed_in is None:
                raise self._unauthenticated("session", "the session is over; open a new one-time link")
            principal = signed_in.principal
        if not principal.may(wanted):
            metrics.AUTH_FAILURES.labels(reason="permission").inc()
            raise Problem(403, f"{principal.actor} does not have the permission {wanted.value}", slug="forbidden")
        return _Asker(principal, signed_in, cookie)

    def _unauthenticated(self, reason: str, message: str) -> Problem:
        metrics.AUTH_FAILURES.labels(reason=reason).inc()
        return Problem(
            401, message, slug="unauthenticated", headers=[(b"www-authenticate", b'Bearer realm="watchtower"')]
        )

    def _check_forgery(self, request: Request, cookie: str, body: bytes, content_type: str) -> None:
        """A browser sends the cookie also when another site made the form; only ours knows the form token."""
        sent = request.headers.get("x-csrf-token", "")
        if not sent and content_type.startswith("application/x-www-form-urlencoded"):
            sent = parse_qs(body.decode("latin-1")).get("csrf_token", [""])[0]
        if not self._authenticator.is_form_token(cookie, sent):
            metrics.AUTH_FAILURES.labels(reason="form_token").inc()
            raise Problem(403, "the form token is missing or of another session; load the page again", slug="csrf")

    def _check_host(self, request: Request) -> None:
        """Without access control a foreign page could reach loopback under a name that it made point there."""
        host = request.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name and name not in _LOOPBACK_HOSTS:
            raise Problem(403, f"without access control only loopback names are served, not {name[:80]!r}", slug="host")

    # -- what went wrong ------------------------------------------------------------------------------------------

    def _translated(self, error: Exception, request_id: str) -> Problem:
        if isinstance(error, BadInput):
            return Problem(400, str(error), slug="bad_input")
        if isinstance(error, StoreError | TimeoutError):
            log.warning("the store does not answer", extra={"why": str(error), "request_id": request_id})
            return Problem(503, "the store does not answer at present", slug="store", headers=[(b"retry-after", b"5")])
        log.error("a request met a fault of ours", exc_info=error, extra={"request_id": request_id})
        metrics.HTTP_FAULTS.labels(route=self._endpoint.path).inc()
        return Problem(500, f"a fault of ours; look for request {request_id} in the log", slug="fault")

    def _problem(self, error: Problem, request: Request, request_id: str) -> Response:
        headers = {name.decode(): value.decode() for name, value in error.headers}
        if self._endpoint.kind == "page":
            if error.status == 401 and self._endpoint.method == "GET":
                return Response(None, 303, {"location": "/login"})
            html = web.render_problem(web.ProblemView(error.status, error.detail, request_id))
            return Response(html, error.status, headers, "text/html; charset=utf-8")
        body = problem(error.status, error.detail, slug=error.slug, instance=request_id)
        return Response(body, error.status, headers, "application/problem+json")


# -- reading a request --------------------------------------------------------------------------------------------


def _target(request: Request) -> str:
    """Path and query, byte by byte as they were asked for: signatures are over them."""
    path = cast("bytes", request.scope.get("raw_path") or b"").decode("latin-1") or request.url.path
    query = str(request.scope["query_string"], "latin-1")
    return f"{path.partition('?')[0]}?{query}" if query else path.partition("?")[0]


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _read_query(kind: type[msgspec.Struct] | None, text: str) -> msgspec.Struct | None:
    """Raises BadInput that names the parameter."""
    if kind is None:
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    strict = kind.__struct_config__.forbid_unknown_fields
    given: dict[str, Any] = {}
    for name, value in _pairs(text):
        if name not in fields:
            if strict:
                raise BadInput(f"parameter {name[:40]!r} is unknown; known: {', '.join(fields)}")
            continue
        clean = _clean(value, name)
        if get_origin(fields[name].type) is list:
            given.setdefault(name, []).append(clean)
        elif name in given:
            raise BadInput(f"parameter {name!r} is given twice")
        elif clean.lower() == "null" and str not in get_args(fields[name].type):
            raise BadInput(f"parameter {name!r} is null; leave it out instead")
        else:
            given[name] = _ZONE_AFTER_SPACE.sub(r"+\1", clean) if name in ("from", "to") else clean
    return _convert(given, kind, strict=False)


def _read_body(kind: type[msgspec.Struct] | None, body: bytes, content_type: str) -> msgspec.Struct | None:
    """JSON, or a form. An empty body is an empty object. Raises BadInput that names the field."""
    if kind is None:
        return None
    if content_type.startswith("application/x-www-form-urlencoded"):
        form = dict(_pairs(body.decode("latin-1")))
        return _convert({name: _clean(value, name) for name, value in form.items()}, kind, strict=False)
    try:
        value = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    _check_texts(value)
    return _convert(value, kind, strict=True)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Of a query or a form, in order. Raises BadInput for more than any of ours has."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise BadInput(f"more than {_MOST_FIELDS} fields were sent") from error


def _convert(value: Any, kind: type[msgspec.Struct], *, strict: bool) -> msgspec.Struct:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise BadInput(str(error)) from error


def _check_texts(value: Any) -> None:
    """No text of a body may hold what the store cannot keep."""
    if isinstance(value, str):
        _clean(value, "a text of the body")
    elif isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            _clean(name, "a name of the body")
            _check_texts(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _check_texts(item)


def _clean(value: str, name: str) -> str:
    if "\0" in value or (not value.isprintable() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise BadInput(f"{name} holds a character that cannot be stored")
    return value


def _response(answer: Answer) -> Response:
    if isinstance(answer, Redirect):
        headers = {"location": quote(answer.location, safe="/?=&:#%"), **_text(answer.headers)}
        return Response(None, answer.status, headers)
    if isinstance(answer, Raw):
        return Response(answer.body, answer.status, _text(answer.headers), answer.content_type)
    return Response(msgspec.json.encode(answer), 200, media_type="application/json")


def _text(headers: RawHeaders) -> Mapping[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def create_app(services: Services) -> Application:
    """The ASGI application. Serve it with `runner.Server`, or any server that speaks ASGI's lifespan."""
    return Application(services, ENDPOINTS)
