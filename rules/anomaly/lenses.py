"""The lenses: a row as a value, as a change, and as the newest of a short, a middle and a long stretch of rows.

Each lens makes one number of the newest rows (a mean, a spread, a step, …) and says by its rank among its own past
numbers how surprising it is. No lens has a weight or a limit of its own: the evidence is the sum of their bits, so
that what shows in several ways at once counts most. That was the best of what was tried, and the least to tune.
"""

from collections import deque

from rules.anomaly.windows import SortedWindow, SummedWindow

MEMORY = 4000  # rows that a lens ranks among: two weeks of five minutes
LEAST = 20  # rows without which a rank says nothing
STRETCHES = (
    6,
    24,
    96,
)  # rows: of five minutes half an hour, two hours and eight
ROUGHNESS = (12, 24, 96)
_BEFORE = 5  # rows whose median a row is compared with


class Lens:
    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past = SortedWindow(MEMORY)

    def look(self, number: float) -> float:
        """Bits of surprise; the number is past afterwards."""
        bits = self._past.surprise(number) if len(self._past) >= LEAST else 0.0
        self._past.add(number)
        return bits


class _Stretch:
    """Mean, spread, and the step from the stretch before."""

    __slots__ = ("_means", "_rows", "mean", "spread", "step")

    def __init__(self, size: int) -> None:
        self._rows = SummedWindow(size)
        self._means: deque[float] = deque(maxlen=size + 1)
        self.mean, self.spread, self.step = Lens(), Lens(), Lens()

    def look(self, value: float) -> float:
        self._rows.add(value)
        if not self._rows.is_full:
            return 0.0
        mean = self._rows.mean
        self._means.append(mean)
        bits = self.mean.look(mean) + self.spread.look(self._rows.deviation)
        if len(self._means) == self._means.maxlen:
            bits += self.step.look(mean - self._means[0])
        return bits


class _Roughness:
    """The median of how far rows lie from the row before: what a spike leaves alone, and a flat line does not."""

    __slots__ = ("_changes", "_size", "lens")

    def __init__(self, size: int) -> None:
        self._size = size
        self._changes = SortedWindow(size)
        self.lens = Lens()

    def look(self, change: float) -> float:
        self._changes.add(abs(change))
        return self.lens.look(self._changes.quantile(0.5)) if len(self._changes) == self._size else 0.0


class Lenses:
    def __init__(self) -> None:
        self._value, self._change, self._jump = Lens(), Lens(), Lens()
        self._stretches = [_Stretch(size) for size in STRETCHES]
        self._roughness = [_Roughness(size) for size in ROUGHNESS]
        self._before: deque[float] = deque(maxlen=_BEFORE)

    def look(self, value: float) -> float:
        """The evidence, in bits, that this row is unusual."""
        before = self._before
        bits = self._value.look(value)
        if before:
            change = value - before[-1]
            bits += self._change.look(change)
            for roughness in self._roughness:
                bits += roughness.look(change)
        if len(before) == _BEFORE:
            bits += self._jump.look(value - sorted(before)[_BEFORE // 2])
        for stretch in self._stretches:
            bits += stretch.look(value)
        before.append(value)
        return bits
