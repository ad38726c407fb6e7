"""Schedules as AWS writes them → cron expressions of five fields, or periods, in UTC.

`cron(minute hour day month weekday year)`; what cannot be said without a year is no schedule here. Source: Amazon
EventBridge user guide, "Cron and rate expressions".
"""

import re
from datetime import timedelta
from typing import Final

from collectors.crons import crontab

_FORM: Final = re.compile(r"cron\(([^)]{1,200})\)", re.IGNORECASE)
_RATE: Final = re.compile(r"rate\((\d{1,6}) (minute|hour|day)s?\)", re.IGNORECASE)
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
    return crontab(*fields[:5])
