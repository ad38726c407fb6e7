"""Runs the application with uvicorn on sockets that are bound before anything says "ready".

Header and keep-alive time-outs, a bound on header bytes, and a drain of at most ten seconds on `stop`.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from watchtower.errors import UsageError
from watchtower.server.application import Application
from watchtower.server.deadlines import deadlines
from watchtower.server.headers import problem, security_headers
from watchtower.server.prompt_server import PromptServer

log = logging.getLogger(__name__)

HEADER_TIMEOUT_S = 10.0  # SR-7
HEADER_BYTES = 64 << 10
KEEP_ALIVE_S = 75  # longer than the 60 s of common balancers, so that they close first
DRAIN_S = 10
START_TIMEOUT_S = 30.0
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a name or IP address and a port (0: any free one), or a Unix socket. key: of the configuration
    that says it, `otlp_http` where only OTLP is answered; optional: where it is taken, the server goes without it."""

    host: str = "127.0.0.1"
    port: int = 8642
    path: Path | None = None
    key: str = "listen"
    optional: bool = False

    @staticmethod
    def parse(text: str) -> "Address":
        """`127.0.0.1:8642`, `[::1]:8642`, `:8642` (all interfaces), `unix:/run/watchtower.sock`."""
        if text.startswith("unix:"):
            return Address(path=Path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise UsageError(f"address {text!r} is not HOST:PORT; write e.g. 127.0.0.1:8642 or [::1]:8642")
        return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - asked for by leaving the host out

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.path is not None or self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Tls:
    certificate: Path
    key: Path


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises UsageError with the remedy."""
    try:
        if address.path is not None:
            return _bind_unix(address.path)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((address.host, address.port))
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise UsageError(_remedy(address, error)) from error
    return bound


def check_access(addresses: Sequence[Address], *, access: bool) -> None:
    """Raise UsageError when access control is off and anyone but this machine could reach the server."""
    open_to_others = [address for address in addresses if not address.is_loopback]
    if not access and open_to_others:
        raise UsageError(
            f"--no-auth is refused: {open_to_others[0]} can be reached from other machines; "
            "listen on 127.0.0.1 only, or leave --no-auth out"
        )


class Server:
    """`start` binds, serves in a thread and returns when requests are answered; `stop` drains and ends.

    Usable beside other work (the demo) and as a whole process (`serve`: start, wait for a signal, stop).
    """

    def __init__(self, app: Application, addresses: Sequence[Address], *, tls: Tls | None = None) -> None:
        check_access(addresses, access=app.services.settings.access)
        self._app = app
        self._addresses = list(addresses)
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self.left_out: list[str] = []  # optional addresses that could not be had, each with its remedy
        self._uvicorn: PromptServer | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def bind(self) -> None:
        """Take the addresses, without answering yet. `start` does this if it was not done."""
        if not self._sockets:
            try:
                for address in list(self._addresses):
                    self._bind(address)
            except BaseException:
                self._close_sockets()
                raise

    def _bind(self, address: Address) -> None:
        try:
            self._sockets.append(bind(address))
        except UsageError as error:
            if not address.optional:
                raise
            self._addresses.remove(address)
            self.left_out.append(str(error))

    def start(self) -> None:
        self.bind()
        config = uvicorn.Config(
            self._app,
            loop="uvloop",
            http=TimedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the application heeds them where it asks who is there
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
            ssl_certfile=str(self._tls.certificate) if self._tls else None,
            ssl_keyfile=str(self._tls.key) if self._tls else None,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._uvicorn = PromptServer(config)
        self._thread = threading.Thread(target=self._serve, args=(self._uvicorn,), name="http", daemon=True)
        self._thread.start()
        self._wait_until_started(self._uvicorn)

    def stop(self) -> None:
        """Take no new connection, let requests under way end for at most ten seconds, then close."""
        if self._uvicorn is not None:
            self._uvicorn.end()
        if self._thread is not None:
            self._thread.join(DRAIN_S + 5)
        self._close_sockets()

    @property
    def addresses(self) -> list[Address]:
        """As bound: a port 0 has become a real one."""
        found: list[Address] = []
        for wanted, bound in zip(self._addresses, self._sockets, strict=True):
            found.append(wanted if wanted.path else replace(wanted, port=bound.getsockname()[1]))
        return found

    def address_of(self, key: str) -> Address | None:
        """As bound; None: not listened on."""
        return next((address for address in self.addresses if address.key == key and address.path is None), None)

    @property
    def url(self) -> str:
        """Of the first TCP address, for someone on this machine."""
        first = next(address for address in self.addresses if address.path is None)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(first.host, first.host)  # noqa: S104 - compared, not bound
        return f"{'https' if self._tls else 'http'}://{Address(host, first.port)}"

    @property
    def is_serving(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _serve(self, server: PromptServer) -> None:
        try:
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as loop:
                loop.run(server.serve(self._sockets))
        except BaseException as error:
            self._failure = error
            log.critical("the HTTP server ended", exc_info=error)
        finally:
            server.ready.set()

    def _wait_until_started(self, server: PromptServer) -> None:
        server.ready.wait(START_TIMEOUT_S)
        if not server.started:
            self.stop()
            raise UsageError(f"the HTTP server did not start: {self._failure or 'see the log'}")

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a time-out for the headers, a bound on their bytes, and our headers on its 400."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._header_bytes = 0
        self._deadlines = deadlines(self.loop, HEADER_TIMEOUT_S)
        self._is_armed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._arm()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._disarm()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        body = problem(400, "this is no HTTP request that can be read")
        headers = [(b"content-type", b"application/problem+json"), *security_headers(secure=False)]
        lines = [
            b"%s: %s" % pair for pair in (*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close"))
        ]
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            self.transport.abort()

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._deadlines.begin(self, self._give_up)

    def _disarm(self) -> None:
        self._is_armed = False
        self._deadlines.end(self)

    def _give_up(self) -> None:
        self._is_armed = False
        if not self.transport.is_closing():
            self.transport.close()


def _bind_unix(path: Path) -> socket.socket:
    """Replace what a process that is gone left behind; refuse one that still answers. For this user only."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    bound.listen(BACKLOG)
    return bound


_OTHERWISE = {"listen": "or --listen"}


def _remedy(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        if address.path is not None:
            return f"{address} is in use by another Watchtower; stop it, or give this one another --state folder"
        return (
            f"port {address.port} on {address.host} is in use; stop what listens there "
            f"(`ss -ltnp 'sport = :{address.port}'` names it), or choose another with "
            f"`server: {{{address.key}: HOST:PORT}}` {_OTHERWISE.get(address.key, 'or `off` there')}"
        )
    if error.errno == errno.EACCES:
        return f"{address} may not be bound by this user; ports below 1024 need a privilege, choose 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine; `ip addr` shows those it has"
    return f"cannot listen on {address}: {error.strerror or error}"
