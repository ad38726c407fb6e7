"""Recurrences of Azure's schedule triggers → cron expressions, where a crontab can say them.

Source: Azure Data Factory REST API, "ScheduleTriggerRecurrence", "RecurrenceSchedule". Zones have the names of Windows
there, which Unicode's CLDR maps to those of IANA; nothing is claimed for others.
"""

from datetime import datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from collectors.asking import Row, member
from collectors.openlineage.instants import parse_instant

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_EACH: Final = {"Minute": 60, "Hour": 24}


def cron_of(recurrence: Row) -> tuple[str, str] | None:
    """(cron expression, zone)."""
    zone = zone_of(str(recurrence.get("timeZone") or "UTC"))
    start = parse_instant(str(recurrence.get("startTime") or ""))
    interval = recurrence.get("interval", 1)
    if zone is None or start is None or not isinstance(interval, int) or interval < 1:
        return None
    schedule, frequency = member(recurrence, "schedule"), str(recurrence.get("frequency"))
    if frequency in _EACH:
        cron = None if schedule else _within(frequency, interval, start)
    else:
        cron = _on_days(frequency, start, schedule) if interval == 1 else None
    return (cron, zone) if cron else None


def _on_days(frequency: str, start: datetime, schedule: Row) -> str | None:
    minute = _numbers(schedule, "minutes", 59) or str(start.minute)
    hour = _numbers(schedule, "hours", 23) or str(start.hour)
    if frequency == "Day" and not schedule.get("weekDays") and not schedule.get("monthDays"):
        return f"{minute} {hour} * * *"
    if frequency == "Week":
        names = [str(number) for number, day in enumerate(_DAYS) if day in _items(schedule, "weekDays")]
        return f"{minute} {hour} * * {','.join(names) or (start.weekday() + 1) % 7}"
    if frequency == "Month" and not schedule.get("monthlyOccurrences"):
        days = _numbers(schedule, "monthDays", 31)
        if schedule.get("monthDays") and not days:
            return None  # counted from the month's end
        return f"{minute} {hour} {days or start.day} * *"
    return None


def _within(frequency: str, interval: int, start: datetime) -> str | None:
    """Each so many minutes or hours, where that divides an hour or a day: else it would drift in a crontab."""
    if _EACH[frequency] % interval:
        return None
    if frequency == "Minute":
        return f"{start.minute % interval}-59/{interval} * * * *" if interval > 1 else "* * * * *"
    hours = f"{start.hour % interval}-23/{interval}" if interval > 1 else "*"
    return f"{start.minute} {hours} * * *"


def _numbers(schedule: Row, name: str, most: int) -> str:
    items = _items(schedule, name)
    fit = sorted({item for item in items if isinstance(item, int) and 0 <= item <= most})
    return ",".join(map(str, fit)) if len(fit) == len(items) else ""


def _items(schedule: Row, name: str) -> list[Any]:
    value = schedule.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []


def zone_of(name: str) -> str | None:
    """`W. Europe Standard Time` → `Europe/Berlin`; names of IANA are taken as they are."""
    if name in ("UTC", "Utc"):
        return "UTC"
    try:
        return ZoneInfo(win_tz.get(name, name)).key
    except (KeyError, ValueError, OSError):
        return None
