"""What the runs of one job took on each of many days: the memory of a job whose last hundred runs are a few days."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class DayMedians:
    """Packed, since many are kept, and told apart by what they hold. days: since the epoch (UTC), ascending; medians:
    seconds, within ±2 % (model.sketch)."""

    days: bytes = b""
    medians: bytes = b""

    @classmethod
    def of(cls, told: Iterable[tuple[int, float]]) -> "DayMedians":
        """(day, median) each, oldest first."""
        known = list(told)
        return cls(array("I", [day for day, _ in known]).tobytes(), array("f", [each for _, each in known]).tobytes())

    def __len__(self) -> int:
        return len(self.days) // array("I").itemsize

    def __iter__(self) -> Iterator[tuple[date, float]]:
        days, medians = array("I", self.days), array("f", self.medians)
        return ((_EPOCH + timedelta(days=day), median) for day, median in zip(days, medians, strict=True))
