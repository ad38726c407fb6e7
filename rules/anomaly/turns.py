"""What a value usually is at a rare time that `calendar` cannot know: the turn of a month, a holiday, one weekday of a
series that has hardly more than a row a day.

The seasons are those of jobs (rules.seasons), found among the values themselves, so they take the place of an expected
range only once they have proved that they are none by chance. A series with many rows a day has hours, which would hide
its days: there they are not looked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rules.anomaly.usual import Q90, Range
from rules.baseline import MAD_TO_SIGMA, MIN_SAMPLES, Baseline
from rules.seasons import LEAST_DAYS, Seen, of_seen
from watchtower.model.business import BusinessCalendar

ROWS_A_DAY = 2  # at most, on average
OTHERWISE = "on days like this"  # of no season, where there are some


def at_turn(expected: Range, at: datetime, before: Sequence[Seen], calendar: BusinessCalendar | None = None) -> Range:
    """expected, or what takes its place at that moment. before: what is known, oldest first, by the same clock."""
    if len(before) < MIN_SAMPLES + LEAST_DAYS:
        return expected
    if len(before) > ROWS_A_DAY * ((before[-1].at.date() - before[0].at.date()).days + 1):
        return expected
    seasons = of_seen(before, calendar)
    if not seasons.known:
        return expected
    usual = seasons.usual(at)
    if usual.season is None:
        return replace(expected, pattern=expected.pattern or OTHERWISE)
    middle, sigma = _spread(usual.values)
    return Range(middle, sigma, usual.values.count, usual.season.words)


def _spread(values: Baseline) -> tuple[float, float]:
    """(median, standard deviation): by the MAD, and by nine of ten values where those are wider."""
    middle = values.median
    away = sorted(abs(value - middle) for value in values.values)
    return middle, max(values.mad * MAD_TO_SIGMA, away[int(0.9 * (len(away) - 1))] / Q90)
