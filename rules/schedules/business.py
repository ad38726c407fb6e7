"""A schedule on business days alone: what falls on another day is not expected."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rules.schedules.declared import Schedule
from rules.schedules.zones import zone
from watchtower.model.business import BusinessCalendar

_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_MOST = 5_000  # starts in a row that may fall on closed days: three weeks of each ten minutes


@dataclass(frozen=True)
class OnBusinessDays:
    """timezone: of the days."""

    schedule: Schedule
    calendar: BusinessCalendar
    timezone: str

    def after(self, moment: datetime) -> datetime | None:
        tick = self.schedule.after(moment)
        for _ in range(_MOST):
            if tick is None or self._is_open(tick):
                return tick
            tick = self.schedule.after(tick)
        return None

    def before(self, moment: datetime) -> datetime | None:
        tick = self.schedule.before(moment)
        for _ in range(_MOST):
            if tick is None or self._is_open(tick):
                return tick
            tick = self.schedule.before(tick - timedelta(microseconds=1))
        return None

    def describe(self) -> str:
        return f"{self.schedule.describe()} on days of {self.calendar.name}"

    def _is_open(self, tick: datetime) -> bool:
        return self.calendar.is_open(tick.astimezone(zone(self.timezone)).date())


def plain(schedule: Schedule) -> Schedule:
    """Whatever the days are."""
    return schedule.schedule if isinstance(schedule, OnBusinessDays) else schedule


def on_days(schedule: Schedule, calendar: BusinessCalendar | None, timezone: str) -> Schedule:
    return schedule if calendar is None else OnBusinessDays(schedule, calendar, timezone)


def check_comes(schedule: Schedule, calendar: BusinessCalendar | None, timezone: str) -> None:
    """Raises ValueError for what never falls on one of its days."""
    if calendar is not None and OnBusinessDays(schedule, calendar, timezone).after(_SOME_TIME) is None:
        raise ValueError(f"{schedule.describe()} never falls on a day of the calendar {calendar.name!r}")
