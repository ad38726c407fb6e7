"""Calendar events in the form of systemd's timers: `Mon..Fri *-*-* 06:00 Europe/Berlin`.

Grammar and meaning: systemd.time(7), held against `systemd-analyze calendar` by tests. As there, a local time that a
spring change skips does not happen on that day, and one that an autumn change repeats happens the first time only.
Fractions of seconds are refused.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import product
from zoneinfo import ZoneInfo

from rules.schedules.zones import zone
from watchtower.errors import BadInput

_SHORT = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PART = re.compile(r"(\*|\d+)(?:\.\.(\d+))?(?:/(\d+))?")
_YEARS = (1970, 2199)
_MOST_A_DAY = 5_000
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_FAR = timedelta(days=366 * 9)  # 29 February comes again within eight years; in 2100 it does not


@dataclass(frozen=True)
class OnCalendar:
    """expression: as systemd has it. timezone: where the expression names none."""

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises BadInput for what is no such expression, and for one that never comes."""
        if self.after(_SOME_TIME) is None and self.before(_SOME_TIME) is None:
            raise BadInput(f"schedule {self.expression!r} never comes: no date is like that")

    def after(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self._zone)
        return next((tick for day in self._days(local.date(), 1) for tick in self._on(day) if tick > moment), None)

    def before(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self._zone)
        days = self._days(local.date(), -1)
        return next((tick for day in days for tick in reversed(self._on(day)) if tick <= moment), None)

    def describe(self) -> str:
        return f"{self.expression} {self.timezone}" if self._parsed.zone is None else self.expression

    @cached_property
    def _parsed(self) -> "_Parsed":
        return _parse(self.expression)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return zone(self._parsed.zone or self.timezone)

    def _days(self, first: date, step: int) -> Iterator[date]:
        day, last = first - timedelta(days=step), first + _FAR * step
        while (day < last if step > 0 else day > last) and _YEARS[0] <= day.year <= _YEARS[1]:
            if self._parsed.has_month(day):
                if self._parsed.has_day(day):
                    yield day
                day += timedelta(days=step)
            else:
                day = _other_month(day, step)

    def _on(self, day: date) -> Sequence[datetime]:
        """The moments of a day, ascending."""
        kept: dict[date, Sequence[datetime]] = self.__dict__.setdefault("_kept", {})
        if day not in kept:
            if len(kept) > 4:
                kept.clear()
            found = (datetime.combine(day, clock, self._zone).astimezone(UTC) for clock in self._parsed.clocks)
            kept[day] = sorted(tick for tick in found if self._is_there(tick, day))
        return kept[day]

    def _is_there(self, tick: datetime, day: date) -> bool:
        """Whether the clock showed that time: what a change skipped reads otherwise on the way back."""
        local = tick.astimezone(self._zone)
        return local.date() == day and local.time() in self._parsed.clock_set


@dataclass(frozen=True)
class _Parsed:
    """from_end: days count from the last of the month, 1."""

    weekdays: frozenset[int]
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    from_end: bool
    clocks: tuple[time, ...]
    zone: str | None

    @cached_property
    def clock_set(self) -> frozenset[time]:
        return frozenset(self.clocks)

    def has_month(self, day: date) -> bool:
        return day.month in self.months and day.year in self.years

    def has_day(self, day: date) -> bool:
        number = monthrange(day.year, day.month)[1] - day.day + 1 if self.from_end else day.day
        return number in self.days and day.weekday() in self.weekdays


def _other_month(day: date, step: int) -> date:
    if step < 0:
        return day.replace(day=1) - timedelta(days=1)
    return day.replace(day=monthrange(day.year, day.month)[1]) + timedelta(days=1)


def looks_like(text: str) -> bool:
    """Whether it is meant as one of these, and not as cron: a shorthand, or a date or a time in it."""
    words = text.split()
    return text.strip().lower() in _SHORT or any(":" in word or ".." in word or word.startswith("*-") for word in words)


def _parse(expression: str) -> _Parsed:
    words = _SHORT.get(expression.strip().lower(), expression).split()
    place = None
    if len(words) > 1 and words[-1][0].isalpha() and not _is_weekdays(words[-1]):
        place = zone(words.pop()).key
        words = _SHORT.get(" ".join(words).lower(), " ".join(words)).split()
    weekdays = _weekdays(words.pop(0), expression) if words and _is_weekdays(words[0]) else frozenset(range(7))
    dates = [word for word in words if ":" not in word]
    clocks = [word for word in words if ":" in word]
    if len(dates) > 1 or len(clocks) > 1 or (not words and len(weekdays) == 7):
        raise _bad(expression, "it has weekdays, one date and one time at most")
    years, months, days, from_end = _date(dates[0] if dates else "*-*-*", expression)
    times = _clock(clocks[0] if clocks else "00:00:00", expression)
    return _Parsed(weekdays, years, months, days, from_end, times, place)


def _is_weekdays(word: str) -> bool:
    return all(_weekday(part) is not None for part in re.split(r",|\.\.", word.rstrip(",")))


def _weekday(name: str) -> int | None:
    low = name.lower()
    return next((day for day, whole in enumerate(_WEEKDAYS) if low in (whole, whole[:3])), None)


def _weekdays(word: str, expression: str) -> frozenset[int]:
    found: set[int] = set()
    for part in word.rstrip(",").split(","):
        first, _, last = part.partition("..")
        begin, end = _weekday(first), _weekday(last or first)
        if begin is None or end is None or end < begin:
            raise _bad(expression, f"{part!r} is no range of weekdays; write e.g. Mon..Fri")
        found.update(range(begin, end + 1))
    return frozenset(found)


def _date(word: str, expression: str) -> tuple[frozenset[int], frozenset[int], frozenset[int], bool]:
    head, separator, day = word.rpartition("~") if "~" in word else word.rpartition("-")
    if not separator:
        raise _bad(expression, f"{word!r} is no date; write e.g. *-*-01")
    year, _, month = head.rpartition("-")
    from_end = separator == "~"
    years, months = _numbers(year or "*", _YEARS, expression), _numbers(month, (1, 12), expression)
    return years, months, _numbers(day, (1, 31), expression, down=from_end), from_end


def _clock(word: str, expression: str) -> tuple[time, ...]:
    parts = word.split(":")
    if len(parts) == 2:
        parts.append("00")
    if len(parts) != 3:
        raise _bad(expression, f"{word!r} is no time of day; write e.g. 06:00")
    fields = [sorted(_numbers(part, (0, most), expression)) for part, most in zip(parts, (23, 59, 59), strict=True)]
    if len(fields[0]) * len(fields[1]) * len(fields[2]) > _MOST_A_DAY:
        raise _bad(expression, f"it comes more than {_MOST_A_DAY:,} times a day")
    return tuple(time(hour, minute, second) for hour, minute, second in product(*fields))


def _numbers(text: str, bounds: tuple[int, int], expression: str, *, down: bool = False) -> frozenset[int]:
    """`1,5..8,*/2` as numbers. down: a step goes towards the end of the month, so to smaller ones."""
    least, most = bounds
    found: set[int] = set()
    for part in text.split(","):
        read = _PART.fullmatch(part)
        if read is None or (read[1] == "*" and read[2]):
            raise _bad(expression, f"{part!r} is no number, range or step such as 5, 1..5, */15")
        step = int(read[3] or 0)
        first = least if read[1] == "*" else int(read[1])
        last = int(read[2]) if read[2] else (least if down else most) if step or read[1] == "*" else first
        if read[1] == "*" and down:
            last = most
        if read[3] == "0" or not (least <= first <= most and least <= last <= most) or (last < first and not down):
            raise _bad(expression, f"{part!r} is not within {least} to {most}")
        low, high = min(first, last), max(first, last)
        found.update(range(high, low - 1, -(step or 1)) if down and not read[2] else range(low, high + 1, step or 1))
    return frozenset(found)


def _bad(expression: str, why: str) -> BadInput:
    return BadInput(f"schedule {expression!r} is no calendar event: {why}")
