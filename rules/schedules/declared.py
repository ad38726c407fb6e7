"""When a job is expected to start: a declared timetable in an IANA zone, by cron or systemd, or a fixed period.

Cron has Debian's semantics (cronsim): a fixed time that a spring change skips is moved behind the gap, one that an
autumn change repeats happens once, and `*` hours follow the clock through. Answers are aware UTC.
What history teaches instead is in `rules.schedules.learned`; both speak the Schedule protocol.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rules.schedules.oncalendar import OnCalendar, looks_like
from rules.schedules.zones import zone
from watchtower.errors import BadInput
from watchtower.model.duration import format_duration

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMEDELTA = re.compile(r"(?:(\d{1,5}) days?, )?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?")
_TWO_DAYS = timedelta(days=2)


class Schedule(Protocol):
    """Expected starts, without end in both directions."""

    def after(self, moment: datetime) -> datetime | None:
        """The first expected start strictly after moment; None if there is none any more."""
        ...

    def before(self, moment: datetime) -> datetime | None:
        """The last expected start at or before moment."""
        ...

    def describe(self) -> str: ...


@dataclass(frozen=True)
class CronSchedule:
    """expression: five fields, or six with seconds first. timezone: IANA name."""

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises BadInput for what is no cron expression or no zone."""
        zone(self.timezone)
        try:
            CronSim(self.expression, _EPOCH)
        except CronSimError as error:
            if _has_no_such_day(self.expression):
                problem = "never comes; none of its months has such a day"
                raise BadInput(f"schedule {self.expression!r} {problem}") from error
            raise BadInput(f"schedule {self.expression!r} is no cron expression: {error}; e.g. 0 6 * * 1-5") from error

    @cached_property
    def _zone(self) -> ZoneInfo:
        return zone(self.timezone)

    @cached_property
    def _fixed(self) -> bool:
        """Whether the expression names fixed times of day, which alone are touched by changes of the clock."""
        fields = self.expression.split()
        return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")

    def after(self, moment: datetime) -> datetime | None:
        return self._around(moment)[1]

    def before(self, moment: datetime) -> datetime | None:
        return self._around(moment)[0]

    def describe(self) -> str:
        return f"cron {self.expression} {self.timezone}"

    def _around(self, moment: datetime) -> tuple[datetime | None, datetime | None]:
        """The neighbours of moment. The last answer is kept: a schedule is asked again within the same interval."""
        kept: tuple[datetime | None, datetime | None] | None = self.__dict__.get("_kept")
        if kept and kept[0] and kept[1] and kept[0] <= moment < kept[1]:
            return kept
        found = self._search(moment)
        self.__dict__["_kept"] = found
        return found

    def _search(self, moment: datetime) -> tuple[datetime | None, datetime | None]:
        """Walk forward from two days before, because around a change of the clock cronsim's backward walk and a start
        inside a repeated hour can miss or repeat a time; farther back it cannot matter."""
        floor = moment - _TWO_DAYS if self._fixed else moment
        previous: datetime | None = None
        for tick in self._ticks(floor):
            if tick > moment:
                return previous or self._backward(floor, moment), tick
            previous = tick
        return previous or self._backward(floor, moment), None

    def _ticks(self, start: datetime) -> Iterator[datetime]:
        for tick in CronSim(self.expression, start.astimezone(self._zone)):
            yield tick.astimezone(UTC)

    def _backward(self, floor: datetime, moment: datetime) -> datetime | None:
        # One second up, because a backward walk excludes where it begins.
        start = (floor + timedelta(seconds=1)).replace(microsecond=0).astimezone(self._zone)
        for tick in CronSim(self.expression, start, reverse=True):
            if tick.astimezone(UTC) <= moment:
                return tick.astimezone(UTC)
        return None


def _has_no_such_day(expression: str) -> bool:
    """Whether its months are months, and without them it comes: the 30th of February, say."""
    fields = expression.split()
    if len(fields) not in (5, 6):
        return False
    *clock, day, month, weekday = fields
    return _is_sound(f"0 0 1 {month} *") and _is_sound(" ".join([*clock, day, "*", weekday]))


def _is_sound(expression: str) -> bool:
    try:
        CronSim(expression, _EPOCH)
    except CronSimError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Every:
    """One start each period_s, counted from anchor (aware UTC)."""

    period_s: float
    anchor: datetime

    def after(self, moment: datetime) -> datetime:
        return self._tick((moment - self.anchor) // timedelta(seconds=self.period_s) + 1)

    def before(self, moment: datetime) -> datetime:
        return self._tick((moment - self.anchor) // timedelta(seconds=self.period_s))

    def describe(self) -> str:
        return f"every {format_duration(self.period_s)}"

    def _tick(self, count: int) -> datetime:
        return self.anchor + timedelta(seconds=self.period_s) * count


@lru_cache(maxsize=4096)
def parse_schedule(text: str | None, timezone: str | None = None, anchor: datetime | None = None) -> Schedule | None:
    """The schedule of what an orchestrator or an operator wrote: cron, `@daily`, OnCalendar, or a period such as
    Airflow's `1 day, 0:00:00` (counted from anchor, a known start; without one a period says nothing). None for what is
    no timetable (`Asset`, `None`, `@once`, free text) or names no known zone."""
    if not text:
        return None
    cleaned = text.strip()
    period = _TIMEDELTA.fullmatch(cleaned)
    if period:
        days, hours, minutes, seconds = (int(part or 0) for part in period.groups())
        length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        return Every(length, anchor) if anchor and length else None
    try:
        return timetable(cleaned, timezone or "UTC")
    except BadInput:
        return None


@lru_cache(maxsize=4096)
def timetable(text: str, timezone: str = "UTC") -> CronSchedule | OnCalendar:
    """Cron, a preset of it, or systemd's OnCalendar. Raises BadInput for what is none of them."""
    cleaned = text.strip()
    preset = PRESETS.get(cleaned.lower())
    return (
        OnCalendar(cleaned, timezone)
        if not preset and looks_like(cleaned)
        else CronSchedule(preset or cleaned, timezone)
    )


def expected_between(schedule: Schedule, start: datetime, end: datetime, limit: int) -> list[datetime]:
    """Expected starts in (start, end], ascending, at most limit of them, counted from start."""
    found: list[datetime] = []
    tick = schedule.after(start)
    while tick and tick <= end and len(found) < limit:
        found.append(tick)
        tick = schedule.after(tick)
    return found
