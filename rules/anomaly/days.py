"""How many times as much comes on days that are too rare for `calendar`: the turn of a month, days without business.

A day is its values together, in multiples of what the clock expected of them. Which kinds of days differ is found
among these as it is among the runs of a job (rules.seasons): three such days have shown it, and not by chance. A value
of such a day is then looked at as if the day were like any other.
"""

from collections import deque
from dataclasses import replace
from datetime import date, datetime, time

from rules.anomaly.usual import Range
from rules.seasons import Seen, of_seen, seasons_at
from watchtower.model.business import BusinessCalendar

MEMORY = 400  # days
_RARE = ("month", "closed")
_NOON = time(12)


class Days:
    """calendar: which days are without business; None: no day is. Series that fall below zero have no multiples, so of
    them nothing is known."""

    def __init__(self, calendar: BusinessCalendar | None = None) -> None:
        self._calendar = calendar
        self._seen: deque[Seen] = deque(maxlen=MEMORY)
        self._today: date | None = None
        self._value = self._usual = 0.0  # of today's rows so far, together
        self._expected = 0.0
        self._has_multiples = True
        self.times = 1.0  # as much as usual comes today

    def see(self, at: datetime, value: float, expected: float | None) -> float:
        """What the value would be if the day were like any other; it is past afterwards. expected: by the clock."""
        if self._today != at.date():
            self._turn_to(at.date())
        self._has_multiples = self._has_multiples and value >= 0
        if expected is None or not self._has_multiples:
            return value
        self._value, self._usual, self._expected = self._value + value, self._usual + expected, expected
        return value / self.times if self.times > 1 else value + self._more

    def of_today(self, expected: Range) -> Range:
        """Where the newest row was expected, on this day."""
        if self.times > 1:
            return replace(expected, middle=expected.middle * self.times, sigma=expected.sigma * self.times)
        return replace(expected, middle=expected.middle - self._more)

    @property
    def _more(self) -> float:
        """Of days with less than usual, where there may be nothing that could be multiplied."""
        return (1 - self.times) * self._expected

    def _turn_to(self, today: date) -> None:
        if self._today is not None and self._usual > 0:
            self._seen.append(Seen(datetime.combine(self._today, _NOON), self._value / self._usual))
        self._today, self._value, self._usual = today, 0.0, 0.0
        self.times = self._known(datetime.combine(today, _NOON)) if self._has_multiples else 1.0

    def _known(self, noon: datetime) -> float:
        kinds = [each for each in seasons_at(noon, self._calendar) if each.of in _RARE]
        if not kinds:
            return 1.0
        known = of_seen(list(self._seen), self._calendar).known
        return next((known[each].values.median for each in kinds if each in known), 1.0)
