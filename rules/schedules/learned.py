"""A schedule that nobody declared, read from the starts of past runs.

Two shapes are known: a constant period (every 15 minutes, every week), and times of day on certain weekdays in the
job's zone (06:00 and 18:00 on Mon-Fri), which also covers daily and hourly work with nightly or weekend pauses. What
fits neither is not guessed at: monthly work, event-driven work and irregular work stay silent and want a declared
schedule. Pure and deterministic: the same starts give the same answer, whatever the time is.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

from rules.schedules.cadence import RECENT, gone_weekdays, is_kept, still_coming
from rules.schedules.declared import Every
from rules.schedules.zones import zone
from watchtower.model.business import BusinessCalendar

MIN_RUNS = 10
MIN_CONFIDENCE = 0.85  # share of expected starts that came, over the whole history looked at
MIN_ACTIVE_DAYS = 3  # times of day need as many days that show them
# A few hours of a job that runs every minute cannot show whether it pauses at night.
SUB_HOURLY_SPAN_S = 86_400.0
_DAY_S = 86_400
_HOUR_S = 3_600
_SLACK = 0.1  # of the distance to the next start: how far from its time a start still counts as that start
_MAX_SLACK_S = 900.0
_PAUSE_S = 1200.0  # between two times of day
_MAX_TIMES = 48  # times of day
_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class TimesOfDay:
    """times_s: seconds after local midnight, ascending; weekdays: Monday is 0. A time that a change of the clock
    skips happens right behind the gap, as cron has it; as a limit it stays as long after midnight as ever, so that what
    begins behind the gap keeps its time."""

    times_s: tuple[int, ...]
    weekdays: frozenset[int]
    timezone: str
    are_limits: bool = False

    def after(self, moment: datetime) -> datetime | None:
        day = moment.astimezone(zone(self.timezone)).date() - timedelta(days=1)
        for offset in range(10):
            for tick in self._on(day + timedelta(days=offset)):
                if tick > moment:
                    return tick
        return None

    def before(self, moment: datetime) -> datetime | None:
        day = moment.astimezone(zone(self.timezone)).date() + timedelta(days=1)
        for offset in range(10):
            for tick in reversed(self._on(day - timedelta(days=offset))):
                if tick <= moment:
                    return tick
        return None

    def describe(self) -> str:
        shown = ", ".join(f"{_clock(seconds)}" for seconds in self.times_s[:6])
        more = f" and {len(self.times_s) - 6} more times" if len(self.times_s) > 6 else ""
        return f"at {shown}{more} {self.timezone}{weekday_words(self.weekdays)}"

    def _on(self, day: date) -> Sequence[datetime]:
        if day.weekday() not in self.weekdays:
            return ()
        return _starts_on(day, self.times_s, self.timezone, are_limits=self.are_limits)


Pattern = Every | TimesOfDay


@dataclass(frozen=True, slots=True)
class LearnedSchedule:
    """confidence: share of the expected starts that came; jitter_s: how late a start usually is at most (95 % of
    them, with half as much again); samples: starts looked at."""

    pattern: Pattern
    confidence: float
    jitter_s: float
    samples: int

    def after(self, moment: datetime) -> datetime | None:
        return self.pattern.after(moment)

    def before(self, moment: datetime) -> datetime | None:
        return self.pattern.before(moment)

    def following(self, start: datetime) -> datetime | None:
        """The start that is expected after this one, which may have been some minutes early."""
        next_tick, tick = self.pattern.after(start), self.pattern.before(start)
        early = next_tick - start if next_tick else None
        is_early = early is not None and early <= timedelta(seconds=_slack(self.pattern))
        if next_tick and early and is_early and (tick is None or early < start - tick):
            return self.pattern.after(next_tick)
        return next_tick

    def describe(self) -> str:
        return f"{self.pattern.describe()} (learned from {self.samples} runs, {self.confidence:.0%} of them came)"


def learn(
    starts: Sequence[datetime],
    timezone: str = "UTC",
    lateness: Sequence[float] = (),
    calendar: BusinessCalendar | None = None,
) -> LearnedSchedule | None:
    """starts: aware UTC, ascending: nominal starts of scheduled runs, or real starts where no nominal one is known.
    lateness: seconds from nominal to real start, of those that have both. calendar: on whose days alone runs are
    expected. None: too few, too short or no pattern.
    After a change of cadence only the newest runs fit: the older half is dropped until ten are left."""
    unique = sorted(set(starts))
    while len(unique) >= MIN_RUNS:
        found = _pattern(unique, timezone, calendar)
        if found and is_kept(found[0], unique, timedelta(seconds=_slack(found[0]))):
            return _with_jitter(found, unique, lateness)
        if len(unique) == MIN_RUNS:
            return None
        unique = unique[-max(MIN_RUNS, len(unique) // 2) :]
    return None


def _pattern(
    starts: Sequence[datetime], timezone: str, calendar: BusinessCalendar | None
) -> tuple[Pattern, float] | None:
    """What divides the day, and whole days, are times of day if they can be, since those follow the clock's changes."""
    gaps = sorted((later - earlier).total_seconds() for earlier, later in pairwise(starts))
    period = _nice(gaps[len(gaps) // 2])
    if period <= 0:
        return None
    if period > _HOUR_S and (period % _DAY_S == 0 or _DAY_S % period == 0):
        found = _daily(starts, timezone, calendar)
        return found or (None if _gone_weekdays(starts, timezone, calendar) else _periodic(starts, period))
    return _periodic(starts, period) or _daily(starts, timezone, calendar)


def _periodic(starts: Sequence[datetime], period: float) -> tuple[Pattern, float] | None:
    """Every period since the first start, if nearly all expected starts came and nearly all that came were expected."""
    span = (starts[-1] - starts[0]).total_seconds()
    if period < _HOUR_S and span < SUB_HOURLY_SPAN_S:
        return None
    away = [(start - starts[-1]).total_seconds() for start in starts]
    phases = sorted(seconds - round(seconds / period) * period for seconds in away)
    offset = phases[len(phases) // 2]
    slack = min(period * _SLACK, _MAX_SLACK_S)
    counts = [round((seconds - offset) / period) for seconds in away]
    on_time = [abs(seconds - offset - count * period) <= slack for seconds, count in zip(away, counts, strict=True)]
    hits = {count for count, kept in zip(counts, on_time, strict=True) if kept}
    confidence = min(len(hits) / (round(span / period) + 1), sum(on_time) / len(starts))
    if confidence < MIN_CONFIDENCE:
        return None
    return Every(period, starts[-1] + timedelta(seconds=offset)), confidence


def _daily(
    starts: Sequence[datetime], timezone: str, calendar: BusinessCalendar | None
) -> tuple[Pattern, float] | None:
    """Times of day on active weekdays. Active is a weekday that had a start on half of its days or more, and a time
    of day that had one on half of the days with starts. Days without business are none of a weekday's."""
    local = [start.astimezone(zone(timezone)) for start in starts]
    days = sorted({moment.date() for moment in local})
    lately = {_seconds(moment) for moment in local if moment.date() in days[-RECENT:]}
    if len(days) < MIN_ACTIVE_DAYS:
        return None
    weekdays = _active_weekdays(days, calendar)
    groups = still_coming(_clusters(sorted(_seconds(moment) for moment in local)), lately)
    if len(groups) > _MAX_TIMES:
        return None
    times = tuple(_nice_clock(group[len(group) // 2]) for group in groups if len(group) >= max(3, len(days) // 2))
    if not times:
        return None
    pattern = TimesOfDay(times, weekdays, timezone)
    confidence = _confidence(pattern, starts, calendar)
    return (pattern, confidence) if confidence >= MIN_CONFIDENCE else None


def _active_weekdays(days: Sequence[date], calendar: BusinessCalendar | None) -> frozenset[int]:
    possible = _possible(days, calendar)
    seen, could = Counter(day.weekday() for day in days), Counter(day.weekday() for day in possible)
    usual = frozenset(day for day in range(7) if seen[day] and seen[day] * 2 >= could[day])
    return usual - gone_weekdays(set(days), possible)


def _possible(days: Sequence[date], calendar: BusinessCalendar | None) -> list[date]:
    every = (days[0] + timedelta(days=offset) for offset in range((days[-1] - days[0]).days + 1))
    return [day for day in every if calendar is None or calendar.is_open(day)]


def _gone_weekdays(starts: Sequence[datetime], timezone: str, calendar: BusinessCalendar | None) -> frozenset[int]:
    days = sorted({start.astimezone(zone(timezone)).date() for start in starts})
    return gone_weekdays(set(days), _possible(days, calendar))


def _confidence(pattern: TimesOfDay, starts: Sequence[datetime], calendar: BusinessCalendar | None) -> float:
    """The smaller of: expected starts that came, starts that were expected; on days of the calendar alone."""
    if calendar is not None:
        starts = [start for start in starts if calendar.is_open(start.astimezone(zone(pattern.timezone)).date())]
    if not starts:
        return 0.0
    slack = timedelta(seconds=_slack(pattern))
    expected: list[datetime] = []
    day = starts[0].astimezone(zone(pattern.timezone)).date()
    last = starts[-1].astimezone(zone(pattern.timezone)).date()
    while day <= last:
        if day.weekday() in pattern.weekdays and (calendar is None or calendar.is_open(day)):
            expected.extend(_starts_on(day, pattern.times_s, pattern.timezone))
        day += timedelta(days=1)
    expected = [tick for tick in expected if starts[0] - slack <= tick <= starts[-1] + slack]
    hits, position = 0, 0
    for tick in expected:
        while position < len(starts) and starts[position] < tick - slack:
            position += 1
        if position < len(starts) and starts[position] <= tick + slack:
            hits += 1
            position += 1
    return min(hits / len(expected), hits / len(starts)) if expected else 0.0


def _clusters(clocks: Sequence[int]) -> list[list[int]]:
    """Neighbouring clock times, cut where a pause of more than 20 minutes lies between two of them."""
    groups = [[clocks[0]]]
    for earlier, later in pairwise(clocks):
        if later - earlier > _PAUSE_S:
            groups.append([])
        groups[-1].append(later)
    return groups


def _seconds(moment: datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _slack(pattern: Pattern) -> float:
    if isinstance(pattern, Every):
        return min(pattern.period_s * _SLACK, _MAX_SLACK_S)
    return _MAX_SLACK_S


def _with_jitter(
    found: tuple[Pattern, float], starts: Sequence[datetime], lateness: Sequence[float]
) -> LearnedSchedule:
    pattern, confidence = found
    late = [*lateness] or [_late(pattern, start) for start in starts]
    late.sort()
    usual = late[math.floor(0.95 * (len(late) - 1))]
    return LearnedSchedule(pattern, confidence, max(0.0, usual * 1.5), len(starts))


def _late(pattern: Pattern, start: datetime) -> float:
    tick = pattern.before(start + timedelta(seconds=_slack(pattern)))
    return (start - tick).total_seconds() if tick else 0.0


def _nice(seconds: float) -> float:
    """The round number that was meant: whole days, hours or minutes within 2 %, else whole seconds."""
    for unit in (_DAY_S, _HOUR_S, 300, 60):
        rounded = round(seconds / unit) * unit
        if rounded and abs(rounded - seconds) <= 0.02 * seconds:
            return float(rounded)
    return float(round(seconds))


def _nice_clock(seconds: int) -> int:
    """Whole minutes; schedulers start at them, and what comes seconds later is lateness."""
    return seconds // 60 * 60


def _clock(seconds: int) -> str:
    return f"{time(seconds // 3600, seconds % 3600 // 60):%H:%M}"


@lru_cache(maxsize=4096)
def _starts_on(day: date, times_s: tuple[int, ...], timezone: str, *, are_limits: bool = False) -> tuple[datetime, ...]:
    place = zone(timezone)
    ticks: list[datetime] = []
    for seconds in times_s:
        tick = datetime.combine(day, time(seconds // 3600, seconds % 3600 // 60, seconds % 60), place)
        if are_limits or tick.astimezone(UTC).astimezone(place).replace(tzinfo=None) == tick.replace(tzinfo=None):
            ticks.append(tick.astimezone(UTC))
        elif (behind := _behind_the_gap(tick)).astimezone(place).date() == day:  # some days do not exist at all
            ticks.append(behind)
    return tuple(sorted(set(ticks)))


def _behind_the_gap(skipped: datetime) -> datetime:
    """The moment in which the clocks were put forward over this time of day, as cron has it."""
    moments = (skipped.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    low, high = sorted(moments)  # by the offset after the change, which is before it, and the other way round
    after = high.astimezone(skipped.tzinfo).utcoffset()
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) // timedelta(minutes=2) * timedelta(minutes=1)
        if middle.astimezone(skipped.tzinfo).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high if low.astimezone(skipped.tzinfo).utcoffset() != after else low


def weekday_words(weekdays: frozenset[int]) -> str:
    """Empty for all seven, ` on Mon-Fri`, or each by name."""
    if len(weekdays) == 7:
        return ""
    if weekdays == frozenset(range(5)):
        return " on Mon-Fri"
    return f" on {', '.join(_NAMES[day] for day in sorted(weekdays))}"


def learning_progress(count: int, unit: str = "completed runs") -> str | None:
    """What a learned rule says while it is silent; None when it has seen enough."""
    return f"{count} of {MIN_RUNS} {unit}" if count < MIN_RUNS else None
