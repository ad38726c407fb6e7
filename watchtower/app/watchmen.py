"""All that looks after Watchtower itself while it runs, and what of it is not well at this moment."""

import logging
import threading
from collections.abc import Mapping, Sequence

from alerting import meta
from alerting.outbox import Outbox
from watchtower.app.disk import Disk
from watchtower.app.emergency import Alarm, Emergency
from watchtower.app.own_alerts import OwnAlerts
from watchtower.app.tasks import Progress
from watchtower.app.watch import Heartbeat, Pace, RoundTrips
from watchtower.config.model import Config
from watchtower.errors import StoreError
from watchtower.outbound import Network, Outbound
from watchtower.ports import Channel, Clock
from watchtower.pulse import Pulse
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

log = logging.getLogger(__name__)

MOST_APART_S = 5.0  # replicas hold leases of 30 s in the store's time, and a send takes up to 10 s of one


_Beats = tuple[str, float, Sequence[Network]]  # where to, how often, what may be reached besides


class Watchmen:
    """Made with everything they watch; `start` and `stop` their threads. disk: of the store, where
    it has one of its own."""

    def __init__(
        self,
        config: Config,
        *,
        trips: RoundTrips,
        emergency: Emergency,
        disk: Disk | None,
        database: Database,
        alerting: SqlAlertingStore,
        outbox: Outbox,
        progress: Progress,
        pulse: Pulse,
        own_alerts: OwnAlerts,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._database = database
        self._alerting = alerting
        self._outbox = outbox
        self._progress = progress
        self._pulse = pulse
        self._own_alerts = own_alerts
        self._clock = clock
        self._pace = pace
        self.trips = trips
        self.disk = disk
        self.emergency = emergency
        self._live = False
        self.alarm = Alarm(emergency, clock, self.faults, database.examine)
        self._beats = _beats(config)
        self.heartbeat = self._make_heartbeat()
        if disk is not None:
            disk.changed = self._say_disk

    def faults(self) -> list[str]:
        """What is not well with Watchtower itself at this moment."""
        found = [fault for fault in (self.trips.fault, self.disk and self.disk.refusal) if fault is not None]
        found += [f"the stage {stage!r} stands still" for stage in self._progress.stalled(self._pace.fresh_s)]
        found += [f"an attempt at {name} does not end" for name in self._outbox.stuck(self._pace.fresh_s)]
        found += [f"{name!r} does not go on" for name in self._pulse.still(self._pace.fresh_s)]
        try:
            late = len(self._alerting.overdue(self._clock.now()))
            apart_s = self._database.clock_apart_s(self._clock.now)
        except StoreError as error:
            return [*found, str(error)]
        if apart_s > MOST_APART_S:
            found.append(f"the time that is kept here and that of the store are {apart_s:.0f} s apart")
        return [*found, f"{late} obligations are overdue"] if late else found

    def follow(self, config: Config, channels: Mapping[str, Channel]) -> None:
        """A new configuration is in force. channels: of its emergency channel."""
        self.emergency.use(channels, config.server.url)
        if self.disk is not None:
            self.disk.storage = config.storage
        beats = _beats(config)
        if beats == self._beats:
            return
        before, self._beats = self.heartbeat, beats
        self.heartbeat = self._make_heartbeat()
        if self._live and before is not None:
            before.stop()
        if self._live and self.heartbeat is not None:
            self.heartbeat.start()

    def _make_heartbeat(self) -> Heartbeat | None:
        if self._beats is None:
            return None
        url, every_s, networks = self._beats
        return Heartbeat(Outbound(self._clock, networks), url, every_s, self.faults)

    def start(self) -> None:
        self._live = True
        self.trips.start()
        self.alarm.start()
        if self.disk is not None:
            self.disk.start()
        if self.heartbeat is not None:
            self.heartbeat.start()
        threading.Thread(target=self._check_store, name="quick-check", daemon=True).start()

    def stop(self) -> None:
        self.trips.stop()
        self.alarm.stop()
        if self.disk is not None:
            self.disk.stop()
        if self.heartbeat is not None:
            self.heartbeat.stop()

    def _check_store(self) -> None:
        """Beside the work: it reads the whole file, which no start can wait for."""
        try:
            self._database.quick_check()
        except StoreError as error:
            log.warning("the store could not be checked", extra={"why": str(error)})

    def _say_disk(self, why: str | None) -> None:
        """Through the store and the routes, since what is owed has a reserve."""
        if why is None:
            self._own_alerts.end(meta.DISK_LOW_FINGERPRINT)
        else:
            self._own_alerts.tell(meta.disk_low(why, self._clock.now()))


def _beats(config: Config) -> _Beats | None:
    if config.heartbeat is None:
        return None
    return config.heartbeat.url.reveal(), config.heartbeat.every, config.outbound.networks
