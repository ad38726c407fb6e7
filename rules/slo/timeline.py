"""How many events were good and bad between two minutes, and when that changes by time alone.

What lies in a correction does not count. Slices of time are events themselves: one of them is good or bad as a whole
(Timeslices), or good in part (RatioTimeslices); a slice in which nothing happened counts for nothing.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple, Protocol

from watchtower.model.slo import Bucket, Budgeting, Correction, Counted, Objective, Slo, minute_of


class Counts(NamedTuple):
    """Whole numbers, or parts of slices."""

    good: Fraction | int
    bad: Fraction | int

    @property
    def total(self) -> Fraction | int:
        return self.good + self.bad


class Event(NamedTuple):
    """One event of the newest ones, or several within one bucket."""

    minute: int
    counts: Counts


class Line(Protocol):
    """What happened to one objective. begins: of the buckets that hold events, ascending; counts_events: few of them
    may be judged one by one."""

    @property
    def begins(self) -> Sequence[int]: ...

    @property
    def counts_events(self) -> bool: ...

    def within(self, since: int, until: int) -> Counts: ...

    def newest(self, since: int) -> Iterator[Event]: ...

    def newest_bad(self, since: int, until: int) -> int | None: ...

    def span_within(self, since: int, until: int) -> int: ...

    def leaving(self, minutes: int, now: int) -> Iterator[int]: ...

    def turns_bad_after(self, now: int) -> int | None: ...


class Timeline:
    """Of one objective. begins: of the buckets that hold events, ascending."""

    counts_events = True

    def __init__(self, buckets: Iterable[tuple[int, Fraction | int, Fraction | int]]) -> None:
        kept = [each for each in buckets if each[1] or each[2]]
        self.begins = [begin for begin, _, _ in kept]
        self._counts = [Counts(good, bad) for _, good, bad in kept]
        self._good = [0, *accumulate(each.good for each in self._counts)]
        self._bad = [0, *accumulate(each.bad for each in self._counts)]

    def within(self, since: int, until: int) -> Counts:
        """since to until (exclusive), in minutes."""
        first, last = bisect_left(self.begins, since), bisect_left(self.begins, until)
        return Counts(self._good[last] - self._good[first], self._bad[last] - self._bad[first])

    def newest_bad(self, since: int, until: int) -> int | None:
        """The minute of the newest bad event between since and until (exclusive)."""
        newest = (event.minute for event in self.newest(since) if event.minute < until and event.counts.bad)
        return next(newest, None)

    def turns_bad_after(self, now: int) -> int | None:
        """The minute at which it becomes bad though nothing happens."""
        return None

    def newest(self, since: int) -> Iterator[Event]:
        """Newest first, back to since."""
        for place in range(len(self.begins) - 1, -1, -1):
            if self.begins[place] < since:
                return
            yield Event(self.begins[place], self._counts[place])

    def span_within(self, since: int, until: int) -> int:
        """Minutes from the first event to the last, between since and until (exclusive)."""
        first, last = bisect_left(self.begins, since), bisect_left(self.begins, until)
        return self.begins[last - 1] - self.begins[first] if last > first else 0

    def leaving(self, minutes: int, now: int) -> Iterator[int]:
        """The minutes, ascending, at which events leave the window of so many minutes that ends with now."""
        for place in range(bisect_left(self.begins, now - minutes + 1), len(self.begins)):
            yield self.begins[place] + minutes


def timeline(slo: Slo, objective: Objective, counted: Counted, corrections: Sequence[Correction]) -> Timeline:
    return Timeline(_sliced(_corrected(counted.buckets, corrections), objective, slo.budgeting))


def _corrected(buckets: Sequence[Bucket], corrections: Sequence[Correction]) -> Iterator[Bucket]:
    """By the beginning of each bucket: the store gives minutes where a correction begins or ends."""
    spans = [(minute_of(each.start), minute_of(each.end)) for each in corrections]
    return (each for each in buckets if not any(start <= each.minute < end for start, end in spans))


def _sliced(
    buckets: Iterable[Bucket], objective: Objective, budgeting: Budgeting
) -> Iterator[tuple[int, Fraction | int, Fraction | int]]:
    if budgeting is Budgeting.OCCURRENCES:
        yield from buckets
        return
    size = objective.slice_minutes
    slices: dict[int, list[int]] = {}
    for minute, good, bad in buckets:
        into = slices.setdefault(minute // size * size, [0, 0])
        into[0] += good
        into[1] += bad
    wanted = Fraction(objective.slice_target)
    for begin, (good, bad) in slices.items():
        if not good + bad:
            continue
        ratio = Fraction(good, good + bad)
        if budgeting is Budgeting.RATIO_TIMESLICES:
            yield begin, ratio, 1 - ratio
        else:
            yield begin, int(ratio >= wanted), int(ratio < wanted)
