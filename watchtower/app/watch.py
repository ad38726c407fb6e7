"""Who watches Watchtower: a round trip through the whole path every 30 s, and a heartbeat to outside while all is well.

Whatever stands still (ingest, the store's writer, rules, routing, a sender, a loop beside them), the heartbeat falls
silent within a minute, and the service outside that misses it raises the alarm (promise P19).
"""

import http.client
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from watchtower.errors import DeliveryError, StoreError
from watchtower.model.instants import to_micros
from watchtower.model.round_trip import Stage, Trip
from watchtower.ports import Clock, HttpClient
from watchtower.server.ingest import OWN_ROUTES
from watchtower.server.local import LocalConnection
from watchtower.store import round_trips
from watchtower.store.database import Database
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

_ROUTE = next(iter(OWN_ROUTES))
_LOOK_S = (0.02, 1.0)  # between two looks at how far a trip came: doubling from the first to the second


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. first_s: until the first trip; every_s: between two; follow_s: how long one is waited for; fresh_s: how
    old the last completed one may be while all is well, and how long any stage may stand still; audit_s: between two
    looks of the auditor, which are the pulse of the scheduler, too."""

    first_s: float = 5.0
    every_s: float = 30.0
    follow_s: float = 30.0
    fresh_s: float = 60.0
    audit_s: float = 20.0


PACE = Pace()


class RoundTrips:
    """A thread of its own. socket: of the process's own state directory."""

    def __init__(self, database: Database, socket: Path, clock: Clock, pace: Pace) -> None:
        self._database = database
        self._socket = socket
        self._clock = clock
        self._pace = pace
        self._process = process_id(socket.parent)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._completed: float | None = None  # boot time
        self.stage = Stage.SENT  # at which the trip under way is; between two, that of the last one

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="round-trip", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def age_s(self) -> float | None:
        """Since the last trip was completed; None: none was yet."""
        return None if self._completed is None else self._clock.boottime() - self._completed

    @property
    def fault(self) -> str | None:
        """Why all is not well; None while it is."""
        age_s = self.age_s
        if age_s is not None and age_s <= self._pace.fresh_s:
            return None
        since = "yet" if age_s is None else f"for {age_s:.0f} s"
        return f"no round trip was completed {since}; the last one came to the stage {self.stage.value!r}"

    def _run(self) -> None:
        wait_s = self._pace.first_s
        while not self._stopping.wait(wait_s):
            began = self._clock.boottime()
            try:
                self._go()
            except Exception:  # the edge of the loop
                log.exception("a round trip failed")
            wait_s = max(0.0, began + self._pace.every_s - self._clock.boottime())

    def _go(self) -> None:
        """One trip, followed until it is back or given up."""
        trip = Trip(self._process, to_micros(self._clock.now()))
        began = self._clock.boottime()
        self.stage = Stage.SENT
        why = self._send(trip)
        reached = Stage.SENT if why is not None else self._follow(trip, began)
        metrics.ROUND_TRIPS.labels(reached.value).inc()
        if reached is not Stage.DELIVERED:
            log.error("a round trip did not come back in time", extra={"stage": reached.value, "why": why})
            return
        self._completed = self._clock.boottime()
        metrics.ROUND_TRIP_LAST.set(self._clock.now().timestamp())
        metrics.ROUND_TRIP_SECONDS.set(self._completed - began)
        self._forget()

    def _send(self, trip: Trip) -> str | None:
        """None: it was answered 2xx, so it is durable."""
        connection = LocalConnection(self._socket, self._pace.follow_s)
        try:
            connection.request("POST", _ROUTE, str(trip).encode(), {"Content-Type": "text/plain"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        return None if status < 300 else f"it was answered {status}"

    def _follow(self, trip: Trip, began: float) -> Stage:
        """Until it is delivered, or has taken too long: the stage at which it is then."""
        pause_s, most_s = _LOOK_S
        self.stage = Stage.ANSWERED
        while self._clock.boottime() - began < self._pace.follow_s and not self._stopping.wait(pause_s):
            with suppress(StoreError), self._database.read() as connection:
                self.stage = round_trips.stage_of(connection, trip)
            if self.stage is Stage.DELIVERED:
                break
            pause_s = min(most_s, pause_s * 2)
        return self.stage

    def _forget(self) -> None:
        now = self._clock.now()
        try:
            self._database.write(lambda connection: round_trips.forget(connection, self._process, now))
        except (StoreError, TimeoutError) as error:
            log.warning("round trips could not be let go; the next one tries", extra={"why": str(error)})


class Heartbeat:
    """Tells the outside that all is well, and only then: its silence is what raises the alarm there. A thread of its
    own. faults: what is not well now; may raise StoreError, which is a fault too."""

    def __init__(self, http: HttpClient, url: str, every_s: float, faults: Callable[[], Sequence[str]]) -> None:
        self._http = http
        self._url = url
        self._every_s = every_s
        self._faults = faults
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.beat()
            except Exception:  # the edge of the loop: an unexpected fault is silence, which is right
                metrics.HEARTBEATS.labels("failed").inc()
                log.exception("heartbeat failed")

    def beat(self) -> None:
        try:
            faults = self._faults()
        except StoreError as error:
            faults = [str(error)]
        if faults:
            metrics.HEARTBEATS.labels("withheld").inc()
            log.error("heartbeat withheld", extra={"why": list(faults)})
            return
        try:
            answer = self._http.request("GET", self._url)
        except DeliveryError as error:
            metrics.HEARTBEATS.labels("failed").inc()
            log.warning("heartbeat not taken", extra={"why": str(error)})
            return
        metrics.HEARTBEATS.labels("sent" if answer.status < 300 else "failed").inc()


def process_id(state: Path) -> str:
    """The same in each life of the process that owns this state directory, and in no other process."""
    return blake2b(f"{socket.gethostname()} {state.resolve()}".encode(), digest_size=8).hexdigest()
