"""Polls in a running Watchtower: each source is asked every so often, by one replica, and what it says is ingest.

A poll reads [mark − overlap, now] page by page. What a page says is stored in the normal transaction of ingest, which
moves the mark as well, so a crash repeats a page and loses none. A source that fails is put off, keeps its mark, and
holds up no other: each has its own thread, its own client's time-outs, and its own waits.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final, Protocol

from sqlalchemy import Connection

from watchtower.errors import ConfigError, DeliveryError, Reason, StoreError, Transient
from watchtower.model.fact import Fact
from watchtower.model.source import KnownRun, Page, Source, Window
from watchtower.ports import Clock, KnownRuns, PolledSource, Received, Reject
from watchtower.pulse import Pulse, beat
from watchtower.schedule import Periodic, Task
from watchtower.secrets import REDACTOR
from watchtower.store import sources
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.sources import Declared, Lease, LeaseLost, Tally
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

DEEP_S: Final = 3600.0  # promise P6: a poll reads from an hour before the mark …
DEEP_EVERY_S: Final = 3600.0  # … at the first one of a process and once an hour; the others read less
SHALLOW_S: Final = 180.0  # transactions of a source that commit after the time they say they were made
LEASE_S: Final = 300.0  # without a page being stored
FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
LONGEST_ASKED_S: Final = 3600.0  # what a source may ask for by Retry-After
MAX_AGE_S: Final = 3600.0  # design: older on receipt is history, unless Watchtower itself was away
MOST_AWAY_S: Final = 86_400.0
MOST_THREADS: Final = 128  # so many sources may hang at once and hold up none; one is made when it is needed
REMEMBERED: Final = 200_000  # records of a source that were stored and need not be decoded again


class Append(Protocol):
    def __call__(
        self,
        facts: Sequence[Fact],
        quarantined: Sequence[Quarantined] = (),
        *,
        beside: Callable[[Connection], None] | None = None,
    ) -> "Future[Appended]": ...


def known_runs_of(database: Database) -> KnownRuns:
    """ports.KnownRuns on a store."""

    def ask(source: str, namespace: str, native_run_ids: Collection[str]) -> Mapping[tuple[str, str], list[KnownRun]]:
        with database.read() as connection:
            return sources.known_runs(connection, source, namespace, native_run_ids)

    return ask


@dataclass(slots=True)
class _Memory:
    """What this process remembers of a source: nothing that the store does not know better. deep_at: boot time of the
    last deep poll; seen: digests of records that are stored."""

    deep_at: float | None = None
    seen: "OrderedDict[bytes, None]" = field(default_factory=OrderedDict[bytes, None])

    def remember(self, digests: Sequence[bytes]) -> None:
        for digest in digests:
            self.seen[digest] = None
            self.seen.move_to_end(digest)
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)


class Polling:
    """holder: names this process among replicas; append: ingest, as the configuration in force has it; source_of: the
    source that the jobs of a namespace belong to."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        holder: str,
        append: Append,
        source_of: Callable[[str], str],
        *,
        pulse: Pulse | None = None,
    ) -> None:
        self._pulse = pulse
        self._database = database
        self._clock = clock
        self._holder = holder
        self._append = append
        self._source_of = source_of
        self._polled: dict[str, PolledSource] = {}
        self._memory: dict[str, _Memory] = {}
        self._periodic: Periodic | None = None

    def watch(self, polled: Sequence[PolledSource]) -> None:
        """Ask these from now on, and no others."""
        self.stop_watching()
        self.take(polled)
        if polled:
            tasks = [
                Task(_task(each.name), each.every_s, _Poll(self, each), at_once=True, beats=True) for each in polled
            ]
            self._periodic = Periodic(
                tasks,
                database=self._database,
                clock=self._clock,
                holder=self._holder,
                threads=min(len(tasks), MOST_THREADS),
                pulse=self._pulse,
            )
            self._periodic.start()

    def take(self, polled: Sequence[PolledSource]) -> None:
        """Know these, without asking them by itself: for a replay."""
        self._polled = {each.name: each for each in polled}
        self._memory = {name: self._memory.get(name, _Memory()) for name in self._polled}

    def stop_watching(self) -> None:
        if self._periodic is not None:
            self._periodic.stop()
            self._periodic = None

    def named(self, name: str | None, kind: str) -> PolledSource | None:
        """The source of this name and kind, if it is configured."""
        found = self._polled.get(name or "")
        return found if found is not None and found.kind == kind else None

    def tell_stuck(self, name: str, why: str, now: datetime) -> None:
        """The poll of this source under way hangs: a failure of the source, until it ends after all."""
        polled = self._polled.get(name)
        if polled is None:
            return
        metrics.SOURCE_POLLS.labels(name, polled.kind, "stuck").inc()
        told = f"{polled.kind} source {name!r}: the poll hangs: {why}"
        self._database.write(lambda connection: sources.failed(connection, name, told, None, now))

    # -- one poll -------------------------------------------------------------------------------------------------

    def poll(self, polled: PolledSource, now: datetime) -> bool:
        """Ask polled once; whether it answered all. What is wrong is counted, logged and written down, never raised,
        but for a store that is away."""
        with self._database.read() as connection:
            known = sources.by_name(connection, [polled.name]).get(polled.name)
        if known is None or (known.retry_at is not None and now < known.retry_at <= now + _LONGEST):
            return False
        began = self._clock.boottime()
        tally = Tally()
        try:
            self._read(polled, known, tally, now)
        except LeaseLost as error:
            log.warning("a poll was left to another process", extra={"source": polled.name, "why": str(error)})
            return False
        except StoreError:
            metrics.SOURCE_POLLS.labels(polled.name, polled.kind, "store").inc()
            raise
        except (DeliveryError, ConfigError) as error:
            self._fail(polled, known, tally, error, now)
            return False
        except Exception as error:  # a poller's own fault, or an answer nobody foresaw: the others go on
            log.exception("a poll failed by a fault of ours", extra={"source": polled.name})
            unforeseen = Transient(Reason.UNKNOWN, f"{type(error).__name__}: {error}")
            self._fail(polled, known, tally, unforeseen, now)
            return False
        seconds = self._clock.boottime() - began
        self._database.write(lambda connection: sources.succeeded(connection, polled.name, tally, seconds, now))
        metrics.SOURCE_POLLS.labels(polled.name, polled.kind, "ok").inc()
        metrics.SOURCE_SECONDS.labels(polled.name).observe(seconds)
        return True

    def _read(self, polled: PolledSource, known: Source, tally: Tally, now: datetime) -> None:
        memory = self._memory.setdefault(polled.name, _Memory())
        boottime = self._clock.boottime()
        deep = memory.deep_at is None or boottime - memory.deep_at >= DEEP_EVERY_S
        window = window_of(known, now, deep=deep, lookback_s=polled.lookback_s)
        received = Received(now, self._source_of(polled.namespace), max_age_s=max_age_s(known.mark, now))
        for page in polled.read(window):
            beat()
            self._take(polled, page, received, memory, tally)
        if deep:
            memory.deep_at = boottime

    def _take(self, polled: PolledSource, page: Page, received: Received, memory: _Memory, tally: Tally) -> None:
        """Store what page says, with the mark that it reaches. Nothing is remembered before it is stored."""
        digests = [_digest(record) for record in page.records]
        new = [
            (record, digest) for record, digest in zip(page.records, digests, strict=True) if digest not in memory.seen
        ]
        facts: list[Fact] = []
        kept: list[Quarantined] = []
        for record, _ in new:
            decoded = self._decoded(polled, record, received)
            facts += decoded[0]
            kept += [
                Quarantined(polled.kind, polled.name, each.reason, each.message, received.received_at, each.body)
                for each in decoded[1]
            ]
        lease = Lease(_task(polled.name), self._holder, self._clock.now() + timedelta(seconds=LEASE_S))
        self._append(
            facts, kept, beside=lambda connection: sources.advance(connection, polled.name, page, lease)
        ).result()
        memory.remember([digest for _, digest in new])
        tally.records += len(page.records)
        newest = max((fact.event_time for fact in facts), default=None)
        tally.event = max(filter(None, (tally.event, newest)), default=None)
        if page.problems is not None:
            tally.problems = tuple(replace(each, summary=REDACTOR.redact(each.summary)) for each in page.problems)
        tally.coverage.update(page.coverage or {})
        told = metrics.SOURCE_RECORDS
        told.labels(polled.name, "new").inc(len(new) - len(kept))
        told.labels(polled.name, "quarantined").inc(len(kept))
        told.labels(polled.name, "known").inc(len(page.records) - len(new))

    def _decoded(
        self, polled: PolledSource, record: bytes, received: Received
    ) -> tuple[Sequence[Fact], Sequence[Reject]]:
        """One record's fault costs that record."""
        try:
            decoded = polled.decode(record, received)
        except Exception as error:
            log.exception("a record could not be decoded", extra={"source": polled.name})
            return (), (Reject("fault", f"{type(error).__name__}: {error}", record),)
        return decoded.facts, decoded.rejects

    def _fail(
        self, polled: PolledSource, known: Source, tally: Tally, error: DeliveryError | ConfigError, now: datetime
    ) -> None:
        reason = error.reason.value if isinstance(error, DeliveryError) else "config"
        metrics.SOURCE_POLLS.labels(polled.name, polled.kind, reason).inc()
        wait = wait_s(known.failures + 1, error, polled.every_s)
        # A source may send back what it was sent, and what it says is kept and shown to people.
        why = REDACTOR.redact(str(error))
        retry_at = self._clock.now() + timedelta(seconds=wait)
        self._database.write(
            lambda connection: sources.failed(connection, polled.name, why, retry_at, now, problems=tally.problems)
        )
        fields = {"source": polled.name, "why": why, "reason": reason, "again_in_s": round(wait)}
        log.warning("a source could not be read", extra=fields)


@dataclass(frozen=True, slots=True)
class _Poll:
    polling: Polling
    polled: PolledSource

    def __call__(self, now: datetime) -> None:
        self.polling.poll(self.polled, now)


def declared(polled: Sequence[PolledSource]) -> list[Declared]:
    """For the store."""
    return [Declared(each.name, each.kind, each.namespace, each.every_s) for each in polled]


def window_of(known: Source, now: datetime, *, deep: bool, lookback_s: float) -> Window:
    """From the mark back by an overlap; from lookback_s ago where there is no mark, or the clock was set back so far
    that it lies a day ahead."""
    mark = known.mark if known.mark is not None and known.mark <= now + timedelta(days=1) else None
    if mark is None:
        return Window(now - timedelta(seconds=lookback_s), now, None, known.cursor, deep=True)
    overlap = DEEP_S if deep else max(SHALLOW_S, 2 * known.every_s)
    return Window(mark - timedelta(seconds=overlap), now, mark, known.cursor, deep)


def max_age_s(mark: datetime | None, now: datetime) -> float:
    """How old a fact may be and still tell somebody: what happened while Watchtower itself was away is news."""
    if mark is None:
        return MAX_AGE_S
    return max(MAX_AGE_S, min(MOST_AWAY_S, (now - mark).total_seconds()) + MAX_AGE_S)


def wait_s(failures: int, error: DeliveryError | ConfigError, every_s: float) -> float:
    """Until a source is asked again: what it asked for itself, else longer with each failure in a row, five minutes at
    most. What only a person can mend is asked as seldom."""
    if isinstance(error, Transient):
        if error.retry_after_s is not None:
            return min(error.retry_after_s, LONGEST_ASKED_S)
        return min(LONGEST_WAIT_S, max(FIRST_WAIT_S, every_s / 2) * 2.0 ** min(failures - 1, 16))
    return max(LONGEST_WAIT_S, every_s)


_LONGEST = timedelta(seconds=2 * LONGEST_ASKED_S)  # a later one was written by another clock


def _task(name: str) -> str:
    return f"poll:{name}"


def _digest(record: bytes) -> bytes:
    return blake2b(record, digest_size=12).digest()
