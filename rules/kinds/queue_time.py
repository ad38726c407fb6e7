"""A run waits too long between being queued and its start: no free worker, a full pool, a scheduler that stands still.

Seen while it still waits. The limit is declared, or learned from how long its last runs waited, by the formula of
`duration`. Runs of which nobody told when they were queued are not judged. It is over when a run that was queued later
started in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, ClassVar

from pydantic import Field

from rules.baseline import Baseline
from rules.changes import ChangeOptions
from rules.history import BASELINE_RUNS, History, history_of
from rules.options import Seconds
from rules.schedules.learned import learning_progress
from rules.streaks import streak
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.instants import from_micros
from watchtower.model.past import PastRun
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import RunState

_QUEUED = RunState.QUEUED.value


class QueueTimeConfig(ChangeOptions):
    """max None: learned."""

    max: Seconds | None = Field(default=None, description="longest a run may wait for its start; default: learned")
    fail_after: int = Field(default=1, ge=1, le=50, description="how many runs in a row must have waited too long")


class QueueTime:
    kind: ClassVar[str] = "queue_time"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "a run that was queued later has started in time"
    Config: ClassVar[type[QueueTimeConfig]] = QueueTimeConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: QueueTimeConfig = rule.options
        waits = _waits(history_of(snapshot))
        limit = _limit(options, waits)
        if isinstance(limit, str):
            return Evaluation(learning=limit)
        crossing = [wait.crosses(limit.seconds) for wait in waits if wait.waited_s is None]
        next_at = min((at for at in crossing if at > now), default=None)
        judged = [wait for wait in waits if wait.waited_s is not None or wait.crosses(limit.seconds) <= now]
        found = streak((wait.waited_s is None or wait.waited_s > limit.seconds for wait in judged), options.fail_after)
        if found is None:
            return Evaluation(next_at=next_at, resolution=_resolution(judged) if snapshot.alerts else {})
        return Evaluation((_violation(judged[found.first], found.length, limit, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: QueueTimeConfig = rule.options
        who = subject_words(snapshot)
        if options.max is not None:
            return f"{who}: a queued run must start within {_both(options.max)}."
        if not isinstance(snapshot, JobSnapshot):
            return f"{who}: a queued run must not wait for its start much longer than usual."
        limit = _limit(options, _waits(history_of(snapshot)))
        if isinstance(limit, str):
            return f"{who}: how long its runs usually wait for their start is being learned ({limit})."
        return f"{who}: a queued run must start within {_both(limit.seconds)} ({limit.usual_words})."


@dataclass(frozen=True, slots=True)
class Wait:
    """Of one run. waited_s: None while it waits still."""

    run: PastRun
    queued_at: datetime
    waited_s: float | None

    def crosses(self, limit_s: float) -> datetime:
        """When it has waited too long, if it has not started by then."""
        return self.queued_at + timedelta(seconds=limit_s)


@dataclass(frozen=True, slots=True)
class Limit:
    seconds: float
    usual: Baseline | None = None

    @property
    def usual_words(self) -> str:
        return f"usually {length_words(self.usual.median)}, from {self.usual.count} runs" if self.usual else ""


def _waits(history: History) -> list[Wait]:
    """Newest first by when they were queued. One that ended without a start was called off."""
    waits: list[Wait] = []
    for run in history.past:
        if run.queued_us is not None and (run.started_us is not None or run.state == _QUEUED):
            waited_s = None if run.started_us is None else max(0, run.started_us - run.queued_us) / 1e6
            waits.append(Wait(run, from_micros(run.queued_us), waited_s))
    return sorted(waits, key=lambda wait: (wait.queued_at, wait.run.id), reverse=True)


def _limit(options: QueueTimeConfig, waits: Sequence[Wait]) -> Limit | str:
    """Without those that are judged, which are the newest."""
    if options.max is not None:
        return Limit(options.max)
    past = (wait.waited_s for wait in waits[options.fail_after :] if wait.waited_s is not None)
    waited = list(islice(past, BASELINE_RUNS))
    usual = Baseline.of(waited)
    if usual is None:
        return learning_progress(len(waited), "runs that told when they were queued") or "too few runs"
    return Limit(usual.usual_limit, usual)


def _violation(wait: Wait, count: int, limit: Limit, snapshot: JobSnapshot) -> Violation:
    history = history_of(snapshot)
    whole = history.whole.get(wait.run.id)
    since = wait.crosses(limit.seconds)
    evidence: dict[str, Any] = {
        "run_id": wait.run.id,
        "native_run_id": whole.native_run_id if whole else None,
        "queued_at": iso(wait.queued_at),
        "started_at": iso(whole.started_at) if whole else None,
        "waited_s": wait.waited_s,
        "limit": limit.seconds,
        "usual_median_s": limit.usual.median if limit.usual else None,
        "usual_runs": limit.usual.count if limit.usual else None,
        "in_a_row": count,
        "external_url": whole.external_url if whole else None,
        "since": iso(since),
    }
    name, than = snapshot.job.ref.name, length_words(limit.seconds)
    usual = f" ({limit.usual_words})" if limit.usual else ""
    if wait.waited_s is None:
        queued = moment_words(wait.queued_at, history.timezone)
        said = f"{name} is queued since {queued} and has not started, longer than {than}{usual}"
    else:
        said = f"{name} waited {length_words(wait.waited_s)} for its start, longer than {than}{usual}"
    return Violation(
        since=since,
        summary=said,
        value=wait.waited_s if wait.waited_s is not None else limit.seconds,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=wait.run.historical,
    )


def _resolution(waits: Sequence[Wait]) -> dict[str, Any]:
    return {"run_id": waits[0].run.id, "waited_s": waits[0].waited_s} if waits else {}


def _both(seconds: float) -> str:
    return f"{length_words(seconds)} ({seconds:.0f} s)"
