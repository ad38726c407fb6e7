"""Windows over the newest values: ordered, for ranks and quantiles, and with sums, for means and spreads."""

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


class SummedWindow:
    """The newest `size` values with their mean and standard deviation, at a cost that does not grow with size.

    Sums are of differences from a point near the values, and are made anew once a window and whenever a value leaves
    that was much larger than the rest: what it was rounded by would stay behind as a spread that is not there."""

    __slots__ = ("_age", "_near", "_size", "_squares", "_sum", "values")

    def __init__(self, size: int) -> None:
        self._size = size
        self.values: deque[float] = deque()
        self._near = self._sum = self._squares = 0.0
        self._age = 0

    @property
    def is_full(self) -> bool:
        return len(self.values) == self._size

    def add(self, value: float) -> None:
        values = self.values
        gone = 0.0
        values.append(value)
        if len(values) > self._size:
            gone = values.popleft() - self._near
            self._sum -= gone
            self._squares -= gone * gone
        gain = value - self._near
        self._sum += gain
        self._squares += gain * gain
        self._age += 1
        if self._age >= self._size or gone * gone > 1e6 * self._squares:
            self._again()

    @property
    def mean(self) -> float:
        return self._near + self._sum / len(self.values)

    @property
    def deviation(self) -> float:
        mean = self._sum / len(self.values)
        variance = self._squares / len(self.values) - mean * mean
        return math.sqrt(variance) if variance > 1e-12 * mean * mean else 0.0

    def _again(self) -> None:
        self._age = 0
        self._near = sum(self.values) / len(self.values)
        gains = [value - self._near for value in self.values]
        self._sum, self._squares = sum(gains), sum(gain * gain for gain in gains)
