"""What is usual for a job: robust statistics of its last completed runs.

Median and MAD (median absolute deviation; × 1.4826 it estimates a standard deviation) shrug off the outliers that a
mean would learn from; quantiles say what the slow runs look like. The default limit is design decision 15: none of its
four terms alone is quiet for both very steady and very short jobs. Two hundred values in plain Python cost about
20 µs; numpy's call overhead is more. Distributions older than the kept runs are `watchtower.model.sketch`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

MIN_SAMPLES = 10
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Baseline:
    """Of seconds, ascending, one or more. What is asked of it several times is worked out once, so it has no slots."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Baseline | None":
        """None of fewer than ten values: too little to call anything usual."""
        ordered = tuple(sorted(values))
        return cls(ordered) if len(ordered) >= MIN_SAMPLES else None

    @property
    def count(self) -> int:
        return len(self.values)

    @cached_property
    def median(self) -> float:
        return median(self.values)

    @cached_property
    def mad(self) -> float:
        middle, half = self.median, len(self.values) // 2
        below, above = self.values[:half], self.values[half:]
        return median(sorted([*[middle - value for value in below], *[value - middle for value in above]]))

    def quantile(self, q: float) -> float:
        """Interpolated linearly between ranks. q: 0 … 1."""
        place = q * (len(self.values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(self.values) - 1)
        return self.values[below] + (self.values[above] - self.values[below]) * (place - below)

    @property
    def usual_limit(self) -> float:
        """Seconds above which a value is unusual, when nobody said otherwise."""
        middle = self.median
        return max(
            self.quantile(0.95) * 1.5,
            middle + 3.5 * MAD_TO_SIGMA * self.mad,
            middle * 1.2,
            middle + 60.0,
        )


def median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
