"""The clocks behind the Clock port. Nothing else in the project reads the time; a lint enforces it."""

import threading
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Wall time and boot time of this machine (boot time goes on while it is suspended)."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved: for tests, backtests and replays. Starts at `start` (aware UTC)."""

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._start = start
        self._now = start

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def boottime(self) -> float:
        return (self.now() - self._start).total_seconds()

    def set(self, now: datetime) -> None:
        """Move to `now`. Moving backwards is allowed: wall clocks do."""
        with self._lock:
            self._now = now

    def advance(self, seconds: float) -> None:
        self.set(self.now() + timedelta(seconds=seconds))


class ReplayClock(ManualClock):
    """Stands where the recording is until `release`, then goes with the system clock."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._system: SystemClock | None = None

    def now(self) -> datetime:
        return self._system.now() if self._system else super().now()

    def boottime(self) -> float:
        return SystemClock().boottime()

    def release(self) -> None:
        self._system = SystemClock()
