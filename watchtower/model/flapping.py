"""Flapping: an alert that comes and goes is told once to be doing so, and then not before it is stable. Pure.

It begins with the n-th change (to firing, or to resolved) within a span, and ends after a shorter span without any:
what begins at one rate and ends at a lower one does not itself come and go (hysteresis, as in Nagios' two thresholds).
Before the n-th change nobody can know that it flaps. So what begins again soon after its end is taken for the same
trouble come back: whom that woke before, it wakes again only once it has stood for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchtower.model.labels import Labels

_SERIES_KINDS = frozenset({"threshold", "anomaly"})  # judged with every sample, where runs change once an hour or a day


@dataclass(frozen=True, slots=True)
class FlapLimits:
    """It flaps from the changes-th change within within_s on, until stable_for_s passed without one. returns_s: what
    begins no later than this after its end is the same trouble come back."""

    changes: int
    within_s: float
    stable_for_s: float
    returns_s: float = 900.0  # a second failure an hour later is news, one after some minutes is not

    @property
    def stands_s(self) -> float:
        """So long must stand what came back before it rings."""
        return min(self.returns_s, self.stable_for_s)


@dataclass(frozen=True, slots=True)
class FlapPolicy:
    """Of alerts about runs and datasets, and of those about series. None: such alerts never flap."""

    runs: FlapLimits | None = FlapLimits(4, 6 * 3600.0, 3 * 3600.0)
    series: FlapLimits | None = FlapLimits(4, 900.0, 450.0)

    def of(self, labels: Labels) -> FlapLimits | None:
        """Watchtower's own alerts do not flap: each is about something that somebody has to mend."""
        kind = labels.get("kind", "")
        if kind == "meta":
            return None
        return self.series if kind in _SERIES_KINDS or "series" in labels else self.runs


@dataclass(frozen=True, slots=True)
class Spell:
    """The time in which one alert (by its fingerprint) flaps. since: the change with which it began, None while it has
    come back and is not known to flap, which concerns what rings alone; trouble_since: when that began which led to it.
    ends_at: unless it changes before. told_at: when a destination was last told of this alert; None: not lately."""

    fingerprint: str
    since: datetime | None
    trouble_since: datetime
    ends_at: datetime
    told_at: datetime | None = None

    def is_known(self, *, rings: bool) -> bool:
        """Whether the destination was told of the spell; what rings need only have rung for what led to it."""
        known_from = self.trouble_since if rings else self.since
        return self.told_at is not None and known_from is not None and self.told_at >= known_from


@dataclass(frozen=True, slots=True)
class Change:
    """An alert began (or ended) to fire. alert_id: the episode; trouble_since: when that began of which it is part."""

    at: datetime
    firing: bool
    alert_id: str
    trouble_since: datetime


def begins(changes: Sequence[datetime], limits: FlapLimits, now: datetime) -> bool:
    """changes: when it changed, the newest one of now included."""
    first = now - timedelta(seconds=limits.within_s)
    return sum(first < at <= now for at in changes) >= limits.changes


def comes_back(past: Sequence[Change], limits: FlapLimits, now: datetime) -> Change | None:
    """The end after which what begins now is the same trouble come back. past: the changes before it."""
    ends = [change for change in past if not change.firing and change.at <= now]
    last = max(ends, key=lambda change: change.at, default=None)
    return last if last is not None and (now - last.at).total_seconds() <= limits.returns_s else None
