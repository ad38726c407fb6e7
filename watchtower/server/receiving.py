"""Bytes in, durable: decode, then the store or, while it is slow, locked or away, the spool.

A sender is answered as soon as its event is on the disk, wherever that is, because real Airflow waits for the answer
inside the task, repeats a 503 for ten seconds there, and drops the event on any 4xx (promises P1, P4, P5).
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from watchtower.errors import StoreError
from watchtower.model.fact import Fact
from watchtower.model.round_trip import KIND as ROUND_TRIP
from watchtower.ports import Decoded, Received, Refused, Reject
from watchtower.server.arrivals import in_time
from watchtower.server.services import Services
from watchtower.server.waiting import Waiting
from watchtower.spool import DiskLow, Spooled
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.series import Unfit
from watchtower.store.span_batches import BatchRow, pack
from watchtower.telemetry import metrics
from watchtower.telemetry.instruments import Tally, tally

log = logging.getLogger(__name__)

# Decoding takes about 30 µs an event: what is larger than a few dozen events leaves the event loop to others.
INLINE_BYTES = 64 << 10
QUARANTINE_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a body. accepted: events, or spans; refusal: why nothing of it was kept; refused: what of it was
    not; spooled: durable, but not yet in the store."""

    accepted: int = 0
    rejects: tuple[Reject, ...] = ()
    refused: tuple[Refused, ...] = ()
    refusal: str | None = None
    spooled: bool = False


class Gate:
    """Whether requests go to the store at present. Closed by the first that waited too long; opened by the replayer
    once the store has taken something in good time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_open = True
        self.closed = threading.Event()  # wakes the replayer
        metrics.STORE_BYPASSED.set(0)

    def close(self, why: str) -> None:
        with self._lock:
            if not self.is_open:
                return
            self.is_open = False
        log.warning("the store does not keep up: events go to the spool", extra={"why": why})
        metrics.STORE_BYPASSED.set(1)
        self.closed.set()

    def open(self) -> None:
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
        log.info("the store keeps up again")
        metrics.STORE_BYPASSED.set(0)


@dataclass(frozen=True, slots=True)
class Taken:
    """A decoded body, ready to be stored."""

    facts: Sequence[Fact]
    quarantined: Sequence[Quarantined]
    report: Report
    batches: Sequence[BatchRow] = ()

    def append(self, services: Services) -> "Future[Appended]":
        """What there is, to the store."""
        return services.append(self.facts, self.quarantined, self.batches)


@dataclass(slots=True)
class Receiver:
    services: Services
    gate: Gate = field(default_factory=Gate)
    waiting: Waiting[Taken] = field(default_factory=Waiting[Taken])
    pool: Executor = field(default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="decode"))

    async def receive(self, record: Spooled) -> Report:
        """Returns when record is durable, or refused for good. Raises SpoolFull when nothing can take it."""
        refusal = self.services.refusal()
        if refusal is not None:
            raise DiskLow(refusal)
        if len(record.body) <= INLINE_BYTES:
            taken = self.decode(record)
        else:
            taken = await asyncio.get_running_loop().run_in_executor(self.pool, self.decode, record)
        if taken.report.refusal is None:
            stored = await self._store(record, taken)
            if stored is None:
                await self._spool(record, taken)
                stored = replace(taken.report, spooled=True)
            taken = replace(taken, report=stored)
        self._count(record, taken)
        return taken.report

    async def _spool(self, record: Spooled, taken: Taken) -> None:
        self.waiting.keep(record, taken)  # first: it may be replayed before this goes on
        try:
            await asyncio.wrap_future(self.services.spool.append(record))
        except BaseException:
            self.waiting.take(record)
            raise

    def taken(self, record: Spooled) -> Taken:
        """Of a record from the spool."""
        return self.waiting.take(record) or self.decode(record)

    def decode(self, record: Spooled) -> Taken:
        """Whatever goes wrong in here, the body is kept: what a collector cannot decode is quarantined whole."""
        services = self.services
        of_token = getattr(services.collectors.get(record.collector), "of_token", False)
        received = Received(
            record.received_at,
            source=record.source if of_token else None,
            replay=record.replay,
            max_age_s=services.settings.max_age_s,
            content_type=record.content_type,
        )
        try:
            decoded = services.collectors[record.collector].decode(record.body, received)
        except Exception:
            log.exception("a collector failed on a body, which is quarantined", extra={"collector": record.collector})
            decoded = Decoded((), (Reject("fault", "the collector failed; see the log", record.body),))
        for path in decoded.skipped:
            metrics.INGEST_SKIPPED.labels(collector=record.collector, field=path).inc()
        permanent = [reject for reject in decoded.rejects if reject.permanent]
        if permanent and not (decoded.facts or decoded.batches):
            return Taken((), (), Report(rejects=decoded.rejects, refusal=permanent[0].message))
        facts, foreign = _of_source(decoded.facts, record.source)
        rejects = (*decoded.rejects, *foreign)
        return Taken(
            facts,
            [_quarantined(record, reject) for reject in rejects],
            Report(_events(facts) + sum(batch.spans for batch in decoded.batches), rejects, decoded.refused),
            [pack(replace(batch, source=record.source)) for batch in decoded.batches],
        )

    def quarantine(self, record: Spooled, reason: str, message: str) -> "Future[Appended]":
        """Keep a body as it is."""
        kept = _quarantined(record, Reject(reason, message, record.body))
        return self.services.append((), (kept,))

    async def _store(self, record: Spooled, taken: Taken) -> Report | None:
        """What is to be said now that the store has it; None: it has not. A failure that is not the store's own is this
        body's: it is quarantined."""
        if not self.gate.is_open:
            return None
        try:
            appended = await in_time(taken.append(self.services), self.services.settings.patience_s)
        except TimeoutError:
            self.gate.close(f"no commit within {self.services.settings.patience_s} s")
        except StoreError as error:
            self.gate.close(str(error))
        except Exception:
            log.exception("a body could not be stored and is quarantined", extra={"collector": record.collector})
            metrics.INGEST_DROPS.labels(collector=record.collector, reason="fault").inc()
            return taken.report if await self._keep(record) else None
        else:
            return _without(taken, appended.unfit) if appended.unfit else taken.report
        return None

    async def _keep(self, record: Spooled) -> bool:
        try:
            await in_time(self.quarantine(record, "fault", "it could not be stored; see the log"), QUARANTINE_WAIT_S)
        except Exception:
            log.exception("a body could not be quarantined and is spooled", extra={"collector": record.collector})
            return False
        return True

    def _count(self, record: Spooled, taken: Taken) -> None:
        if record.collector == ROUND_TRIP:  # made up: it is no event of anybody's
            return
        report, collector = taken.report, record.collector
        if report.accepted:
            accepted, last = _accepted(collector)
            accepted.inc(report.accepted)
            last.at = record.received_at
        result = "refused" if report.refusal is not None else "quarantined"
        for reject in report.rejects:
            metrics.INGEST_EVENTS.labels(collector=collector, result=result).inc()
            metrics.INGEST_DROPS.labels(collector=collector, reason=reject.reason).inc()
        for some in report.refused:
            metrics.INGEST_EVENTS.labels(collector=collector, result="refused").inc(some.count)
            metrics.INGEST_DROPS.labels(collector=collector, reason=some.reason).inc(some.count)


@dataclass(slots=True)
class _Last:
    """When the last event came, asked at each scrape."""

    at: datetime | None = None

    def timestamp(self) -> float:
        return self.at.timestamp() if self.at else 0.0


@cache
def _accepted(collector: str) -> tuple[Tally, _Last]:
    """Accepted events, and when the last one was: every request counts."""
    last = _Last()
    metrics.INGEST_LAST.labels(collector=collector).set_function(last.timestamp)
    return tally(metrics.INGEST_EVENTS, collector, "accepted"), last


def _of_source(facts: Sequence[Fact], source: str | None) -> tuple[Sequence[Fact], list[Reject]]:
    """Facts of the one source that the token may write; the others are rejects."""
    if source is None:
        return facts, []
    message = f"the token may only write events of source {source!r}"
    foreign = [fact for fact in facts if fact.source != source]
    own = [fact for fact in facts if fact.source == source]
    return own, [Reject("foreign_source", message, fact.body) for fact in foreign]


def _events(facts: Sequence[Fact]) -> int:
    """How many events there are: a fact is one, or as many as it brings samples of series."""
    more = sum(sum(len(patch.samples) for patch in fact.series) - 1 for fact in facts if fact.series)
    return len(facts) + more


def _without(taken: Taken, unfit: Sequence[Unfit]) -> Report:
    """What is told of samples that the store could not place: senders of OTLP are told how many, others which."""
    report = replace(taken.report, accepted=taken.report.accepted - sum(one.samples for one in unfit))
    if any(taken.facts[one.place].kind.startswith("otlp_") for one in unfit):
        told = [Refused(one.reason, one.message, one.samples) for one in unfit]
        return replace(report, refused=(*report.refused, *told))
    rejected = {reject.index for reject in report.rejects}
    places = [index for index in range(len(taken.facts) + len(rejected)) if index not in rejected]
    found = [Reject(one.reason, one.message, taken.facts[one.place].body, index=places[one.place]) for one in unfit]
    return replace(report, rejects=(*report.rejects, *found))


def _quarantined(record: Spooled, reject: Reject) -> Quarantined:
    return Quarantined(
        collector=record.collector,
        source=record.source,
        reason=reject.reason,
        message=reject.message,
        received_at=record.received_at,
        body=reject.body,
    )
