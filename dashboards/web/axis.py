"""Where a span of time stands on an axis of some pixels."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Axis:
    """From begin to end over width pixels; least: what a span takes at least, so that it is seen."""

    begin: datetime
    end: datetime
    width: int
    least: int

    def place(self, begin: datetime, end: datetime) -> tuple[int, int]:
        """Left edge and width in pixels, cut off at both ends of the axis."""
        left, right = self._pixel(begin), self._pixel(end)
        width = max(self.least, right - left)
        return min(left, self.width - width), width

    def _pixel(self, at: datetime) -> int:
        whole = max(1e-3, (self.end - self.begin).total_seconds())
        return round(self.width * min(1.0, max(0.0, (at - self.begin).total_seconds() / whole)))
