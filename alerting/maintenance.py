"""Maintenance: planned times in which alerts that match are kept quiet, once or again and again. Pure.

They stand in the configuration and are judged when a notice is about to leave, as silences are. Cron (cronsim) names
the starts in an IANA zone; durations are real time: a change of the clocks neither shortens nor lengthens them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from alerting.intervals import TimeInterval, muted_until
from watchtower.model.labels import Labels, Matcher, all_match


@dataclass(frozen=True, slots=True)
class Recurring:
    """It begins at each time of the cron expression, and lasts so long."""

    cron: str
    duration_s: float
    zone: str = "UTC"

    def last_start(self, now: datetime) -> datetime | None:
        """The newest start whose time is not over at now."""
        floor = now - timedelta(seconds=self.duration_s)
        found: datetime | None = None
        for tick in CronSim(self.cron, floor.astimezone(ZoneInfo(self.zone))):
            start = tick.astimezone(UTC)
            if start > now:
                break
            found = start
        return found


@dataclass(frozen=True, slots=True)
class Window:
    """once: from (inclusive), to (exclusive); intervals: while any of them holds; recurring: from cron. Any of these
    makes it hold."""

    name: str
    matchers: tuple[Matcher, ...]
    reason: str = ""
    author: str = ""
    once: tuple[datetime, datetime] | None = None
    intervals: tuple[TimeInterval, ...] = ()
    recurring: Recurring | None = None

    def ends_at(self, now: datetime) -> datetime | None:
        """When the window that holds now ends, as far as can be seen; None: it does not hold."""
        found: list[datetime] = []
        if self.once is not None and self.once[0] <= now < self.once[1]:
            found.append(self.once[1])
        if any(item.contains(now) for item in self.intervals):
            found.append(muted_until((self.name,), (), {self.name: self.intervals}, now))
        start = self.recurring.last_start(now) if self.recurring is not None else None
        if self.recurring is not None and start is not None:
            found.append(start + timedelta(seconds=self.recurring.duration_s))
        return max(found, default=None)


def keeping_quiet(labels: Labels, windows: Iterable[Window], now: datetime) -> Window | None:
    """A window that holds now and concerns an alert with labels."""
    return next((item for item in windows if all_match(item.matchers, labels) and item.ends_at(now) is not None), None)


def ends_first(some: Iterable[Labels], windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the first window that keeps any of these quiet ends; None: none does."""
    held = {found.name: found for labels in some if (found := keeping_quiet(labels, windows, now)) is not None}
    return min((end for item in held.values() if (end := item.ends_at(now)) is not None), default=None)
