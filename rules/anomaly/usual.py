"""The range in which the next value is expected: the calendar's middle, and how far the newest values lay from it.

The middle is a median and the width a MAD, so that outliers teach nothing. Ten values in a row on one side, outside
what was usual, are a new level: what came before it is left out then. A drift that explains the values better than one
level does is carried on to the next row.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from rules.anomaly.calendar import Calendar, Seasonality
from rules.baseline import MAD_TO_SIGMA, MIN_SAMPLES, median

LARGEST = 1e150
RECENT = 100  # values that the range is made of
SIGMAS = 3.5  # Iglewicz and Hoaglin (1993): a value further than this from the median is an outlier
Q90 = 1.645  # standard deviations of a normal distribution hold nine of ten values
NEARLY = 0.9  # of a distance from what is expected: what is nearly as far out
OFTEN = 0.1  # of the days: what is nearly as far out on so many of them is usual after all
LEAST_OFTEN = 3  # days
_DRIFTS = 0.7  # of the distances from one level: what a drift must come below


@dataclass(frozen=True, slots=True)
class Range:
    """middle: the value that is expected; sigma: how much values differ from that, as a standard deviation; count:
    the values it was learned from; pattern: what of the calendar is in it,
    `hour` or `weekday`, else in words."""

    middle: float
    sigma: float
    count: int
    pattern: str | None = None

    def low(self, sigmas: float = SIGMAS) -> float:
        return self.middle - sigmas * self.sigma

    def high(self, sigmas: float = SIGMAS) -> float:
        return self.middle + sigmas * self.sigma


class Expectation:
    """Learns row by row. A range is only worked out when it is asked for."""

    def __init__(self, seasonality: Seasonality = "auto", least: int = MIN_SAMPLES) -> None:
        self.calendar = Calendar(seasonality)
        self._least = least
        self._recent: deque[tuple[float, float | None]] = deque(maxlen=RECENT)  # value, residual

    def see(self, at: datetime, value: float) -> float | None:
        """Learn a row; how far it is from what the calendar expected, in units of what is usual then (see Calendar)."""
        value = bounded(value)
        compared = self.calendar.see(at, value)
        residual = compared.residual if compared else None
        self._recent.append((value, residual))
        return residual

    def restart(self) -> None:
        """From here on everything is new: the level and its width are learned again, the calendar is kept."""
        self._recent.clear()

    def range(self, at: datetime, *, newest: int = 0) -> Range | None:
        """For a row at that moment, by the rows so far but for the newest ones; None if too few remain."""
        recent = list(self._recent)[: len(self._recent) - newest]
        if len(recent) < self._least:
            return None
        usual = self.calendar.expects(at)
        away = [residual for _, residual in recent if residual is not None]
        if usual is None or len(away) < self._least:
            return Range(*level_of([value for value, _ in recent]))
        middle, sigma, count = level_of(away)
        # Nights are calmer than days: half of all values would make a range that every day leaves.
        sigma = max(sigma, sorted(abs(residual - middle) for residual in away)[int(0.9 * len(away))] / Q90)
        return Range(usual.middle + middle * usual.unit, sigma * usual.unit, count, self.calendar.pattern)


def comes_often(now: float | None, before: Sequence[float | None], days: Sequence[date]) -> bool:
    """Whether what is rare among the values comes on day after day nevertheless. now and before: signed distances from
    what was expected; days: of those before. Days are counted, so that one long incident hides no other."""
    if not now:
        return False
    on = {day for day, away in zip(days, before, strict=True) if away is not None and away / now >= NEARLY}
    return len(on) >= max(LEAST_OFTEN, OFTEN * len(set(days)))


def bounded(value: float) -> float:
    """So that no square and no sum of values overflows, whatever a file or a sender says."""
    return max(-LARGEST, min(LARGEST, value))


def level_of(values: Sequence[float]) -> tuple[float, float, int]:
    """(what is expected next, its standard deviation, values that say so). values: one or more, oldest first."""
    values = _since_the_last_change(values)
    middle, mad = _centre(values)
    if len(values) >= 2 * MIN_SAMPLES:
        half = len(values) // 2
        slope = (_centre(values[-half:])[0] - _centre(values[:half])[0]) / (len(values) - half)
        start = (len(values) - 1) / 2
        drifting = [value - slope * (place - start) for place, value in enumerate(values)]
        without, rest = _centre(drifting)
        if rest < _DRIFTS * mad:
            middle, mad = without + slope * (len(values) - start), rest
    return middle, mad * MAD_TO_SIGMA, len(values)


def _since_the_last_change(values: Sequence[float]) -> Sequence[float]:
    """The newest values that all lie on one side of what was usual before them, if there are enough of them."""
    if len(values) < 2 * MIN_SAMPLES:
        return values
    before, after = values[:-MIN_SAMPLES], values[-MIN_SAMPLES:]
    middle, mad = _centre(before)
    reach = max(SIGMAS * MAD_TO_SIGMA * mad, 1e-9 * abs(middle))
    for sign in (1, -1):
        if all(sign * (value - middle) > reach for value in after):
            start = len(before)
            while start and sign * (values[start - 1] - middle) > reach:
                start -= 1
            return values[start:]
    return values


def _centre(values: Sequence[float]) -> tuple[float, float]:
    """(median, MAD)"""
    middle = median(sorted(values))
    return middle, median(sorted(abs(value - middle) for value in values))
