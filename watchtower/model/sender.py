"""Senders: sources that nobody asks and that tell of runs by themselves (OpenLineage, CI), and their rhythm.

Of each day only the first word, the last, and the longest time without any in between are kept: that is what tells a
silence that is usual from one that is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from watchtower.model.run import stable_id

DAYS = 28  # of its past that count: four weekends


@dataclass(frozen=True, slots=True)
class ToldDay:
    """A day (UTC) on which something was told. longest_s: the longest time between two words of it."""

    first: datetime
    last: datetime
    longest_s: float


@dataclass(frozen=True, slots=True)
class Sender:
    """A source of jobs in one namespace, as the store has it.

    last_event: when its newest word came in, which had been on its way for lag_s (by the sender's clock).
    awaited_since: since when Watchtower listens without a break; what was quiet before is no silence of the sender.
    days: of the four weeks up to last_event, oldest first.
    """

    id: str
    source: str
    namespace: str
    last_event: datetime
    lag_s: float
    awaited_since: datetime | None = None
    team: str | None = None
    days: tuple[ToldDay, ...] = ()

    @property
    def quiet_since(self) -> datetime:
        return max(self.last_event, self.awaited_since or self.last_event)

    @property
    def known_for(self) -> timedelta:
        return self.days[-1].last - self.days[0].first if self.days else timedelta()


def sender_id(source: str, namespace: str) -> str:
    return stable_id("sender", source, namespace)


def longest_silence_s(days: Sequence[ToldDay]) -> float:
    """Between any two words of these days; 0 where there is no more than one."""
    within = max((day.longest_s for day in days), default=0.0)
    between = ((after.first - before.last).total_seconds() for before, after in pairwise(days))
    return max(within, *between, 0.0)
