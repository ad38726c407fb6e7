"""On which days business is done: weekdays without holidays."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """weekdays: Monday is 0; holidays: single days; yearly: (month, day) of those that come each year."""

    name: str
    weekdays: frozenset[int]
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def is_open(self, day: date) -> bool:
        return day.weekday() in self.weekdays and day not in self.holidays and (day.month, day.day) not in self.yearly
