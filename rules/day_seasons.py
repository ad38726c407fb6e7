"""Seasons of days that a busy job's last hundred runs cannot show: of an hourly job they are four days.

Its days are seen by their medians, of half a year. Where weekdays, turns of a month or days without business differ by
these, runs are compared as if all were of one day: each is divided by what its day usually adds or saves, and the limit
is multiplied by that of the day it is for.
"""

from collections.abc import Mapping
from datetime import datetime, time
from functools import lru_cache

from rules.seasons import Season, Seen, of_seen, seasons_at
from watchtower.model.business import BusinessCalendar
from watchtower.model.day_medians import DayMedians

MIN_DAYS = 28  # four of each weekday
_NOON = time(12)


@lru_cache(maxsize=4096)
def day_factors(medians: DayMedians, calendar: BusinessCalendar | None) -> Mapping[Season, float]:
    """Of the seasons that count: what a run takes in them, of what it takes on other days. Worked out once for each
    day that is new."""
    if len(medians) < MIN_DAYS:
        return {}
    seasons = of_seen([Seen(datetime.combine(day, _NOON), median) for day, median in medians], calendar)
    usual = seasons.plain.values.median
    if not usual:
        return {}
    return {season: each.values.median / usual for season, each in seasons.known.items() if season.of != "hour"}


def day_season(
    at: datetime, factors: Mapping[Season, float], calendar: BusinessCalendar | None
) -> tuple[Season | None, float]:
    """Of a moment by the clock of the job: the season of its day that counts, and its factor."""
    found = next((season for season in seasons_at(at, calendar) if season in factors), None)
    return found, factors[found] if found else 1.0
