"""After one thing another one must follow within a time, and did not: the absence of an event.

Grammar of Prefect's proactive triggers: `after`, `expect`, `for_each`, `threshold`, `within`. Each thing that `after`
names of the subject begins a wait; it is met by `threshold` expected ones after it. The alert begins at the end of the
wait, and is over when a later wait is met, or when what was missing came after all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.history import history_of
from rules.options import Options, Seconds
from rules.others import Other, look_again
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.companion import Beside, Companion
from watchtower.model.instants import from_micros
from watchtower.model.past import PastRun
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import RunState

Event = Literal["started", "succeeded", "failed", "ended"]
_LOOKED_AT = 20  # waits, the newest ones
_OPEN = frozenset(state.value for state in RunState if not state.is_terminal)
_BAD = frozenset(state.value for state in RunState if state.is_bad)


class Expected(Other):
    event: Literal["started", "succeeded", "failed", "ended", "updated"] | None = Field(
        default=None, description="what must happen to it; default: succeeded, of a dataset updated"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Expected":
        if self.event is not None and (self.event == "updated") != (self.dataset is not None):
            raise ValueError("updated is said of a dataset; of a pipeline: started, succeeded, failed, ended")
        return self

    @property
    def happens(self) -> str:
        return self.event or ("updated" if self.dataset is not None else "succeeded")


class AbsenceConfig(Options):
    after: Event = Field(default="succeeded", description="what of the subject begins the wait")
    expect: Expected = Field(description="what must follow: a pipeline, or {dataset: …}, {pipeline: …, event: …}")
    for_each: Literal["event", "date"] = Field(
        default="event", description="date: only what is meant for the same date (UTC), or written to its partition"
    )
    threshold: int = Field(default=1, ge=1, le=100, description="how many of them must come")
    within: Seconds = Field(description="how long that may take")

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (self.expect.companion,)


class Absence:
    kind: ClassVar[str] = "absence"
    subject: ClassVar[str] = "job"
    Config: ClassVar[type[AbsenceConfig]] = AbsenceConfig
    clears: ClassVar[str] = "a later wait is met, or what was missing comes after all"

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        options: AbsenceConfig = rule.options
        other = snapshot.beside.get(options.expect.companion, Beside())
        waits = _waits(options, snapshot)
        if other.problem and "never heard of" not in other.problem:
            return Evaluation(unknown=other.problem)
        moments = [*(wait.until for wait in waits), *_all_expected(options, other)]
        next_at = min((moment for moment in moments if moment > now), default=None)
        for wait in waits:
            came = _came(options, other, wait, now)
            if len(came) >= options.threshold:
                return Evaluation(next_at=next_at, resolution={"came_at": iso(came[options.threshold - 1])})
            if wait.until <= now:
                moments = [at for at in (next_at, look_again(wait.until, now)) if at is not None]
                return Evaluation((_violation(wait, came, options, snapshot),), min(moments, default=None))
        return Evaluation(next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: AbsenceConfig = rule.options
        within = f"{length_words(options.within)} ({options.within:.0f} s)"
        times = f" {options.threshold} times" if options.threshold > 1 else ""
        date = " for the same date" if options.for_each == "date" else ""
        return (
            f"{subject_words(snapshot)}: within {within} after it {options.after}, {options.expect.companion} must "
            f"have {options.expect.happens}{times}{date}."
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """at: when it began; until: when it is over. date: the one that its run was meant for."""

    run: PastRun
    at: datetime
    until: datetime
    date: str


def _waits(options: AbsenceConfig, snapshot: JobSnapshot) -> list[Wait]:
    """Newest first."""
    within = timedelta(seconds=options.within)
    began = [(run, at) for run in history_of(snapshot).past if (at := _happened(options.after, run)) is not None]
    began.sort(key=lambda pair: (pair[1], pair[0].id), reverse=True)
    return [Wait(run, at, at + within, f"{run.position:%Y-%m-%d}") for run, at in began[:_LOOKED_AT]]


def _happened(event: str, run: PastRun) -> datetime | None:
    """When event came about of a run."""
    if event == "started":
        return None if run.started_us is None else from_micros(run.started_us)
    if run.state in _OPEN or (event == "succeeded") > run.has_succeeded or (event == "failed") > (run.state in _BAD):
        return None
    return run.ended_at


def _came(options: AbsenceConfig, other: Beside, wait: Wait, now: datetime) -> list[datetime]:
    """The expected ones since the wait began, oldest first."""
    date = wait.date if options.for_each == "date" else None
    return sorted(at for at in _all_expected(options, other, date) if wait.at < at <= now)


def _all_expected(options: AbsenceConfig, other: Beside, date: str | None = None) -> list[datetime]:
    """date: only those of it."""
    if options.expect.dataset is not None:
        return [each.at for each in other.updates if date is None or date in (each.partition or f"{each.at:%Y-%m-%d}")]
    runs = (run for run in other.past if date is None or f"{run.position:%Y-%m-%d}" == date)
    return [at for run in runs if (at := _happened(options.expect.happens, run)) is not None]


def _violation(wait: Wait, came: Sequence[datetime], options: AbsenceConfig, snapshot: JobSnapshot) -> Violation:
    zone = history_of(snapshot).timezone
    expected, within = str(options.expect.companion), length_words(options.within)
    only = f" only {len(came)} of {options.threshold} times" if options.threshold > 1 else ""
    has = f"has {options.expect.happens}{only}" if only else f"has not {options.expect.happens}"
    name, at = snapshot.job.ref.name, moment_words(wait.at, zone)
    date = f" for {wait.date}" if options.for_each == "date" else ""
    evidence: dict[str, Any] = {
        "run_id": wait.run.id,
        "after": options.after,
        "after_at": iso(wait.at),
        "expected": expected,
        "event": options.expect.happens,
        "came": len(came),
        "threshold": options.threshold,
        "date": wait.date,
        "limit": options.within,
        "since": iso(wait.until),
    }
    return Violation(
        since=wait.until,
        summary=f"{expected} {has}{date} within {within} after {name} {options.after} at {at}",
        value=float(len(came)),
        evidence=evidence,
        historical=wait.run.historical,
    )
