"""The clocks behind the Clock port. Nothing else in the project reads the time; a lint enforces it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEP_S = 2.0  # by which the wall clock is off before it counts as set
HELD_S = 900.0  # how long a step must stand before it is believed
STOOD_STILL_S = 120.0  # nobody read the clock for so long: the loops do so every second
GAPS_KEPT = 20

log = logging.getLogger(__name__)


class SystemClock:
    """Wall time and boot time of this machine (boot time goes on while it is suspended)."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that passed without being watched, by this machine's own clock."""

    start: datetime
    end: datetime


class SteadyClock(SystemClock):
    """Wall time that does not jump: a step of the wall clock is believed once it has stood for a quarter of an hour.

    Until then time goes on by boot time, so a wrong time server that is put right again changes nothing. Smaller steps
    are followed at once. A step forward that is believed, and a time in which nobody could read the clock (the machine
    was suspended, the process stood still), are remembered as gaps. Somebody must read it every few seconds.
    wall, boot: in seconds; for tests.
    """

    def __init__(self, wall: Callable[[], float] | None = None, boot: Callable[[], float] | None = None) -> None:
        self._wall = wall or time.time
        self._boot = boot or super().boottime
        self._lock = threading.Lock()
        self._offset = self._wall() - self._boot()
        self._read_at = self._boot()
        self._doubt: tuple[float, float] | None = None  # another offset, and since when the wall clock has it
        self._gaps: tuple[Gap, ...] = ()

    def keep_to(self, wall: Callable[[], float]) -> None:
        """From now on another wall clock is meant, in seconds: it is believed at once, and its steps as ever."""
        with self._lock:
            self._wall, self._doubt = wall, None
            self._offset = wall() - self._boot()

    def now(self) -> datetime:
        with self._lock:
            boot = self._boot()
            if boot - self._read_at > STOOD_STILL_S:
                self._remember(self._read_at + self._offset, boot + self._offset, "nothing was watched for a while")
            self._read_at = boot
            self._follow(self._wall() - boot, boot)
            return datetime.fromtimestamp(boot + self._offset, UTC)

    def boottime(self) -> float:
        return self._boot()

    def gaps(self) -> tuple[Gap, ...]:
        """The newest ones, oldest first."""
        return self._gaps

    def _follow(self, offset: float, boot: float) -> None:
        if abs(offset - self._offset) <= STEP_S:
            self._offset, self._doubt = offset, None
        elif self._doubt is None or abs(offset - self._doubt[0]) > STEP_S:
            self._doubt = (offset, boot)
            step = round(offset - self._offset)
            log.warning("the wall clock was set; not believed yet", extra={"seconds": step, "believed_after_s": HELD_S})
        elif boot - self._doubt[1] >= HELD_S:
            before, self._offset, self._doubt = self._offset, offset, None
            if offset > before:
                self._remember(boot + before, boot + offset, "the wall clock was put forward")
            else:
                log.warning("the wall clock was put back", extra={"seconds": round(before - offset)})

    def _remember(self, start: float, end: float, why: str) -> None:
        gap = Gap(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))
        self._gaps = (*self._gaps, gap)[-GAPS_KEPT:]
        log.warning("time was missed", extra={"why": why, "from": gap.start.isoformat(), "to": gap.end.isoformat()})


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
