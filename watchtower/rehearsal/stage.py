"""The stage: one Watchtower under a configuration, in a folder of its own, that reaches nobody.

Nothing leaves it and nothing of the operator's is touched: the store is a new one, and every destination is replaced by
one that writes down what it would have sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from watchtower.app import Instance, Options
from watchtower.clock import ManualClock
from watchtower.config import Config
from watchtower.model.alert import Alert, Notice, Receipt
from watchtower.model.run import Fact
from watchtower.store.reading.alerting import AlertFilter, list_alerts
from watchtower.store.reading.paging import MAX_LIMIT, Window

TAKE_IN_S = 60.0  # that the store may take for one batch of facts
_OPEN = ("pending", "firing", "unknown")


@dataclass(frozen=True, slots=True)
class Told:
    """One message that would have left. at: when (aware UTC)."""

    at: datetime
    notice: Notice

    @property
    def receiver(self) -> str:
        return self.notice.receiver


class Recorder:
    """Stands in for a channel."""

    name: ClassVar[str] = "rehearsal"
    Config: ClassVar[type[Any]] = object
    settle_s: ClassVar[float] = 0.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = True
    rings: ClassVar[bool] = False

    def __init__(self, told: list[Told]) -> None:
        self._told = told

    def deliver(self, notice: Notice) -> Receipt:
        self._told.append(Told(notice.now, notice))
        return Receipt(f"rehearsal:{notice.id}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return None


class Ringing(Recorder):
    """Stands in for one that wakes people: it is not told of what is over before it could ring, and so on."""

    rings: ClassVar[bool] = True


class Stage:
    """folder: an empty one. Raises ConfigError if the configuration cannot be built."""

    def __init__(self, config: Config, folder: Path, begins: datetime) -> None:
        self.clock = ManualClock(begins)
        self.told: list[Told] = []
        alone = replace(config, store=None, heartbeat=None)
        self._instance = Instance(alone, Options(folder, live=False, local_only=True), self.clock)
        try:
            self._take_the_parts()
            self._instance.start()
        except BaseException:
            self._instance.stop()
            raise

    def _take_the_parts(self) -> None:
        parts = self._instance.parts
        recorders = {
            name: (Ringing if channel.rings else Recorder)(self.told) for name, channel in parts.channels.items()
        }
        self._instance.parts = replace(parts, channels=recorders, feeds=())
        self._instance.outbox.reconfigure(parts.pipeline, recorders)

    def close(self) -> None:
        self._instance.stop()

    @property
    def config(self) -> Config:
        return self._instance.parts.config

    def hear(self, facts: Sequence[Fact]) -> None:
        """Take facts in at this moment, and do what that makes due."""
        self._instance.services.append(facts).result(TAKE_IN_S)
        self._settle()

    def run_until(self, moment: datetime) -> None:
        """Let time pass, doing each thing at the moment at which it is due."""
        while (at := self._instance.next_due()) is not None and at <= moment:
            self.clock.set(max(at, self.clock.now()))
            self._settle()
        self.clock.set(max(moment, self.clock.now()))
        self._settle()

    def alerts(self) -> list[Alert]:
        """Every alert that is not over, the oldest first."""
        with self._instance.database.read() as connection:
            found = list_alerts(connection, AlertFilter(states=_OPEN), Window(limit=MAX_LIMIT)).items
        return sorted(found, key=lambda alert: (alert.active_since, alert.id))

    def _settle(self) -> None:
        while self._instance.step():
            pass
