"""A window over the newest values, in order: for ranks and quantiles, and for how surprising the next value is."""

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable

MAX_MARGIN = 10.0  # bits that lying beyond all values seen may add: a thousand times as far as the farthest of them
_OUTER = 0.1  # of the values on each side are not the middle
_MIDDLE = 0.25  # of the middle's width: so far beyond all values is still no distance
_TINY = 1e-9  # of a value: below it lies what floats are rounded by


class SortedWindow:
    """The newest `size` values in order. Adding one costs about a microsecond."""

    __slots__ = ("_arrived", "_size", "values")

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self._size = size
        self._arrived: deque[float] = deque()
        self.values: list[float] = []
        for value in values:
            self.add(value)

    def __len__(self) -> int:
        return len(self.values)

    def add(self, value: float) -> None:
        self._arrived.append(value)
        insort(self.values, value)
        if len(self.values) > self._size:
            del self.values[bisect_left(self.values, self._arrived.popleft())]

    def quantile(self, share: float) -> float:
        """The value at that share of the ranks. The window must not be empty."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    def surprise(self, value: float) -> float:
        """Bits: 0 for a value in the middle, one more for each halving of the values that lie as far out on its side;
        beyond all of them, one more for each doubling of the distance. Ranks need no scale, and no shape of tail."""
        values = self.values
        count = len(values)
        above, below = count - bisect_left(values, value), bisect_right(values, value)
        as_far = min(above, below)
        if as_far * 2 >= count:
            return 0.0
        bits = max(0.0, math.log2((count + 1) / (2 * (as_far + 1))))
        return bits + self._margin(value) if as_far == 0 else bits

    def _margin(self, value: float) -> float:
        values = self.values
        count = len(values)
        outer = int(_OUTER * count)
        middle = values[count // 2]
        farthest = values[-1] if value > middle else values[0]
        width = values[count - outer - 1] - values[outer]
        reach = max(abs(farthest - middle), _MIDDLE * width, _TINY * abs(value))
        distance = abs(value - middle)
        return min(math.log2(distance / reach), MAX_MARGIN) if distance > reach > 0 else 0.0
