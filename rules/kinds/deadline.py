"""A run must have ended well by a time of day, or within a time after its start was due: late finish.

`finish_by` is a wall-clock time in an IANA zone; `finish_within` counts from the expected start, so that it also
catches what never started (apache/airflow#48475). Without either, the limit is learned: 1.5 × the 95th percentile of
how long after its expected start the job ended. If the run already failed, the deadline becomes evidence of that
failure instead of a second alert (apache/airflow#60927).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.baseline import Baseline
from rules.cause import cause_of_delay
from rules.failures import failure_of
from rules.history import History, history_of
from rules.learning import TimesOfDay, learning_progress, weekday_words
from rules.options import Clock, Cron, Options, Seconds, Weekdays, Zone
from rules.schedule import CronSchedule, Schedule
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run

LEARNED_FACTOR = 1.5
_LOOK_BACK = 30  # missed due times in a row that are counted


class DeadlineConfig(Options):
    """At most one of finish_by, cron and finish_within; none of them: learned."""

    finish_by: Clock | None = Field(default=None, description='time of day in quotes, e.g. "07:00"')
    days: Weekdays | None = Field(default=None, description="with finish_by: due on these days, e.g. mon-fri")
    cron: Cron | None = Field(default=None, description="instead of finish_by: due times as a cron expression")
    timezone: Zone | None = Field(default=None, description="IANA zone; default: the job's, else UTC")
    finish_within: Seconds | None = Field(default=None, description="time allowed from the expected start")

    @model_validator(mode="after")
    def _one_of(self) -> "DeadlineConfig":
        given = [name for name in ("finish_by", "cron", "finish_within") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other; write two rules to have both")
        if self.days is not None and self.finish_by is None:
            raise ValueError("days needs finish_by; with cron, name the days in the expression")
        return self


class Deadline:
    kind: ClassVar[str] = "deadline"
    subject: ClassVar[str] = "job"
    Config: ClassVar[type[DeadlineConfig]] = DeadlineConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        plan = _plan(rule.options, snapshot)
        if isinstance(plan, str):
            return Evaluation(learning=plan)
        history = history_of(snapshot)
        began = snapshot.job.first_seen or (from_micros(history.started[-1][0]) if history.started else None)
        if began is None:
            return Evaluation(learning="never seen, and no moment known from which a run is expected")
        broken = _broken(plan, history, began, now)
        next_at = plan.due_after(now)
        if not broken:
            return Evaluation(next_at=next_at, resolution=_resolution(plan, history, now) if snapshot.alerts else {})
        return Evaluation(violations=(_violation(broken, plan, snapshot),), next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: DeadlineConfig = rule.options
        who = subject_words(snapshot)
        zone = options.timezone or (history_of(snapshot).timezone if isinstance(snapshot, JobSnapshot) else "UTC")
        if options.finish_by:
            days = weekday_words(options.days) if options.days else ""
            return f"{who}: must have succeeded by {options.finish_by:%H:%M} {zone}{days}."
        if options.cron:
            return f"{who}: must have succeeded by each time of cron {options.cron} {zone}."
        if options.finish_within:
            limit = f"{length_words(options.finish_within)} ({options.finish_within:.0f} s)"
            return f"{who}: must succeed within {limit} of its expected start."
        plan = _plan(options, snapshot) if isinstance(snapshot, JobSnapshot) else "10 completed runs needed"
        if isinstance(plan, str):
            return f"{who}: time allowed from the expected start is being learned ({plan})."
        limit_s = plan.within_s or 0.0
        return f"{who}: must succeed within {length_words(limit_s)} ({limit_s:.0f} s, learned) of its expected start."


@dataclass(frozen=True, slots=True)
class Due:
    """at: when it must be done. opens: a run meant for this moment or later does it."""

    at: datetime
    opens: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The due times of one job. within_s: time from the expected start, if the due times are made so."""

    latest: Callable[[datetime], Due | None]  # the last one at or before a moment
    due_after: Callable[[datetime], datetime | None]
    timezone: str
    within_s: float | None = None
    learned: bool = False


def _plan(options: DeadlineConfig, snapshot: JobSnapshot) -> Plan | str:
    """How due times follow from the options and the job's history, or why there are none yet."""
    history = history_of(snapshot)
    timezone = options.timezone or history.timezone
    starts = history.declared or history.learned
    if options.finish_by or options.cron:
        return _by_clock(_due_times(options, timezone), starts, timezone)
    within_s = options.finish_within
    if within_s is None:
        usual = Baseline.of(_times_to_finish(history))
        if usual is None:
            return learning_progress(len(history.completed)) or "too few completed runs"
        within_s = usual.quantile(0.95) * LEARNED_FACTOR
    learned = options.finish_within is None
    if starts:
        return _from_schedule(starts, within_s, timezone, learned)
    return _from_runs(history, within_s, timezone, learned)


def _due_times(options: DeadlineConfig, timezone: str) -> Schedule:
    if options.cron:
        return CronSchedule(options.cron, timezone)
    by = options.finish_by or time()
    seconds = by.hour * 3600 + by.minute * 60 + by.second
    return TimesOfDay((seconds,), options.days or frozenset(range(7)), timezone)


def _by_clock(due_times: Schedule, starts: Schedule | None, timezone: str) -> Plan:
    """A due time belongs to the last expected start before it, if the schedule is known; else to any run since the
    due time before."""

    def latest(moment: datetime) -> Due | None:
        at = due_times.before(moment)
        if at is None:
            return None
        opens = starts.before(at - timedelta(seconds=1)) if starts else None
        previous = due_times.before(at - timedelta(microseconds=1))
        return Due(at, opens or previous or datetime.min.replace(tzinfo=UTC))

    return Plan(latest, due_times.after, timezone)


def _from_schedule(starts: Schedule, within_s: float, timezone: str, learned: bool) -> Plan:
    within = timedelta(seconds=within_s)

    def latest(moment: datetime) -> Due | None:
        opens = starts.before(moment - within)
        return Due(opens + within, opens) if opens else None

    def due_after(moment: datetime) -> datetime | None:
        following = starts.after(moment - within)
        return following + within if following else None

    return Plan(latest, due_after, timezone, within_s, learned)


def _from_runs(history: History, within_s: float, timezone: str, learned: bool) -> Plan:
    """No schedule is known: each run that came is due within its time."""
    within = timedelta(seconds=within_s)
    meant = [from_micros(at) for at, _ in history.started]  # newest first

    def latest(moment: datetime) -> Due | None:
        return next((Due(at + within, at) for at in meant if at + within <= moment), None)

    def due_after(moment: datetime) -> datetime | None:
        return next((at + within for at in reversed(meant) if at + within > moment), None)

    return Plan(latest, due_after, timezone, within_s, learned)


def _times_to_finish(history: History) -> list[float]:
    """Seconds from when a run was meant to start until it ended well."""
    return [max(0, (run.ended_us or 0) - run.position_us) / 1e6 for run, _ in history.completed]


def _broken(plan: Plan, history: History, began: datetime, now: datetime) -> list[Due]:
    """Due times up to now that nothing has met, newest first; none if the latest is met, since a newer success makes
    good for older misses."""
    broken: list[Due] = []
    done = _met_until(plan, history)
    due = plan.latest(now)
    while due and due.at > began and due.opens > done and len(broken) < _LOOK_BACK:
        broken.append(due)
        due = plan.latest(due.at - timedelta(microseconds=1))
    return broken


def _met_until(plan: Plan, history: History) -> datetime:
    """The newest moment that a successful (or deliberately skipped) run was meant for, a little lenient to starts
    before their time."""
    newest = history.newest_done
    if newest is None:
        return datetime.min.replace(tzinfo=UTC)
    schedule = history.declared or history.learned
    return newest + timedelta(seconds=history.early_s(schedule) if schedule else 0)


def _violation(broken: Sequence[Due], plan: Plan, snapshot: JobSnapshot) -> Violation:
    first, last = broken[-1], broken[0]
    history = history_of(snapshot)
    run = history.newest[1] if history.newest and history.newest[0] >= last.opens else None
    failed = run is not None and failure_of(run, snapshot.attempts.get(run.id, ())) is not None
    evidence: dict[str, Any] = {
        "expected": iso(first.at),
        "timezone": plan.timezone,
        "missed": len(broken),
        "since": iso(first.at),
        "learned": plan.learned,
    }
    if plan.within_s is not None:
        evidence |= {"limit": plan.within_s, "expected_start": iso(first.opens)}
    if run:
        evidence |= {"run_id": run.id, "native_run_id": run.native_run_id, "run_state": run.state.value,
                     "started_at": iso(run.started_at), "external_url": run.external_url}  # fmt: skip
        if not run.state.is_terminal and not failed:
            evidence |= cause_of_delay(snapshot, run)
    return Violation(
        since=first.at,
        summary=_summary(broken, plan, run, snapshot),
        value=float(len(broken)),
        evidence=evidence,
        historical=run is not None and run.historical and run.state.is_terminal,
        yields_to="run_failure" if failed else None,
    )


def _summary(broken: Sequence[Due], plan: Plan, run: Run | None, snapshot: JobSnapshot) -> str:
    due = moment_words(broken[0].at, plan.timezone)
    if run is None:
        state = "no run for it has started"
    elif run.state.is_terminal:
        state = f"its run ended {run.state.value}"
    else:
        state = f"its run is {run.state.value}"
        state += f" since {moment_words(run.started_at, plan.timezone)}" if run.started_at else ""
    again = f"; {len(broken)} due times in a row are missed" if len(broken) > 1 else ""
    return f"{snapshot.job.ref.name} was due at {due} and has not succeeded: {state}{again}"


def _resolution(plan: Plan, history: History, now: datetime) -> dict[str, Any]:
    """The run that met the latest due time, and by how much it was late."""
    due = plan.latest(now)
    if due is None:
        return {}
    opens = to_micros(due.opens)
    ok = [run for meant, run in history.started if meant >= opens and run.has_succeeded]
    ended = ok[-1].ended_at if ok else None
    if ended is None:
        return {}
    whole = history.whole.get(ok[-1].id)
    native = whole.native_run_id if whole else None
    late_s = (ended - due.at).total_seconds()
    resolution = {"run_id": ok[-1].id, "native_run_id": native, "expected": iso(due.at), "ended_at": iso(ended)}
    return resolution | ({"late_by_s": late_s, "late_by": length_words(late_s)} if late_s > 0 else {})
