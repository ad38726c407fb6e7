"""The stage: one Watchtower under a configuration, in a folder of its own, that reaches nobody.

Nothing leaves it and nothing of the operator's is touched: the store is a new one, no source is asked, and every
destination is replaced by one that writes down what it would have sent.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from alerting.incidents import acknowledge
from watchtower.app import Instance, Options
from watchtower.clock import ManualClock
from watchtower.config import Config
from watchtower.model.alert import Alert, Notice, NoticeReason, Receipt, Severity, Silence
from watchtower.model.cost import Bill, DaySum
from watchtower.model.fact import Fact
from watchtower.ports import Collector
from watchtower.store import alerts as alert_rows
from watchtower.store import costs, due
from watchtower.store.database import Database
from watchtower.store.reading.acts import open_about
from watchtower.store.reading.alerting import AlertFilter, list_alerts
from watchtower.store.reading.paging import MAX_LIMIT, Window

TAKE_IN_S = 60.0  # that the store may take for one batch of facts
_NEWS = (NoticeReason.FIRST, NoticeReason.NEW_ALERTS, NoticeReason.REPEAT, NoticeReason.REDIAL)
_OPEN = ("pending", "firing", "unknown")


@dataclass(frozen=True, slots=True)
class Told:
    """One message that would have left. at: when (aware UTC); rings: it would have woken somebody."""

    at: datetime
    notice: Notice
    rings: bool = False

    @property
    def receiver(self) -> str:
        return self.notice.receiver

    @property
    def is_page(self) -> bool:
        """It tells somebody of something grave that is wrong now."""
        return self.notice.severity is Severity.PAGE and not self.notice.is_resolved and self.notice.reason in _NEWS


def by_receiver(told: Iterable[Told]) -> list[Told]:
    """One for each receiver, however many destinations it has."""
    found = {(each.receiver, each.notice.group_hash, each.notice.reason, each.at): each for each in told}
    return list(found.values())


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
        self._told.append(Told(notice.now, notice, self.rings))
        return Receipt(f"rehearsal:{notice.id}")

    def look_up(self, notice: Notice) -> Receipt | None:
        return None


class Ringing(Recorder):
    """Stands in for one that wakes people: it is not told of what is over before it could ring, and so on."""

    rings: ClassVar[bool] = True


class Stage:
    """folder: an empty one. before: writes what is known at the beginning into its store. Raises ConfigError if the
    configuration cannot be built."""

    def __init__(
        self, config: Config, folder: Path, begins: datetime, before: Callable[[Database], object] | None = None
    ) -> None:
        self.clock = ManualClock(begins)
        self.told: list[Told] = []
        self._next: datetime | None = None
        alone = replace(config, store=None, heartbeat=None)
        self._instance = Instance(alone, Options(folder, live=False, local_only=True, scratch=True), self.clock)
        try:
            self._take_the_parts()
            if before is not None:
                before(self._instance.database)
            self._instance.start()
            if before is not None:
                self._instance.subjects.mark_all(begins)
            self._settle()
        except BaseException:
            self._instance.stop()
            raise

    def _take_the_parts(self) -> None:
        parts = self._instance.parts
        self.polled = parts.polled  # they read what they once told, and are not asked
        recorders = {
            name: (Ringing if channel.rings else Recorder)(self.told) for name, channel in parts.channels.items()
        }
        self._instance.parts = replace(parts, channels=recorders, feeds=(), polled=())
        self._instance.outbox.reconfigure(parts.pipeline, recorders)

    def close(self) -> None:
        self._instance.stop()

    @property
    def config(self) -> Config:
        return self._instance.parts.config

    @property
    def collectors(self) -> Mapping[str, Collector]:
        return self._instance.services.collectors

    def hear(self, facts: Sequence[Fact]) -> None:
        """Take facts in at this moment, and do what that makes due."""
        self._instance.services.append(facts).result(TAKE_IN_S)
        self._settle()

    def bill(self, bill: Bill, sums: Sequence[DaySum]) -> None:
        """A bill comes into force at this moment."""
        costs.write_import(self._instance.database, bill, sums, self.clock.now())
        self._settle()

    def run_until(self, moment: datetime) -> None:
        """Let time pass, doing each thing at the moment at which it is due."""
        while self._next is not None and self._next <= moment:
            self.clock.set(max(self._next, self.clock.now()))
            self._settle()
        self.clock.set(max(moment, self.clock.now()))

    def alerts(self) -> list[Alert]:
        """Every alert that is not over, the oldest first."""
        with self._instance.database.read() as connection:
            found = list_alerts(connection, AlertFilter(states=_OPEN), Window(limit=MAX_LIMIT)).items
        return sorted(found, key=lambda alert: (alert.active_since, alert.id))

    def every_alert(self) -> Iterator[Alert]:
        """Also those that are over, the newest first."""
        before = None
        while True:
            with self._instance.database.read() as connection:
                page = alert_rows.list_alerts(connection, before=before, limit=MAX_LIMIT)
            yield from (listed.alert for listed in page)
            if len(page) < MAX_LIMIT:
                return
            before = (page[-1].alert.active_since, page[-1].alert.id)

    def silence(self, silence: Silence) -> None:
        """Somebody silences, as silence says."""
        self._instance.alerting.revise_silence(None, lambda _: [silence])
        self._settle()

    def acknowledge(self, fingerprints: Collection[str], by: str, until: datetime) -> bool:
        """Somebody has the open incident that is about one of these alerts; whether there is one."""
        now = self.clock.now()
        with self._instance.database.read() as connection:
            holding = open_about(connection, fingerprints)
        if holding is None:
            return False
        self._instance.alerting.edit_incident(
            holding, lambda incident: acknowledge(incident, by, now, ack_for=until - now)
        )
        self._settle()
        return True

    def _settle(self) -> None:
        """Do what is due at this moment, and what that makes due in turn. Only those parts are asked that are."""
        now = self.clock.now()
        while True:
            with self._instance.database.read() as connection:
                rules, others = due.next_of(connection)
            if rules is not None and rules <= now:
                done = self._instance.evaluate()
            elif others is not None and others <= now:
                done = self._instance.outbox.step(now)
            else:
                self._next = min((at for at in (rules, others) if at is not None), default=None)
                return
            if not done:  # what is due is in nobody's power to do; the next thing that happens looks again
                self._next = None
                return
