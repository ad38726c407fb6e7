"""How far the newest stretch of rows lies from the most similar one before it: what a level or a jump does not show.

The distance is that of a left matrix profile (Yeh and others 2016; left discords), of values as they are, for stretches
of 6 to 96 rows. A stretch of twice the rows is two of half as many, so the distances to all earlier stretches cost one
addition each: squares of differences are only ever added, so nothing is lost by rounding after a very large value.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

SHORTEST = 3  # rows, of which longer ones are made
SIZES = tuple(SHORTEST * 2**step for step in range(1, 6))  # rows: 6, 12, 24, 48, 96

_Distances = NDArray[np.float64]  # squared, by the rows that lie between the ends of two stretches, from one on


class Shapes:
    """memory: how many rows back a similar stretch is looked for."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._values = np.zeros(3 * memory)
        self._end = self.rows = 0
        self._single: deque[_Distances] = deque(maxlen=SHORTEST - 1)
        self._half = {size // 2: deque[_Distances](maxlen=size // 2) for size in SIZES}

    def see(self, value: float) -> list[float]:
        """Distances of the stretches that end with this row, the shortest first; 0: too little came before."""
        far = self._differences(value)
        found = [0.0] * len(SIZES)
        self.rows += 1
        if len(self._single) == SHORTEST - 1:
            stretch = sum(self._single, far)
            for place, size in enumerate(SIZES):
                halves = self._half[size // 2]
                before = halves[0] if len(halves) == halves.maxlen else None
                halves.append(stretch)
                if before is None:
                    break
                stretch = stretch + before
                if self.rows >= 2 * size:
                    found[place] = math.sqrt(float(stretch[size - 1 :].min()))
        self._single.append(far)
        return found

    def _differences(self, value: float) -> _Distances:
        """Squared, from the newest row before on; infinite where there was none. The value is the newest afterwards."""
        if self._end == len(self._values):
            self._values[: self._memory] = self._values[-self._memory :]
            self._end = self._memory
        count = min(self.rows, self._memory)
        far = np.full(self._memory, np.inf)
        np.square(self._values[self._end - count : self._end][::-1] - value, out=far[:count])
        self._values[self._end] = value
        self._end += 1
        return far
