"""Commands speak to a Watchtower through its own API: one that runs on this machine over the Unix socket of its state
directory, any other by URL and token, and where none runs they open the store themselves, holding its lock."""

import http.client
import json
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from watchtower.app import Instance, Options
from watchtower.app.state import SOCKET
from watchtower.cli.settings import Settings
from watchtower.clock import SystemClock
from watchtower.errors import UsageError

TIMEOUT_S = 30.0
PAGE = 200


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


class Client:
    """One kept-alive connection. where: for messages."""

    def __init__(self, connection: http.client.HTTPConnection, where: str, token: str | None = None) -> None:
        self._connection = connection
        self._where = where
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises UsageError with what the server said."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given, doseq=True)}" if given else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, json.dumps(body or {}).encode())

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def send(self, path: str, body: bytes) -> Any:
        """Post a body as it is."""
        return self._ask("POST", path, body)

    def items(self, path: str, query: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
        """Up to limit items of a list, over as many pages as that takes."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self.get(path, {**query, "limit": min(PAGE, limit - len(found)), "cursor": cursor})
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        headers = {**self._headers, "Accept": "application/json", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise UsageError(f"{self._where} does not answer: {error}; is it running?") from error
        if answer.status >= 300:
            raise UsageError(_said(text, f"{self._where} answered {answer.status}"))
        return json.loads(text) if text else None


def _said(text: bytes, otherwise: str) -> str:
    """The detail of a problem document (RFC 9457)."""
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return otherwise


@contextmanager
def connected(settings: Settings) -> Generator[Client]:
    """A client of the Watchtower that settings mean."""
    if settings.url:
        client = _by_url(settings.url, settings.token)
        try:
            yield client
        finally:
            client.close()
        return
    path = settings.state_dir / SOCKET
    if _answers(path):
        client = Client(_UnixConnection(path), f"the Watchtower on {path}")
        try:
            yield client
        finally:
            client.close()
        return
    with opened(settings) as instance:
        client = Client(_UnixConnection(instance.state.socket), "the store")
        try:
            yield client
        finally:
            client.close()


@contextmanager
def opened(settings: Settings) -> Generator[Instance]:
    """The store of settings, opened by this process: nothing that is due is done, nobody else can reach it."""
    options = Options(settings.state_dir, live=False, local_only=True)
    instance = Instance(settings.config(), options, SystemClock())
    instance.start()
    try:
        yield instance
    finally:
        instance.stop()


def _by_url(url: str, token: str | None) -> Client:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url {url!r} is not of the form http://HOST:PORT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return Client(kind(parts.hostname, parts.port, timeout=TIMEOUT_S), url, token)


def _answers(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def pick(rows: Sequence[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Only these fields of rows."""
    return [{name: row.get(name) for name in names} for row in rows]
