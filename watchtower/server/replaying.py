"""Carries the spool into the store, oldest segment first, and opens the gate when the store keeps up again."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from watchtower.errors import StoreError
from watchtower.lives import POISON_AFTER
from watchtower.server.receiving import Receiver
from watchtower.spool import Segment, Spooled, read_segment
from watchtower.store.facts import Appended
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

STAGE = "spool"
POLL_S = 0.5
AFTER_FAILURE_S = 1.0
BATCH = 200  # requests that are on their way to the store at the same time,
BATCH_BYTES = 1 << 20  # unless their bodies have more bytes than this: decoded, they take several times as much


class _Stopped(Exception):
    """The server is stopping; what waits in the spool stays there."""


class Replayer:
    """A thread of its own. `start` and `stop` it; it looks every half second and when the gate closes."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._services = receiver.services
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="spool-replay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._receiver.gate.closed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        closed = self._receiver.gate.closed
        while not self._stopping.is_set():
            closed.wait(POLL_S)
            closed.clear()
            try:
                self.drain()
                self._services.advanced(STAGE)
            except _Stopped:
                return
            except StoreError as error:
                log.warning("the spool waits for the store", extra={"why": str(error)})
                self._stopping.wait(AFTER_FAILURE_S)
            except Exception:
                log.exception("the spool could not be replayed; it is tried again")
                self._stopping.wait(AFTER_FAILURE_S)

    def drain(self) -> None:
        """Store all that waits now. Raises StoreError while the store cannot take it."""
        for path in self._services.spool.segments():
            self._replay(path)
        if not self._receiver.gate.is_open:
            self._probe()

    def _probe(self) -> None:
        """Nothing waits: an empty transaction tells whether the store is there."""
        began = self._services.clock.boottime()
        self._wait(self._services.append(()))
        self._judge(began)

    def _judge(self, began: float) -> None:
        if self._services.clock.boottime() - began <= self._services.settings.patience_s:
            self._receiver.gate.open()

    def _replay(self, path: Path) -> None:
        segment = read_segment(path)
        for first, batch in batches_of(segment.records):
            began = self._services.clock.boottime()
            self._attempt(f"spool {path.name}", first, batch)
            self._services.advanced(STAGE)
            self._judge(began)
        self._retire(segment)

    def _attempt(self, name: str, first: int, batch: Sequence[Spooled]) -> None:
        """All at once; where a life has died of that, one by one, so that it is known of which."""
        lives = self._services.lives
        whole = f"{name} {first}+{len(batch)}"
        if not lives.died_of(whole):
            with lives.attempt(whole):
                self._store(batch)
            return
        for place, record in enumerate(batch, start=first):
            one = f"{name} {place}"
            if lives.died_of(one) >= POISON_AFTER:
                log.error("processes died of a spooled body, which is quarantined", extra={"place": one})
                self._wait(self._receiver.quarantine(record, "poison", f"{POISON_AFTER} processes died of it"))
                continue
            with lives.attempt(one):
                self._store([record])
        with lives.attempt(whole):  # its mark goes
            pass

    def _store(self, batch: Sequence[Spooled]) -> None:
        taken = [(record, self._receiver.taken(record)) for record in batch]
        futures = [(record, one.append(self._services)) for record, one in taken]
        for record, future in futures:
            try:
                self._wait(future)
            except (StoreError, _Stopped):
                raise
            except Exception:
                log.exception("a spooled body cannot be stored and is quarantined")
                self._wait(self._receiver.quarantine(record, "fault", "it could not be stored; see the log"))
        metrics.SPOOL_RECORDS.labels(direction="out").inc(len(batch))

    def _retire(self, segment: Segment) -> None:
        if segment.unread:
            metrics.SPOOL_DAMAGED.inc(segment.unread)
        if not segment.damaged:
            self._services.spool.remove(segment.path)
            return
        kept = self._services.spool.set_aside(segment.path)
        log.error(
            "a spool segment is damaged; what could be read is stored",
            extra={"kept": str(kept), "bytes": segment.unread},
        )

    def _wait(self, future: "Future[Appended]") -> None:
        while not self._stopping.is_set():
            try:
                future.result(POLL_S)
            except TimeoutError:
                if future.done():  # its own error, not that of waiting
                    raise
            else:
                return
        raise _Stopped


def batches_of(records: Sequence[Spooled]) -> Iterator[tuple[int, Sequence[Spooled]]]:
    """All of records in their order, each batch within both bounds or of one record, with the place of its first."""
    begin, size = 0, 0
    for place, record in enumerate(records):
        size += len(record.body)
        if place and (place - begin == BATCH or size > BATCH_BYTES):
            yield begin, records[begin:place]
            begin, size = place, len(record.body)
    if records:
        yield begin, records[begin:]
