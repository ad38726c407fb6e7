"""What was decoded of requests that wait in the spool, so that carrying them into the store need not decode them again.

Only a shortcut: bounded, forgotten at the end of the process, and what is not found is decoded from the spool.
"""

import threading
from typing import Generic, TypeVar

from watchtower.spool import Spooled

T = TypeVar("T")

MOST_BYTES = 2 << 20  # of bodies; decoded they take a few times as much


class Waiting(Generic[T]):
    """Kept by the event loop, taken by the thread that replays."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._known: dict[Spooled, T] = {}
        self._guard = threading.Lock()

    def keep(self, record: Spooled, decoded: T) -> None:
        size = len(record.body)
        with self._guard:
            if self._bytes + size <= self._most and record not in self._known:
                self._known[record] = decoded
                self._bytes += size

    def take(self, record: Spooled) -> T | None:
        with self._guard:
            found = self._known.pop(record, None)
            if found is not None:
                self._bytes -= len(record.body)
            return found
