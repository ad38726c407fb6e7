"""The only source of time: the Clock."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time. Intervals are measured by boottime (seconds; goes on while the machine sleeps)."""

    def now(self) -> datetime:
        """Aware UTC wall time."""
        ...

    def boottime(self) -> float: ...
