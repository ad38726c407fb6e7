"""On which days business is done: weekdays without holidays, and what is worked instead of one."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """weekdays: Monday is 0; holidays: single days; yearly: (month, day) of those that come each year; worked:
    days of weekends on which business is done all the same."""

    name: str
    weekdays: frozenset[int]
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    worked: frozenset[date] = frozenset()

    def is_open(self, day: date) -> bool:
        if day in self.worked:
            return True
        return day.weekday() in self.weekdays and day not in self.holidays and (day.month, day.day) not in self.yearly
