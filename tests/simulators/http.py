"""The frame of the HTTP simulators: a threaded server whose subclass says what a request does and what it is told."""

import contextlib
import gzip
import json
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.simulators.faults import ACCEPTED, Fault
from tests.simulators.front import STANDS_BEFORE

HUGE = 32 * 1024 * 1024
BOMB = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came in. headers: names in lower case; path: without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @staticmethod
    def of_json(value: Any, status: int = 200) -> "Reply":
        return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


class HttpSimulator(ABC):
    """Subclasses implement `answer`, which applies the effect and appends it to `ledger`. now: for dates in answers."""

    ledger: list[Any]

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.ledger = []
        self.requests: list[Recorded] = []
        self.told: str | None = None  # the header Date of every answer; None: that of the answer, or now
        self._faults: list[Fault | None] = []
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._front = STANDS_BEFORE.get()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}" if self._front is None else self._front.url_of(port)

    @abstractmethod
    def answer(self, request: Recorded) -> Reply: ...

    def changes_something(self, request: Recorded) -> bool:
        """Faults strike these requests; those that only read are answered."""
        return request.method != "GET"

    def fail_next(self, *faults: Fault | None) -> None:
        """The next requests that change something meet these, one each; None: it is answered as it should."""
        if Fault.REFUSE in faults:
            self._stop_listening()
        self._faults.extend(faults)

    def recover(self) -> None:
        """What was to fail fails no more."""
        self._faults.clear()

    def handle(self, handler: "_Handler") -> None:
        with self._lock:
            peeked = handler.head()
            fault = self._faults.pop(0) if self._faults and self.changes_something(peeked) else None
        if fault in (Fault.RESET_BEFORE_BODY, Fault.BLACK_HOLE):
            handler.reset() if fault is Fault.RESET_BEFORE_BODY else self._closing.wait(10)
            return
        request = handler.whole()
        if request is None:
            return
        with self._lock:
            self.requests.append(request)
            accepted = fault is None or fault in ACCEPTED
            reply = self.answer(request) if accepted else Reply(500)
        if fault is None:
            handler.send(reply)
        else:
            self._misbehave(handler, fault, reply)

    def _misbehave(self, handler: "_Handler", fault: Fault, reply: Reply) -> None:
        when = format_datetime(self.now + timedelta(seconds=90), usegmt=True)
        plain = {
            Fault.ACCEPT_THEN_500: Reply(500, b"oops"),
            Fault.ERROR_500: Reply(500, b"oops"),
            Fault.RATE_LIMITED_SECONDS: Reply(429, b"slow down", {"Retry-After": "7"}),
            Fault.RATE_LIMITED_DATE: Reply(429, b"slow down", {"Retry-After": when}),
            Fault.RATE_LIMITED: Reply(429, b"slow down"),
            Fault.UNAVAILABLE: Reply(503, b"back soon", {"Retry-After": "11"}),
            Fault.BAD_GATEWAY: Reply(502, b"<html><h1>Bad Gateway</h1></html>", {"Content-Type": "text/html"}),
            Fault.UNAUTHORIZED: Reply(401, b'{"message": "Unauthorized"}'),
            Fault.FORBIDDEN: Reply(403, b'{"message": "Forbidden"}'),
            Fault.NOT_FOUND: Reply(404, b'{"message": "Not Found"}'),
            Fault.REDIRECT: Reply(302, b"", {"Location": "http://169.254.169.254/latest/meta-data/"}),
            Fault.INVALID_JSON: Reply(200, reply.body[: len(reply.body) // 2] + b'{"', dict(reply.headers)),
            Fault.WRONG_TYPE: Reply.of_json([]),
            Fault.EMPTY_200: Reply(200),
        }
        if fault is Fault.HUGE_ANSWER:
            handler.send(Reply(200, b" " * HUGE, {"Content-Type": "application/json"}))
        elif fault is Fault.GZIP_BOMB:
            handler.send(Reply(200, _bomb(), {"Content-Type": "application/json", "Content-Encoding": "gzip"}))
        elif fault in plain:
            handler.send(plain[fault])
        elif fault is Fault.ACCEPT_THEN_TIMEOUT:
            self._closing.wait(10)
        elif fault is Fault.SLOW_DRIP:
            handler.drip(reply, self._closing)
        else:
            handler.reset()

    def close(self) -> None:
        self._closing.set()
        self._stop_listening()

    def _stop_listening(self) -> None:
        """The loop ends before its socket is closed: a closed descriptor would soon belong to somebody else. A socket
        that listens and is shut down is ready at once, so that the loop need not be waited for."""
        with contextlib.suppress(OSError):  # it is closed; or not on Linux, where the loop looks every 20 ms
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * BOMB, 1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, simulator: HttpSimulator) -> None:
        self.simulator = simulator
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client went away in the middle of an answer: what the faults are for."""


class _Handler(BaseHTTPRequestHandler):
    server: Any  # the _Server that made it

    def head(self) -> Recorded:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Recorded(self.command, parts.path, query, headers, b"")

    def whole(self) -> Recorded | None:
        """None: the sender died within the request. `http.server` takes a head that was cut for a whole one."""
        head = self.head()
        length = int(head.headers.get("content-length", "0"))
        body = self.rfile.read(length)
        if len(body) < length or (head.method != "GET" and "content-length" not in head.headers):
            return None
        return Recorded(head.method, head.path, head.query, head.headers, body)

    def send(self, reply: Reply) -> None:
        simulator: HttpSimulator = self.server.simulator
        date = simulator.told or reply.headers.get("Date") or format_datetime(simulator.now, usegmt=True)
        self.send_response_only(reply.status)
        for name, value in {**reply.headers, "Date": date}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def drip(self, reply: Reply, closing: threading.Event) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body) + 1000))
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b" ")
            self.wfile.flush()
            if closing.wait(0.05):
                return

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def do_GET(self) -> None:
        self.server.simulator.handle(self)

    def __getattr__(self, name: str) -> Any:
        """`http.server` asks for do_POST, do_PUT and so on: all methods are handled alike."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """The ledger is the log."""
