"""Servers of a few lines that answer bytes as told, and keep a ledger of what they received."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, "Ledger"], None]


@dataclass
class Ledger:
    """connections: how many were accepted; requests: the bytes of each, head and body; names: SNI of each."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])
    names: list[str | None] = field(default_factory=list[str | None])
    stopping: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextlib.contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Generator[Ledger]:
    """answer is called once per connection, after TLS. It ends when the connection is closed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, 0))
    listener.listen(16)
    ledger = Ledger(port=listener.getsockname()[1])
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: ledger.names.append(name)
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.settimeout(0.1)
            spoken = tls.wrap_socket(connection, server_side=True) if tls else connection
            with spoken:
                answer(spoken, ledger)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            ledger.connections += 1
            threads.append(threading.Thread(target=one, args=(connection,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield ledger
    finally:
        ledger.stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for thread in threads:
            thread.join(5)


def read_request(connection: socket.socket, ledger: Ledger) -> bytes:
    """Head and body of one request; what came until the end if it was cut."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = _receive(connection, ledger)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < wanted and (chunk := _receive(connection, ledger)):
        body += chunk
    return head + b"\r\n\r\n" + body


def _receive(connection: socket.socket, ledger: Ledger) -> bytes:
    while not ledger.stopping.is_set():
        with contextlib.suppress(TimeoutError):
            return connection.recv(65536)
    return b""


def says(*lines: str, body: bytes = b"", status: str = "200 OK", keep_alive: bool = True) -> Answer:
    """Answer each request of a connection with status, header lines and body."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]).encode()

    def answer(connection: socket.socket, ledger: Ledger) -> None:
        while request := read_request(connection, ledger):
            ledger.requests.append(request)
            connection.sendall(head + body)
            if not keep_alive:
                return

    return answer


def raw(data: bytes) -> Answer:
    """Answer with these bytes, then close."""

    def answer(connection: socket.socket, ledger: Ledger) -> None:
        ledger.requests.append(read_request(connection, ledger))
        connection.sendall(data)

    return answer


def resets_at_once(connection: socket.socket, ledger: Ledger) -> None:
    """RST instead of an answer, after the request was read."""
    ledger.requests.append(read_request(connection, ledger))
    reset(connection)


def resets_in_body(connection: socket.socket, ledger: Ledger) -> None:
    ledger.requests.append(read_request(connection, ledger))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    reset(connection)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drips(first: bytes) -> Answer:
    """One byte every 50 ms, without end: each read is quick, the whole never is."""

    def answer(connection: socket.socket, ledger: Ledger) -> None:
        if first:
            ledger.requests.append(read_request(connection, ledger))
            connection.sendall(first)
        while not ledger.stopping.wait(0.05):
            connection.sendall(b"x")

    return answer


def silent(connection: socket.socket, ledger: Ledger) -> None:
    ledger.requests.append(read_request(connection, ledger))
    ledger.stopping.wait(10)


def endless(head: bytes) -> Answer:
    """Answer with a body that does not end."""

    def answer(connection: socket.socket, ledger: Ledger) -> None:
        ledger.requests.append(read_request(connection, ledger))
        connection.sendall(head)
        while not ledger.stopping.is_set():
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n" if b"chunked" in head else b"x" * 65536)

    return answer
