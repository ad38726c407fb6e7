"""Histograms of OTLP in a few numbers: count, sum, min, max, and percentiles estimated from their buckets.

Within a bucket values are taken to be spread evenly: on the linear scale where bounds are explicit, on the logarithmic
one where they grow by a constant factor (opentelemetry.io/docs/specs/otel/metrics/data-model). No estimate
leaves the range from min to max where the sender told it.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    SummaryDataPoint,
)

PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_QUANTILES: Final = {0.0: "min", 0.5: "p50", 0.95: "p95", 0.99: "p99", 1.0: "max"}


class _Bucket(NamedTuple):
    """low and high: its bounds; amount: how many values lie between them."""

    low: float
    high: float
    amount: int
    is_logarithmic: bool = False

    def at(self, share: float) -> float:
        if self.is_logarithmic and self.low > 0:
            return self.low * (self.high / self.low) ** share
        if self.is_logarithmic and self.high < 0:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


def explicit(point: HistogramDataPoint) -> dict[str, float]:
    """Empty where nothing was recorded. Raises ValueError for a point that contradicts itself."""
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if counts and len(counts) != len(bounds) + 1:
        raise ValueError(f"a histogram with {len(bounds)} bounds has {len(counts)} buckets; it must have one more")
    if any(one >= other for one, other in pairwise(bounds)):
        raise ValueError("the bounds of a histogram do not ascend")
    edges = _edges(point, bounds)
    buckets = [_Bucket(low, high, count) for (low, high), count in zip(edges, counts, strict=False) if count]
    return _stats(point, buckets)


def _edges(point: HistogramDataPoint, bounds: Sequence[float]) -> list[tuple[float, float]]:
    """The outer buckets end where the sender says that its values do, else at their only bound."""
    if not bounds:
        return [(point.min, point.max)] if point.HasField("min") and point.HasField("max") else [(0.0, 0.0)]
    first = min(0.0, bounds[0])
    low = min(point.min, bounds[0]) if point.HasField("min") else first
    high = max(point.max, bounds[-1]) if point.HasField("max") else bounds[-1]
    return list(zip([low, *bounds], [*bounds, high], strict=True))


def exponential(point: ExponentialHistogramDataPoint) -> dict[str, float]:
    """Empty where nothing was recorded. Raises ValueError for a scale that nobody can have meant."""
    if not -10 <= point.scale <= 20:
        raise ValueError(f"an exponential histogram of scale {point.scale}; the scale is between -10 and 20")
    negative = [
        _Bucket(-_bound(point.scale, index + 1), -_bound(point.scale, index), count, is_logarithmic=True)
        for index, count in enumerate(point.negative.bucket_counts, point.negative.offset)
        if count
    ]
    positive = [
        _Bucket(_bound(point.scale, index), _bound(point.scale, index + 1), count, is_logarithmic=True)
        for index, count in enumerate(point.positive.bucket_counts, point.positive.offset)
        if count
    ]
    zero = [_Bucket(-point.zero_threshold, point.zero_threshold, point.zero_count)] if point.zero_count else []
    return _stats(point, [*reversed(negative), *zero, *positive])


def _bound(scale: int, index: int) -> float:
    """base ** index, base being 2 ** (2 ** -scale)."""
    exponent = math.ldexp(index, -scale)
    if exponent >= 1024:
        return math.nextafter(math.inf, 0)
    return math.nextafter(0.0, 1.0) if exponent < -1074 else math.exp2(exponent)


def summary(point: SummaryDataPoint) -> dict[str, float]:
    """What the sender worked out itself."""
    if not point.count:
        return {}
    told = {_QUANTILES[one.quantile]: one.value for one in point.quantile_values if one.quantile in _QUANTILES}
    return _finite({"count": float(point.count), "sum": point.sum, **told}.items())


def mean_of(stats: dict[str, float]) -> float | None:
    """The value that stands for a distribution: its mean, else its median."""
    if "sum" in stats:
        return stats["sum"] / stats["count"]
    return stats.get("p50")


def _stats(point: HistogramDataPoint | ExponentialHistogramDataPoint, buckets: Sequence[_Bucket]) -> dict[str, float]:
    if not point.count:
        return {}
    told = {name: getattr(point, name) for name in ("sum", "min", "max") if point.HasField(name)}
    low, high = told.get("min", -math.inf), told.get("max", math.inf)
    percentiles = {name: _percentile(buckets, share) for name, share in PERCENTILES.items()} if buckets else {}
    bounded = {name: min(max(value, low), high) for name, value in percentiles.items()}
    return _finite({"count": float(point.count), **told, **bounded}.items())


def _percentile(buckets: Sequence[_Bucket], share: float) -> float:
    """buckets: ascending, none of them empty."""
    rank = share * sum(bucket.amount for bucket in buckets)
    seen = 0
    for bucket in buckets:
        if seen + bucket.amount >= rank:
            return bucket.at((rank - seen) / bucket.amount)
        seen += bucket.amount
    return buckets[-1].high


def _finite(stats: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: value for name, value in stats if math.isfinite(value)}
