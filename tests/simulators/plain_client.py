"""The HttpClient port on nothing but the standard library: what a channel needs of it, without the address guard."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from watchtower.errors import Permanent, Reason, Transient
from watchtower.ports import HttpAnswer

MAX_ANSWER = 1024 * 1024


class PlainClient:
    """limit_s: the whole exchange ends by then, however slowly the other side talks."""

    def __init__(self, limit_s: float = 0.6) -> None:
        self._limit_s = limit_s

    def check(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Permanent(Reason.REFUSED_ADDRESS, f"{url}: not http or https")

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
        self.check(url)
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=min(timeout_s, self._limit_s))
        try:
            connection.connect()
        except OSError as error:
            raise Transient(Reason.CONNECT, f"connect {parts.netloc}: {error}") from error
        timer = threading.Timer(min(timeout_s, self._limit_s), _cut, [connection.sock])
        timer.start()
        try:
            path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request(method, path, body=body or None, headers=dict(headers or {}))
            return _answer(connection.getresponse())
        except (OSError, http.client.HTTPException, ssl.SSLError) as error:
            timed_out = isinstance(error, TimeoutError)
            raise Transient(
                Reason.TIMEOUT if timed_out else Reason.CONNECT, repr(error), outcome_unknown=True
            ) from error
        finally:
            timer.cancel()
            connection.close()


def _answer(response: http.client.HTTPResponse) -> HttpAnswer:
    body = response.read(MAX_ANSWER + 1)
    if len(body) > MAX_ANSWER:
        raise Transient(Reason.TOO_LARGE, "the answer is larger than 1 MiB", outcome_unknown=True)
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    headers = {name.lower(): value for name, value in response.getheaders()}
    if headers.get("content-encoding"):
        raise Transient(Reason.BAD_ANSWER, "a content encoding that was not asked for", outcome_unknown=True)
    return HttpAnswer(response.status, headers, body)


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
