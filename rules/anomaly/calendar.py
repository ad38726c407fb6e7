"""What the clock explains: the same time of day on the days before, or of the same weekday in the weeks before.

A day has 48 slots. What is usual in a slot is the median of the values in it and in its two neighbours on earlier
days, so that a job which starts some minutes early or late is still compared with itself. In `auto` a pattern counts
once it has shown that values lie clearly nearer to it than to the median of all.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from rules.anomaly.windows import SortedWindow

Seasonality = Literal["auto", "none", "hour", "weekday"]

SLOTS = 48
DAYS = 15  # before today that tell what is usual at a time of day
WEEKS = 4  # before this one that tell what is usual on a weekday
LEAST_DAYS = 2
PROVEN = 0.7  # of the distance from the median of all: what is nearer than this is explained
WEEKDAY_GAIN = 0.9  # of the distance from the time of day alone: what the weekday must improve on
_LEAST_ROWS = 100  # that have been compared, before a pattern may count in `auto`
_LEAST_SPARSE = 20  # the same, of a series with hardly more than a row a day
_KEPT = 6  # values of one slot on one day
_MEMORY = 2000  # rows over which a pattern must have shown what it is worth


@dataclass(slots=True)
class _Visit:
    """One slot on one day. values: the first few in it."""

    day: int
    values: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class Usual:
    """middle: of the comparable values; unit: how far from it values usually lie."""

    middle: float
    unit: float


@dataclass(frozen=True, slots=True)
class Compared:
    """What was expected of a value, and how far it lay from that, in units of what is usual then."""

    usual: Usual
    residual: float


class _Pattern:
    """How well one kind of comparison has done so far."""

    __slots__ = ("misses", "usual")

    def __init__(self) -> None:
        self.misses = SortedWindow(_MEMORY)
        self.usual: Usual | None = None

    @property
    def worth(self) -> float:
        """Less is better. Weekends are few: they show in the large misses, not in the median one."""
        return self.misses.quantile(0.5) + self.misses.quantile(0.95)


class Calendar:
    def __init__(self, seasonality: Seasonality = "auto") -> None:
        self._seasonality: Seasonality = seasonality
        self._slots: list[deque[_Visit]] = [deque() for _ in range(SLOTS)]
        self._at: tuple[int, int] | None = None  # the day and slot that the patterns are set to
        self._days = self._rows = 0
        self._hour, self._weekday = _Pattern(), _Pattern()
        self._all = SortedWindow(_MEMORY)
        self._plain = SortedWindow(_MEMORY)  # distances from the median of all

    def expects(self, at: datetime) -> Usual | None:
        """What the pattern that counts now says of that moment, by the days before it; None: there is no such pattern,
        or it says nothing of that moment. at: on the clock that people live by."""
        pattern = self._counting()
        if pattern is None:
            return None
        self._turn_to(at)
        return self._with_unit(pattern)

    def usually(self, at: datetime) -> float | None:
        """What that pattern says, else the middle of all rows so far; None before the first, and with `none`."""
        expected = self.expects(at)
        if expected is not None:
            return expected.middle
        return self._all.quantile(0.5) if len(self._all) else None

    def see(self, at: datetime, value: float) -> Compared | None:
        """Compare a value with what was expected at its moment by the best pattern so far, whether that counts already
        or not. None: no earlier day tells. The value is past afterwards."""
        if self._seasonality == "none":
            return None
        self._turn_to(at)
        pattern = self._better()
        usual = self._with_unit(pattern)
        self._learn(value)
        return Compared(usual, (value - usual.middle) / usual.unit) if usual else None

    @property
    def explains(self) -> bool:
        """Whether residuals say more than values do."""
        return self._counting() is not None

    @property
    def pattern(self) -> Literal["hour", "weekday"] | None:
        found = self._counting()
        return None if found is None else "weekday" if found is self._weekday else "hour"

    def _with_unit(self, pattern: _Pattern) -> Usual | None:
        """Nine of ten values of this time of day lie within a unit; but a few values that happen to be alike do not
        make a unit of less than half of what is usual all day."""
        usual = pattern.usual
        if usual is None:
            return None
        general = pattern.misses.quantile(0.9) / 2 if len(pattern.misses) else 0.0
        return Usual(usual.middle, max(usual.unit, general, 1e-9 * (abs(usual.middle) + 1)))

    def _learn(self, value: float) -> None:
        for pattern in (self._hour, self._weekday):
            if pattern.usual:
                pattern.misses.add(abs(value - pattern.usual.middle))
        if self._hour.usual or self._weekday.usual:
            self._plain.add(abs(value - self._all.quantile(0.5)) if len(self._all) else 0.0)
        self._all.add(value)
        self._rows += 1
        assert self._at is not None
        day, slot = self._at
        visits = self._slots[slot]
        if not visits or visits[-1].day != day:
            visits.append(_Visit(day))
            while visits[0].day < day - 7 * WEEKS:
                visits.popleft()
        if len(visits[-1].values) < _KEPT:
            visits[-1].values.append(value)

    def _turn_to(self, at: datetime) -> None:
        day, slot = at.toordinal(), (at.hour * 60 + at.minute) * SLOTS // 1440
        if self._at == (day, slot):
            return
        self._days += self._at is None or self._at[0] != day
        self._at = (day, slot)
        self._hour.usual = self._usual(day, slot, DAYS, 1)
        self._weekday.usual = self._usual(day, slot, 7 * WEEKS, 7)

    def _usual(self, day: int, slot: int, back: int, step: int) -> Usual | None:
        found: list[float] = []
        days = 0
        for near in (slot - 1, slot, (slot + 1) % SLOTS):
            for visit in self._slots[near]:
                if 0 < day - visit.day <= back and (day - visit.day) % step == 0:
                    found += visit.values
                    days += near == slot
        if days < LEAST_DAYS:
            return None
        found.sort()
        middle = found[len(found) // 2]
        away = sorted(abs(value - middle) for value in found)
        return Usual(middle, away[int(0.9 * (len(away) - 1))])

    def _better(self) -> _Pattern:
        if self._seasonality == "hour":
            return self._hour
        if self._seasonality == "weekday":
            return self._weekday
        compared = min(len(self._hour.misses), len(self._weekday.misses))
        if compared >= self._least and self._weekday.usual:
            gains = self._weekday.worth < WEEKDAY_GAIN * self._hour.worth
            return self._weekday if gains else self._hour
        return self._hour

    def _counting(self) -> _Pattern | None:
        if self._seasonality == "none":
            return None
        pattern = self._better()
        if self._seasonality != "auto":
            return pattern if pattern.misses else None
        if len(pattern.misses) < self._least or not self._plain:
            return None
        return pattern if pattern.misses.quantile(0.5) < PROVEN * self._plain.quantile(0.5) else None

    @property
    def _least(self) -> int:
        return _LEAST_SPARSE if self._rows < 2 * self._days else _LEAST_ROWS
