"""How surely a series stands still: values that are stuck are none that a jump, a step or a shape shows.

All of the newest 6, or 24, changes are small. If changes came as they always did, so many would all be as small as the
largest of them once in so many rows: that is told in bits, beyond the stillest so far. So nights that are calm, and a
series that mostly says the same, tell nothing. What is told teaches nothing, unless it goes on: then that is how it is.
"""

import math
from bisect import bisect_right
from collections import deque

from rules.anomaly.windows import SortedWindow

MEMORY = 4000  # rows
SIZES = (6, 24)  # changes
LEAST = 100  # rows without which nobody knows what is still
SURE = 20.0  # bits beyond all before: once in a million such stretches
LONGEST = 100  # rows that it is told; what is still for longer is learned


class _Stretch:
    """So many changes in a row."""

    __slots__ = ("_newest", "_size", "stillest")

    def __init__(self, size: int) -> None:
        self._size = size
        self._newest: deque[float] = deque(maxlen=size)
        self.stillest = SortedWindow(MEMORY)

    def bits(self, change: float, before: SortedWindow) -> float | None:
        """before: changes of earlier rows; None: they are too few."""
        self._newest.append(change)
        if len(self._newest) < self._size or len(before) < LEAST:
            return None
        as_small = bisect_right(before.values, max(self._newest))
        return self._size * math.log2((len(before) + 1) / (as_small + 1))

    def beyond(self, bits: float) -> float:
        return bits - self.stillest.quantile(1.0) if len(self.stillest) >= LEAST else 0.0


class Stillness:
    def __init__(self) -> None:
        self._last: float | None = None
        self._before = SortedWindow(MEMORY)
        self._newest: deque[float] = deque()  # changes that are too new to be compared with
        self._stretches = [_Stretch(size) for size in SIZES]
        self._told = 0  # rows in a row

    def look(self, value: float) -> float:
        """Bits; 0: it is no stiller than it was. The value is past afterwards."""
        last, self._last = self._last, value
        if last is None:
            return 0.0
        found = [(each, each.bits(abs(value - last), self._before)) for each in self._stretches]
        beyond = max((each.beyond(bits) for each, bits in found if bits is not None), default=0.0)
        self._told = self._told + 1 if beyond >= SURE else 0
        if 0 < self._told <= LONGEST:
            self._newest.clear()
            return beyond
        for stretch, bits in found:
            if bits is not None:
                stretch.stillest.add(bits)
        self._newest.append(abs(value - last))
        if len(self._newest) > max(SIZES):
            self._before.add(self._newest.popleft())
        return 0.0
