"""An expected start passed and no run began: late start or missing run, per slot of the schedule.

Terms: `start_within` is Sentry Crons' check-in margin and is never shared with the finish (healthchecks #910). The
schedule is the rule's, the job's declared one, or the one its history teaches. A run answers the slot it was meant
for and all before it, whenever it starts; backfills answer nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.changes import ChangeOptions
from rules.followers import follower_evidence, looks_for_follower, replaced, was_replaced, with_follower
from rules.history import History, history_of
from rules.options import Calendar, Seconds, Timetable, Zone
from rules.schedules.business import check_comes, on_days, plain
from rules.schedules.declared import Schedule, expected_between, timetable
from rules.schedules.learned import MIN_RUNS, LearnedSchedule, learning_progress
from rules.troubles import troubles_within, with_troubles
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run

START_WITHIN_S = 300.0
_MAX_MISSED = 100  # counted one by one; beyond it only "more than" is said


class MissingRunConfig(ChangeOptions):
    """Without a schedule here, the job's own is used, else the learned one."""

    schedule: Timetable | None = Field(
        default=None, description="cron or OnCalendar; default: the job's own, else learned"
    )
    timezone: Zone | None = Field(default=None, description="IANA zone; default: the job's, else UTC")
    start_within: Seconds | None = Field(
        default=None, description="how late a start may be; default 5m, for a learned schedule at least its jitter"
    )
    calendar: Calendar = Field(default=None, description="only on days of this calendar; default: the job's")
    fail_after: int = Field(default=1, ge=1, le=_MAX_MISSED, description="how many starts in a row must be missing")

    @model_validator(mode="after")
    def _comes(self) -> "MissingRunConfig":
        if self.schedule:
            check_comes(timetable(self.schedule, self.timezone or "UTC"), self.calendar, self.timezone or "UTC")
        return self


class MissingRun:
    kind: ClassVar[str] = "missing_run"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "a run for that time, or a later one, has begun"
    asks_who_follows: ClassVar[bool] = True
    Config: ClassVar[type[MissingRunConfig]] = MissingRunConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot) or (snapshot.job.paused and not rule.declared):
            return Evaluation()  # whoever paused it knows; a rule that somebody wrote still expects it
        expectation = expected_starts(rule.options, snapshot)
        if isinstance(expectation, str):
            return Evaluation(learning=expectation)
        history, schedule = history_of(snapshot), expectation.schedule
        tolerance = timedelta(seconds=expectation.tolerance_s)
        since = history.covered_until(schedule) or snapshot.job.first_seen
        if since is None:
            return Evaluation(learning="never seen, and no moment known from which a run is expected")
        since = max(since, snapshot.job.paused_at or since)
        missed = expected_between(schedule, since, now - tolerance, _MAX_MISSED)
        following = schedule.after(missed[-1] if missed else since)
        next_at = following + tolerance if following and len(missed) < _MAX_MISSED else None
        if len(missed) < rule.options.fail_after:
            return Evaluation(next_at=next_at, resolution=_resolution(history, expectation) if snapshot.alerts else {})
        if follower := was_replaced(rule, snapshot):
            return replace(replaced(follower), next_at=next_at)
        violation = _violation(missed, rule.options.fail_after, expectation, snapshot)
        again = None if snapshot.job.ref.task else looks_for_follower(violation.since, now)
        return Evaluation((violation,), min((at for at in (next_at, again) if at), default=None))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: MissingRunConfig = rule.options
        who = subject_words(snapshot)
        if isinstance(snapshot, JobSnapshot):
            expectation = expected_starts(options, snapshot)
            if isinstance(expectation, str):
                return f"{who}: no schedule declared, learning it ({_changed(history_of(snapshot)) or expectation})."
            within = length_words(expectation.tolerance_s)
            return (
                f"{who}: a run must start within {within} ({expectation.tolerance_s:.0f} s) of its time, "
                f"{expectation.schedule.describe()}.{_more(options)}"
            )
        schedule = timetable(options.schedule, options.timezone or "UTC").describe() if options.schedule else "its time"
        within = options.start_within or START_WITHIN_S
        return f"{who}: a run must start within {length_words(within)} ({within:.0f} s) of {schedule}.{_more(options)}"


def _changed(history: History) -> str:
    """Of a job that kept to another schedule until lately."""
    if history.left is None:
        return ""
    before, since, count = history.left
    was, at = before.pattern.describe(), moment_words(since, history.timezone)
    return f"its schedule changed: {was} until {at}, and {count} of {MIN_RUNS} runs since"


def _more(options: MissingRunConfig) -> str:
    return f" Alert when {options.fail_after} in a row are missing." if options.fail_after > 1 else ""


@dataclass(frozen=True, slots=True)
class ExpectedStarts:
    schedule: Schedule
    tolerance_s: float
    timezone: str


def expected_starts(options: MissingRunConfig, snapshot: JobSnapshot) -> ExpectedStarts | str:
    """What is expected of this job, or why nothing is (yet)."""
    history = history_of(snapshot)
    timezone, calendar = options.timezone or history.timezone, options.calendar or snapshot.calendar
    declared = timetable(options.schedule, timezone) if options.schedule else history.declared
    if declared:
        return ExpectedStarts(on_days(declared, calendar, timezone), options.start_within or START_WITHIN_S, timezone)
    learned = history.learned_in(history.timezone, calendar)
    if learned is None:
        return learning_progress(len(history.completed)) or "no regular schedule seen in its runs"
    tolerance_s = options.start_within or max(START_WITHIN_S, learned.jitter_s)
    return ExpectedStarts(on_days(learned, calendar, timezone), tolerance_s, timezone)


def _violation(
    missed: list[datetime], fail_after: int, expectation: ExpectedStarts, snapshot: JobSnapshot
) -> Violation:
    since = missed[fail_after - 1] + timedelta(seconds=expectation.tolerance_s)
    history = history_of(snapshot)
    last = history.newest[1] if history.newest else None
    waiting = next((run for run in history.runs if run.state.rank == 0 and run.started_at is None), None)
    count = f"more than {len(missed) - 1}" if len(missed) == _MAX_MISSED else str(len(missed))
    evidence: dict[str, Any] = {
        "expected": iso(missed[0]),
        "expected_last": iso(missed[-1]),
        "missed": count,
        "timezone": expectation.timezone,
        "schedule": expectation.schedule.describe(),
        "start_within_s": expectation.tolerance_s,
        "learned": isinstance(plain(expectation.schedule), LearnedSchedule),
        "since": iso(since),
        **({"paused": True} if snapshot.job.paused else {}),
        **follower_evidence(snapshot),
    }
    evidence |= _run_evidence("last_run", last) | _run_evidence("queued_run", waiting)
    return Violation(
        since=since,
        summary=with_follower(_summary(missed, count, waiting, expectation, snapshot), snapshot),
        value=float(len(missed)),
        evidence=with_troubles(evidence, troubles_within(snapshot, missed[0])),
    )


def _summary(
    missed: list[datetime], count: str, waiting: Run | None, expectation: ExpectedStarts, snapshot: JobSnapshot
) -> str:
    name, first = snapshot.job.ref.name, moment_words(missed[0], expectation.timezone)
    within = length_words(expectation.tolerance_s)
    if waiting:
        return f"{name} was expected to start at {first} and is still queued, beyond its tolerance of {within}"
    if len(missed) == 1:
        return f"{name} was expected to start at {first} and no run began within {within}"
    return f"{name} has not started since {first}: {count} of {count} expected runs are missing"


def _run_evidence(name: str, run: Run | None) -> dict[str, Any]:
    if run is None:
        return {}
    return {
        name: {"run_id": run.id, "native_run_id": run.native_run_id, "state": run.state.value,
               "started_at": iso(run.started_at)}
    }  # fmt: skip


def _resolution(history: History, expectation: ExpectedStarts) -> dict[str, Any]:
    """The newest run, and by how much it was late, if it was later than allowed."""
    if history.newest is None:
        return {}
    meant, run = history.newest
    slot = expectation.schedule.before(meant + timedelta(seconds=history.early_s(expectation.schedule)))
    if slot is None or run.started_at is None:
        return {}
    late_s = (run.started_at - slot).total_seconds()
    resolution = {"run_id": run.id, "native_run_id": run.native_run_id, "expected": iso(slot),
                  "started_at": iso(run.started_at)}  # fmt: skip
    if late_s > expectation.tolerance_s:
        resolution |= {"late_by_s": late_s, "late_by": length_words(late_s)}
    return resolution
