"""What the kinds ask of a job's past runs, each answer worked out once per snapshot.

The *position* of a run is the moment it was meant for: the end of its data interval where the orchestrator runs a
slot when its interval is over (Airflow's data-interval timetables), else its nominal start, else its real start.
Backfills never count: they say nothing of what is usual or due. History that was replayed does count for learning,
although it never pages.
"""

import threading
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import islice
from operator import itemgetter

from rules.schedules.business import plain
from rules.schedules.declared import Schedule, parse_schedule
from rules.schedules.learned import MIN_RUNS, LearnedSchedule, learn
from rules.schedules.zones import known_zone
from watchtower.model.business import BusinessCalendar
from watchtower.model.instants import from_micros
from watchtower.model.past import PastRun, position_of, positions_us
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run, RunState, Trigger

EARLY_S = 60.0  # before its time a run may begin and still be the one that was expected
BASELINE_RUNS = 100
LEARNING_RUNS = 120  # five days of hourly runs, or thirty hours of one each quarter of an hour

_NEIGHBOURS = 8  # runs come by nominal start: by the ends of their intervals only neighbours can change places
_DONE = frozenset({RunState.SUCCEEDED.value, RunState.SKIPPED.value})
_SCHEDULED = frozenset({Trigger.SCHEDULE.value, None})  # by a timetable, or by nobody knows what, as cron jobs look


def position(run: Run) -> datetime:
    """The moment a run was meant for (see above)."""
    return position_of(run)


def has_started(run: Run) -> bool:
    return run.started_at is not None or run.state is not RunState.QUEUED


def is_history(run: Run) -> bool:
    """It must never page: replayed, late beyond measure, or a backfill, whatever its source says."""
    return run.historical or run.trigger is Trigger.BACKFILL


class History:
    """Over the past of one job, newest first. runs: those that can matter one by one, without backfills;
    unsuccessful: of those and backfills, all that have not ended well."""

    def __init__(self, snapshot: JobSnapshot) -> None:
        self._schedule_text = snapshot.job.schedule
        self._all = snapshot.past
        self._former = [run for run in snapshot.former if run.trigger != Trigger.BACKFILL.value]
        self.calendar = snapshot.calendar
        self.timezone = known_zone(snapshot.job.timezone)
        self.runs = [run for run in snapshot.runs if run.trigger is not Trigger.BACKFILL]
        self.unsuccessful = [run for run in snapshot.runs if run.state is not RunState.SUCCEEDED]
        self._whole = snapshot.runs

    @cached_property
    def whole(self) -> dict[str, Run]:
        """Runs that are known whole, by id."""
        return {run.id: run for run in self._whole}

    @cached_property
    def past(self) -> list[PastRun]:
        backfill = Trigger.BACKFILL.value
        return [run for run in self._all if run.trigger != backfill]

    @cached_property
    def succeeded(self) -> list[PastRun]:
        """Backfills too."""
        succeeded = RunState.SUCCEEDED.value
        return [run for run in self._all if run.state == succeeded]

    @cached_property
    def started(self) -> list[tuple[int, PastRun]]:
        """(position in microseconds, run) of every run that began, newest position first."""
        past, queued = self.past, RunState.QUEUED.value
        started = [
            (at, run)
            for at, run in zip(positions_us(past), past, strict=True)
            if run.started_us is not None or run.state != queued
        ]
        started.sort(key=itemgetter(0), reverse=True)
        return started

    @cached_property
    def newest(self) -> tuple[datetime, Run] | None:
        """The run that began and was meant for the newest moment."""
        began = islice((run for run in self.runs if has_started(run)), _NEIGHBOURS)
        return max(((position(run), run) for run in began), key=lambda pair: pair[0], default=None)

    @cached_property
    def newest_done(self) -> datetime | None:
        """The newest moment that a run was meant for which ended well, or was skipped on purpose."""
        done = islice((run.position_us for run in self.past if run.state in _DONE), _NEIGHBOURS)
        newest = max(done, default=None)
        return None if newest is None else from_micros(newest)

    @cached_property
    def completed(self) -> list[tuple[PastRun, float]]:
        """(run, duration in seconds) of the last runs that ended well, newest first, at most a hundred: enough for a
        95th percentile, and few enough to follow a change. Of a job that was renamed also those before."""
        succeeded = RunState.SUCCEEDED.value
        completed: list[tuple[PastRun, float]] = []
        for run in (*self.past, *self._former) if self._former else self.past:
            began, ended = run.started_us, run.ended_us
            if run.state == succeeded and began is not None and ended is not None:
                completed.append((run, (ended - began) / 1e6 if ended > began else 0.0))
                if len(completed) == BASELINE_RUNS:
                    break
        return completed

    @cached_property
    def learned(self) -> LearnedSchedule | None:
        return self.learned_in(self.timezone, self.calendar)

    def learned_in(self, timezone: str, calendar: BusinessCalendar | None) -> LearnedSchedule | None:
        """From the newest scheduled starts, by the clock of this zone and on days of this calendar; the same starts are
        learned from once."""
        scheduled = self._scheduled[:LEARNING_RUNS]
        lateness = [
            (run.started_us - meant) / 1e6
            for meant, run in scheduled
            if run.nominal_start_us is not None and run.started_us is not None
        ]
        return _learn(tuple([meant for meant, _ in scheduled]), timezone, tuple(lateness), calendar)

    @cached_property
    def left(self) -> tuple[LearnedSchedule, datetime, int] | None:
        """Where nothing is learned of the newest starts, though there are enough: the schedule that was kept to before
        them, since when it is not, and how many starts came since. For people: it tries as many times as that."""
        meant = self._scheduled_starts
        if self.learned is not None or len(meant) < MIN_RUNS:
            return None
        for count in range(1, MIN_RUNS):
            before = _learn(meant[count:], self.timezone, (), self.calendar)
            if before is not None:
                return before, from_micros(meant[count - 1]), count
        return None

    @cached_property
    def _scheduled_starts(self) -> tuple[int, ...]:
        """Newest first, in microseconds."""
        return tuple([meant for meant, _ in self._scheduled[:LEARNING_RUNS]])

    @cached_property
    def _scheduled(self) -> list[tuple[int, PastRun]]:
        """(position in microseconds, run) of what began by a timetable, newest first; also before it was renamed."""
        former = [(run.position_us, run) for run in self._former if run.has_started]
        former.sort(key=itemgetter(0), reverse=True)
        return [pair for pair in (*self.started, *former) if pair[1].trigger in _SCHEDULED]

    @cached_property
    def declared(self) -> Schedule | None:
        """What the orchestrator or the operator says; a period is counted from the newest run."""
        is_period = self._schedule_text is not None and ":" in self._schedule_text
        anchor = self.newest[0] if is_period and self.newest else None
        return parse_schedule(self._schedule_text, self.timezone, anchor)

    def early_s(self, schedule: Schedule) -> float:
        """How long before its time a run may start and still be the one that was expected."""
        found = plain(schedule)
        return max(EARLY_S, found.jitter_s) if isinstance(found, LearnedSchedule) else EARLY_S

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
        _kept.history = History(snapshot)
        _kept.snapshot = snapshot
    history: History = _kept.history
    return history


@lru_cache(maxsize=2048)
def _learn(
    starts: Sequence[int], timezone: str, lateness: Sequence[float], calendar: BusinessCalendar | None
) -> LearnedSchedule | None:
    """starts: newest first."""
    return learn([from_micros(start) for start in reversed(starts)], timezone, lateness, calendar)
