"""The lenses: a row as a jump, as the newest of a short, a middle and a long stretch, and as the end of a shape.

Each lens makes one number of the newest rows and says by its rank among its own past numbers how surprising it is, in
bits. No lens has a limit of its own: the evidence is the sum of their bits, so that what shows in several ways at once
counts most. A shape counts twice; with anything from one and a half to four the detector does about as well.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from rules.anomaly.shapes import SIZES, Shapes
from rules.anomaly.windows import SortedWindow

MEMORY = 4000  # rows that a lens ranks among: two weeks of five minutes
LEAST = 20  # rows without which a rank says nothing
STRETCHES = (6, 24, 96)  # rows: of five minutes half an hour, two hours and eight
SHAPE = 2.0  # how often a bit of a shape counts
_BEFORE = 5  # rows whose median a row is compared with


@dataclass(frozen=True, slots=True)
class Evidence:
    """bits: that a row is unusual; why: what shows it most, in words; none if nothing does."""

    bits: float
    why: str = ""


class Lens:
    __slots__ = ("_past", "_words")

    def __init__(self, up: str, down: str | None = None) -> None:
        """In words: what a number above and one below the others is; None: only the former is a surprise."""
        self._past = SortedWindow(MEMORY)
        self._words = up, down

    def look(self, number: float) -> tuple[float, str]:
        """Bits of surprise, and in words why; the number is past afterwards."""
        bits, words = 0.0, ""
        if len(self._past) >= LEAST:
            up, down = self._words
            side = up if number > self._past.quantile(0.5) else down
            if side is not None:
                bits = self._past.surprise(number)
                words = side if bits > 0 else ""
        self._past.add(number)
        return bits, words


class _Step:
    """From the mean of a stretch to that of the one before it."""

    __slots__ = ("_means", "_rows", "_size", "lens")

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: deque[float] = deque(maxlen=size)
        self._means: deque[float] = deque(maxlen=size + 1)
        self.lens = Lens(f"{size} rows higher", f"{size} rows lower")

    def look(self, value: float) -> Iterable[tuple[float, str]]:
        self._rows.append(value)
        if len(self._rows) < self._size:
            return
        mean = math.fsum(self._rows) / self._size
        self._means.append(mean)
        if len(self._means) > self._size:
            yield self.lens.look(mean - self._means[0])


class Lenses:
    def __init__(self) -> None:
        self._before: deque[float] = deque(maxlen=_BEFORE)
        self._jump = Lens("a jump up", "a jump down")
        self._steps = [_Step(size) for size in STRETCHES]
        self._shapes = Shapes(MEMORY)
        self._unlike = [Lens(f"{size} rows unlike any before") for size in SIZES]

    def look(self, value: float) -> Evidence:
        """The evidence that this row is unusual."""
        moves, shapes = list(self._moves(value)), list(self._unlike_any(value))
        bits = sum(each for each, _ in moves) + SHAPE * sum(each for each, _ in shapes)
        return Evidence(bits, _why(max(moves, default=(0.0, "")), max(shapes, default=(0.0, ""))))

    def _moves(self, value: float) -> Iterable[tuple[float, str]]:
        before = self._before
        if len(before) == _BEFORE:
            yield self._jump.look(value - sorted(before)[_BEFORE // 2])
        before.append(value)
        for step in self._steps:
            yield from step.look(value)

    def _unlike_any(self, value: float) -> Iterable[tuple[float, str]]:
        for lens, size, distance in zip(self._unlike, SIZES, self._shapes.see(value), strict=True):
            if self._shapes.rows >= 2 * size:
                yield lens.look(distance)


def _why(move: tuple[float, str], shape: tuple[float, str]) -> str:
    """A move is the plainer word, so it stands for a shape that it makes strange."""
    return move[1] if move[0] >= shape[0] / 2 else shape[1]
