"""Schedules as AWS writes them → cron expressions of five fields, or periods, in UTC.

`cron(minute hour day month weekday year)`: one of day and weekday is `?`, and Sunday is 1. What cannot be
said without a year, `W` or `#` is no schedule here. Source: Amazon EventBridge user guide, "Cron and rate expressions".
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cronsim import CronSim, CronSimError

_FORM: Final = re.compile(r"cron\(([^)]{1,200})\)", re.IGNORECASE)
_RATE: Final = re.compile(r"rate\((\d{1,6}) (minute|hour|day)s?\)", re.IGNORECASE)
_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LENGTHS: Final = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def cron_of(text: str) -> str | None:
    """`cron(15 6 ? * MON-FRI *)` → `15 6 * * MON-FRI`; `rate(5 minutes)` → `0:05:00`. None for what cannot be said."""
    rate = _RATE.fullmatch(text.strip())
    if rate:
        return str(int(rate[1]) * _LENGTHS[rate[2].lower()]) if int(rate[1]) else None
    found = _FORM.fullmatch(text.strip())
    fields = found[1].split() if found else []
    if len(fields) != 6 or fields[5] != "*":
        return None
    minute, hour, day, month, weekday = ("*" if field == "?" else field.upper() for field in fields[:5])
    known = " ".join((_stepped(minute, 59), _stepped(hour, 23), day, month, _weekday(weekday)))
    try:
        CronSim(known, _ANY_DAY)
    except CronSimError:
        return None
    return known


def _stepped(field: str, last: int) -> str:
    """`5/10` is `5-59/10` in a crontab."""
    return re.sub(r"^(\d+)/(\d+)$", rf"\1-{last}/\2", field)


def _weekday(field: str) -> str:
    """Numbers count from Sunday, which is 1; what they are a part of (`2#1`, `6L`) is left to nobody's guess."""
    if re.search(r"[/#L]", field):
        return "?"
    return re.sub(r"\d+", lambda number: _DAYS[int(number[0]) - 1] if 1 <= int(number[0]) <= 7 else "?", field)
