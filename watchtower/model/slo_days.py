"""What an SLO counted of one UTC day, packed as the store keeps it: an entry for each minute that saw an event.

The body is a byte that says how wide counts are (1, 2, 4 or 8 bytes, whatever is enough for all of them), then the
minutes of the day (two bytes each), the good ones and the bad ones, little-endian. A daily job takes five bytes a day,
one that ends each minute six thousand. The sums stand beside, so that a day that lies wholly within a window is never
unpacked.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

DAY: Final = 1_440  # minutes

_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SWAPPED: Final = sys.byteorder == "big"

Minutes = tuple[Sequence[int], Sequence[int], Sequence[int]]


class Day(NamedTuple):
    """number: of days since the epoch."""

    number: int
    good: int
    bad: int
    body: bytes

    def minutes(self) -> Minutes:
        """Minutes of the day, ascending, and how many were good and bad in each."""
        if not self.body:
            return (), (), ()
        width = self.body[0]
        count = (len(self.body) - 1) // (2 + 2 * width)
        ends = (1 + 2 * count, 1 + (2 + width) * count)
        code, body = _CODES[width], self.body
        return _array("H", body[1 : ends[0]]), _array(code, body[ends[0] : ends[1]]), _array(code, body[ends[1] :])


def packed(number: int, counts: Mapping[int, Sequence[int]]) -> Day:
    """counts: minute of the day → (good, bad). Nothing is fewer than none: what is taken out without ever having been
    counted, since it was too old then, leaves 0."""
    entries = [
        (minute, max(0, good), max(0, bad)) for minute, (good, bad) in sorted(counts.items()) if good > 0 or bad > 0
    ]
    if not entries:
        return Day(number, 0, 0, b"")
    minutes, good, bad = zip(*entries, strict=True)
    most = max(*good, *bad)
    width = next(width for width in _CODES if most < 1 << (8 * width))
    body = bytes([width]) + _bytes("H", minutes) + _bytes(_CODES[width], good) + _bytes(_CODES[width], bad)
    return Day(number, sum(good), sum(bad), body)


def changed(day: Day, by: Mapping[int, Sequence[int]]) -> Day:
    """day with so many more, or fewer, by minute of the day."""
    counts: dict[int, Sequence[int]] = {minute: (good, bad) for minute, good, bad in zip(*day.minutes(), strict=True)}
    for minute, (good, bad) in by.items():
        before = counts.get(minute, (0, 0))
        counts[minute] = (before[0] + good, before[1] + bad)
    return packed(day.number, counts)


def days_of(counts: Mapping[int, Sequence[int]]) -> tuple[Day, ...]:
    """counts: minute since the epoch → (good, bad); oldest first."""
    by_day: dict[int, dict[int, Sequence[int]]] = {}
    for minute, each in counts.items():
        by_day.setdefault(minute // DAY, {})[minute % DAY] = each
    return tuple(packed(number, by_day[number]) for number in sorted(by_day))


def entries(days: Iterable[Day]) -> Iterable[tuple[int, int, int]]:
    """(minute since the epoch, good, bad), oldest first."""
    for day in days:
        for minute, good, bad in zip(*day.minutes(), strict=True):
            yield day.number * DAY + minute, good, bad


def _array(code: str, body: bytes) -> "array[int]":
    found = array(code, body)
    if _SWAPPED:
        found.byteswap()
    return found


def _bytes(code: str, values: Iterable[int]) -> bytes:
    made = array(code, values)
    if _SWAPPED:
        made.byteswap()
    return made.tobytes()
