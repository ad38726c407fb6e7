"""A run of the past in a few numbers: what baselines and learned schedules read of it.

One tuple a run, straight from an index of the store; instants stay whole microseconds since the epoch (UTC), because
making Runs of forty fields each was most of what an evaluation cost.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import Run, RunState, Trigger

WINDOW = 130  # of one job: a schedule is learned from 120 starts, what is usual from 100 completed runs
_MINUTE_US = 60_000_000
_RAN = frozenset(state.value for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED))


class PastRun(NamedTuple):
    """state: a RunState's value; trigger: a Trigger's value. `…_us`: microseconds since the epoch, UTC."""

    id: str
    state: str
    trigger: str | None
    historical: bool
    nominal_start_us: int | None
    nominal_end_us: int | None
    started_us: int | None
    ended_us: int | None
    first_seen_us: int
    queued_us: int | None = None

    @property
    def position_us(self) -> int:
        """The moment it was meant for: the end of its data interval where the orchestrator runs a slot when its
        interval is over (Airflow's data-interval timetables), else its nominal start, else its real start."""
        begun = self.first_seen_us if self.started_us is None else self.started_us
        return _meant_for(begun, self.nominal_start_us, self.nominal_end_us)

    @property
    def position(self) -> datetime:
        return from_micros(self.position_us)

    @property
    def ended_at(self) -> datetime | None:
        return None if self.ended_us is None else from_micros(self.ended_us)

    @property
    def duration_s(self) -> float | None:
        """As Run.duration_s."""
        if self.started_us is None or self.ended_us is None:
            return None
        return max(0, self.ended_us - self.started_us) / 1e6

    @property
    def has_run(self) -> bool:
        """It ended, and how long that took says something: it was neither skipped nor called off."""
        return self.state in _RAN and self.duration_s is not None

    @property
    def has_started(self) -> bool:
        return self.started_us is not None or self.state != RunState.QUEUED

    @property
    def has_succeeded(self) -> bool:
        return self.state == RunState.SUCCEEDED


# PastRun._make runs in Python, which takes as long as reading the row does.
_of_row = partial(tuple.__new__, PastRun)  # pyright: ignore[reportUnknownMemberType] # a tuple of anything


def past_runs(rows: Iterable[Sequence[Any]]) -> tuple[PastRun, ...]:
    """rows: each with all fields of a PastRun, in their order."""
    return tuple(map(_of_row, rows))


def positions_us(past: Sequence[PastRun]) -> list[int]:
    """The position_us of each, without asking a hundred runs one by one for every evaluation there is."""
    return [
        (first_seen if started is None else started)
        if start is None
        else _meant_for(first_seen if started is None else started, start, end)
        for _, _, _, _, start, end, started, _, first_seen, _ in past
    ]


# -- which past runs a rule may have to look at one by one ---------------------------------------------------------

NEWEST = 8
_ENDED = frozenset(state.value for state in RunState if state.is_terminal)
_BACKFILL = Trigger.BACKFILL.value


def mattering(past: Sequence[PastRun]) -> list[str]:
    """Ids of the newest runs, of the newest that took their time, of the success that ended last, of the open ones, and
    of all from the oldest failure on that no later success has cleared. past: newest first. A success clears what was
    meant for its own moment or an earlier one and ended before it did; so of what lies before such a failure nothing
    can be told that its numbers do not tell."""
    succeeded = RunState.SUCCEEDED.value
    others = [run for run in past if run.state != succeeded]
    newest = next((run for run in past if run.state == succeeded), None)
    standing = [run.position_us for run in others if _may_stand(run, newest)]
    wanted = {run.id for run in past[:NEWEST]}
    wanted.update(run.id for run in others if run.state not in _ENDED)
    wanted.update(run.id for run in islice((run for run in past if run.trigger != _BACKFILL), NEWEST))
    wanted.update(run.id for run in islice((run for run in past if run.has_run and run.trigger != _BACKFILL), NEWEST))
    last, ended = None, -1
    for run in past:
        if run.state == succeeded and (run.ended_us or 0) > ended:
            last, ended = run.id, run.ended_us or 0
    if last is not None:
        wanted.add(last)
    if standing:
        oldest = min(standing)
        wanted.update(run.id for run, at in zip(past, positions_us(past), strict=True) if at >= oldest)
    return [run.id for run in past if run.id in wanted]


def _may_stand(run: PastRun, success: PastRun | None) -> bool:
    """A failure that the newest success may not have cleared."""
    if run.state not in _ENDED:
        return False
    if success is None or success.ended_us is None or run.ended_us is None:
        return True
    return run.position_us > success.position_us or run.ended_us >= success.ended_us


def past_of(run: Run) -> PastRun:
    return PastRun(
        run.id,
        run.state.value,
        run.trigger.value if run.trigger else None,
        run.historical,
        _micros(run.nominal_start),
        _micros(run.nominal_end),
        _micros(run.started_at),
        _micros(run.ended_at),
        to_micros(run.first_seen),
        _micros(run.queued_at),
    )


def position_of(run: Run) -> datetime:
    """As PastRun.position, of a run that is known whole."""
    if run.nominal_start is None:
        return run.started_at or run.first_seen
    begun = to_micros(run.started_at or run.first_seen)
    return from_micros(_meant_for(begun, to_micros(run.nominal_start), _micros(run.nominal_end)))


def _meant_for(begun: int, start: int | None, end: int | None) -> int:
    if start is None:
        return begun
    return end if end is not None and start < end <= begun + _MINUTE_US else start


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
