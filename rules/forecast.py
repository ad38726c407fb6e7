"""When a run will end: each past run is replayed from where this one stands now.

A past run gives one possible end. What has ended here ended when it did; what runs here goes on as in one of the past
runs in which it took longer than it already has; what has not begun waits, and takes, as long as it did there, behind
the last of the tasks that it waits for. So the end follows the critical path that this run really has, with queueing,
and not that of the average day. Past runs whose ended tasks took about as long as those of this run count for more: a
slow day tends to stay slow. Which task waits for which is what the orchestrator said, else what was so in every past
run. Seconds since the epoch, UTC; pure.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

MOST_TASKS = 300  # of more the run is taken as one piece
_ALIKE = 0.25  # past runs whose tempo differs by this factor (e^0.25) count 0.6 of one of the same tempo
_ORDERED_S = 1.0  # clocks of workers differ: a task that begins within this of another's end began after it


@dataclass(frozen=True, slots=True)
class Past:
    """A past run that went well: when it was meant for, began and ended, and its tasks as (began, ended)."""

    meant: float
    began: float
    ended: float
    tasks: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The run that is forecast, as it stands. began: None while it is only expected, at `meant`. tasks: (began, ended),
    ended None while it runs."""

    meant: float
    began: float | None
    tasks: Mapping[str, tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Forecast:
    """ends: possible ends with their weights, by time. bottleneck: the task that the end waits for now, where one is
    known; overdue_s: how much longer it has taken than it usually does.

    As long as nothing is told: no end moves before `moves_from`, and from then until `calm_until` none moves behind the
    last one of them but as fast as time passes."""

    ends: tuple[tuple[float, float], ...]
    bottleneck: str | None
    overdue_s: float
    moves_from: float
    calm_until: float

    def chance_after(self, moment: float) -> float:
        """The share of ends after moment, counted carefully: half an end more on either side, since a handful of past
        runs never shows what is rare."""
        whole = sum(weight for _, weight in self.ends)
        squares = sum(weight * weight for _, weight in self.ends)
        count = whole * whole / squares  # how many runs of equal weight say as much
        late = sum(weight for end, weight in self.ends if end > moment) / whole
        return (late * count + 0.5) / (count + 1)

    def quantile(self, share: float) -> float:
        """The end before which so much of the weight lies."""
        left = share * sum(weight for _, weight in self.ends)
        for end, weight in self.ends:
            left -= weight
            if left <= 0:
                return end
        return self.ends[-1][0]


def forecast(
    run: Standing, past: Sequence[Past], now: float, upstream: Mapping[str, Sequence[str]] | None = None
) -> Forecast:
    """past: one run or more."""
    names = sorted({name for one in past for name in one.tasks})
    if not names or len(names) > MOST_TASKS:
        return _whole(run, past, now)
    return _Replay(run, past, now, _Order.of(names, past, upstream or {})).forecast()


def _whole(run: Standing, past: Sequence[Past], now: float) -> Forecast:
    """Of a run without tasks."""
    took = [one.ended - one.began for one in past]
    if run.began is None:
        starts = [max(now, run.meant + one.began - one.meant) for one in past]
        ends = [(start + length, 1.0) for start, length in zip(starts, took, strict=True)]
        return Forecast(tuple(sorted(ends)), None, 0.0, _first_start(run, past, now), math.inf)
    began = min(run.began, now)
    ends = [(began + length, 1.0) for length in _longer(took, now - began)]
    return Forecast(tuple(sorted(ends)), None, 0.0, now, _calm(began, took, now))


def _longer(took: Sequence[float], elapsed: float) -> list[float]:
    """For each past duration the one that takes its place, given that this time it is longer than elapsed: of those
    that were, the one of the same rank. Where none ever was, only this excess over the usual is known: then what is
    left is as likely to be longer than that as shorter."""
    ordered = sorted(took)
    left = ordered[bisect_right(ordered, elapsed) :]
    if len(left) == len(ordered):
        return list(took)
    ranks = {index: rank for rank, index in enumerate(sorted(range(len(took)), key=took.__getitem__))}
    shares = [(ranks[index] + 0.5) / len(took) for index in range(len(took))]
    if left:
        return [left[int(share * len(left))] for share in shares]
    excess = elapsed - ordered[len(ordered) // 2]
    return [elapsed + excess * share / (1 - share) for share in shares]


def _first_start(run: Standing, past: Sequence[Past], now: float) -> float:
    """Of those that are expected of a run that has not begun: until then nothing is late."""
    return max(now, run.meant + min(one.began - one.meant for one in past))


def _calm(began: float, took: Sequence[float], now: float) -> float:
    longest = began + max(took, default=0.0)
    return longest if longest > now else now


@dataclass(frozen=True, slots=True)
class _Order:
    """names: each behind those it waits for. waits: for each the indexes of those, the nearest only."""

    names: tuple[str, ...]
    waits: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, names: Sequence[str], past: Sequence[Past], upstream: Mapping[str, Sequence[str]]) -> "_Order":
        """A task that always began when another had ended waits for it, as far as anybody can tell."""
        bits = {name: 1 << index for index, name in enumerate(names)}
        everything = (1 << len(names)) - 1
        before = dict.fromkeys(names, everything)
        for one in past:
            ended = sorted((end, name) for name, (_, end) in one.tasks.items())
            moments = [end - _ORDERED_S for end, _ in ended]
            masks = [everything & ~sum(bits[name] for name in one.tasks)]  # of those that are absent nothing is told
            for _, name in ended:
                masks.append(masks[-1] | bits[name])
            for name, (began, _) in one.tasks.items():
                before[name] &= masks[bisect_right(moments, began)] & ~bits[name]
        for name, told in upstream.items():
            if name in before:
                before[name] = sum(bits[each] for each in set(told) if each in bits and each != name)
        return cls._sorted(names, before)

    @classmethod
    def _sorted(cls, names: Sequence[str], before: Mapping[str, int]) -> "_Order":
        """Those with the fewest before them first; a circle (two tasks that were never told of together) is cut."""
        ordered: list[int] = []
        placed, whole, left = 0, dict[int, int](), set(range(len(names)))
        while left:
            ready = [index for index in left if not before[names[index]] & ~placed]
            for index in sorted(ready) or [min(left, key=lambda each: (before[names[each]] & ~placed).bit_count())]:
                own = before[names[index]] & placed
                whole[index] = own
                for each in _indexes(own):
                    whole[index] |= whole[each]
                ordered.append(index)
                left.discard(index)
            placed = sum(1 << index for index in ordered)
        place = {index: position for position, index in enumerate(ordered)}
        waits: list[tuple[int, ...]] = []
        for index in ordered:
            own = before[names[index]] & whole[index]
            covered = 0
            for each in _indexes(own):
                covered |= whole[each]
            waits.append(tuple(sorted(place[each] for each in _indexes(own & ~covered))))
        return cls(tuple(names[index] for index in ordered), tuple(waits))


def _indexes(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _Replay:
    def __init__(self, run: Standing, past: Sequence[Past], now: float, order: _Order) -> None:
        self._run, self._past, self._now, self._order = run, past, now, order
        self._began = None if run.began is None else min(run.began, now)

    def forecast(self) -> Forecast:
        ends: list[tuple[float, float, int | None]] = []
        for index, weight in enumerate(self._weights):
            end, last = self._replayed(index)
            ends.append((end, weight, last))
        ends.sort(key=lambda each: each[0])
        middle = _middle(ends)
        bottleneck = None if middle is None else self._order.names[middle]
        overdue = self._overdue(bottleneck)
        told = tuple((end, weight) for end, weight, _ in ends)
        moves_from = self._now if self._began is not None else _first_start(self._run, self._past, self._now)
        return Forecast(told, bottleneck, overdue, moves_from, self._calm_until())

    @cached_property
    def _weights(self) -> list[float]:
        """By how alike the tempo of each past run was, over the tasks that have ended here."""
        ended = {name: end - began for name, (began, end) in self._run.tasks.items() if end is not None}
        here = sum(ended.values())
        if here <= 0:
            return [1.0] * len(self._past)
        weights: list[float] = []
        for one in self._past:
            common = [name for name in ended if name in one.tasks]
            mine = sum(ended[name] for name in common)
            theirs = sum(one.tasks[name][1] - one.tasks[name][0] for name in common)
            apart = math.log(max(mine, 1.0) / max(theirs, 1.0)) if common else 0.0
            weights.append(max(math.exp(-0.5 * (apart / _ALIKE) ** 2), 0.02))
        return weights

    @cached_property
    def _going_on(self) -> dict[str, list[float]]:
        """For each task that runs here the length that takes the place of that of each past run."""
        running = [(name, began) for name, (began, ended) in self._run.tasks.items() if ended is None]
        return {name: _longer(self._took(name), max(0.0, self._now - began)) for name, began in running}

    def _took(self, name: str) -> list[float]:
        """In each past run that had this task; as many as past runs."""
        known = [one.tasks[name][1] - one.tasks[name][0] for one in self._past if name in one.tasks]
        usual = sorted(known)[len(known) // 2] if known else 0.0
        return [one.tasks[name][1] - one.tasks[name][0] if name in one.tasks else usual for one in self._past]

    def _replayed(self, index: int) -> tuple[float, int | None]:
        """The end of the run if all goes on as in the index-th past run, and the task that it waits for now: going back
        from the end along the path that decides, the first that has not ended."""
        one, now = self._past[index], self._now
        start = max(now, self._run.meant + one.began - one.meant) if self._began is None else self._began
        ends: list[float | None] = []
        came_from: list[int | None] = []
        for place, name in enumerate(self._order.names):
            here = self._run.tasks.get(name)
            ready, theirs, last = start, one.began, None
            for each in self._order.waits[place]:
                end, past = ends[each], one.tasks.get(self._order.names[each])
                if end is not None and end >= ready:
                    ready, last = end, each
                if past is not None:
                    theirs = max(theirs, past[1])
            came_from.append(last)
            if here is not None:
                ends.append(here[1] if here[1] is not None else max(now, here[0] + self._going_on[name][index]))
            elif (past := one.tasks.get(name)) is None:
                ends.append(ready if last is not None else None)  # not part of that run: it costs no time
            else:
                ends.append(max(now, ready + max(0.0, past[0] - theirs)) + past[1] - past[0])
        known = [(end, place) for place, end in enumerate(ends) if end is not None]
        extra = [each for each in self._run.tasks if each not in set(self._order.names)]
        end, place = max(known, default=(start, -1))
        end = max([end, *(self._run.tasks[each][1] or now for each in extra)])
        tail = max(0.0, one.ended - max((ended for _, ended in one.tasks.values()), default=one.ended))
        return max(end + tail, now), self._waited_for(place, came_from)

    def _waited_for(self, place: int, came_from: Sequence[int | None]) -> int | None:
        found: int | None = None
        at: int | None = place if place >= 0 else None
        while at is not None:
            here = self._run.tasks.get(self._order.names[at])
            if here is not None and here[1] is not None:
                break
            found, at = at, came_from[at]
        return found

    def _overdue(self, name: str | None) -> float:
        here = self._run.tasks.get(name) if name else None
        if name is None or here is None or here[1] is not None:
            return 0.0
        took = sorted(self._took(name))
        return max(0.0, self._now - here[0] - took[len(took) // 2])

    def _calm_until(self) -> float:
        """Until a task that runs has run longer than it ever did, its possible ends only become fewer."""
        running = [(began, self._took(name)) for name, (began, ended) in self._run.tasks.items() if ended is None]
        return min((_calm(began, took, self._now) for began, took in running), default=math.inf)


def _middle(ends: Sequence[tuple[float, float, int | None]]) -> int | None:
    """The task of the end in the middle by weight."""
    left = sum(weight for _, weight, _ in ends) / 2
    for _, weight, last in ends:
        left -= weight
        if left <= 0:
            return last
    return ends[-1][2] if ends else None
