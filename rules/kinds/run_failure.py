"""A pipeline failed: one alert from the first final task failure, or the run's FAIL, until a newer run succeeds.

Retried attempts are no failures unless asked for; a task that was killed sends nothing and is named from the run's
end. A restart does not resolve it; a success of a newer run or generation does.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.cause import cause_of_failure
from rules.changes import ChangeOptions
from rules.failures import Failure, failure_evidence, standing_failures
from rules.history import history_of, is_history
from rules.troubles import troubles_within, with_troubles
from rules.words import iso, moment_words, subject_words
from watchtower.model.companion import ITSELF, Beside, Companion
from watchtower.model.listing import listed
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run, RunState, Trigger

_MAX_RUNS = 10
_MOST_READ = 1_000


class RunFailureConfig(ChangeOptions):
    """fail_after: how many runs in a row must have failed."""

    fail_after: int = Field(default=1, ge=1, le=100, description="how many runs must stand failed")
    recover_after: int = Field(
        default=1, ge=1, le=100, description="how many runs in a row must succeed before it is over"
    )
    triggers: tuple[Trigger, ...] | None = Field(
        default=None, min_length=1, description="only of runs that were started so: schedule, event, manual, backfill"
    )
    each_attempt: bool = Field(default=False, description="alert on attempts that will be retried, too")

    @model_validator(mode="after")
    def _fits(self) -> "RunFailureConfig":
        if self.recover_after > 1 and self._reach > _MOST_READ:
            raise ValueError(
                f"fail_after ({self.fail_after}) and recover_after ({self.recover_after}) together look at "
                f"{self._reach:,} runs; at most {_MOST_READ:,} are read"
            )
        return self

    @property
    def _reach(self) -> int:
        """Of failures that stand none has had recover_after successes in a row after it."""
        return (self.fail_after + 1) * self.recover_after

    @property
    def further(self) -> Companion:
        return replace(ITSELF, whole=self._reach)

    @property
    def companions(self) -> tuple[Companion, ...]:
        """A success ends all that stands, unless more of them are wanted: only then older runs matter one by one."""
        return (self.further,) if self.recover_after > 1 else ()

    def counts(self, run: Run) -> bool:
        """A run of which nobody told what started it does."""
        return not self.triggers or run.trigger is None or run.trigger in self.triggers


class RunFailure:
    kind: ClassVar[str] = "run_failure"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "a newer run has ended well"
    Config: ClassVar[type[RunFailureConfig]] = RunFailureConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """Time alone never changes the answer: next_at is None."""
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: RunFailureConfig = rule.options
        snapshot = _with(snapshot, snapshot.beside.get(options.further))
        failures = standing_failures(snapshot, each_attempt=options.each_attempt, recover_after=options.recover_after)
        failures = [each for each in failures if options.counts(each.run)]
        if len(failures) < options.fail_after:
            return Evaluation(resolution=_resolution(snapshot))
        return Evaluation(violations=(_violation(failures, options, snapshot),))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: RunFailureConfig = rule.options
        what = "an attempt of a task fails" if options.each_attempt else "a run fails (after its tasks' retries)"
        if options.fail_after > 1:
            what = f"{options.fail_after} runs in a row fail"
        if options.triggers:
            what += f" that was started by {listed([each.value for each in options.triggers], 4)}"
        until = "a newer run succeeds" if options.recover_after == 1 else f"{options.recover_after} in a row succeed"
        return f"{subject_words(snapshot)}: alert when {what}, until {until}."


def _with(snapshot: JobSnapshot, further: Beside | None) -> JobSnapshot:
    """With the runs that only this rule reads whole, newest first."""
    if further is None:
        return snapshot
    whole = {run.id: run for run in (*snapshot.runs, *further.runs)}
    past = max(further.past, snapshot.past, key=len)
    order = {run.id: place for place, run in enumerate(past)}
    runs = sorted(whole.values(), key=lambda run: order.get(run.id, len(order)))
    return replace(snapshot, past=past, runs=tuple(runs), attempts={**further.attempts, **snapshot.attempts})


def _violation(failures: Sequence[Failure], options: RunFailureConfig, snapshot: JobSnapshot) -> Violation:
    newest = _worth_telling(failures)
    evidence = failure_evidence(newest)
    evidence["failed_runs"] = [failure.run.native_run_id or failure.run.id for failure in failures[-_MAX_RUNS:]]
    evidence["since"] = iso(failures[0].at)
    evidence |= cause_of_failure(snapshot, newest)
    began = newest.run.started_at or newest.at
    evidence = with_troubles(evidence, troubles_within(snapshot, min(began, newest.at), newest.at))
    return Violation(
        since=failures[options.fail_after - 1].at,
        began=failures[0].at,
        summary=_summary(newest, len(failures), snapshot),
        value=float(len(failures)),
        evidence=evidence,
        historical=all(is_history(failure.run) for failure in failures),
    )


def _worth_telling(failures: Sequence[Failure]) -> Failure:
    """The newest failure that is not history."""
    live = [failure for failure in failures if not is_history(failure.run)]
    return (live or failures)[-1]


def _summary(failure: Failure, count: int, snapshot: JobSnapshot) -> str:
    name, run = snapshot.job.ref.name, failure.run
    error = (failure.attempts[0].error if failure.attempts else None) or run.error
    what = [f"{name} {_word(failure)}"]
    tasks = [f"{_task_name(attempt)} ({_attempt_words(attempt)})" for attempt in failure.attempts if attempt.job.task]
    if tasks and not snapshot.job.ref.task:
        what.append(f"at task {listed(tasks, 3)}" if len(tasks) == 1 else f"at tasks {listed(tasks, 3)}")
    elif tasks:
        what.append(f"({_attempt_words(failure.attempts[0])})")
    if failure.killed:
        what.append(f"with {listed(failure.killed, 3)} ended without a report (killed?)")
    sentence = " ".join(what)
    if error and error.message.strip():
        first_line = error.message.strip().splitlines()[0][:200]
        sentence += f": {error.type + ': ' if error.type and error.type not in first_line else ''}{first_line}"
    if count > 1:
        sentence += f" [{count} runs stand failed]"
    return sentence


def _word(failure: Failure) -> str:
    words = {RunState.TIMED_OUT: "timed out", RunState.CRASHED: "crashed", RunState.LOST: "was lost"}
    when = moment_words(failure.run.nominal_start) if failure.run.nominal_start else ""
    word = words.get(failure.run.state, "failed")
    return f"{word} (run for {when})" if when else word


def _task_name(attempt: Run) -> str:
    index = "" if attempt.map_index is None or attempt.map_index < 0 else f"[{attempt.map_index}]"
    return f"{attempt.job.task}{index}"


def _attempt_words(attempt: Run) -> str:
    of = f" of {attempt.max_attempts}" if attempt.max_attempts else ""
    return f"attempt {attempt.attempt}{of}"


def _resolution(snapshot: JobSnapshot) -> dict[str, Any]:
    """The success that ended last, which cleared what stood. Only an open alert has use for it."""
    if not snapshot.alerts:
        return {}
    history = history_of(snapshot)
    last = max(history.succeeded, key=lambda each: each.ended_us or 0, default=None)
    if last is None or last.ended_us is None:
        return {}
    run = history.whole[last.id]
    return {"run_id": run.id, "native_run_id": run.native_run_id, "ended_at": iso(run.ended_at)}
