"""What the kinds ask of a job's past runs, each answer worked out once per snapshot.

The *position* of a run is the moment it was meant for: the end of its data interval where the orchestrator runs a
slot when its interval is over (Airflow's data-interval timetables), else its nominal start, else its real start.
Backfills never count: they say nothing of what is usual or due. History that was replayed does count for learning,
although it never pages.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice

from rules.learning import LearnedSchedule, learn
from rules.schedule import Schedule, known_zone, parse_schedule
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run, RunState, Trigger

BASELINE_RUNS = 100
LEARNING_RUNS = 120  # five days of hourly runs, or thirty hours of one each quarter of an hour

_MINUTE = timedelta(minutes=1)
_NEIGHBOURS = 20


def position(run: Run) -> datetime:
    """The moment a run was meant for (see above)."""
    begun = run.started_at or run.first_seen
    if run.nominal_end and run.nominal_start and run.nominal_start < run.nominal_end <= begun + _MINUTE:
        return run.nominal_end
    return run.nominal_start or begun


def has_started(run: Run) -> bool:
    return run.started_at is not None or run.state is not RunState.QUEUED


def is_history(run: Run) -> bool:
    """It must never page: replayed, late beyond measure, or a backfill, whatever its source says."""
    return run.historical or run.trigger is Trigger.BACKFILL


def is_scheduled(run: Run) -> bool:
    """Started by a timetable, or by nobody knows what, which is how cron jobs and pings look."""
    return run.trigger is Trigger.SCHEDULE or run.trigger is None


class History:
    """Over runs of one job, newest first. Most evaluations find nothing wrong with two hundred runs, so they are
    sorted out in one pass and the rest is worked out when asked for."""

    def __init__(self, runs: Sequence[Run], schedule: str | None, timezone: str | None) -> None:
        self._schedule_text = schedule
        self.timezone = known_zone(timezone)
        self.succeeded: list[Run] = []  # newest first, backfills too
        self.unsuccessful: list[Run] = []  # every other run, backfills too
        succeeded, backfill = RunState.SUCCEEDED, Trigger.BACKFILL
        for run in runs:
            (self.succeeded if run.state is succeeded else self.unsuccessful).append(run)
        self.runs = [run for run in runs if run.trigger is not backfill]

    @cached_property
    def started(self) -> list[tuple[datetime, Run]]:
        """(position, run) of every run that began, newest position first."""
        started = [(position(run), run) for run in self.runs if has_started(run)]
        started.sort(key=lambda pair: pair[0], reverse=True)
        return started

    @cached_property
    def newest(self) -> tuple[datetime, Run] | None:
        """The first of started. Runs come by nominal start, so only neighbours can have changed places by the ends of
        their intervals; a few are enough to look at."""
        began = islice((run for run in self.runs if has_started(run)), _NEIGHBOURS)
        return max(((position(run), run) for run in began), key=lambda pair: pair[0], default=None)

    @cached_property
    def completed(self) -> list[tuple[Run, float]]:
        """(run, duration in seconds) of the last runs that ended well, newest first, at most a hundred: enough for a
        95th percentile, and few enough to follow a change."""
        backfill = Trigger.BACKFILL
        completed: list[tuple[Run, float]] = []
        for run in self.succeeded:
            begun, ended = run.started_at, run.ended_at
            if begun is None or ended is None or run.trigger is backfill:
                continue
            seconds = (ended - begun).total_seconds()
            completed.append((run, seconds if seconds > 0 else 0.0))
            if len(completed) == BASELINE_RUNS:
                break
        return completed

    @cached_property
    def learned(self) -> LearnedSchedule | None:
        """From the newest scheduled starts; the same starts are learned from once."""
        starts: list[datetime] = []
        lateness: list[float] = []
        for meant, run in islice((pair for pair in self.started if is_scheduled(pair[1])), LEARNING_RUNS):
            starts.append(meant)
            if run.nominal_start is not None and run.started_at is not None:
                lateness.append((run.started_at - meant).total_seconds())
        starts.reverse()
        return _learn(tuple(starts), self.timezone, tuple(lateness))

    @cached_property
    def declared(self) -> Schedule | None:
        """What the orchestrator or the operator says; a period is counted from the newest run."""
        is_period = self._schedule_text is not None and ":" in self._schedule_text
        anchor = self.newest[0] if is_period and self.newest else None
        return parse_schedule(self._schedule_text, self.timezone, anchor)

    def early_s(self, schedule: Schedule) -> float:
        """How long before its time a run may start and still be the one that was expected."""
        return max(60.0, schedule.jitter_s) if isinstance(schedule, LearnedSchedule) else 60.0

    def covered_until(self, schedule: Schedule) -> datetime | None:
        """The newest expected start that a run has answered, or the moment it answered for. None without runs."""
        if self.newest is None:
            return None
        return covered_slot(schedule, self.newest[0], self.early_s(schedule))


def covered_slot(schedule: Schedule, meant: datetime, early_s: float) -> datetime:
    """The expected start that a run meant for `meant` answers: the next one if it is less than early_s (and less than
    half the distance between starts) away, else meant itself."""
    following = schedule.after(meant)
    if following is None or (following - meant).total_seconds() > early_s:
        return meant
    previous = schedule.before(meant)
    if previous is not None and following - meant > meant - previous:
        return meant
    return following


_kept = threading.local()


def history_of(snapshot: JobSnapshot) -> History:
    """Kept for the last snapshot asked about: all rules of one subject share it."""
    if getattr(_kept, "snapshot", None) is not snapshot:
        _kept.history = History(snapshot.runs, snapshot.job.schedule, snapshot.job.timezone)
        _kept.snapshot = snapshot
    history: History = _kept.history
    return history


@lru_cache(maxsize=2048)
def _learn(starts: tuple[datetime, ...], timezone: str, lateness: tuple[float, ...]) -> LearnedSchedule | None:
    return learn(starts, timezone, lateness)
