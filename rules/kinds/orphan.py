"""A run began and its end never came: killed without a word, or its last event lost.

Limit: declared, or max(4 × p99 of its past, 6 h), or 24 h while nothing is learned. One alert per pipeline however
many runs hang; a late end resolves it, and after `forget_after` it is given up, since an end that was lost may never
be heard. A task attempt that is still open although its run has ended is an orphan, too, unless the run's end named
its state, or the task was tried again; if that run failed, its run_failure tells it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.baseline import Baseline
from rules.cause import cause_of_delay
from rules.history import History, history_of, is_history
from rules.options import Options, Seconds
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.listing import listed
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run, RunState

DEFAULT_S = 86_400.0
LEARNED_FLOOR_S = 21_600.0
LEARNED_FACTOR = 4.0
_MAX_SHOWN = 10


class OrphanConfig(Options):
    """limit None: learned."""

    limit: Seconds | None = Field(default=None, description="default: max(4 × p99, 6h), or 24h while learning")
    task_grace: Seconds = Field(default=600.0, description="how long a task may stay open after its run ended")
    forget_after: Seconds = Field(default=604_800.0, description="give up waiting this long after the start")

    @model_validator(mode="after")
    def _ordered(self) -> "OrphanConfig":
        if self.limit is not None and self.limit >= self.forget_after:
            raise ValueError(f"limit ({self.limit:g} s) must be less than forget_after ({self.forget_after:g} s)")
        return self


class Orphan:
    kind: ClassVar[str] = "orphan"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "the end of that run is heard"
    Config: ClassVar[type[OrphanConfig]] = OrphanConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: OrphanConfig = rule.options
        waits = _waits(options, snapshot)
        hanging = sorted((wait for wait in waits if wait.at <= now < wait.until), key=lambda wait: wait.at)
        moments = (moment for wait in waits for moment in (wait.at, wait.until) if moment > now)
        next_at = min(moments, default=None)
        if not hanging:
            return Evaluation(next_at=next_at)
        return Evaluation(violations=(_violation(hanging, snapshot),), next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: OrphanConfig = rule.options
        if isinstance(snapshot, JobSnapshot):
            limit = _limit_s(options, history_of(snapshot))
            what = f"within {length_words(limit)} ({limit:.0f} s)"
        elif options.limit:
            what = f"within {length_words(options.limit)} ({options.limit:.0f} s)"
        else:
            what = "within the larger of 6h and 4 × p99 of its past (24h while learning)"
        return f"{subject_words(snapshot)}: the end of a started run must be heard {what}."


@dataclass(frozen=True, slots=True)
class Wait:
    """An open run. at: when it becomes an orphan; until: when it is given up. parent: the ended run of an attempt."""

    run: Run
    at: datetime
    until: datetime
    parent: Run | None = None


def _waits(options: OrphanConfig, snapshot: JobSnapshot) -> list[Wait]:
    open_runs = [run for run in history_of(snapshot).unsuccessful if _is_open(run)]
    waits = [*_open_tasks(options, snapshot)]
    if open_runs:
        limit = timedelta(seconds=_limit_s(options, history_of(snapshot)))
        forget = timedelta(seconds=options.forget_after)
        for run in open_runs:
            began = run.started_at or run.first_seen
            waits.append(Wait(run, began + limit, began + max(forget, limit * 2)))
    return waits


def _open_tasks(options: OrphanConfig, snapshot: JobSnapshot) -> list[Wait]:
    if not snapshot.attempts:
        return []
    waits: list[Wait] = []
    grace = timedelta(seconds=options.task_grace)
    forget = max(timedelta(seconds=options.forget_after), grace * 2)
    for run in snapshot.runs:
        attempts = snapshot.attempts.get(run.id)
        if attempts and run.ended_at is not None and run.state.is_terminal:
            last = _last_attempts(attempts)
            for attempt in attempts:
                named = run.task_states.get(attempt.job.task or "")
                tried_again = last[_instance(attempt)] > attempt.attempt
                if _is_open(attempt) and not tried_again and not (named and named.is_terminal):
                    waits.append(Wait(attempt, run.ended_at + grace, run.ended_at + forget, run))
    return waits


def _last_attempts(attempts: Sequence[Run]) -> dict[tuple[str | None, int | None], int]:
    """By instance of a task: an earlier one was given up by its orchestrator, which began another."""
    last: dict[tuple[str | None, int | None], int] = {}
    for each in attempts:
        last[_instance(each)] = max(each.attempt, last.get(_instance(each), 0))
    return last


def _instance(attempt: Run) -> tuple[str | None, int | None]:
    return attempt.job.task, attempt.map_index


def _is_open(run: Run) -> bool:
    """Began and not ended. What is only queued has not begun: missing_run watches it."""
    return run.state is RunState.RUNNING or (run.state is not RunState.QUEUED and not run.state.is_terminal)


def _limit_s(options: OrphanConfig, history: History) -> float:
    if options.limit is not None:
        return options.limit
    usual = Baseline.of(duration for _, duration in history.completed)
    return max(usual.quantile(0.99) * LEARNED_FACTOR, LEARNED_FLOOR_S) if usual else DEFAULT_S


def _violation(hanging: Sequence[Wait], snapshot: JobSnapshot) -> Violation:
    first = hanging[0]
    evidence: dict[str, Any] = {
        "run_id": first.run.id,
        "native_run_id": first.run.native_run_id,
        "started_at": iso(first.run.started_at),
        "last_event_at": iso(first.run.last_event_at),
        "external_url": first.run.external_url,
        "since": iso(first.at),
        "open": [_shown(wait) for wait in hanging[:_MAX_SHOWN]],
        "count": len(hanging),
    }
    if first.parent is None:
        evidence |= cause_of_delay(snapshot, first.run)
    failed = all(wait.parent is not None and wait.parent.state.is_bad for wait in hanging)
    return Violation(
        since=first.at,
        summary=_summary(hanging, snapshot),
        value=float(len(hanging)),
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=all(is_history(wait.parent or wait.run) for wait in hanging),
        yields_to="run_failure" if failed else None,
    )


def _shown(wait: Wait) -> dict[str, Any]:
    shown = {
        "run_id": wait.run.id,
        "task": wait.run.job.task,
        "started_at": iso(wait.run.started_at),
        "run_ended_at": iso(wait.parent.ended_at) if wait.parent else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _summary(hanging: Sequence[Wait], snapshot: JobSnapshot) -> str:
    name, first = snapshot.job.ref.name, hanging[0]
    zone = history_of(snapshot).timezone
    if first.parent is not None and first.parent.ended_at is not None:
        tasks = listed(sorted({wait.run.job.task or "?" for wait in hanging if wait.parent}), 3)
        return f"{name} ended at {moment_words(first.parent.ended_at, zone)} and no end was heard of task {tasks}"
    began = moment_words(first.run.started_at or first.run.first_seen, zone)
    others = f" ({len(hanging)} runs without an end)" if len(hanging) > 1 else ""
    return f"{name} started at {began} and its end was never heard{others}"
