"""Tries fail and are repeated, again and again: what still ends well costs, and will not for long.

Counted are the tries after the first, of all tasks of a pipeline's newest runs together, or of one task where the rule
names it; also of runs that went well in the end, which no failure tells. It is over when fewer come within the time.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from rules.changes import ChangeOptions
from rules.history import is_history
from rules.options import Seconds
from rules.words import iso, length_words, subject_words
from watchtower.model.listing import listed
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Run


class RetryStormConfig(ChangeOptions):
    more_than: int = Field(default=5, ge=1, le=10_000, description="so many repeated tries are still quiet")
    within: Seconds = Field(default=3_600.0, description="counted over this length of time")


class RetryStorm:
    kind: ClassVar[str] = "retry_storm"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "fewer tries come within the time that is looked at"
    Config: ClassVar[type[RetryStormConfig]] = RetryStormConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """A try whose moment is still to come counts from that moment on."""
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: RetryStormConfig = rule.options
        within = timedelta(seconds=options.within)
        retries = _retries(snapshot)
        counted = [run for run in retries if _at(run) <= now < _at(run) + within]
        moments = (moment for run in retries for moment in (_at(run), _at(run) + within) if moment > now)
        next_at = min(moments, default=None)
        if len(counted) <= options.more_than:
            return Evaluation(next_at=next_at)
        return Evaluation((_violation(counted, options, snapshot),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: RetryStormConfig = rule.options
        within = f"{length_words(options.within)} ({options.within:.0f} s)"
        return f"{subject_words(snapshot)}: no more than {options.more_than} repeated tries within {within}."


def _retries(snapshot: JobSnapshot) -> list[Run]:
    """Oldest first. Of a task its own tries, else those of its tasks, and the run's own."""
    tries = (each for run in snapshot.runs for each in (run, *snapshot.attempts.get(run.id, ())))
    return sorted((run for run in tries if run.attempt > 1), key=lambda run: (_at(run), run.id))


def _at(run: Run) -> datetime:
    return run.started_at or run.first_seen


def _violation(counted: Sequence[Run], options: RetryStormConfig, snapshot: JobSnapshot) -> Violation:
    since = _at(counted[options.more_than])
    by_task = Counter(run.job.task or "the run itself" for run in counted).most_common()
    newest = counted[-1]
    evidence: dict[str, Any] = {
        "retries": len(counted),
        "limit": options.more_than,
        "within_s": options.within,
        "by_task": dict(by_task[:10]),
        "run_id": newest.parent_run_id or newest.id,
        "native_run_id": newest.native_run_id,
        "error": next((run.error.message[:500] for run in reversed(counted) if run.error), None),
        "log_url": newest.external_url,
        "since": iso(since),
    }
    tasks = "" if snapshot.job.ref.task else f": {listed([f'{name} ({count})' for name, count in by_task], 3)}"
    many = f"{len(counted)} repeated tries within {length_words(options.within)}, more than {options.more_than}"
    return Violation(
        since=since,
        summary=f"{snapshot.job.ref.name} had {many}{tasks}",
        value=float(len(counted)),
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=all(is_history(run) for run in counted),
    )
