"""Signs of life of long work: whoever does it says at each step that it goes on, and what stands still is known.

A poll may take minutes and be well; one that hangs looks the same from outside, but for its steps. `beat` finds the
work of the calling thread by itself, so what makes the steps (the HTTP client, a copy of the store) need not be told.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager

from watchtower.ports import Clock


class Pulse:
    """Work under way, by name, and when each last gave a sign of life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._signs: dict[str, _Sign] = {}

    @contextmanager
    def of(self, name: str) -> Generator[None]:
        """While the calling thread does the work of this name, each `beat` in it is a sign of life."""
        sign = self._signs[name] = _Sign(self._clock)
        _here.sign = sign
        try:
            yield
        finally:
            _here.sign = None
            if self._signs.get(name) is sign:  # else it was left behind, and is done anew
                del self._signs[name]

    def still(self, after_s: float) -> list[str]:
        """What is under way and gave no sign for so long."""
        now = self._clock.boottime()
        return sorted(name for name, sign in self._signs.copy().items() if now - sign.at > after_s)


class _Sign:
    __slots__ = ("_clock", "at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.beat(0.0)

    def beat(self, for_s: float) -> None:
        self.at = self._clock.boottime() + for_s


class _Here(threading.local):
    sign: _Sign | None = None


_here = _Here()


def beat(for_s: float = 0.0) -> None:
    """The work of this thread, if it has a name, goes on. for_s: how long the next step may take by itself."""
    if _here.sign is not None:
        _here.sign.beat(for_s)
