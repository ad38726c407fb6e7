"""What the samples of a series come to: the value of a statistic over some of them. Pure; no clock.

A gauge is judged by its values. A cumulative sum is a counter: what it grew by is what counts, a fall of it (or another
start) means that it began again at zero. A delta sum tells its growth itself. The samples of a histogram are
distributions: their counts and sums grow as those of counters do, and of their percentiles the largest one is taken.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from statistics import fmean

from watchtower.model.series import Sample, Series, SeriesKind


class Stat(StrEnum):
    LAST = "last"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"
    RATE = "rate"
    INCREASE = "increase"


_QUANTILES: Mapping[Stat, float] = {Stat.P50: 0.5, Stat.P95: 0.95, Stat.P99: 0.99}
_SUMMARIES: Mapping[Stat, Callable[[Sequence[float]], float]] = {
    Stat.AVG: fmean,
    Stat.MIN: min,
    Stat.MAX: max,
    Stat.SUM: math.fsum,
    Stat.COUNT: lambda values: float(len(values)),
}
_Number = Callable[[Sample], float | None]


def value_of(stat: Stat, series: Series, used: Sequence[Sample], before: Sequence[Sample]) -> float | None:
    """The statistic of used; None where it cannot be told. Both newest first; before: what precedes used."""
    if stat is Stat.COUNT and not used and series.kind is not SeriesKind.HISTOGRAM:
        return 0.0
    if not used:
        return None
    if stat is Stat.LAST:
        return used[0].value
    if series.kind is SeriesKind.HISTOGRAM:
        return _of_distributions(stat, series, used, before)
    return _of_values(stat, series, used, before)


def _of_values(stat: Stat, series: Series, used: Sequence[Sample], before: Sequence[Sample]) -> float | None:
    if stat is Stat.INCREASE:
        return _increase(series, used, before, _value)
    if stat is Stat.RATE:
        return _per_second(_increase(series, used, before, _value), used, before)
    values = [sample.value for sample in used]
    return _SUMMARIES[stat](values) if stat in _SUMMARIES else quantile(values, _QUANTILES[stat])


def _of_distributions(stat: Stat, series: Series, used: Sequence[Sample], before: Sequence[Sample]) -> float | None:
    match stat:
        case Stat.COUNT | Stat.INCREASE:
            return _increase(series, used, before, _count)
        case Stat.SUM:
            return _increase(series, used, before, _sum)
        case Stat.RATE:
            return _per_second(_increase(series, used, before, _count), used, before)
        case Stat.AVG:
            count = _increase(series, used, before, _count)
            total = _increase(series, used, before, _sum)
            return total / count if count and total is not None else None
        case Stat.MIN:
            return min(_told(used, stat), default=None)
        case _:
            return max(_told(used, stat), default=None)


def _told(used: Sequence[Sample], stat: Stat) -> list[float]:
    return [sample.stats[stat] for sample in used if sample.stats and stat in sample.stats]


def _value(sample: Sample) -> float | None:
    return sample.value


def _count(sample: Sample) -> float | None:
    return (sample.stats or {}).get("count")


def _sum(sample: Sample) -> float | None:
    return (sample.stats or {}).get("sum")


def _increase(series: Series, used: Sequence[Sample], before: Sequence[Sample], number: _Number) -> float | None:
    """What number grew by over used, from the last sample before them on. None: nothing to compare with."""
    if series.is_delta:
        told = [found for sample in used if (found := number(sample)) is not None]
        return math.fsum(told) if told else None
    if series.kind is SeriesKind.GAUGE:
        base = before[0] if before else used[-1]
        return used[0].value - base.value if base is not used[0] else None
    return _growth(used, before, number)


def _growth(used: Sequence[Sample], before: Sequence[Sample], number: _Number) -> float | None:
    """Each start is a counter of its own, since processes that run side by side may tell one series. One that began
    after the first sample we know of began at zero; of an older one the first value is where we begin."""
    oldest_known = (before or used)[-1].at
    last: dict[datetime | None, float] = {}
    for sample in before:
        found = number(sample)
        if found is not None:
            last.setdefault(sample.start, found)
    grown: list[float] = []
    for sample in reversed(used):
        found = number(sample)
        if found is None:
            continue
        start = sample.start
        if start in last:
            base = last[start]
            grown.append(found - base if found >= base else found)
        elif start is not None and start >= oldest_known:
            grown.append(found)
        last[start] = found
    return math.fsum(grown) if grown else None


def _per_second(grown: float | None, used: Sequence[Sample], before: Sequence[Sample]) -> float | None:
    """Between the first and the last moment of which something is known, without extrapolation."""
    base = before[0] if before else used[-1]
    seconds = (used[0].at - base.at).total_seconds()
    return grown / seconds if grown is not None and seconds > 0 else None


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two nearest ranks in proportion (R-7, as numpy and spreadsheets do)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
