"""Commands speak to a Watchtower through its own API: one that runs on this machine over the Unix socket of its state
directory, any other by URL and token, and where none runs they open the store themselves, holding its lock."""

import http.client
import json
import socket
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from watchtower.cli.settings import Settings
from watchtower.clock import SystemClock
from watchtower.errors import UsageError
from watchtower.server.local import LocalConnection

if TYPE_CHECKING:
    from watchtower.app import Instance

TIMEOUT_S = 30.0
PAGE = 200


JSON = "application/json"
PROTOBUF = "application/x-protobuf"


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

    def send(self, path: str, body: bytes, content_type: str = JSON) -> Any:
        """Post a body as it is. None: protobuf is answered in protobuf, which nobody here reads."""
        return self._ask("POST", path, body, content_type)

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

    def _ask(self, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Any:
        status, location, text = self._exchange(method, path, body, content_type)
        if status == 308:  # a run that was merged with another one
            status, _, text = self._exchange(method, location, body, content_type)
        if status >= 300:
            raise UsageError(self._said(text, status))
        try:
            return json.loads(text) if text and not content_type.startswith(PROTOBUF) else None
        except ValueError:
            raise UsageError(f"what answers at {self._where} is no Watchtower; check the address") from None

    def _said(self, text: bytes, status: int) -> str:
        """The detail of a problem document (RFC 9457), and what helps."""
        try:
            detail = str(json.loads(text)["detail"])
        except (ValueError, KeyError, TypeError):
            return f"{self._where} answered {status} in a way that Watchtower does not; check the address"
        if status == 401 and not self._headers:
            return f"{self._where} wants a token: name one by --token or $WATCHTOWER_TOKEN"
        if status == 403:
            return f"{detail}; `watchtower token create NAME --scope …` on the server's machine makes one that may"
        return detail

    def _exchange(self, method: str, path: str, body: bytes | None, content_type: str) -> tuple[int, str, bytes]:
        headers = {**self._headers, "Accept": JSON, "Content-Type": content_type}
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.headers.get("Location", ""), answer.read()
        except http.client.HTTPException as error:
            raise UsageError(f"what answers at {self._where} speaks no HTTP ({error!r}); check the address") from error
        except ssl.SSLCertVerificationError as error:
            remedy = "name the file of its authority by $SSL_CERT_FILE"
            raise UsageError(f"{self._where} is not trusted here ({error.verify_message}); {remedy}") from error
        except ssl.SSLError as error:
            why = error.reason or error
            raise UsageError(f"{self._where}: no TLS connection ({why}); is it http:// instead?") from error
        except TimeoutError as error:
            raise UsageError(f"{self._where} did not answer within {TIMEOUT_S:g} s") from error
        except OSError as error:
            why = error.strerror or error
            raise UsageError(f"{self._where} cannot be reached ({why}); is Watchtower running there?") from error


@contextmanager
def connected(settings: Settings, *, new: bool = False) -> Generator[Client]:
    """A client of the Watchtower that settings mean. new: where there is none yet, make its store."""
    with _found(settings, new=new) as client:
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _found(settings: Settings, *, new: bool) -> Generator[Client]:
    if settings.server_url:
        yield _by_url(settings.server_url, settings.server_token)
        return
    from watchtower.config.places import SOCKET

    path = settings.state_dir / SOCKET
    if _answers(path):
        yield Client(LocalConnection(path, TIMEOUT_S), f"the Watchtower on {path}", settings.server_token)
        return
    with opened(settings, new=new) as instance:
        yield Client(LocalConnection(instance.state.socket, TIMEOUT_S), "the store", settings.server_token)


@contextmanager
def opened(settings: Settings, *, new: bool = False) -> "Generator[Instance]":
    """The store of settings, opened by this process: nothing that is due is done, nobody else can reach it."""
    config = settings.read()
    if not new:
        settings.store_url(config)
    from watchtower.app import Instance, Options

    instance = Instance(config, Options(settings.state_dir, live=False, local_only=True), SystemClock())
    try:
        instance.start()
        yield instance
    finally:
        instance.stop()


def _by_url(url: str, token: str | None) -> Client:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.path not in ("", "/"):
        raise UsageError(f"--url {url!r} is not of the form http://HOST:PORT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return Client(kind(parts.hostname, port, timeout=TIMEOUT_S), f"the Watchtower at {url.rstrip('/')}", token)


def _answers(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
