"""Work that hangs: a poll, a look at bills, a backup. A thread cannot be ended from outside, so it is left to itself,
and told wherever somebody looks for it: at its source or feed, in `/readyz`, `/metrics` and the log.

Before that the heartbeat falls silent (`watchmen`). All other work goes on meanwhile: each has a thread of its own.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from watchtower.pulse import Pulse
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

Tell = Callable[[str, str, datetime], None]  # the name, why, now


class Stuck:
    """tell: by the first part of a name, such as `poll` of `poll:prod`; told the rest once, until it goes on. after_s:
    without a sign of life; longer than any request may take."""

    def __init__(self, pulse: Pulse, tell: Mapping[str, Tell], after_s: float) -> None:
        self._pulse = pulse
        self._tell = tell
        self._after_s = after_s
        self._still: set[str] = set()
        self._told: set[str] = set()

    @property
    def kinds(self) -> tuple[str, ...]:
        """What hangs, by the first part of its name: `backup`, `bill`, `poll`."""
        return tuple(sorted({name.partition(":")[0] for name in self._still}))

    def look(self, now: datetime) -> None:
        """Raises StoreError where it cannot be told yet; the next look tells it."""
        still = set(self._pulse.still(self._after_s))
        for name in self._still - still:
            metrics.WORK_STUCK.labels(name).set(0)
        for name in still - self._still:
            metrics.WORK_STUCK.labels(name).set(1)
            log.error("work hangs, and is left to itself", extra={"work": name, "after_s": self._after_s})
        self._still = still
        self._told &= still
        for name in sorted(still - self._told):
            kind, _, of = name.partition(":")
            if kind in self._tell:
                self._tell[kind](of, self._why(), now)
            self._told.add(name)

    def _why(self) -> str:
        return (
            f"it has not gone on for {self._after_s:g} s, longer than any request may take; all else goes on, "
            "and a restart of Watchtower begins it anew"
        )
