"""The walker: takes stored batches of spans apart, adds up their traces, and finds the runs they belong to.

Reading and counting happen in its own thread; the one that writes gets small slices, so that ingest is never held up.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from collectors.otlp.spans import spans_of
from collectors.otlp.traces import OtlpTraces
from watchtower.errors import StoreError
from watchtower.lives import POISON_AFTER, Lives
from watchtower.model.tally import tally
from watchtower.model.trace import Span
from watchtower.store import span_batches, spans, traces
from watchtower.store.database import Database
from watchtower.store.facts import Intake, Quarantined, append_all
from watchtower.store.span_batches import Waiting
from watchtower.store.spans import OperationNames, TraceRow
from watchtower.store.traces import Tallied
from watchtower.telemetry import metrics

log = logging.getLogger(__name__)

SLICE = 1_000  # spans a transaction: about 20 ms of the writing thread
AT_ONCE = 4_000  # spans a step
TRACES = 100  # a step
WRITE_TIMEOUT_S = 60.0


class Walker:
    """`step` does some of what waits; `next_at` says when there is more to do."""

    def __init__(
        self, database: Database, *, advanced: Callable[[], None] = lambda: None, lives: Lives | None = None
    ) -> None:
        """advanced: called after each slice and each step, however much still waits. lives: what earlier ones died
        of."""
        self._database = database
        self._lives = lives or Lives(None)
        self._advanced = advanced
        self._names = OperationNames()

    def step(self, now: datetime) -> int:
        """How much was done: spans walked, traces tallied, runs looked for."""
        walked = self._walk(now)
        tallied = self._tally(now)
        done = walked + len(tallied) + self._join(tallied, now)
        self._show(now)
        self._advanced()
        return done

    def next_at(self) -> datetime | None:
        with self._database.read() as connection:
            waiting = span_batches.backlog(connection).oldest
            return waiting or traces.next_seeking(connection)

    def _walk(self, now: datetime) -> int:
        with self._database.read() as connection:
            waiting = span_batches.waiting(connection, limit=AT_ONCE)
        return sum(self._attempt(row, now) for row in waiting)

    def _attempt(self, row: Waiting, now: datetime) -> int:
        piece = f"spans {row.id}"
        if self._lives.died_of(piece) >= POISON_AFTER:
            log.error("processes died of a batch of spans, which is quarantined", extra={"spans": row.batch.spans})
            self._set_aside(row, "poison", f"{POISON_AFTER} processes died of it")
            return row.batch.spans
        with self._lives.attempt(piece):
            return self._walk_batch(row, now)

    def _walk_batch(self, row: Waiting, now: datetime) -> int:
        """Slice by slice; what another walker has done meanwhile is left to it."""
        every = islice(spans_of(row.batch.body), row.walked, None)
        walked = 0
        while row.walked < row.batch.spans:
            try:
                with self._database.read() as connection:
                    some = self._names.bounded(connection, islice(every, SLICE))
                new = self._fold(row, some, now)
            except (StoreError, TimeoutError):
                raise
            except Exception:
                log.exception("a batch of spans cannot be walked and is quarantined", extra={"spans": row.batch.spans})
                self._set_aside(row, "fault", "it could not be walked; see the log")
                break
            if new is None:
                break
            metrics.SPANS.labels("new").inc(new)
            metrics.SPANS.labels("repeated").inc(len(some) - new)
            self._advanced()
            walked += len(some)
            row = Waiting(row.id, _end(row, some), row.batch)
        return walked

    def _fold(self, row: Waiting, some: Sequence[Span], now: datetime) -> int | None:
        return self._database.write(
            lambda connection: spans.fold(connection, row, _end(row, some), some, now), WRITE_TIMEOUT_S
        )

    def _set_aside(self, row: Waiting, reason: str, message: str) -> None:
        """So that one batch never holds up the others."""
        batch = row.batch
        kept = Quarantined(OtlpTraces.kind, batch.source, reason, message, batch.received_at, batch.body)

        def unit(connection: Connection) -> None:
            if span_batches.advance(connection, row, batch.spans):
                append_all(connection, [Intake((), [kept])])

        self._database.write(unit, WRITE_TIMEOUT_S)

    def _tally(self, now: datetime) -> list[TraceRow]:
        with self._database.read() as connection:
            changed = traces.untallied(connection, now, TRACES)
            done = [Tallied(trace, tally(traces.spans_of(connection, trace.trace_id))) for trace in changed]
        if done:
            self._database.write(lambda connection: traces.write_tallies(connection, done, now), WRITE_TIMEOUT_S)
        return changed

    def _join(self, tallied: Sequence[TraceRow], now: datetime) -> int:
        with self._database.read() as connection:
            wanted = [*traces.seeking(connection, now, TRACES), *traces.named_by_runs(connection, tallied)]
            found = [traces.find_run(connection, trace) for trace in wanted]
        if not found:
            return 0
        self._database.write(lambda connection: traces.write_joins(connection, found, now), WRITE_TIMEOUT_S)
        for one in found:
            result = "joined" if one.run_id else "ambiguous" if one.ambiguous else "unknown"
            metrics.TRACE_JOINS.labels(result).inc()
        return len(found)

    def _show(self, now: datetime) -> None:
        with self._database.read() as connection:
            backlog = span_batches.backlog(connection)
        metrics.SPANS_WAITING.set(backlog.spans)
        metrics.SPANS_LAG.set((now - backlog.oldest).total_seconds() if backlog.oldest else 0.0)


def _end(row: Waiting, some: Sequence[Span]) -> int:
    """How far the batch is walked with some. None where there should be some: the count was wrong."""
    return row.walked + len(some) if some else row.batch.spans
