"""How many runs of each pipeline this process saw end: what `/metrics` counts, without a table and without a query.

As every Prometheus counter they begin at zero with the process. Each end is folded by exactly one replica, so the sum
over replicas is the number of ends, whatever retention deletes.
"""

import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine

from watchtower.model.fold import Document
from watchtower.model.run import ENDED, RunState
from watchtower.store.runs import Folded
from watchtower.store.work import after_commit
from watchtower.telemetry import metrics, traces

MOST = 100_000  # pairs of job and state; what is beyond them is in the histogram alone


@dataclass(frozen=True, slots=True)
class Count:
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """A run that ended. seconds: None where its start or end is not known."""

    job_id: str
    source: str
    run_id: str
    trace_id: str | None
    state: RunState
    seconds: float | None


class RunCounts:
    """By (job id, state). Written by whoever hears of commits, read by scrapes."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._counts: dict[tuple[str, str], Count] = {}

    def add(self, ends: tuple[End, ...]) -> None:
        """Only after the commit of the transaction that folded them."""
        for end in ends:
            _observe(end)
            key = (end.job_id, end.state.value)
            with self._guard:
                before = self._counts.get(key)
                if before is None and len(self._counts) >= self._most:
                    continue
                before = before or Count(0, 0.0)
                self._counts[key] = Count(before.runs + 1, before.seconds + (end.seconds or 0.0))

    def all(self) -> Mapping[tuple[str, str], Count]:
        with self._guard:
            return dict(self._counts)


def note_ends(connection: Connection, folded: Folded) -> None:
    """Count what ended, once it is committed."""
    ends = ends_of(folded)
    if ends:
        after_commit(connection, partial(counts_of(connection.engine).add, ends))


def ends_of(folded: Folded) -> tuple[End, ...]:
    """Runs of pipelines that ended in this batch. An end that is corrected later counts in both states; what is
    history (a replay, a backfill) counts in none."""
    return tuple(
        _end(document)
        for run_id, document in folded.documents.items()
        if document["task"] is None
        and not document["historical"]
        and document["state"] in ENDED
        and (folded.before.get(run_id) or ("",))[0] != document["state"]
    )


def _end(document: Document) -> End:
    began, ended = document["started_at"], document["ended_at"]
    return End(
        job_id=document["job_id"],
        source=document["source"],
        run_id=document["id"],
        trace_id=document["trace_id"],
        state=RunState(document["state"]),
        seconds=None if began is None or ended is None else max(0.0, (ended - began) / 1e6),
    )


def _observe(end: End) -> None:
    if end.seconds is None:
        return
    exemplar = {"run_id": end.run_id, **({"trace_id": end.trace_id[:32]} if end.trace_id else {})}
    traces.observe(metrics.RUN_SECONDS.labels(end.source, end.state.value), end.seconds, exemplar)


_by_engine: "weakref.WeakKeyDictionary[Engine, RunCounts]" = weakref.WeakKeyDictionary()


def counts_of(engine: Engine) -> RunCounts:
    """What was committed through engine: one per open Database, gone with it."""
    found = _by_engine.get(engine)
    if found is None:
        found = _by_engine[engine] = RunCounts()
    return found
