"""A distribution in a few hundred bytes: a histogram whose buckets grow by a constant factor.

The idea of OpenTelemetry's exponential histogram and of DDSketch (Masson, Rim, Lee 2019): bucket i holds the values in
(gamma^(i-1), gamma^i], so every quantile is known within ±2 % of its value, and two sketches merge by adding counts.
Day sketches stay when raw runs have been tiered out; the store writes them, rules read them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

RELATIVE_ERROR = 0.02
SMALLEST = 1e-6  # values at or below it count as zero
LARGEST = 1e15  # values above it count as this

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_VERSION = 1


@dataclass(slots=True)
class Sketch:
    """Counts per bucket index; zeros apart. Values are finite and not negative; others raise ValueError."""

    zeros: int = 0
    buckets: dict[int, int] = field(default_factory=dict[int, int])

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sketch":
        sketch = cls()
        for value in values:
            sketch.add(value)
        return sketch

    @property
    def count(self) -> int:
        return self.zeros + sum(self.buckets.values())

    def add(self, value: float, count: int = 1) -> None:
        if not value >= 0 or math.isinf(value):
            raise ValueError(f"a sketch holds finite values of 0 or more, not {value!r}")
        if value <= SMALLEST:
            self.zeros += count
        else:
            index = math.ceil(math.log(min(value, LARGEST)) / _LOG_GAMMA)
            self.buckets[index] = self.buckets.get(index, 0) + count

    def merge(self, other: "Sketch") -> "Sketch":
        """The sketch of both sets of values; neither is changed."""
        buckets = dict(self.buckets)
        for index, count in other.buckets.items():
            buckets[index] = buckets.get(index, 0) + count
        return Sketch(self.zeros + other.zeros, buckets)

    def quantile(self, q: float) -> float | None:
        """The value of rank floor(q · (count - 1)), within ±2 %; None of nothing. q: 0 … 1."""
        rank = math.floor(min(max(q, 0.0), 1.0) * (self.count - 1))
        if not self.count:
            return None
        seen = self.zeros
        if rank < seen:
            return 0.0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if rank < seen:
                return 2 * _GAMMA**index / (_GAMMA + 1)
        raise AssertionError("the counts of a sketch do not add up")

    def count_above(self, limit: float) -> int:
        """How many values are above limit, those within ±2 % of it by chance."""
        return sum(count for index, count in self.buckets.items() if 2 * _GAMMA**index / (_GAMMA + 1) > limit)

    def encode(self) -> bytes:
        """Version, zeros, then per bucket in ascending order the step to its index and its count, as varints."""
        out = bytearray([_VERSION])
        _put(out, self.zeros)
        last = 0
        for index in sorted(self.buckets):
            step = index - last
            _put(out, step * 2 if step >= 0 else -step * 2 - 1)
            _put(out, self.buckets[index])
            last = index
        return bytes(out)

    @classmethod
    def decode(cls, body: bytes) -> "Sketch":
        """Raises ValueError for what `encode` did not write."""
        if not body or body[0] != _VERSION:
            raise ValueError(f"not a sketch of version {_VERSION}")
        numbers = _numbers(body[1:])
        if len(numbers) % 2 == 0:
            raise ValueError("a sketch breaks off in the middle")
        buckets: dict[int, int] = {}
        index = 0
        for step, count in zip(numbers[1::2], numbers[2::2], strict=True):
            index += step // 2 if step % 2 == 0 else -(step + 1) // 2
            buckets[index] = count
        return cls(numbers[0], buckets)


def _put(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _numbers(body: bytes) -> list[int]:
    numbers: list[int] = []
    number, shift = 0, 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    if shift:
        raise ValueError("a sketch breaks off in the middle")
    return numbers
