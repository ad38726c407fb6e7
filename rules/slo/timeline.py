"""How many events were good and bad between two minutes, and when that changes by time alone.

Days hold the events. A day that lies wholly within a window counts by its sums; only the days in which windows begin
are opened, so that an answer costs the same for a job of each minute and of each day. What lies in a correction does
not count. Slices of time are events themselves: one of them is good or bad as a whole (Timeslices), or good in part
(RatioTimeslices); a slice in which nothing happened counts for nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple, Protocol

from watchtower.model.slo import Budgeting, Correction, Counted, Objective, Slo, minute_of
from watchtower.model.slo_days import DAY, Day, days_of, entries

Number = Fraction | int
Opened = tuple[Sequence[int], Sequence[Number], Sequence[Number]]


class Counts(NamedTuple):
    """Whole numbers, or parts of slices."""

    good: Number
    bad: Number

    @property
    def total(self) -> Number:
        return self.good + self.bad


class Event(NamedTuple):
    """One event of the newest ones, or several within one minute."""

    minute: int
    counts: Counts


class Line(Protocol):
    """What happened to one objective. counts_events: few of them may be judged one by one."""

    @property
    def counts_events(self) -> bool: ...

    def within(self, since: int, until: int) -> Counts: ...

    def newest(self, since: int) -> Iterator[Event]: ...

    def newest_bad(self, since: int, until: int) -> int | None: ...

    def span_within(self, since: int, until: int) -> int: ...

    def leaving(self, minutes: int, now: int) -> Iterator[int]: ...

    def goes(self, since: int, events: int) -> int | None: ...

    def turns_bad_after(self, now: int) -> int | None: ...


class SomeDay(Protocol):
    """Of whole events, as the store has it, or of slices."""

    @property
    def number(self) -> int: ...

    @property
    def good(self) -> Number: ...

    @property
    def bad(self) -> Number: ...

    def minutes(self) -> Opened: ...


@dataclass(frozen=True, slots=True)
class SlicedDay:
    """Slices of a UTC day, by the minute at which each begins."""

    number: int
    opened: Opened

    @property
    def good(self) -> Number:
        return sum(self.opened[1])

    @property
    def bad(self) -> Number:
        return sum(self.opened[2])

    def minutes(self) -> Opened:
        return self.opened


class Timeline:
    """Of one objective. days: oldest first."""

    counts_events = True

    def __init__(self, days: Iterable[SomeDay]) -> None:
        self._days = [day for day in days if day.good or day.bad]
        self._numbers = [day.number for day in self._days]
        self._good: list[Number] = [0, *accumulate(day.good for day in self._days)]
        self._bad: list[Number] = [0, *accumulate(day.bad for day in self._days)]
        self._opened: dict[int, Opened] = {}
        self._sums: dict[int, tuple[Sequence[Number], Sequence[Number]]] = {}
        self._known: dict[int, Counts] = {}

    def within(self, since: int, until: int) -> Counts:
        """since to until (exclusive), in minutes."""
        before, after = self._before(since), self._before(until)
        return Counts(after.good - before.good, after.bad - before.bad)

    def newest(self, since: int) -> Iterator[Event]:
        """Newest first, back to since."""
        for place in range(len(self._days) - 1, -1, -1):
            begin = self._numbers[place] * DAY
            if begin + DAY <= since:
                return
            for minute, good, bad in zip(*map(reversed, self._open(place)), strict=True):
                if begin + minute < since:
                    return
                yield Event(begin + minute, Counts(good, bad))

    def newest_bad(self, since: int, until: int) -> int | None:
        """The minute of the newest bad event between since and until (exclusive)."""
        for place in range(len(self._days) - 1, -1, -1):
            begin = self._numbers[place] * DAY
            if begin + DAY <= since:
                return None
            if not self._days[place].bad:
                continue
            minutes, _, bad = self._open(place)
            found = [begin + minute for minute, each in zip(minutes, bad, strict=True) if each]
            at = bisect_left(found, until)
            if at:
                return found[at - 1] if found[at - 1] >= since else None
        return None

    def turns_bad_after(self, now: int) -> int | None:
        """The minute at which it becomes bad though nothing happens."""
        return None

    def span_within(self, since: int, until: int) -> int:
        """Minutes from the first event to the last, between since and until (exclusive)."""
        first, last = next(self._minutes(since), until), self._newest_before(until)
        return max(0, last - first) if last is not None else 0

    def leaving(self, minutes: int, now: int) -> Iterator[int]:
        """The minutes, ascending, at which events leave the window of so many minutes that ends with now."""
        return (minute + minutes for minute in self._minutes(now - minutes + 1))

    def goes(self, since: int, events: int) -> int | None:
        """Of all events from since on the minute of the one with which more than so many have happened; None: there
        are no more than these."""
        left = self._before(since).total + events
        place = bisect_right(range(len(self._days)), left, key=lambda at: self._good[at + 1] + self._bad[at + 1])
        if place == len(self._days):
            return None
        left -= self._good[place] + self._bad[place]
        minutes, good, bad = self._open(place)
        inside = bisect_right([*accumulate(map(sum, zip(good, bad, strict=True)))], left)
        return self._numbers[place] * DAY + minutes[inside]

    def _before(self, until: int) -> Counts:
        """All that happened before a minute."""
        known = self._known.get(until)
        if known is None:
            known = self._known[until] = self._counted(until)
        return known

    def _counted(self, until: int) -> Counts:
        number, rest = divmod(until, DAY)
        place = bisect_left(self._numbers, number)
        good, bad = self._good[place], self._bad[place]
        if not rest or place == len(self._numbers) or self._numbers[place] != number:
            return Counts(good, bad)
        inside = bisect_left(self._open(place)[0], rest)
        its_good, its_bad = self._summed(place)
        return Counts(good + its_good[inside], bad + its_bad[inside])

    def _summed(self, place: int) -> tuple[Sequence[Number], Sequence[Number]]:
        """Of a day, how many were good and bad before each of its minutes."""
        sums = self._sums.get(place)
        if sums is None:
            _, good, bad = self._open(place)
            sums = self._sums[place] = ([*accumulate(good, initial=0)], [*accumulate(bad, initial=0)])
        return sums

    def _open(self, place: int) -> Opened:
        opened = self._opened.get(place)
        if opened is None:
            opened = self._opened[place] = self._days[place].minutes()
        return opened

    def _minutes(self, since: int) -> Iterator[int]:
        """Those that hold events, ascending."""
        for place in range(bisect_left(self._numbers, since // DAY), len(self._days)):
            begin = self._numbers[place] * DAY
            minutes, _, _ = self._open(place)
            for at in range(bisect_left(minutes, since - begin), len(minutes)):
                yield begin + minutes[at]

    def _newest_before(self, until: int) -> int | None:
        for place in range(bisect_left(self._numbers, -(-until // DAY)) - 1, -1, -1):
            begin = self._numbers[place] * DAY
            minutes, _, _ = self._open(place)
            at = bisect_left(minutes, until - begin)
            if at:
                return begin + minutes[at - 1]
        return None


def timeline(slo: Slo, objective: Objective, counted: Counted, corrections: Sequence[Correction]) -> Timeline:
    days = corrected(counted.days, corrections)
    return Timeline(days if slo.budgeting is Budgeting.OCCURRENCES else _sliced(days, objective, slo.budgeting))


def corrected(days: Sequence[Day], corrections: Sequence[Correction]) -> Sequence[Day]:
    if not corrections:
        return days
    spans = [(minute_of(each.start), minute_of(each.end)) for each in corrections]
    kept: list[Day] = []
    for day in days:
        begin = day.number * DAY
        cut = [(start, end) for start, end in spans if start < begin + DAY and end > begin]
        if not cut:
            kept.append(day)
            continue
        counts = {
            minute: (good, bad)
            for minute, good, bad in entries([day])
            if not any(start <= minute < end for start, end in cut)
        }
        kept += days_of(counts)
    return kept


def slices_of(days: Iterable[Day], objective: Objective) -> dict[int, list[int]]:
    """[good, bad] of each slice that saw an event, by its first minute."""
    size = objective.slice_minutes
    slices: dict[int, list[int]] = {}
    for minute, good, bad in entries(days):
        into = slices.setdefault(minute // size * size, [0, 0])
        into[0] += good
        into[1] += bad
    return slices


def _sliced(days: Iterable[Day], objective: Objective, budgeting: Budgeting) -> Iterator[SlicedDay]:
    slices = slices_of(days, objective)
    wanted = Fraction(objective.slice_target)
    by_day: dict[int, list[tuple[int, Number, Number]]] = {}
    for begin, (good, bad) in slices.items():
        ratio = Fraction(good, good + bad)
        share = ratio if budgeting is Budgeting.RATIO_TIMESLICES else int(ratio >= wanted)
        by_day.setdefault(begin // DAY, []).append((begin % DAY, share, 1 - share))
    for number, some in by_day.items():
        minutes, shares, others = zip(*some, strict=True)
        yield SlicedDay(number, (minutes, shares, others))
