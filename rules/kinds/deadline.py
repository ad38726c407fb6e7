"""A run must have ended well by a time of day, or within a time after its start was due: late finish.

It also catches what never started (apache/airflow#48475). If the run already failed, the deadline becomes evidence of
that failure instead of a second alert (apache/airflow#60927).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from rules.cause import cause_of_delay
from rules.due_times import Due, DueOptions, Plan, met_until, plan_of
from rules.failures import failure_of
from rules.history import History, history_of
from rules.learning import weekday_words
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run

_LOOK_BACK = 30  # missed due times in a row that are counted


class DeadlineConfig(DueOptions):
    """At most one of finish_by, cron and finish_within; none of them: learned."""


class Deadline:
    kind: ClassVar[str] = "deadline"
    subject: ClassVar[str] = "job"
    Config: ClassVar[type[DeadlineConfig]] = DeadlineConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        plan = plan_of(rule.options, snapshot)
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
        plan = plan_of(options, snapshot) if isinstance(snapshot, JobSnapshot) else "10 completed runs needed"
        if isinstance(plan, str):
            return f"{who}: time allowed from the expected start is being learned ({plan})."
        limit_s = plan.within_s or 0.0
        return f"{who}: must succeed within {length_words(limit_s)} ({limit_s:.0f} s, learned) of its expected start."


def _broken(plan: Plan, history: History, began: datetime, now: datetime) -> list[Due]:
    """Due times up to now that nothing has met, newest first; none if the latest is met, since a newer success makes
    good for older misses."""
    broken: list[Due] = []
    done = met_until(plan, history)
    due = plan.latest(now)
    while due and due.at > began and due.opens > done and len(broken) < _LOOK_BACK:
        broken.append(due)
        due = plan.latest(due.at - timedelta(microseconds=1))
    return broken


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
