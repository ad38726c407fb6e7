"""Traces once their spans are walked: what they come to by operation, and which run they belong to.

A trace's figures are made anew from its spans whenever more have come, so that they do not depend on the order of
arrival. Its run is looked up by what its spans say; a run that is not known yet is looked for again, ever less often.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from watchtower.model.instants import from_micros, to_micros
from watchtower.model.rule import SubjectKey
from watchtower.model.tally import Tally, TallySpan
from watchtower.store import dialect, driver, due
from watchtower.store.identities import resolve
from watchtower.store.schema.observed import runs
from watchtower.store.schema.traces import traces
from watchtower.store.spans import (
    TRACE_COLUMNS,
    TraceRow,
    claim_of,
    load_traces,
    one_at_a_time,
    trace_row,
    write_traces,
)

LARGE = 5_000  # spans: a trace of more is tallied when it has grown by half, or is quiet
QUIET = timedelta(seconds=5)
# A trace and its run are told by different processes, and end at about the same time.
CLOCKS = timedelta(seconds=5)
LATE = timedelta(minutes=5)
LOOK_AGAIN_S = (5.0, 300.0)  # after as long as the trace has been quiet, within these bounds
GIVE_UP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Tallied:
    """What the spans of one trace come to, at the time when it had `spans` of them."""

    trace: TraceRow
    tallies: Mapping[tuple[str, str], Tally]


@dataclass(frozen=True, slots=True)
class Found:
    """The run of a trace; None: not known, or more than one pipeline has such a run (ambiguous)."""

    trace: TraceRow
    run_id: str | None = None
    job_id: str | None = None
    ambiguous: bool = False


# -- tallying -----------------------------------------------------------------------------------------------------


def untallied(connection: Connection, now: datetime, limit: int) -> list[TraceRow]:
    """Traces that have spans which are in no figure yet, the longest waiting first."""
    place = dialect.mark(connection)
    quiet = to_micros(now - QUIET)
    sql = _UNTALLIED.format(mark=place)
    return [trace_row(row) for row in driver.rows(connection, sql, (LARGE, quiet, limit))]


_UNTALLIED = (
    f"SELECT {TRACE_COLUMNS} FROM traces WHERE tallied != spans "  # noqa: S608 - names of columns
    "AND (spans <= {mark} OR spans * 2 >= tallied * 3 OR seen_at <= {mark}) ORDER BY seen_at LIMIT {mark}"
)


def spans_of(connection: Connection, trace_id: bytes) -> list[TallySpan]:
    sql = _SPANS.format(mark=dialect.mark(connection))
    return [
        TallySpan(bytes(ident), bytes(parent) if parent else None, *others)
        for ident, parent, *others in driver.rows(connection, sql, (trace_id,))
    ]


_SPANS = (
    "SELECT span_id, parent_span_id, started_at, duration_us, operation_id, is_error, message, task FROM spans "
    "WHERE trace_id = {mark}"
)


def write_tallies(connection: Connection, done: Sequence[Tallied], now: datetime) -> int:
    """Put each in place of what was there, unless more spans have come meanwhile; the number written."""
    one_at_a_time(connection)
    current = load_traces(connection, {one.trace.trace_id for one in done})
    fitting = [one for one in done if _still(current.get(one.trace.trace_id), one.trace)]
    place = dialect.mark(connection)
    ids = [(one.trace.trace_id,) for one in fitting]
    driver.write(connection, _CLEAR.format(mark=place), ids)
    driver.insert(connection, _INSERT_TALLIES, [row for one in fitting for row in _tally_rows(one)])
    write_traces(connection, [current[trace_id]._replace(tallied=current[trace_id].spans) for (trace_id,) in ids])
    _mark_jobs(connection, (current[trace_id].job_id for (trace_id,) in ids), now)
    return len(fitting)


_CLEAR = "DELETE FROM trace_operations WHERE trace_id = {mark}"
_INSERT_TALLIES = (
    "INSERT INTO trace_operations (trace_id, operation_id, task, calls, errors, own_errors, total_us, own_us, "
    "durations, message, slowest_span, slowest_us) VALUES {values}"
)


def _still(current: TraceRow | None, then: TraceRow) -> bool:
    return current is not None and current.spans == then.spans and current.kept is None


def _tally_rows(done: Tallied) -> Iterable[tuple[Any, ...]]:
    for (operation_id, task), one in done.tallies.items():
        yield (
            done.trace.trace_id,
            operation_id,
            task,
            one.calls,
            one.errors,
            one.own_errors,
            one.total_us,
            one.own_us,
            one.durations.encode(),
            one.message,
            one.slowest,
            one.slowest_us,
        )


# -- joining ------------------------------------------------------------------------------------------------------


def seeking(connection: Connection, now: datetime, limit: int) -> list[TraceRow]:
    """Traces that name a run and are due to be looked up."""
    sql = _SEEKING.format(mark=dialect.mark(connection))
    return [trace_row(row) for row in driver.rows(connection, sql, (to_micros(now), limit))]


_SEEKING = f"SELECT {TRACE_COLUMNS} FROM traces WHERE join_at <= {{mark}} ORDER BY join_at LIMIT {{mark}}"  # noqa: S608


def named_by_runs(connection: Connection, some: Sequence[TraceRow]) -> list[TraceRow]:
    """Those of some that name no run themselves, and that a run names."""
    by_id = {trace.trace_id.hex(): trace for trace in some if trace.run_id is None and trace.claim is None}
    if not by_id:
        return []
    known = connection.scalars(select(runs.c.trace_id).where(runs.c.trace_id.in_(by_id)).distinct())
    return [by_id[trace_id] for trace_id in known]


def next_seeking(connection: Connection) -> datetime | None:
    return connection.execute(select(func.min(traces.c.join_at)).where(traces.c.join_at.is_not(None))).scalar()


def find_run(connection: Connection, trace: TraceRow) -> Found:
    """The run that the spans of trace name, or that named the trace."""
    candidates = _candidates(connection, trace)
    if len({run.job_id for run in candidates}) > 1:
        return Found(trace, ambiguous=True)
    run = _of_its_time(candidates, trace)
    return Found(trace) if run is None else Found(trace, run.id, run.job_id)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A pipeline's run. begun: when it was queued or started, as far as is known."""

    id: str
    job_id: str
    begun: datetime
    ended_at: datetime | None


def _candidates(connection: Connection, trace: TraceRow) -> list[_Candidate]:
    claim = claim_of(trace)
    found: dict[str, _Candidate] = {}
    ways: list[ColumnElement[bool]] = [runs.c.trace_id == trace.trace_id.hex()]
    if claim and claim.alias:
        ways.append(runs.c.id.in_(resolve(connection, [claim.alias]).run_ids.values()))
    elif claim:
        named = (runs.c.native_run_id == claim.run) & runs.c.task.is_(None)
        ways += [named & (runs.c.pipeline == claim.pipeline) if claim.pipeline else named, runs.c.id == claim.run]
    for way in ways:  # one after the other: each has an index of its own
        query = select(runs).where(way)
        if claim and claim.namespace:
            query = query.where(runs.c.namespace == claim.namespace)
        if trace.source:
            query = query.where(runs.c.source == trace.source)
        for row in connection.execute(query.limit(100)):
            if row.task is not None and row.parent_run_id is not None:
                row = connection.execute(select(runs).where(runs.c.id == row.parent_run_id)).first()  # noqa: PLW2901
            if row is not None:
                begun = min((at for at in (row.queued_at, row.started_at) if at), default=row.first_seen)
                found[row.id] = _Candidate(row.id, row.job_id, begun, row.ended_at)
    return list(found.values())


def _of_its_time(candidates: Sequence[_Candidate], trace: TraceRow) -> _Candidate | None:
    """A run that was cleared is another one under the same id: the last that had begun when the trace ended. If even
    that was over long before the trace began, the one that is meant is not known yet."""
    last = from_micros(trace.last_at) + CLOCKS
    begun = [run for run in candidates if run.begun <= last]
    run = max(begun or candidates, key=lambda run: (run.begun, run.id), default=None)
    if run is None or (run.ended_at is not None and run.ended_at + LATE < from_micros(trace.first_at)):
        return None
    return run


def write_joins(connection: Connection, found: Sequence[Found], now: datetime) -> None:
    one_at_a_time(connection)
    current = load_traces(connection, {one.trace.trace_id for one in found})
    changed: list[TraceRow] = []
    for one in found:
        trace = current.get(one.trace.trace_id)
        if trace is None or trace.claim != one.trace.claim:
            continue  # it says something else by now, and is looked up again
        if one.run_id is None:
            changed.append(trace._replace(join_at=_look_again_us(trace, now)))
        else:
            changed.append(trace._replace(run_id=one.run_id, job_id=one.job_id, join_at=None))
    write_traces(connection, changed)
    _mark_jobs(connection, (trace.job_id for trace in changed if trace.join_at is None), now)


def _look_again_us(trace: TraceRow, now: datetime) -> int | None:
    quiet = now - from_micros(trace.seen_at)
    if quiet > GIVE_UP:
        return None
    least, most = LOOK_AGAIN_S
    return to_micros(now + timedelta(seconds=min(most, max(least, quiet.total_seconds()))))


def _mark_jobs(connection: Connection, job_ids: Iterable[str | None], now: datetime) -> None:
    """What is wrong with a job may have a cause now."""
    subjects = {str(SubjectKey("job", job_id)) for job_id in job_ids if job_id}
    due.mark(connection, due.RULES, subjects, now)
