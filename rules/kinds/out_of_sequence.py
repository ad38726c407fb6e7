"""A run began before the one that it must follow had ended well: an order that no orchestrator keeps.

Across tools, or between a crontab and an orchestrator, order rests on clock times. Each run of the subject needs a
success of the other since its own run before. What is told of the other may be on its way, so nothing is said before
`settle` has passed. It is over when a later run kept the order, or the other's success was heard of after all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, model_validator

from rules.history import History, history_of
from rules.options import Options, SecondsOrZero
from rules.others import Other, look_again
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.companion import Beside, Companion
from watchtower.model.instants import from_micros
from watchtower.model.past import PastRun
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation


class OutOfSequenceConfig(Options):
    after: Other = Field(description="what must have succeeded before: a pipeline, or {pipeline: …, task: …}")
    settle: SecondsOrZero = Field(default=120.0, description="how long what is told of it may be on its way")

    @model_validator(mode="after")
    def _is_job(self) -> "OutOfSequenceConfig":
        if self.after.dataset is not None:
            raise ValueError("after names a dataset, which does not end; name the pipeline that writes it")
        return self

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (self.after.companion,)


class OutOfSequence:
    kind: ClassVar[str] = "out_of_sequence"
    subject: ClassVar[str] = "job"
    Config: ClassVar[type[OutOfSequenceConfig]] = OutOfSequenceConfig
    clears: ClassVar[str] = "a later run has kept the order, or the other's success is heard of after all"

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: OutOfSequenceConfig = rule.options
        other = snapshot.beside.get(options.after.companion, Beside())
        if other.problem:
            return Evaluation(unknown=other.problem)
        settle = timedelta(seconds=options.settle)
        starts = _starts(history_of(snapshot))
        settled = [each for each in starts if each.at + settle <= now]
        next_at = min((each.at + settle for each in starts if each.at + settle > now), default=None)
        if not settled or settled[0].is_kept(other.past):
            return Evaluation(next_at=next_at, resolution={"run_id": settled[0].run.id} if settled else {})
        newest = settled[0]
        again = look_again(newest.at + settle, now)
        moments = [moment for moment in (next_at, again) if moment is not None]
        return Evaluation((_violation(newest, options, other, snapshot),), min(moments, default=None))

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: OutOfSequenceConfig = rule.options
        settle = length_words(options.settle)
        return (
            f"{subject_words(snapshot)}: each run must begin after {options.after.companion} succeeded once more "
            f"(looked at {settle} after the start)."
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Of a run. before: when the run before it began."""

    run: PastRun
    at: datetime
    before: datetime | None

    def is_kept(self, past: Sequence[PastRun]) -> bool:
        ends = (run.ended_at for run in past if run.has_succeeded and run.ended_at is not None)
        return any(end <= self.at and (self.before is None or end > self.before) for end in ends)


def _starts(history: History) -> list[Start]:
    """Newest first, without backfills."""
    began = sorted(
        ((from_micros(run.started_us), run) for run in history.past if run.started_us is not None),
        key=lambda pair: (pair[0], pair[1].id),
        reverse=True,
    )
    before: list[datetime | None] = [at for at, _ in began[1:]]
    return [Start(run, at, earlier) for (at, run), earlier in zip(began, [*before, None], strict=False)]


def _violation(start: Start, options: OutOfSequenceConfig, other: Beside, snapshot: JobSnapshot) -> Violation:
    history, name = history_of(snapshot), str(options.after.companion)
    zone = history.timezone
    whole = history.whole.get(start.run.id)
    last = max((run.ended_at for run in other.past if run.has_succeeded and run.ended_at), default=None)
    began = (run for run in other.past if run.started_us is not None and from_micros(run.started_us) <= start.at)
    newest = max(began, key=lambda run: (run.started_us or 0, run.id), default=None)
    said = f"{snapshot.job.ref.name} began at {moment_words(start.at, zone)}, and {name} had not succeeded before it"
    if last is not None and last > start.at:
        said += f": that came only at {moment_words(last, zone)}"
    elif last is not None:
        said += f" since the run before; it last did at {moment_words(last, zone)}"
    evidence: dict[str, Any] = {
        "run_id": start.run.id,
        "native_run_id": whole.native_run_id if whole else None,
        "started_at": iso(start.at),
        "after": name,
        "after_state": newest.state if newest else None,
        "after_run_id": newest.id if newest else None,
        "after_last_success": iso(last),
        "since": iso(start.at),
    }
    return Violation(
        since=start.at,
        summary=said,
        evidence={name: value for name, value in evidence.items() if value is not None},
        historical=start.run.historical,
    )
