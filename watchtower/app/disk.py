"""Room on the disk of an SQLite store: a reserve for what is owed, and events refused before the last of it is taken.

A file of 64 MiB lies beside the store. Below the low-water mark events are answered 503, so that what is stored already
can still be told; once the disk is full the file is given up for that. When there is room again, both are undone, and
nobody has to be there (promise P21).
"""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchtower.config.sections import StorageConfig
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

RESERVE = "reserve"
LOOK_S = 1.0
FULL_BYTES = 16 << 20  # less than this is full: a checkpoint of the store needs as much


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes. free: for this user."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from the room there is. refuse: no event is taken; hold: the reserve is there, or is made."""

    refuse: bool
    hold: bool


def low_water(storage: StorageConfig, total: int) -> int:
    """5 % of a small disk, 512 MiB of a large one."""
    return min(int(total * storage.low_water_share), storage.low_water)


def reserve_of(storage: StorageConfig, total: int) -> int:
    """No more than an eighth of a small disk."""
    return min(storage.reserve, total // 8)


def judge(storage: StorageConfig, room: Room, *, held: bool) -> Judgement:
    """While the reserve is given up, its room does not count: else events would fill it."""
    mark = low_water(storage, room.total)
    enough = mark if held else mark + reserve_of(storage, room.total)
    full = room.free < min(FULL_BYTES, mark // 4)
    return Judgement(refuse=room.free < enough, hold=room.free >= enough or (held and not full))


class Disk:
    """folder: of the store. changed: is told why events begin to be refused, and None when they are taken again; from
    the thread that looks."""

    def __init__(self, folder: Path, storage: StorageConfig, *, look_s: float = LOOK_S) -> None:
        self._folder = folder
        self._file = folder / RESERVE
        self.storage = storage
        self._look_s = look_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: str | None = None
        self.refusal: str | None = None  # why no event is taken at present
        self.changed: Callable[[str | None], None] = lambda why: None

    @classmethod
    def beside(cls, file: Path | None, storage: StorageConfig) -> "Disk | None":
        """Of the store's file, and looked at once: opening the store takes room itself. Without one, as other engines
        have a disk of their own, None."""
        if file is None or not file.parent.is_dir():
            return None
        disk = cls(file.parent, storage)
        with suppress(OSError):
            disk.look()
        return disk

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Before the store is opened, and every second from then on."""
        room = room_of(self._folder)
        held = self._file.exists()
        judged = judge(self.storage, room, held=held)
        if held and not judged.hold:
            self._file.unlink(missing_ok=True)
            log.warning("the disk is full: the reserve is given up for what is owed", extra={"free": room.free})
        elif judged.hold and not held and self.storage.reserve:
            make(self._file, reserve_of(self.storage, room.total))
        metrics.DISK_FREE.set(room.free)
        metrics.DISK_REFUSING.set(judged.refuse)
        self.refusal = self._why(room) if judged.refuse else None

    def _why(self, room: Room) -> str:
        mark = low_water(self.storage, room.total)
        return (
            f"the disk of the store has {room.free >> 20} MiB left, and below {mark >> 20} MiB no event is taken "
            f"(storage.low_water); free some space under {self._folder}"
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except OSError as error:
                log.warning("the disk cannot be looked at", extra={"why": str(error)})
            if (self.refusal is None) != (self._told is None):
                self._tell()
            self._stopping.wait(self._look_s)

    def _tell(self) -> None:
        self._told = self.refusal
        log.log(logging.WARNING if self._told else logging.INFO, "room on the disk", extra={"refusal": self._told})
        self.changed(self._told)


def room_of(folder: Path) -> Room:
    found = os.statvfs(folder)
    return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def make(file: Path, size: int) -> None:
    """Whole or not at all: a file without blocks of its own reserves nothing."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
