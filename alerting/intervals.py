"""Time intervals: when a route is muted or active. Pure; IANA zones, so daylight saving changes nothing for people.

Source: `time_intervals` in Alertmanager's configuration documentation and `timeinterval/timeinterval.go`: times are
half-open [start, end) in minutes, all other ranges inclusive; days of the month may count from its end (-1 is the last)
and are clamped to it; what is not given does not restrict; the zone is UTC unless named.
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HORIZON = timedelta(days=366)  # of the search for the end of a mute; a longer one is looked at again then

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """minutes: of the day, end exclusive (1440 is midnight); weekdays: 0 is Sunday; days_of_month: 1 … 31 or -31 … -1;
    months: 1 … 12. Empty: any."""

    minutes: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    zone: str = "UTC"

    def contains(self, now: datetime) -> bool:
        """now: aware."""
        local = now.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        return (
            (not self.minutes or any(start <= minute < end for start, end in self.minutes))
            and (not self.days_of_month or any(_holds_day(days, local) for days in self.days_of_month))
            and _within(self.months, local.month)
            and _within(self.weekdays, local.isoweekday() % 7)
            and _within(self.years, local.year)
        )

    def edges(self, day: date) -> Iterator[datetime]:
        """The moments (UTC) of a local day at which `contains` may change: its midnight, the given times, and when the
        clocks are changed."""
        zone = ZoneInfo(self.zone)
        for minute in sorted({0, *(edge for span in self.minutes for edge in span if edge < 1440)}):
            wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
            for fold in (0, 1):  # a time that the clocks pass twice
                yield wall.replace(fold=fold).astimezone(UTC)
        yield from _clock_changes(day, zone)


Intervals = Mapping[str, Sequence[TimeInterval]]


def active_names(names: Iterable[str], intervals: Intervals, now: datetime) -> tuple[str, ...]:
    """Those of names that hold now. A name that the configuration no longer has holds never: paging fails open."""
    return tuple(name for name in names if any(item.contains(now) for item in intervals.get(name, ())))


def muted_by(mute: Sequence[str], active: Sequence[str], intervals: Intervals, now: datetime) -> str | None:
    """The name of the interval by which a route is mute now. active: it is mute outside all of these."""
    holding = active_names(mute, intervals, now)
    if holding:
        return holding[0]
    known = [name for name in active if name in intervals]
    if known and not active_names(known, intervals, now):
        return known[0]
    return None


def muted_until(mute: Sequence[str], active: Sequence[str], intervals: Intervals, now: datetime) -> datetime:
    """The first moment after now at which the route is not mute; at most a year ahead, to be looked at again then."""
    used = [item for name in (*mute, *active) for item in intervals.get(name, ())]
    for offset in range(_HORIZON.days + 2):
        for moment in _edges_on(now.date() + timedelta(days=offset), used):
            if moment > now and muted_by(mute, active, intervals, moment) is None:
                return moment
    return now + _HORIZON


def _edges_on(day: date, used: Iterable[TimeInterval]) -> list[datetime]:
    """Those within this day of UTC, in order: local days overlap it, and each other, from one zone to the next."""
    near = [day + timedelta(days=offset) for offset in (-1, 0, 1)]
    return sorted({edge for item in used for local in near for edge in item.edges(local) if edge.date() == day})


def _clock_changes(day: date, zone: ZoneInfo) -> Iterator[datetime]:
    """The moment, to the minute, in which the offset of zone changes on day, if it does."""
    low = datetime.combine(day, time(), zone).astimezone(UTC)
    high = low + timedelta(hours=26)
    before, after = low.astimezone(zone).utcoffset(), high.astimezone(zone).utcoffset()
    if before == after:
        return
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) // timedelta(minutes=2) * timedelta(minutes=1)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    yield high


def _within(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(begin <= value <= end for begin, end in ranges)


def _holds_day(days: Range, local: datetime) -> bool:
    length = monthrange(local.year, local.month)[1]
    begin, end = (length + day + 1 if day < 0 else day for day in days)
    if begin > length:
        return False
    return max(begin, -length) <= local.day <= min(end, length)
