"""When a job usually takes longer, or less, than at other times: at the turn of a month, on days without business, on
a weekday, at an hour of the day.

A season is the runs of one such time. It counts once it was seen on three days (of a month: in three months), three of
four of its runs lie further from what the others take than is usual among those, and that is no chance: either so many
of its runs could hardly have been drawn from the others, or such times explain what runs take on the whole. A run of a
season that counts is held against the runs of that season; any other run against those of no season. So Mondays may
be long, and a Tuesday may not.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from operator import sub
from typing import Generic, Literal, NamedTuple, TypeVar

from rules.baseline import MAD_TO_SIGMA, MIN_SAMPLES, Baseline, median
from watchtower.model.business import BusinessCalendar

LEAST_DAYS = 3
MOSTLY = 0.75  # of a season's runs
SIGMAS = 3.5
LEAST_CHANGE = 0.2  # of what the others take: less makes no season
CHANCE = 0.01  # that some season of a kind is none
EXPLAINS = 0.7  # of the distances from one middle: what those from the middles of seasons must come below

Of = Literal["closed", "month", "weekday", "hour"]
_KINDS: tuple[Of, ...] = ("closed", "month", "weekday", "hour")  # the rarest first: a run is of the first that counts
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_DAY = timedelta(days=1)
_FIRST, _LAST = 5, 3  # days of a month that may be seasons
_PLACES = {
    1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second last", -3: "third last"
}  # fmt: skip
R = TypeVar("R")


class Season(NamedTuple):
    """of `closed`: 0; `month`: 1 to 5 its first days, -1 its last and -2, -3 those before (days of business, where a
    calendar is known); `weekday`: Monday is 0; `hour`: of the day."""

    of: Of
    number: int

    @property
    def words(self) -> str:
        match self.of:
            case "closed":
                return "on days without business"
            case "month":
                return f"on the {_PLACES[self.number]} day of a month"
            case "weekday":
                return f"on {_DAYS[self.number]}"
            case "hour":
                return f"from {self.number:02d}:00 to {(self.number + 1) % 24:02d}:00"


class Seen(NamedTuple):
    """at: the moment that a run was meant for, by the clock of its job."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Usual:
    """season: of which the values are; None: of none."""

    values: Baseline
    season: Season | None = None

    @property
    def when(self) -> str:
        return f" {self.season.words}" if self.season else ""


class Seasons(Generic[R]):
    """What is usual at which time, by ten past runs or more, in any order. seasonal: False, and no season counts.

    runs: whatever at_of tells the moment of. To know a moment by the clock of a zone costs more than all else, so of a
    job that nothing can be said about only those of its odd runs are asked for."""

    def __init__(
        self,
        runs: Sequence[R],
        values: Sequence[float],
        at_of: Callable[[R], datetime],
        calendar: BusinessCalendar | None = None,
        *,
        seasonal: bool = True,
    ) -> None:
        self._runs = runs
        self._values = values
        self._at_of = at_of
        self._calendar = calendar
        self._seasonal = seasonal

    def usual(self, at: datetime) -> Usual:
        """For a run that is meant for that moment."""
        if not self.known:
            return self.plain
        return next((self.known[each] for each in self._of(at) if each in self.known), self.plain)

    @cached_property
    def plain(self) -> Usual:
        """For runs of no season; where those are too few, of all."""
        known = self.known
        others = [one.value for one in self._seen if known.keys().isdisjoint(self._of(one.at))] if known else []
        return Usual(_baseline(others) if len(others) >= MIN_SAMPLES else self._all)

    @cached_property
    def known(self) -> Mapping[Season, Usual]:
        """The seasons that count."""
        if not self._seasonal or not self._may_have_some():
            return {}
        parts = {kind: self._parts(kind) for kind in _KINDS}
        found = [season for part in parts.values() for season in _that_count(part)]
        return {each: Usual(_baseline(_values(parts[each.of][each])), each) for each in found}

    @cached_property
    def _all(self) -> Baseline:
        return _baseline(self._values)

    @cached_property
    def _seen(self) -> Sequence[Seen]:
        return [Seen(self._at_of(run), value) for run, value in zip(self._runs, self._values, strict=True)]

    def _may_have_some(self) -> bool:
        """What every season shows, without looking at more than the odd runs: three of those that lie far out on one
        side have a time in common; or it is so many runs that the others are not the rule, and then there is a gap."""
        values = self._values
        if len(values) < MIN_SAMPLES + LEAST_DAYS:
            return False
        ordered, middle = self._all.values, self._all.median
        least, outer = LEAST_CHANGE / 2 * abs(middle), len(ordered) // 10
        if ordered[-1] - ordered[0] <= least:
            return False
        inner = ordered[outer : len(ordered) - outer]
        if max(map(sub, inner[1:], inner), default=0.0) > least:
            return True
        reach = _reach(self._all)
        shared: Counter[tuple[bool, Season]] = Counter()
        for run, value in [
            pair for pair in zip(self._runs, values, strict=True) if not -reach <= pair[1] - middle <= reach
        ]:
            shared.update((value > middle, season) for season in self._of(self._at_of(run)))
        return any(count >= LEAST_DAYS for count in shared.values())

    def _parts(self, kind: Of) -> Mapping[Season | None, Sequence[Seen]]:
        """The runs of each season of one kind, and those of none."""
        season_of, calendar = _SEASONS[kind], self._calendar
        parts: dict[Season | None, list[Seen]] = {}
        for one in self._seen:
            parts.setdefault(season_of(one.at, calendar), []).append(one)
        return parts

    def _of(self, at: datetime) -> Sequence[Season]:
        return seasons_at(at, self._calendar)


def of_seen(
    seen: Sequence[Seen], calendar: BusinessCalendar | None = None, *, seasonal: bool = True
) -> "Seasons[Seen]":
    """Of values whose moments are known."""
    return Seasons(seen, _values(seen), _at, calendar, seasonal=seasonal)


def _at(seen: Seen) -> datetime:
    return seen.at


def _baseline(values: Sequence[float]) -> Baseline:
    return Baseline(tuple(sorted(values)))


def _reach(usual: Baseline) -> float:
    """How far from their middle values have to lie to be apart from these."""
    return max(SIGMAS * MAD_TO_SIGMA * usual.mad, LEAST_CHANGE * abs(usual.median))


def _that_count(parts: Mapping[Season | None, Sequence[Seen]]) -> list[Season]:
    """Of one kind."""
    everything = [one.value for part in parts.values() for one in part]
    middle = median(sorted(everything))
    found: list[Season] = []
    for season, part in parts.items():
        if season is None or len({one.at.date() for one in part}) < LEAST_DAYS:
            continue
        mine = _values(part)
        if abs(median(sorted(mine)) - middle) <= LEAST_CHANGE / 2 * abs(middle):  # as the others, by far the most
            continue
        others = [one.value for each, other in parts.items() if each != season for one in other]
        chance = _chance_of_being_apart(mine, others) * len(parts)
        if chance < CHANCE or (chance < 1 and _explain(parts, middle)):
            found.append(season)
    return found


def _chance_of_being_apart(mine: Sequence[float], others: Sequence[float]) -> float:
    """That so many of mine lie as far on one side, if they were drawn from the others; 1 if they are not apart."""
    if len(others) < MIN_SAMPLES:
        return 1.0
    usual = _baseline(others)
    middle, reach = usual.median, _reach(usual)
    for sign in (1, -1):
        apart = sum(sign * (value - middle) > reach for value in mine)
        if apart >= MOSTLY * len(mine):
            as_far = sum(sign * (value - middle) > reach for value in others)
            return _at_least(apart, len(mine), (as_far + 1) / (len(others) + 2))
    return 1.0


def _at_least(count: int, of: int, share: float) -> float:
    """The chance of so many hits or more."""
    return sum(math.comb(of, hits) * share**hits * (1 - share) ** (of - hits) for hits in range(count, of + 1))


def _explain(parts: Mapping[Season | None, Sequence[Seen]], middle: float) -> bool:
    """Whether runs lie clearly nearer to the others of their season than to the middle of all."""
    away = without = 0.0
    for part in parts.values():
        values = sorted(_values(part))
        for place, value in enumerate(values):
            rest = values[:place] + values[place + 1 :]
            away += abs(value - (median(rest) if rest else middle))
            without += abs(value - middle)
    return away < EXPLAINS * without


def _values(seen: Sequence[Seen]) -> list[float]:
    return [one.value for one in seen]


# -- of which season of a kind a moment is -------------------------------------------------------------------------


def _closed(at: datetime, calendar: BusinessCalendar | None) -> Season | None:
    return Season("closed", 0) if calendar and not calendar.is_open(at.date()) else None


def _month(at: datetime, calendar: BusinessCalendar | None) -> Season | None:
    day = at.date()
    if calendar and not calendar.is_open(day):
        return None
    for sign, most, step in ((1, _FIRST, -_DAY), (-1, _LAST, _DAY)):
        count, other = 1, _next_open(day, step, calendar)
        while other.month == day.month and count <= most:
            count, other = count + 1, _next_open(other, step, calendar)
        if count <= most:
            return Season("month", sign * count)
    return None


def _next_open(day: date, step: timedelta, calendar: BusinessCalendar | None) -> date:
    """Within a month."""
    following = day + step
    while calendar and not calendar.is_open(following) and following.month == day.month:
        following += step
    return following


def seasons_at(at: datetime, calendar: BusinessCalendar | None) -> list[Season]:
    """All that a moment is of, the rarest first."""
    found = (_SEASONS[kind](at, calendar) for kind in _KINDS)
    return [each for each in found if each is not None]


def _weekday(at: datetime, _calendar: BusinessCalendar | None) -> Season:
    return Season("weekday", at.weekday())


def _hour(at: datetime, _calendar: BusinessCalendar | None) -> Season:
    return Season("hour", at.hour)


_SEASONS: Mapping[Of, Callable[[datetime, BusinessCalendar | None], Season | None]] = {
    "closed": _closed,
    "month": _month,
    "weekday": _weekday,
    "hour": _hour,
}
