"""Deadlines of the event loop that are nearly always met: a dict entry each, and one timer for all of one length.

Every request has three (its headers, its body, its commit), and a timer of its own for each of them cost more than
reading the request. Of equal lengths the first that began is the first that ends, so one timer suffices.
"""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_here = threading.local()


class Deadlines:
    """All deadlines of one length on one loop. Used from the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._is_armed = False

    def begin(self, key: object, late: Callable[[], None]) -> None:
        """Call late once, unless `end` comes first. One deadline a key."""
        at = self.loop.time() + self._seconds
        self._waiting[key] = (at, late)
        if not self._is_armed:
            self._is_armed = True
            self.loop.call_at(at, self._look)

    def end(self, key: object) -> None:
        """In time, or nobody waits any more."""
        self._waiting.pop(key, None)

    def _look(self) -> None:
        now = self.loop.time()
        while self._waiting:
            key = next(iter(self._waiting))
            at, late = self._waiting[key]
            if at > now:
                self.loop.call_at(at, self._look)
                return
            del self._waiting[key]
            late()
        self._is_armed = False


def deadlines(loop: asyncio.AbstractEventLoop, seconds: float) -> Deadlines:
    """Those of this length on this thread's loop."""
    known: dict[float, Deadlines] | None = getattr(_here, "known", None)
    if known is None:
        known = _here.known = {}
    found = known.get(seconds)
    if found is None or found.loop is not loop:
        found = known[seconds] = Deadlines(loop, seconds)
    return found


class within:  # noqa: N801 - used as `with within(…)`, like asyncio.timeout
    """As `asyncio.timeout`: the block raises TimeoutError if it takes longer than this."""

    __slots__ = ("_deadlines", "_is_late", "_task")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that can be interrupted")
        self._task = task
        self._deadlines = deadlines(task.get_loop(), seconds)
        self._is_late = False

    def __enter__(self) -> Self:
        self._deadlines.begin(self, self._late)
        return self

    def _late(self) -> None:
        self._is_late = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if self._is_late and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error
