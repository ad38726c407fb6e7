"""Request bodies: read within limits of time and size, and inflated within the same limit of size.

The limit holds for what comes over the wire and for what it inflates to (a 100 kB gzip can hold 100 MB).
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import zstandard

from watchtower.errors import BadInput
from watchtower.telemetry import metrics

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

HEAD_BYTES = 64 << 10  # kept of a body that is too large
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP_NAMES = frozenset({"gzip", "x-gzip"})
_PLAIN_NAMES = frozenset({"", "identity"})
_STEP = 1 << 20
_ZSTD_STEP = 256  # bytes: a block of four can stand for 128 KiB, so this is at most 8 MiB
_ZSTD_WINDOW = 8 << 20  # what a sender may expect of a receiver (RFC 9659)


class TooLarge(BadInput):
    """head: its first bytes, inflated if they came compressed."""

    def __init__(self, message: str, head: bytes) -> None:
        self.head = head
        super().__init__(message)


class Disconnected(Exception):
    """The sender went away before the body was complete."""


class Busy(Exception):
    """Too many bytes are in flight already."""


class Admission:
    """Bounds the bytes of bodies in flight, not the number of requests. Used from the event loop only."""

    def __init__(self, limit: int, patience_s: float = 5.0) -> None:
        self._limit = limit
        self._patience_s = patience_s
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        metrics.INGEST_INFLIGHT.set_function(lambda: self._used)

    def take(self, size: int) -> bool:
        """Whether size bytes more are allowed at once."""
        if self._waiting or self._used + size > self._limit:
            return False
        self._used += size
        return True

    async def acquire(self, size: int) -> None:
        """Wait until size bytes more are allowed; raises Busy after patience_s."""
        if self.take(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release(size)
            elif (size, turn) in self._waiting:
                self._waiting.remove((size, turn))
            if isinstance(error, TimeoutError):
                raise Busy from error
            raise

    def release(self, size: int) -> None:
        self._used -= size
        while self._waiting and self._used + self._waiting[0][0] <= self._limit:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._used += size
                turn.set_result(None)


class Lease:
    """What one request holds of the admission; grown while it reads, given back at its end."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 0

    async def grow_to(self, size: int) -> None:
        if size > self._held:
            if not self._admission.take(size - self._held):
                await self._admission.acquire(size - self._held)
            self._held = size

    def close(self) -> None:
        if self._held:
            self._admission.release(self._held)
            self._held = 0


async def read_body(receive: Receive, lease: Lease, limit: int, declared: int | None) -> bytes:
    """The whole body. Raises TooLarge, Disconnected, Busy. The caller bounds the time."""
    if declared is not None and declared <= limit:
        await lease.grow_to(declared)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        chunks.append(chunk)
        if size > limit or (declared is not None and declared > limit and size >= HEAD_BYTES):
            raise TooLarge(
                f"the body has more than {limit} bytes; send fewer events at once", b"".join(chunks)[:HEAD_BYTES]
            )
        await lease.grow_to(size)
        if not message.get("more_body", False):
            break
    if declared is not None and declared > limit:
        raise TooLarge(f"the body has {declared} bytes, more than {limit}; send fewer events at once", b"".join(chunks))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """body without its Content-Encoding. Raises BadInput for what cannot be inflated, TooLarge beyond limit.

    A wrong header costs no event: gzip is known by its first bytes, and JSON that only claims to be compressed is
    taken as it is.
    """
    encoding = encoding.strip().lower()
    if encoding in _GZIP_NAMES | {"deflate", "zstd"} and body.lstrip()[:1] in (b"{", b"["):
        return body
    if encoding == "zstd":
        return _inflate_zstd(body, limit)
    if body.startswith(_GZIP) and encoding in _GZIP_NAMES | _PLAIN_NAMES:
        return _inflate(body, 16 + zlib.MAX_WBITS, limit)
    if encoding in _PLAIN_NAMES:
        return body
    if encoding == "deflate":  # RFC 9110 means zlib by it; some senders send it raw
        wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, limit)
    if encoding in _GZIP_NAMES:
        raise BadInput("the body is not gzip, as its Content-Encoding says, and no JSON either")
    raise BadInput(f"Content-Encoding {encoding[:40]!r} is unknown here; known: gzip, zstd, deflate, identity")


def _inflate(body: bytes, wbits: int, limit: int) -> bytes:
    """All members of a gzip stream; what follows the last one is passed over."""
    parts: list[bytes] = []
    size, rest = 0, body
    while True:
        inflater = zlib.decompressobj(wbits)
        while not inflater.eof:
            try:
                part = inflater.decompress(rest, _STEP)
            except zlib.error as error:
                raise BadInput(f"the body is not what its Content-Encoding says: {error}") from error
            rest = inflater.unconsumed_tail
            parts.append(part)
            size += len(part)
            if size > limit:
                raise TooLarge(f"the body inflates to more than {limit} bytes", b"".join(parts)[:HEAD_BYTES])
            if not part and not rest and not inflater.eof:
                raise BadInput("the compressed body is cut short")
        rest = inflater.unused_data
        if not rest.startswith(_GZIP):
            return b"".join(parts)


def _inflate_zstd(body: bytes, limit: int) -> bytes:
    """All frames, in small steps: what one step makes is not bounded by the library."""
    parts: list[bytes] = []
    size, place = 0, 0
    while place < len(body):
        if not body.startswith(_ZSTD, place):
            raise BadInput("the body is not zstd, as its Content-Encoding says, and no JSON either")
        inflater = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        while not inflater.eof:
            if place >= len(body):
                raise BadInput("the compressed body is cut short")
            try:
                part = inflater.decompress(body[place : place + _ZSTD_STEP])
            except zstandard.ZstdError as error:
                raise BadInput(f"the body is not what its Content-Encoding says: {error}") from error
            place += _ZSTD_STEP
            parts.append(part)
            size += len(part)
            if size > limit:
                raise TooLarge(f"the body inflates to more than {limit} bytes", b"".join(parts)[:HEAD_BYTES])
        place = min(place, len(body)) - len(inflater.unused_data)
    return b"".join(parts)
