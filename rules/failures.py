"""Which runs of a job stand failed, and why: the reading that run_failure and deadline share.

A failure *stands* until a newer run, or a newer generation of the same run, has completed successfully after it; a
restart alone clears nothing. Terms and states: docs/openlineage.md; Airflow's ways to fail (a killed task sends no
event, only the run's end names it): the run's `task_states`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rules.history import History, history_of, position
from rules.streaks import streak
from rules.words import iso
from watchtower.model.instants import to_micros
from watchtower.model.origin import origin_words
from watchtower.model.past import PastRun
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run, RunState

_MAX_TASKS = 10
_MAX_ORIGINS = 3  # the newest of what set a run off
_STACK_LINES = 20
_STACK_CHARS = 2_000
_MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run. at: when the first of it was seen to be final; attempts: the failed ones that decided it."""

    run: Run
    at: datetime
    attempts: tuple[Run, ...] = ()
    killed: tuple[str, ...] = ()
    upstream_failed: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()


def standing_failures(snapshot: JobSnapshot, *, each_attempt: bool = False, recover_after: int = 1) -> list[Failure]:
    """Failures that no later success has cleared, oldest first; or not as many successes in a row as are asked for."""
    read = (
        failure_of(run, snapshot.attempts.get(run.id, ()), each_attempt=each_attempt)
        for run in history_of(snapshot).unsuccessful
    )
    failures = [failure for failure in read if failure]
    if not failures:
        return []
    history = history_of(snapshot)
    standing = [failure for failure in failures if not _is_cleared(failure, failures, history, recover_after)]
    return sorted(standing, key=lambda failure: failure.at)


def _is_cleared(failure: Failure, failures: Sequence[Failure], history: History, recover_after: int) -> bool:
    clearing = (run for run in history.succeeded if _clears(run, history.whole.get(run.id), failure))
    if recover_after == 1:
        return any(True for _ in clearing)
    good = [(run.ended_us or 0, False) for run in clearing]
    bad = [(to_micros(each.at), True) for each in failures if each.at >= failure.at]
    return streak([is_bad for _, is_bad in sorted([*good, *bad], reverse=True)], 1, recover_after) is None


def failure_of(run: Run, attempts: Sequence[Run], *, each_attempt: bool = False) -> Failure | None:
    """None while run may still end well. run: a pipeline's run with its task attempts, or an attempt of a task."""
    if run.state in (RunState.SUCCEEDED, RunState.SKIPPED, RunState.CANCELLED, RunState.UPSTREAM_FAILED):
        return None
    if run.job.task and not run.state.is_terminal:
        return None
    if run.job.task and run.state.is_bad:
        is_over = each_attempt or is_final(run) is not False
        return Failure(run, run.ended_at or run.last_event_at, (run,)) if is_over else None
    bad = _deciding(attempts, each_attempt or run.state.is_terminal)
    if run.state.is_bad:
        at = min([run.ended_at or run.last_event_at, *(_ended(attempt) for attempt in bad)])
        return Failure(run, at, bad, *_unreported(run, attempts, bad))
    return Failure(run, min(_ended(attempt) for attempt in bad), bad) if bad else None


def is_final(attempt: Run) -> bool | None:
    """Whether no further attempt follows; None if nobody said."""
    if attempt.final is not None:
        return attempt.final
    return attempt.attempt >= attempt.max_attempts if attempt.max_attempts else None


def _clears(success: PastRun, whole: Run | None, failure: Failure) -> bool:
    """whole: success as a whole run, if it is known so; what began before the failure did never need be."""
    failed = failure.run
    if success.ended_us is None or success.ended_us <= to_micros(failure.at):
        return False
    if whole and failed.native_run_id and whole.native_run_id == failed.native_run_id:
        if whole.map_index != failed.map_index:
            return False
        return (whole.generation, whole.attempt) >= (failed.generation, failed.attempt)
    return success.position >= position(failed)


def _deciding(attempts: Sequence[Run], any_attempt: bool) -> tuple[Run, ...]:
    """The last failed attempt of every task that has one that counts and no success after it, in order of time."""
    last: dict[tuple[str | None, int | None], Run] = {}
    for attempt in sorted(attempts, key=lambda each: (each.generation, each.attempt, each.first_seen)):
        name = (attempt.job.task, attempt.map_index)
        if attempt.state is RunState.SUCCEEDED:
            last.pop(name, None)
        elif _failed_itself(attempt) and (any_attempt or is_final(attempt) is True):
            last[name] = attempt
    return tuple(sorted(last.values(), key=_ended))


def _failed_itself(attempt: Run) -> bool:
    return attempt.state.is_bad and attempt.state is not RunState.UPSTREAM_FAILED


def _unreported(
    run: Run, attempts: Sequence[Run], bad: Sequence[Run]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Of the states that the run's end named: failed tasks that never reported it (killed), upstream_failed ones,
    and those that were never begun."""
    told = {attempt.job.task for attempt in bad}
    begun = {attempt.job.task for attempt in attempts}
    killed = [task for task, state in run.task_states.items() if state.is_bad and task not in told]
    upstream = [task for task, state in run.task_states.items() if state is RunState.UPSTREAM_FAILED]
    not_run = [task for task, state in run.task_states.items() if not state.is_terminal and task not in begun]
    return tuple(sorted(set(killed) - set(upstream))), tuple(sorted(upstream)), tuple(sorted(not_run))


def _ended(attempt: Run) -> datetime:
    return attempt.ended_at or attempt.last_event_at


def failure_evidence(failure: Failure) -> dict[str, Any]:
    """What a person needs first: JSON values, bounded in size. The top-level error fields are the first task's."""
    run, first = failure.run, failure.attempts[0] if failure.attempts else failure.run
    tasks = [_attempt_evidence(attempt) for attempt in failure.attempts[:_MAX_TASKS] if attempt.job.task]
    error = first.error or run.error
    return _said(
        run_id=run.id,
        native_run_id=run.native_run_id,
        run_state=run.state.value if run.state.is_terminal else None,
        generation=run.generation,
        trigger=run.trigger.value if run.trigger else None,
        set_off_by=[origin_words(origin) for origin in run.origins[-_MAX_ORIGINS:]],
        actor=run.actor,
        code_version=run.code_version,
        nominal_start=iso(run.nominal_start),
        started_at=iso(run.started_at),
        ended_at=iso(run.ended_at),
        failed_at=iso(failure.at),
        external_url=run.external_url,
        log_url=first.external_url or run.external_url,
        trace_id=run.trace_id,
        attempt=first.attempt if first.job.task else None,
        max_attempts=first.max_attempts if first.job.task else None,
        error=_message(error.message) if error else None,
        error_type=error.type or None if error else None,
        stack=_tail(error.stack) if error else None,
        tasks=tasks,
        more_tasks=max(0, len(failure.attempts) - _MAX_TASKS) or None,
        killed=list(failure.killed[:_MAX_TASKS]),
        upstream_failed=list(failure.upstream_failed[:_MAX_TASKS]),
        not_run=list(failure.not_run[:_MAX_TASKS]),
    )


def _attempt_evidence(attempt: Run) -> dict[str, Any]:
    error = attempt.error
    return _said(
        task=attempt.job.task,
        run_id=attempt.id,
        map_index=attempt.map_index,
        attempt=attempt.attempt,
        max_attempts=attempt.max_attempts,
        state=attempt.state.value,
        ended_at=iso(attempt.ended_at),
        error=_message(error.message) if error else None,
        error_type=error.type or None if error else None,
        stack=_tail(error.stack) if error else None,
        log_url=attempt.external_url,
    )


def _said(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None and value != []}


def _message(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 1] + "…"


def _tail(stack: str) -> str | None:
    """The last lines, where the cause stands."""
    lines = stack.rstrip().splitlines()[-_STACK_LINES:]
    return "\n".join(lines)[-_STACK_CHARS:] or None
