"""Which whole spans stay: all of a young trace, then those of failed, slow and sampled runs, for their own time.

What traces come to by operation stays with their runs; hours of operations stay for as long as runs do.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from sqlalchemy import Connection, delete, or_, select, update

from watchtower.model.past import PastRun
from watchtower.model.run import RunState
from watchtower.store import dialect, runs
from watchtower.store.database import Database
from watchtower.store.schema.observed import runs as run_rows
from watchtower.store.schema.traces import operation_hours, spans, trace_operations, traces

UNDECIDED: Final = timedelta(hours=24)  # since the trace was last heard of
LONGEST: Final = timedelta(days=7)  # that an open run is waited for
SAMPLE: Final = 20  # one in so many, by its id: every process decides alike
SLOW: Final = 1.2  # times the median of the good runs around it, as snapshots judge it
FAILED, SLOW_RUN, SAMPLED, NO = "failed", "slow", "sampled", "no"

_OPEN: Final = [state.value for state in RunState if not state.is_terminal]
_CHUNK: Final = 100  # traces, or hours, a transaction
_DAY_H: Final = 24


def let_go(database: Database, now: datetime, *, traces_days: int, hours_days: int) -> dict[str, int]:
    """Decide about traces that have been quiet for a day, delete what need not stay; the number of traces and hours."""
    return {
        "traces decided": _repeat(database, lambda connection: _decide(connection, now)),
        "traces": _repeat(database, lambda connection: _expire(connection, now - timedelta(days=traces_days))),
        "operation hours": _repeat(
            database, lambda connection: _delete_hours(connection, int(now.timestamp()) // 3_600 - hours_days * _DAY_H)
        ),
    }


def is_sampled(trace_id: bytes) -> bool:
    return int.from_bytes(trace_id[-8:], "big") % SAMPLE == 0


def _decide(connection: Connection, now: datetime) -> int:
    has_ended = or_(run_rows.c.id.is_(None), run_rows.c.state.not_in(_OPEN), traces.c.seen_at < now - LONGEST)
    query = (
        select(traces.c.trace_id, traces.c.run_id, traces.c.job_id)
        .outerjoin(run_rows, run_rows.c.id == traces.c.run_id)
        .where(traces.c.kept.is_(None), traces.c.seen_at < now - UNDECIDED, traces.c.tallied == traces.c.spans)
        .where(has_ended)
        .order_by(traces.c.seen_at)
        .limit(_CHUNK)
    )
    found = connection.execute(query).all()
    reasons = {row.trace_id: _reason(connection, row.trace_id, row.run_id, row.job_id) for row in found}
    for reason in {*reasons.values()}:
        ids = [trace_id for trace_id, why in reasons.items() if why == reason]
        connection.execute(update(traces).where(traces.c.trace_id.in_(ids)).values(kept=reason, join_at=None))
    _delete_spans(connection, [trace_id for trace_id, why in reasons.items() if why == NO])
    # Nothing but its spans tells what a trace without a run was about.
    _delete_traces(connection, [row.trace_id for row in found if row.run_id is None and reasons[row.trace_id] == NO])
    return len(found)


def _reason(connection: Connection, trace_id: bytes, run_id: str | None, job_id: str | None) -> str:
    run = connection.execute(select(run_rows).where(run_rows.c.id == run_id)).first() if run_id else None
    if run is not None and job_id is not None:
        if RunState(run.state).is_bad:
            return FAILED
        past = runs.past(connection, job_id, 50)
        if _is_slow(next((one for one in past if one.id == run.id), None), past):
            return SLOW_RUN
    return SAMPLED if is_sampled(trace_id) else NO


def _is_slow(run: PastRun | None, past: tuple[PastRun, ...]) -> bool:
    good = [one.duration_s for one in past if one.has_succeeded and one.duration_s is not None]
    return run is not None and run.duration_s is not None and bool(good) and run.duration_s > SLOW * median(good)


def _expire(connection: Connection, before: datetime) -> int:
    """Spans that were kept for their time go; of traces without a run everything."""
    query = (
        select(traces.c.trace_id, traces.c.run_id)
        .where(traces.c.kept.in_([FAILED, SLOW_RUN, SAMPLED]), traces.c.seen_at < before)
        .limit(_CHUNK)
    )
    found = connection.execute(query).all()
    ids = [row.trace_id for row in found]
    _delete_spans(connection, ids)
    connection.execute(update(traces).where(traces.c.trace_id.in_(ids)).values(kept=NO))
    _delete_traces(connection, [row.trace_id for row in found if row.run_id is None])
    return len(found)


def delete_of_runs(connection: Connection, run_ids: Sequence[str]) -> None:
    """The runs are let go: what their traces came to goes with them."""
    ids = list(connection.scalars(select(traces.c.trace_id).where(traces.c.run_id.in_(run_ids))))
    _delete_spans(connection, ids)
    _delete_traces(connection, ids)


def _delete_spans(connection: Connection, trace_ids: Sequence[bytes]) -> None:
    for some in dialect.chunks(trace_ids):
        connection.execute(delete(spans).where(spans.c.trace_id.in_(some)))


def _delete_traces(connection: Connection, trace_ids: Sequence[bytes]) -> None:
    for some in dialect.chunks(trace_ids):
        connection.execute(delete(trace_operations).where(trace_operations.c.trace_id.in_(some)))
        connection.execute(delete(traces).where(traces.c.trace_id.in_(some)))


def _delete_hours(connection: Connection, before_hour: int) -> int:
    """Operations themselves stay: their number is bounded."""
    hours = operation_hours.c
    found = connection.execute(
        select(hours.operation_id, hours.hour).where(hours.hour < before_hour).order_by(hours.hour).limit(_CHUNK)
    ).all()
    for row in found:
        connection.execute(
            delete(operation_hours).where(hours.operation_id == row.operation_id, hours.hour == row.hour)
        )
    return len(found)


def _repeat(database: Database, unit: Callable[[Connection], int]) -> int:
    total = 0
    while True:
        count = database.write(unit)
        total += count
        if count < _CHUNK:
            return total
