"""The only HTTP client: it resolves a name, checks every address, and speaks to exactly the address it checked.

https unless `outbound.allow` names the address; no redirect, no proxy from the environment, answers of at most 1 MiB,
and an end to every exchange at its deadline. Source: promises SR-1 to SR-4 (OWASP ASVS 1.3.6, 13.2.4, 15.3.2).
"""

import contextlib
import http.client
import os
import socket
import ssl
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from watchtower.errors import Permanent, Reason, Transient
from watchtower.outbound.addresses import Address, Network, is_allowed, parse_address, refusal, single
from watchtower.outbound.targets import Target, parse_target
from watchtower.ports import Clock, HttpAnswer
from watchtower.pulse import beat

MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
MAX_ADDRESSES = 3  # tried one after another while nothing was sent
MAX_POOLS = 64
_CHUNK = 64 * 1024
_DECODED = ("gzip", "x-gzip", "deflate")

Resolver = Callable[[str, int], Sequence[str]]


def system_resolver(host: str, port: int) -> list[str]:
    """All addresses of host, in the order of preference (RFC 6724). Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """Implements ports.HttpClient; safe for use by many threads. allow: networks of `outbound.allow`, to which plain
    http is permitted too. resolver: host, port → addresses. max_answer_bytes: a larger one is refused."""

    def __init__(
        self,
        clock: Clock,
        allow: Sequence[Network] = (),
        resolver: Resolver = system_resolver,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._clock = clock
        self._allow = tuple(allow)
        self._resolver = resolver
        self._pools: OrderedDict[tuple[str, ...], HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        ca_file: str | None = None,
    ) -> HttpAnswer:
        """The answer, whatever its status but 3xx (Permanent REJECTED: the final address belongs into the file).
        timeout_s: for the whole exchange, from the look-up of the name to the last byte."""
        target = parse_target(url)
        attempt = _Attempt()
        watch = threading.Timer(timeout_s, attempt.expire)
        watch.daemon = True
        watch.start()
        try:
            began = self._clock.boottime()
            addresses = self._vetted(target, timeout_s)
            left_s = max(0.1, timeout_s - (self._clock.boottime() - began))
            sent = _Request(method, target, _headers(target, headers or {}), body, left_s, ca_file)
            return self._first_reachable(sent, addresses, attempt)
        finally:
            watch.cancel()
            attempt.close()

    def check(self, url: str) -> None:
        """Raise Permanent(REFUSED_ADDRESS) with the line to add to `outbound.allow` if the guard refuses url, and
        Transient(CONNECT) if its name cannot be resolved."""
        self._vetted(parse_target(url), CONNECT_TIMEOUT_S)

    def dial(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to an address of host that was checked, for what speaks no HTTP. timeout_s: of the look-up, and
        of each of its operations after that. Raises as check does, and Transient(CONNECT or TIMEOUT)."""
        target = parse_target(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
        refused: OSError = OSError("no address")
        for address in self._vetted(target, timeout_s)[:MAX_ADDRESSES]:
            try:
                return socket.create_connection((str(address), target.port), timeout_s)
            except OSError as error:
                refused = error
        reason = Reason.TIMEOUT if isinstance(refused, TimeoutError) else Reason.CONNECT
        raise Transient(reason, f"{target.authority} does not answer: {refused}") from refused

    def close(self) -> None:
        """Close idle connections; the client can still be used."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    # -- addresses ------------------------------------------------------------------------------------------------

    def _vetted(self, target: Target, timeout_s: float) -> list[Address]:
        """Every address of target, if all of them may be spoken to."""
        beat()  # each exchange begins with this
        addresses = [parse_address(text) for text in self._resolve(target, timeout_s)]
        if not addresses:
            raise Transient(Reason.CONNECT, f"{target}: the name has no address")
        for address in addresses:
            if is_allowed(address, self._allow):
                continue
            why = refusal(address)
            if why is not None:
                raise Permanent(Reason.REFUSED_ADDRESS, f"{target}: {address} is refused ({why}); {_line(address)}")
            if target.scheme == "http":
                problem = f"plain http to {address} is refused; use https, or {_line(address)}"
                raise Permanent(Reason.REFUSED_ADDRESS, f"{target}: {problem}")
        return addresses

    def _resolve(self, target: Target, timeout_s: float) -> Sequence[str]:
        """The system's resolver knows no deadline, so it is asked on a thread that can be left behind."""
        if target.literal is not None:
            return [target.literal]
        answer: list[Sequence[str] | Exception] = []
        done = threading.Event()

        def ask() -> None:
            try:
                answer.append(self._resolver(target.host, target.port))
            except (OSError, UnicodeError) as error:
                answer.append(error)
            finally:
                done.set()

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        if not done.wait(timeout_s):
            raise Transient(Reason.TIMEOUT, f"{target}: the name was not resolved within {timeout_s:g} s")
        if not answer or isinstance(answer[0], Exception):
            why = answer[0] if answer else "the resolver failed"
            raise Transient(Reason.CONNECT, f"{target}: the name cannot be resolved: {why}")
        return answer[0]

    # -- the exchange ---------------------------------------------------------------------------------------------

    def _first_reachable(self, request: "_Request", addresses: Sequence[Address], attempt: "_Attempt") -> HttpAnswer:
        """The next address is only tried while nothing was sent."""
        tried = addresses[:MAX_ADDRESSES]
        for address in tried[:-1]:
            try:
                return self._exchange(request, address, attempt)
            except Transient as error:
                if error.reason is Reason.TLS or attempt.sent or attempt.expired:
                    raise
        return self._exchange(request, tried[-1], attempt)

    def _exchange(self, request: "_Request", address: Address, attempt: "_Attempt") -> HttpAnswer:
        pool = self._pool(request, address)
        _current.attempt = attempt
        response: urllib3.BaseHTTPResponse | None = None
        done = False
        try:
            response = pool.urlopen(
                request.method,
                request.target.path,
                body=request.body,
                headers=request.headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, request.timeout_s), read=request.timeout_s),
            )
            _refuse_redirect(request.target, response)
            body = _body(request.target, response, self._max_answer_bytes)
            answer = HttpAnswer(response.status, _lower(response.headers), body)
            if attempt.expired:
                _timed_out(request, attempt)
            response.release_conn()
            done = True
            return answer
        except (HTTPError, http.client.HTTPException, OSError) as error:
            _fail(request, attempt, error)
        except ValueError as error:  # what http.client says of a header that would end the line
            problem = "the request has a header or a method that cannot be sent"
            raise Permanent(Reason.REJECTED, f"{request.target}: {problem}") from error
        finally:
            del _current.attempt
            if response is not None and not done:
                response.close()

    def _pool(self, request: "_Request", address: Address) -> HTTPConnectionPool:
        target = request.target
        key = (target.scheme, target.host, str(target.port), str(address), *_version(target, request.ca_file))
        with self._lock:
            pool = self._pools.pop(key, None) or _new_pool(target, address, request.ca_file)
            self._pools[key] = pool
            oldest = self._pools.popitem(last=False)[1] if len(self._pools) > MAX_POOLS else None
        if oldest is not None:
            oldest.close()
        return pool


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float
    ca_file: str | None


class _Attempt:
    """One exchange: whether a byte of the request was sent, and the way to end it at its deadline from outside.

    A second descriptor of the connection is held for that, since TLS takes the first one over.
    """

    def __init__(self) -> None:
        self.sent = False
        self.expired = False
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    def hold(self, connection: socket.socket) -> None:
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = socket.socket(fileno=os.dup(connection.fileno()))
            if self.expired:
                self._end()

    def expire(self) -> None:
        with self._lock:
            self.expired = True
            self._end()

    def close(self) -> None:
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def _end(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    attempt: _Attempt  # of the exchange that this thread makes: there is one whenever a pool connects or sends


_current = _Current()


class _Watched(HTTPConnection):
    """Tells the attempt of its thread which socket it uses, and when the first byte of a request leaves."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _current.attempt.hold(connection)
        return connection

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        attempt = _current.attempt
        attempt.hold(cast(socket.socket, self.sock))
        if attempt.expired:
            raise TimeoutError("the deadline passed before anything was sent")
        attempt.sent = True
        super().send(data)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = cast(Any, _Watched)


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = cast(Any, _WatchedTls)


def _new_pool(target: Target, address: Address, ca_file: str | None) -> HTTPConnectionPool:
    """Connections to the address that was checked; TLS is told the name, whose certificate it must be."""
    if target.scheme == "http":
        return _Pool(str(address), target.port, maxsize=4)
    context = _tls_context(target, ca_file)
    return _TlsPool(str(address), target.port, maxsize=4, ssl_context=context, server_hostname=target.host)


def _tls_context(target: Target, ca_file: str | None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only those of ca_file."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Permanent(Reason.TLS, f"{target}: ca_file {ca_file} cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _version(target: Target, ca_file: str | None) -> tuple[str, ...]:
    """Names the authorities: a ca_file that was replaced gets new connections."""
    if target.scheme == "http" or ca_file is None:
        return ()
    try:
        return (ca_file, str(Path(ca_file).stat().st_mtime_ns))
    except OSError:
        return (ca_file,)


def _headers(target: Target, given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if name.lower() not in ("host", "accept-encoding")}
    return {**kept, "Host": target.authority, "Accept-Encoding": "identity"}


def _lower(headers: urllib3.HTTPHeaderDict) -> dict[str, str]:
    """A header that came more than once has its values joined by commas."""
    return {name.lower(): headers[name] for name in headers}


def _line(address: Address) -> str:
    return f"if it is meant, add to the configuration file: outbound: {{allow: [{single(address)}]}}"


def _refuse_redirect(target: Target, response: urllib3.BaseHTTPResponse) -> None:
    if 300 <= response.status < 400:
        to = response.headers.get("location", "").split("?", 1)[0][:200]
        shown = "".join(char for char in to if char.isprintable()) or "nowhere"
        problem = f"HTTP {response.status} redirects to {shown}; redirects are never followed"
        raise Permanent(Reason.REJECTED, f"{target}: {problem}; configure the final address")


def _body(target: Target, response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The decoded body; one larger than most is not read to its end."""
    raw = bytearray()
    while chunk := response.read(_CHUNK, decode_content=False):
        raw += chunk
        if len(raw) > most:
            _too_large(target, most)
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return bytes(raw)
    if encoding not in _DECODED:
        problem = f"the answer has the unasked content-encoding {encoding[:40]!r}"
        raise Transient(Reason.BAD_ANSWER, f"{target}: {problem}", outcome_unknown=True)
    return _inflated(target, bytes(raw), most)


def _inflated(target: Target, raw: bytes, most: int) -> bytes:
    """gzip (also in several members) or zlib, never more than most in memory."""
    out, rest = bytearray(), raw
    try:
        while rest:
            decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            out += decoder.decompress(rest, most + 1 - len(out))
            if len(out) > most:
                _too_large(target, most)
            if not decoder.eof:
                raise zlib.error("it ends too soon")
            rest = decoder.unused_data
    except zlib.error as error:
        problem = f"the answer cannot be decompressed: {error}"
        raise Transient(Reason.BAD_ANSWER, f"{target}: {problem}", outcome_unknown=True) from error
    return bytes(out)


def _too_large(target: Target, most: int) -> NoReturn:
    problem = f"the answer is larger than {most} bytes"
    raise Permanent(Reason.TOO_LARGE, f"{target}: {problem}", outcome_unknown=True)


def _timed_out(request: _Request, attempt: _Attempt) -> NoReturn:
    problem = f"not finished within {request.timeout_s:g} s"
    raise Transient(Reason.TIMEOUT, f"{request.target}: {problem}", outcome_unknown=attempt.sent)


def _fail(request: _Request, attempt: _Attempt, error: Exception) -> NoReturn:
    """Before the first byte nothing can have happened; after it, anything may have."""
    if attempt.expired:
        _timed_out(request, attempt)
    cause = _cause(error)
    if isinstance(error, ReadTimeoutError) or isinstance(cause, TimeoutError):
        reason, what = Reason.TIMEOUT, "timed out"
    elif isinstance(error, SSLError) or isinstance(cause, ssl.SSLError):
        reason, what = Reason.TLS, f"TLS: {cause}"
    elif attempt.sent and _is_malformed(cause):
        reason, what = Reason.BAD_ANSWER, f"the answer is not HTTP: {type(cause).__name__}"
    else:
        reason, what = Reason.CONNECT, f"{'the connection broke' if attempt.sent else 'cannot connect'}: {cause}"
    # A certificate that has run out is renewed, a server comes back: both are worth repeating.
    raise Transient(reason, f"{request.target}: {what}", outcome_unknown=attempt.sent) from error


def _cause(error: BaseException, *around: BaseException) -> BaseException:
    """The innermost error: urllib3 keeps it as an argument, as context, or both, and maybe in a circle."""
    known = (*around, error)
    inner = [value for value in (*error.args, error.__cause__, error.__context__) if isinstance(value, Exception)]
    inner = [value for value in inner if value not in known]
    return _cause(inner[0], *known) if inner else error


def _is_malformed(error: BaseException) -> bool:
    broken = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    return isinstance(error, http.client.HTTPException | UnicodeError) and not isinstance(error, broken)
