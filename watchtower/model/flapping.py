"""Flapping: an alert that comes and goes is told once to be doing so, and then not before it is stable. Pure.

It begins with the n-th change (to firing, or to resolved) within a span, and ends after a shorter span without any:
what begins at one rate and ends at a lower one does not itself come and go (hysteresis, as in Nagios' two thresholds).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchtower.model.labels import Labels

_SERIES_KINDS = frozenset({"threshold", "anomaly"})  # judged with every sample, where runs change once an hour or a day


@dataclass(frozen=True, slots=True)
class FlapLimits:
    """It flaps from the changes-th change within within_s on, until stable_for_s passed without one."""

    changes: int
    within_s: float
    stable_for_s: float


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
    """The time in which one alert (by its fingerprint) flaps. since: the change with which it began; ends_at: unless it
    changes before. told_at: when a destination was last told of this alert; None: not lately."""

    fingerprint: str
    since: datetime
    ends_at: datetime
    within_s: float
    told_at: datetime | None = None

    def is_known(self, *, rings: bool) -> bool:
        """Whether the destination was told of the spell; what rings need only have rung for what led to it."""
        if self.told_at is None:
            return False
        return self.told_at >= (self.since - timedelta(seconds=self.within_s) if rings else self.since)


def begins(changes: Sequence[datetime], limits: FlapLimits, now: datetime) -> bool:
    """changes: when it changed, the newest one of now included."""
    first = now - timedelta(seconds=limits.within_s)
    return sum(first < at <= now for at in changes) >= limits.changes
