"""What the spans of a job's runs say, for those runs that may need a cause, and what is usual for it.

Jobs without traces cost one look at an index for the whole batch. Where a job has them, they are read only if one of
its newest runs ended badly, took long or is open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from sqlalchemy import Connection

from watchtower.model.past import PastRun
from watchtower.model.run import RunState
from watchtower.model.trace import RunTrace, Usual
from watchtower.store import dialect
from watchtower.store.reading import traces

NEWEST = 10  # runs among which some may need a cause
JUDGED = 5
USUAL = 20  # good runs
LONG = 1.2  # times the median of good runs

_OPEN = frozenset(state.value for state in RunState if not state.is_terminal)
_BAD = frozenset(state.value for state in RunState if state.is_bad)


@dataclass(frozen=True, slots=True)
class Traced:
    """Of one job."""

    traces: Mapping[str, RunTrace] = field(default_factory=dict[str, RunTrace])
    usual: Usual = field(default_factory=Usual)


UNTRACED = Traced()


def load(connection: Connection, past: Mapping[str, Sequence[PastRun]]) -> dict[str, Traced]:
    """By job id, where there is anything. past: newest first."""
    traced = [row[0] for row in dialect.rows_among(connection, _TRACED, list(past))]
    if not traced:
        return {}
    judged = {job_id: _judged(past[job_id]) for job_id in traced}
    found = traces.of_runs(connection, [run_id for ids in judged.values() for run_id in ids])
    return {
        job_id: Traced(own, _usual(connection, past[job_id], ids))
        for job_id, ids in judged.items()
        if (own := {run_id: found[run_id] for run_id in ids if run_id in found})
    }


_TRACED = "SELECT id FROM jobs WHERE id {among} AND EXISTS (SELECT 1 FROM traces WHERE traces.job_id = jobs.id)"


def _judged(past: Sequence[PastRun]) -> list[str]:
    good = [run.duration_s for run in past if run.has_succeeded and run.duration_s is not None]
    long_s = LONG * median(good) if good else float("inf")
    wanted = [
        run.id
        for run in past[:NEWEST]
        if run.state in _OPEN or run.state in _BAD or (run.duration_s is not None and run.duration_s > long_s)
    ]
    return wanted[:JUDGED]


def _usual(connection: Connection, past: Sequence[PastRun], judged: Sequence[str]) -> Usual:
    good = [run.id for run in past if run.has_succeeded and run.id not in judged][:USUAL]
    found = traces.of_runs(connection, good)
    return Usual(len(found), traces.together(one for run in found.values() for one in run.operations))
