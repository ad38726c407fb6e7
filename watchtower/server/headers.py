"""Headers that every answer carries (SR-25), and the two shapes of an answer made without a framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

# No script, no inline style, no foreign origin, no frame: pages are plain HTML with one style sheet of our own.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HSTS_S = 31_536_000  # one year

_COMMON = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cache-control": "no-store",
}


def security_headers(*, secure: bool) -> RawHeaders:
    """secure: the site is reached by TLS."""
    headers = dict(_COMMON)
    if secure:
        headers["strict-transport-security"] = f"max-age={_HSTS_S}"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def problem(status: int, detail: str, *, slug: str = "", instance: str = "") -> bytes:
    """RFC 9457. slug: of the problem's type, when it is more than its status says."""
    document = {
        "type": f"urn:watchtower:problem:{slug}" if slug else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if instance:
        document["instance"] = f"urn:watchtower:request:{instance}"
    return msgspec.json.encode(document)


async def answer(send: Send, status: int, body: bytes, headers: RawHeaders, *, content_type: bytes) -> None:
    """Send a whole answer."""
    length = str(len(body)).encode()
    fixed = [(b"content-type", content_type), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fixed})
    await send({"type": "http.response.body", "body": body})
