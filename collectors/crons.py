"""Cron expressions in the manner of Quartz → those of a crontab, which `rules` understand.

Quartz and AWS count days of the week from Sunday, which is 1, write `?` for a day that does not matter, and know `W`
and `#`, which a crontab does not. Sources: Quartz Scheduler, "CronTrigger"; Amazon EventBridge, "Cron expressions".
"""

import re
from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def crontab(minute: str, hour: str, day: str, month: str, weekday: str) -> str | None:
    """Five fields. None for what they cannot say."""
    fields = ("*" if field == "?" else field.upper() for field in (minute, hour, day, month, weekday))
    minute, hour, day, month, weekday = fields
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
    """What numbers are a part of (`2#1`, `6L`) is left to nobody's guess."""
    if re.search(r"[/#L]", field):
        return "?"
    return re.sub(r"\d+", lambda number: _DAYS[int(number[0]) - 1] if 1 <= int(number[0]) <= 7 else "?", field)
