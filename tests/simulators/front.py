"""What lies between a sender and a provider: its name, the way there, and its certificate, each broken until `heal`."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from tests.simulators.faults import Fault

STANDS_BEFORE: ContextVar["Front | None"] = ContextVar("stands_before", default=None)


class Front:
    """A port in front of a simulator. After `heal` it leads there, by TLS where the fault is one of TLS."""

    def __init__(self, fault: Fault, authority: trustme.CA) -> None:
        self._is_tls = fault in (Fault.TLS_EXPIRED, Fault.TLS_WRONG_NAME)
        self._is_named = fault is not Fault.DNS_FAIL
        self._authority = authority
        self._certificate = self._context(_bad(fault, authority)) if self._is_tls else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._behind = 0
        self._fillers: list[socket.socket] = []
        self._closing = threading.Event()
        if fault is Fault.CONNECT_TIMEOUT:
            self._fill()
        else:
            self._accept()

    def url_of(self, port: int) -> str:
        self._behind = port
        return f"{'https' if self._is_tls else 'http'}://localhost:{self._listener.getsockname()[1]}"

    def heal(self) -> None:
        self._is_named = True
        if self._is_tls:
            self._certificate = self._context(self._authority.issue_cert("localhost"))
        if self._fillers:
            for filler in self._fillers:
                filler.close()
            self._fillers.clear()
            self._accept()
            socket.create_connection(self._listener.getsockname()).close()  # there is room again

    def resolve(self, host: str) -> None:
        """Raises as the system does for a name that it does not know."""
        if host == "localhost" and not self._is_named:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def close(self) -> None:
        self._closing.set()
        for filler in self._fillers:
            filler.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @staticmethod
    def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cast("Any", certificate).configure_cert(context)
        return context

    def _fill(self) -> None:
        """Until the queue of the listener is full: the system answers whoever else comes with nothing at all."""
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._listener.getsockname())
            self._fillers.append(filler)

    def _accept(self) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _lead(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._certificate is not None:
                connection = stack.enter_context(self._certificate.wrap_socket(connection, server_side=True))
            inner = stack.enter_context(socket.create_connection(("127.0.0.1", self._behind)))
            back = threading.Thread(target=_pump, args=(inner, connection), daemon=True)
            back.start()
            _pump(connection, inner)
            back.join(20)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _bad(fault: Fault, authority: trustme.CA) -> trustme.LeafCert:
    if fault is Fault.TLS_WRONG_NAME:
        return authority.issue_cert("somebody-else.example.com")
    return authority.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))


@contextlib.contextmanager
def in_front(fault: Fault, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Front]:
    """Simulators that are made meanwhile stand behind the front, whose authority the system trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    front, real = Front(fault, authority), socket.getaddrinfo

    def named(host: str, *more: object, **options: object) -> object:
        front.resolve(host)
        return real(host, *more, **options)  # pyright: ignore[reportArgumentType] - handed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", named)
    told = STANDS_BEFORE.set(front)
    try:
        yield front
    finally:
        STANDS_BEFORE.reset(told)
        front.close()
