"""The spool: where events wait, durable, while the store is slow, locked or away.

A folder of append-only segments. A record is `length | crc32 | payload`; many records share one fsync. Its original
time of receipt goes with each record. A segment is removed only after its records are committed to the store; a torn
tail, which no sender was ever told about, is passed over. One process owns a folder at a time.
"""

import contextlib
import fcntl
import logging
import os
import queue
import struct
import threading
import zlib
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from watchtower.durable import make_folder, sync_folder
from watchtower.errors import UsageError, WatchtowerError
from watchtower.telemetry.metrics import SPOOL_BYTES, SPOOL_RECORDS

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 30  # 1 GiB, design §2a.9
SEGMENT_BYTES = 8 << 20
MAX_GROUP = 1_000  # records per fsync
MAGIC = b"WTSPOOL1"
SUFFIX = ".spool"
DAMAGED = ".damaged"
_HEADER = struct.Struct("<II")  # length of the payload, CRC-32 of that length and the payload


class SpoolFull(WatchtowerError):
    """The spool has reached its bound, or its disk is full: nothing more can be accepted until the store is back.
    reason: also a metric label."""

    reason = "spool_full"


class DiskLow(SpoolFull):
    """The disk has to keep its last room for what is stored already."""

    reason = "disk_low"


class Spooled(msgspec.Struct, frozen=True, array_like=True):
    """One request's body, inflated, and how it came in. received_at: aware UTC, the original time of receipt. source:
    the only source that the sender's token may write; None: any. replay: the sender says that it is historical."""

    collector: str
    received_at: datetime
    body: bytes
    content_type: str = "application/json"
    source: str | None = None
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """What can be read of one segment. unread: bytes at its end that are no whole record; damaged: they cannot be the
    torn end of a write that was never confirmed, so something else has spoilt the file."""

    path: Path
    records: tuple[Spooled, ...]
    unread: int = 0
    damaged: bool = False


@dataclass(slots=True)
class _Pending:
    """A frame to be written. An empty one asks that the open segment be closed."""

    frame: bytes
    future: "Future[None]" = field(default_factory=Future[None])


class Spool:
    """Opens folder, making it if need be. Raises UsageError when another process has it open."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.segment_bytes = segment_bytes
        make_folder(folder)
        self._lock_file = _lock(folder)
        self._guard = threading.Lock()  # over the next three and the order of the queue
        self._sealed = {path: path.stat().st_size for path in segment_paths(folder)}
        self._bytes = sum(self._sealed.values())
        self._closed = False
        # Of the writer thread alone: the open segment, its number, and its bytes that are known to be on the disk.
        self._file: IO[bytes] | None = None
        self._number = max((int(path.stem) for path in self._sealed), default=0)
        self._confirmed = 0
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        SPOOL_BYTES.set(self._bytes)
        self._thread = threading.Thread(target=self._write_loop, name="spool-writer", daemon=True)
        self._thread.start()

    def append(self, record: Spooled) -> "Future[None]":
        """Queue record; the future is done when it is on the disk. Raises SpoolFull, or the future holds it."""
        pending = _Pending(frame_of(record))
        with self._guard:
            if self._closed:
                raise SpoolFull("the spool is closed: the server is stopping")
            if self._bytes + len(pending.frame) > self.max_bytes:
                raise SpoolFull(f"the spool {self.folder} holds its {self.max_bytes} bytes; bring the store back first")
            self._bytes += len(pending.frame)
            self._queue.put(pending)
        return pending.future

    @property
    def size_bytes(self) -> int:
        """Bytes of records that wait, those just being written included."""
        with self._guard:
            return self._bytes

    def segments(self) -> list[Path]:
        """All segments, oldest first, closed: what comes in from now on goes into another one."""
        pending = _Pending(b"")
        with self._guard:
            if self._closed or self._bytes == 0:
                return list(self._sealed)
            self._queue.put(pending)
        pending.future.result()
        with self._guard:
            return list(self._sealed)

    def remove(self, path: Path) -> None:
        """Its records are committed elsewhere."""
        path.unlink(missing_ok=True)
        self._forget(path)

    def set_aside(self, path: Path) -> Path:
        """Keep a damaged segment, out of the way, to be looked at."""
        kept = path.rename(path.with_suffix(DAMAGED))
        self._forget(path)
        return kept

    def close(self) -> None:
        """Write what is queued, then let the folder go. What waits in it stays."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._lock_file.close()

    def _forget(self, path: Path) -> None:
        with self._guard:
            self._bytes -= self._sealed.pop(path)
        SPOOL_BYTES.set(self.size_bytes)

    # -- the writer thread ----------------------------------------------------------------------------------------

    def _write_loop(self) -> None:
        stop = False
        while not stop:
            group = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(group) < MAX_GROUP:
                    group.append(self._queue.get_nowait())
            stop = None in group  # put last, by close
            self._write_group([pending for pending in group if pending is not None])
        self._seal()

    def _write_group(self, group: list[_Pending]) -> None:
        frames = [pending.frame for pending in group if pending.frame]
        try:
            if frames:
                self._write(b"".join(frames))
        except OSError as error:
            log.exception("the spool cannot be written", extra={"folder": str(self.folder)})
            self._give_up(sum(map(len, frames)))
            failure = SpoolFull(f"the spool {self.folder} cannot be written ({error.strerror or error}); free its disk")
            for pending in group:
                pending.future.set_exception(failure) if pending.frame else pending.future.set_result(None)
            return
        SPOOL_RECORDS.labels(direction="in").inc(len(frames))
        SPOOL_BYTES.set(self.size_bytes)
        if self._confirmed >= self.segment_bytes or len(frames) < len(group):
            self._seal()
        for pending in group:
            pending.future.set_result(None)

    def _write(self, data: bytes) -> None:
        file = self._file or self._open()
        _write_all(file, data)
        os.fdatasync(file.fileno())
        self._confirmed += len(data)

    def _open(self) -> IO[bytes]:
        self._number += 1
        self._file = (self.folder / f"{self._number:016d}{SUFFIX}").open("xb", buffering=0)
        self._confirmed = 0
        _write_all(self._file, MAGIC)
        sync_folder(self.folder)
        self._confirmed = len(MAGIC)
        return self._file

    def _give_up(self, lost: int) -> None:
        """After a failed write nothing is known of what lies behind the confirmed end: cut there, begin another."""
        with self._guard:
            self._bytes -= lost
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(self._confirmed)
        self._seal()

    def _seal(self) -> None:
        if self._file is None:
            return
        path = Path(str(self._file.name))
        with contextlib.suppress(OSError):
            self._file.close()
        with self._guard:
            # The reservations held its frames; its magic is counted from here on.
            self._sealed[path] = self._confirmed
            self._bytes += min(len(MAGIC), self._confirmed)
        self._file = None


# -- reading ------------------------------------------------------------------------------------------------------


def segment_paths(folder: Path) -> list[Path]:
    """The segments of folder, oldest first; of a folder that no process owns any more, or one's own."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def read_segment(path: Path) -> Segment:
    """All whole records of a segment, in the order in which they were written."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        torn = MAGIC.startswith(data) or not data.strip(b"\0")
        return Segment(path, (), len(data), damaged=not torn)
    records: list[Spooled] = []
    place = len(MAGIC)
    while place < len(data):
        record, end = _record_at(data, place)
        if record is None:
            break
        records.append(record)
        place = end
    rest = data[place:]
    return Segment(path, tuple(records), len(rest), damaged=bool(rest) and not _is_torn(rest))


def frame_of(record: Spooled) -> bytes:
    payload = msgspec.msgpack.encode(record)
    length = len(payload)
    return _HEADER.pack(length, _checksum(length, payload)) + payload


def _record_at(data: bytes, place: int) -> tuple[Spooled | None, int]:
    if place + _HEADER.size > len(data):
        return None, place
    length, checksum = _HEADER.unpack_from(data, place)
    end = place + _HEADER.size + length
    payload = data[place + _HEADER.size : end]
    if len(payload) < length or _checksum(length, payload) != checksum:
        return None, place
    try:
        return msgspec.msgpack.decode(payload, type=Spooled), end
    except msgspec.MsgspecError:
        return None, place


def _is_torn(rest: bytes) -> bool:
    """Whether rest can be what a write left that never came to its end: cut short, or zeros never filled."""
    if len(rest) < _HEADER.size or not rest.strip(b"\0"):
        return True
    length, _ = _HEADER.unpack_from(rest)
    return _HEADER.size + length > len(rest) or not rest[-1:].strip(b"\0")


def _checksum(length: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(length.to_bytes(4, "little")))


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _lock(folder: Path) -> IO[bytes]:
    file = (folder / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(
            f"the spool {folder} is in use by another process; stop it, or give this one its own --state folder"
        ) from error
    return file
