"""What `watchtower run` tells, and where it waits meanwhile: one file for each run in a folder of its own.

A line is written and synced before it is sent; the file goes when all of it was taken. Who holds the file's lock tells
it; a file without a holder is told by whoever comes next. Imported while the command runs, so that it need not wait.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from watchtower.durable import make_folder, sync_folder
from watchtower.wrapper import MOST_WAITING, Options, Said

PATH = "/api/v1/events"
SUFFIX = ".jsonl"
_ANSWER_BYTES = 64 << 10
_REFUSED = frozenset({400, 413, 422})  # would be refused again
_SOCKETS = ("/var/lib/watchtower", "{XDG_STATE_HOME}/watchtower", "{HOME}/.local/state/watchtower")


class Away(Exception):
    """Watchtower did not take it; it is tried again later."""


def tell(options: Options, said: Said) -> None:
    """At the end of a run what waits of other runs is told too, while the patience lasts."""
    until = time.monotonic() + options.patience
    event = _event(options, said)
    name = f"{int(said.started * 1000):015d}-{said.run_id}{SUFFIX}"
    try:
        with _file(options, name) as lines:
            lines.append(event)
            lines.send(options, until)
            waits = bool(lines.waiting)
    except OSError as error:  # the spool is full or cannot be written: then it is told all the same, now or never
        sys.stderr.write(f"watchtower run: {error.filename or options.spool}: {error.strerror or error}\n")
        with suppress(Away):
            _post(options, json.dumps(event).encode(), until)
        return
    if said.status is not None and not waits:
        _others(options, until)


def flush(options: Options) -> int:
    """Tell everything that waits: 0 if nothing is left, else 1."""
    left = _others(options, time.monotonic() + 3600)
    if left:
        sys.stderr.write(f"watchtower run: {left} runs still wait in {options.spool}\n")
    return 1 if left else 0


class _Lines:
    """The file of one run. sent: how many of its lines were taken, by this process."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = b"".join(iter(lambda: os.read(descriptor, 65_536), b""))
        self.waiting = [line for line in text.split(b"\n") if _is_whole(line)]

    def append(self, event: "dict[str, Any]") -> None:
        line = json.dumps(event).encode()
        os.write(self._descriptor, b"\n" + line + b"\n")  # a torn line before it ends here
        os.fsync(self._descriptor)
        self.waiting.append(line)

    def send(self, options: Options, until: float) -> None:
        """All in one request: taking one twice changes nothing. Stays as it is if Watchtower is away."""
        try:
            _post(options, b"[" + b",".join(self.waiting) + b"]", until)
        except Away:
            return
        self.waiting = []
        os.unlink(self.path)


@contextmanager
def _file(options: Options, name: str) -> Generator[_Lines]:
    """The file of this run, locked. Raises OSError."""
    make_folder(options.spool)
    path = os.path.join(options.spool, name)
    is_new = not os.path.exists(path)
    if is_new and len(os.listdir(options.spool)) >= MOST_WAITING:
        raise OSError(errno.ENOSPC, f"{MOST_WAITING} runs wait in the spool; is Watchtower at {options.url}?", path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_new:
            sync_folder(options.spool)
        yield _Lines(path, descriptor)
    finally:
        os.close(descriptor)


def _others(options: Options, until: float) -> int:
    """How many runs still wait."""
    left = 0
    for name in sorted(os.listdir(options.spool)) if os.path.isdir(options.spool) else ():
        if not name.endswith(SUFFIX):
            continue
        if time.monotonic() >= until:
            left += 1
            continue
        with suppress(FileNotFoundError):
            descriptor = os.open(os.path.join(options.spool, name), os.O_RDWR | os.O_APPEND)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lines = _Lines(os.path.join(options.spool, name), descriptor)
                if lines.waiting:
                    lines.send(options, until)
                left += bool(lines.waiting)
            except BlockingIOError:  # of a run that is being told just now
                pass
            finally:
                os.close(descriptor)
    return left


def _event(options: Options, said: Said) -> "dict[str, Any]":
    status = said.status
    event: dict[str, Any] = {
        "job": options.job,
        "namespace": options.namespace,
        "run": said.run_id,
        "event": "start" if status is None else "complete" if status == 0 else "fail",
        "at": said.started if status is None else said.ended,
        "started_at": said.started,
        "actor": os.environ.get("LOGNAME") or os.environ.get("USER"),
        "tags": {"host": socket.gethostname()},
        "traceparent": os.environ.get("TRACEPARENT"),
    }
    text = said.output.decode("utf-8", "replace")
    if text:
        event["output"] = text
    if status:
        event["error"] = {"message": _message(status, text), "stack": text}
    return {name: value for name, value in event.items() if value is not None}


def _message(status: int, text: str) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"exit status {status}: {lines[-1][:300]}" if lines else f"exit status {status}"


def _post(options: Options, body: bytes, until: float) -> None:
    """Raises Away."""
    left = until - time.monotonic()
    if left <= 0:
        raise Away
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if options.token:
        lines.append(f"Authorization: Bearer {options.token}")
    try:
        with _connected(options, left, lines) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            status, text = _answer(connection, until)
    except (OSError, ValueError) as error:
        raise Away from error
    if status >= 300:
        _complain(status, text)


def _answer(connection: socket.socket, until: float) -> "tuple[int, bytes]":
    """Status and body. Raises OSError, or ValueError for what is no HTTP."""
    answer = b""
    while len(answer) < _ANSWER_BYTES:
        connection.settimeout(max(0.001, until - time.monotonic()))
        some = connection.recv(65_536)
        if not some:
            break
        answer += some
    head, _, body = answer.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError("no answer of HTTP")
    return int(rest[:3]), body


def _complain(status: int, text: bytes) -> None:
    try:
        why = str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        why = f"it answered {status}"
    kept = status not in _REFUSED
    sys.stderr.write(f"watchtower run: not taken: {why}{'; it is kept, and told later' if kept else ''}\n")
    if kept:
        raise Away


def _connected(options: Options, timeout_s: float, lines: "list[str]") -> socket.socket:
    """A connection, and the name of its other side among lines. Raises Away where no Watchtower is known, OSError, or
    ValueError. Spoken by hand: http.client brings e-mail's parsers along, which cost more than all the rest."""
    if not options.url:
        lines.append("Host: localhost")
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        found.settimeout(timeout_s)
        found.connect(_socket(options))
        return found
    scheme, separator, rest = options.url.partition("://")
    if not separator or scheme not in ("http", "https"):
        raise ValueError(f"{options.url!r} is not of the form http://HOST:PORT")
    place = rest.partition("/")[0]
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host = (host if colon else place).strip("[]")
    lines.append(f"Host: {place}")
    plain = socket.create_connection((host, int(port) if colon else {"http": 80, "https": 443}[scheme]), timeout_s)
    if scheme == "http":
        return plain
    import ssl

    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:  # nothing that passes by itself, so it is said
        said = f"{options.url}: {error.verify_message}; name the file of its authority by $SSL_CERT_FILE"
        sys.stderr.write(f"watchtower run: {said}\n")
        raise


def _socket(options: Options) -> str:
    """That of a Watchtower on this machine, run by this user."""
    named = (options.state,) if options.state else _SOCKETS
    for place in named:
        with suppress(KeyError):
            path = os.path.join(place.format_map(os.environ), "watchtower.sock")
            if os.path.exists(path):
                return path
    sys.stderr.write("watchtower run: no Watchtower is known: set $WATCHTOWER_URL and $WATCHTOWER_TOKEN\n")
    raise Away


def _is_whole(line: bytes) -> bool:
    """A line that was torn by a crash was told to nobody."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
