"""A run must have ended well by a time of day, or within a time after its start was due: late finish.

It also catches what never started (apache/airflow#48475). If the run already failed, the deadline becomes evidence of
that failure instead of a second alert (apache/airflow#60927). Signs of life of its run move a soft deadline and never
the hard one (healthchecks #1232).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.cause import cause_of_delay
from rules.changes import ChangeOptions
from rules.failures import failure_of
from rules.followers import follower_evidence, replaced, was_replaced, with_follower
from rules.history import EARLY_S, History, history_of
from rules.options import Seconds
from rules.schedules.declared import timetable
from rules.schedules.due_times import Due, DueOptions, Plan, met_until, plan_of
from rules.schedules.learned import weekday_words
from rules.troubles import troubles_within, with_troubles
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run, RunState

_LOOK_BACK = 30  # missed due times in a row that are counted


class DeadlineConfig(DueOptions, ChangeOptions):
    """At most one of finish_by, cron and finish_within; none of them: learned. soft and hard: both or neither."""

    soft: Seconds | None = Field(default=None, description="wait while its run gives a sign of life this often")
    hard: Seconds | None = Field(default=None, description="but no longer than this after it was due")
    fail_after: int = Field(default=1, ge=1, le=_LOOK_BACK, description="how many due times in a row must be missed")

    @model_validator(mode="after")
    def _waits(self) -> "DeadlineConfig":
        if (self.soft is None) != (self.hard is None):
            raise ValueError("soft and hard belong together: how often a sign of life must come, and when none helps")
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError(f"soft ({self.soft:g} s) is more than hard ({self.hard:g} s): the first sign ends it")
        return self

    @property
    def limits(self) -> Mapping[str, tuple[float, float]]:
        """What takes longer than that cannot end within it, however early it begins."""
        return {"the seconds of a run": (0.0, self.finish_within + EARLY_S)} if self.finish_within else {}


class Deadline:
    kind: ClassVar[str] = "deadline"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "the run that was due has ended well"
    asks_who_follows: ClassVar[bool] = True
    Config: ClassVar[type[DeadlineConfig]] = DeadlineConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: DeadlineConfig = rule.options
        plan = plan_of(options, snapshot)
        if isinstance(plan, str):
            return Evaluation(learning=plan)
        history = history_of(snapshot)
        began = snapshot.job.first_seen or (from_micros(history.started[-1][0]) if history.started else None)
        if began is None:
            return Evaluation(learning="never seen, and no moment known from which a run is expected")
        missed = _missed(plan, history, began, now)
        waits = _Waits(options, snapshot)
        broken = [due for due in missed if waits.until(due) <= now]
        moments = [plan.due_after(now), *(at for due in missed if (at := waits.until(due)) > now)]
        next_at = min((moment for moment in moments if moment), default=None)
        if len(broken) < options.fail_after:
            return Evaluation(next_at=next_at, resolution=_resolution(plan, history, now) if snapshot.alerts else {})
        if _run_for(broken[0], history) is None and (follower := was_replaced(rule, snapshot)):
            return replace(replaced(follower), next_at=next_at)
        since = waits.until(broken[-options.fail_after])
        return Evaluation(violations=(_violation(broken, since, plan, snapshot, waits),), next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        return self._expected(rule.options, snapshot) + _more(rule.options)

    def _expected(self, options: DeadlineConfig, snapshot: Snapshot | None) -> str:
        who = subject_words(snapshot)
        zone = options.timezone or (history_of(snapshot).timezone if isinstance(snapshot, JobSnapshot) else "UTC")
        if options.finish_by:
            days = weekday_words(options.days) if options.days else ""
            return f"{who}: must have succeeded by {options.finish_by:%H:%M} {zone}{days}."
        if options.cron:
            return f"{who}: must have succeeded by each time of {timetable(options.cron, zone).describe()}."
        if options.finish_within:
            limit = f"{length_words(options.finish_within)} ({options.finish_within:.0f} s)"
            return f"{who}: must succeed within {limit} of its expected start."
        plan = plan_of(options, snapshot) if isinstance(snapshot, JobSnapshot) else "10 completed runs needed"
        if isinstance(plan, str):
            return f"{who}: time allowed from the expected start is being learned ({plan})."
        limit_s = plan.within_s or 0.0
        return f"{who}: must succeed within {length_words(limit_s)} ({limit_s:.0f} s, learned) of its expected start."


def _missed(plan: Plan, history: History, began: datetime, now: datetime) -> list[Due]:
    """Due times up to now that nothing has met, newest first; none if the latest is met, since a newer success makes
    good for older misses."""
    missed: list[Due] = []
    done = met_until(plan, history)
    due = plan.latest(now)
    while due and due.at > began and due.opens > done and len(missed) < _LOOK_BACK:
        missed.append(due)
        due = plan.latest(due.at - timedelta(microseconds=1))
    return missed


class _Waits:
    """Until when a due time is waited for, because the run for it is alive."""

    def __init__(self, options: DeadlineConfig, snapshot: JobSnapshot) -> None:
        self._soft = timedelta(seconds=options.soft) if options.soft is not None else None
        self._hard = timedelta(seconds=options.hard or 0.0)
        self._newest = history_of(snapshot).newest if self._soft is not None else None
        self._snapshot = snapshot

    @property
    def sign(self) -> datetime | None:
        """The last sign of life of the newest run, while it runs: an event, a ping of its log, or one of its tasks."""
        if self._newest is None or self._newest[1].state is not RunState.RUNNING:
            return None
        run = self._newest[1]
        return max(each.last_event_at for each in (run, *self._snapshot.attempts.get(run.id, ())))

    def until(self, due: Due) -> datetime:
        sign = self.sign
        if sign is None or self._soft is None or self._newest is None or self._newest[0] < due.opens:
            return due.at
        return max(due.at, min(sign + self._soft, due.at + self._hard))


def _violation(broken: Sequence[Due], since: datetime, plan: Plan, snapshot: JobSnapshot, waits: _Waits) -> Violation:
    first, last = broken[-1], broken[0]
    history = history_of(snapshot)
    run = _run_for(last, history)
    failed = run is not None and failure_of(run, snapshot.attempts.get(run.id, ())) is not None
    evidence: dict[str, Any] = {
        "expected": iso(first.at),
        "timezone": plan.timezone,
        "missed": len(broken),
        "since": iso(since),
        "learned": plan.learned,
    }
    if waits.sign is not None:
        evidence["last_sign_of_life"] = iso(waits.sign)
    if plan.within_s is not None:
        evidence |= {"limit": plan.within_s, "expected_start": iso(first.opens)}
    if run:
        evidence |= {"run_id": run.id, "native_run_id": run.native_run_id, "run_state": run.state.value,
                     "started_at": iso(run.started_at), "external_url": run.external_url}  # fmt: skip
        if not run.state.is_terminal and not failed:
            evidence |= cause_of_delay(snapshot, run)
    if run is None:
        evidence |= follower_evidence(snapshot)
    evidence = with_troubles(evidence, troubles_within(snapshot, last.opens))
    summary = _summary(broken, plan, run, snapshot) + _alive(waits, plan)
    return Violation(
        since=since,
        summary=summary if run else with_follower(summary, snapshot),
        value=float(len(broken)),
        evidence=evidence,
        historical=run is not None and run.historical and run.state.is_terminal,
        yields_to="run_failure" if failed else None,
    )


def _run_for(due: Due, history: History) -> Run | None:
    return history.newest[1] if history.newest and history.newest[0] >= due.opens else None


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


def _alive(waits: _Waits, plan: Plan) -> str:
    sign = waits.sign
    if sign is None:
        return ""
    return f", its last sign of life at {moment_words(sign, plan.timezone)}"


def _more(options: DeadlineConfig) -> str:
    said = ""
    if options.soft is not None and options.hard is not None:
        said += f" Signs of life every {length_words(options.soft)} move that by up to {length_words(options.hard)}."
    if options.fail_after > 1:
        said += f" Alert when {options.fail_after} due times in a row are missed."
    return said


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
