"""Whether the newest starts still keep to what older ones teach, or came of another schedule since.

One start that is late or missing says nothing of a schedule; several that are off in the same way do. What left the
pattern is told by that: starts at other times, starts that skip the same number of expected ones each time, a weekday
or a time of day that stays away while its neighbours come. Pure, as what it serves (`rules.schedules.learned`).
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from rules.schedules.declared import Schedule, expected_between

RECENT = 3  # newest starts, and distances between them, that are looked at
_AWAY = 3  # times that a weekday may be missing beside days that came; two can be bad luck
_DAY = timedelta(days=1)


def is_kept(pattern: Schedule, starts: Sequence[datetime], slack: timedelta) -> bool:
    """starts: ascending. Whether all but one of the newest are near expected ones, and the distances between them are
    not some wider rhythm."""
    off = 0
    for start in starts[-RECENT:]:
        tick = pattern.before(start + slack)
        off += tick is None or abs(start - tick) > slack
    return off <= 1 and not _is_thinned(pattern, starts[-RECENT - 1 :], slack)


def _is_thinned(pattern: Schedule, newest: Sequence[datetime], slack: timedelta) -> bool:
    """Whether each of the newest distances skips expected starts, and all are equal: each second hour, say, of a job
    that came each hour. Of outages hardly two are equal."""
    if len(newest) <= RECENT:
        return False
    gaps = [later - earlier for earlier, later in pairwise(newest)]
    if max(gaps) - min(gaps) > 2 * slack:
        return False
    return all(expected_between(pattern, earlier + slack, later - slack, 1) for earlier, later in pairwise(newest))


def gone_weekdays(days: Collection[date], possible: Collection[date]) -> frozenset[int]:
    """Weekdays that stayed away the last three times, though the day before or after came: Saturdays, say, of a job
    that ran each day. days: on which something started; possible: on which something could."""
    return frozenset(weekday for weekday in range(7) if _stays_away(weekday, days, possible))


def _stays_away(weekday: int, days: Collection[date], possible: Collection[date]) -> bool:
    away = 0
    for day in sorted((each for each in possible if each.weekday() == weekday), reverse=True):
        if day in days:
            return False
        away += day - _DAY in days or day + _DAY in days
        if away == _AWAY:
            return True
    return False


def still_coming(groups: Sequence[Sequence[int]], recent: Collection[int]) -> list[Sequence[int]]:
    """The groups of clock times that came lately, of those that ever came. recent: those of the last days."""
    return [group for group in groups if any(group[0] <= clock <= group[-1] for clock in recent)]
