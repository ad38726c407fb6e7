"""Brings results of the writing thread to the event loop: one wake-up for all that one commit answers.

A group commit answers dozens of requests at once; waking the loop for each of them cost more than the requests' share
of the commit.
"""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from watchtower.server.deadlines import deadlines

T = TypeVar("T")

_here = threading.local()


async def in_time(future: "Future[T]", seconds: float) -> T:
    """The result of a future of another thread. Raises TimeoutError if it is not done; it goes on then."""
    if not future.done():
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        limits = deadlines(loop, seconds)
        limits.begin(turn, partial(_answer, turn, False))
        _arrivals(loop).expect(future, turn)
        try:
            if not await turn:
                raise TimeoutError
        finally:
            limits.end(turn)
    return future.result()


class _Arrivals:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[asyncio.Future[bool]] = deque()
        self._is_called = False

    def expect(self, future: "Future[Any]", turn: "asyncio.Future[bool]") -> None:
        future.add_done_callback(lambda _: self._arrived(turn))

    def _arrived(self, turn: "asyncio.Future[bool]") -> None:
        """In the other thread. First in the queue, then the look at the flag: `_deliver` does it the other way round,
        so either it still meets this one, or it is called once more."""
        self._done.append(turn)
        if not self._is_called:
            self._is_called = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._is_called = False

    def _deliver(self) -> None:
        self._is_called = False
        while self._done:
            _answer(self._done.popleft(), True)


def _answer(turn: "asyncio.Future[bool]", is_done: bool) -> None:
    if not turn.done():
        turn.set_result(is_done)


def _arrivals(loop: asyncio.AbstractEventLoop) -> _Arrivals:
    """Those of this thread's loop."""
    found: _Arrivals | None = getattr(_here, "arrivals", None)
    if found is None or found.loop is not loop:
        found = _here.arrivals = _Arrivals(loop)
    return found
