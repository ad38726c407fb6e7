"""What was told of a run and what its orchestrator answers when it is asked are not the same.

Three ways count: one says that it went well and the other that it did not; the orchestrator has it as failed and no
event ever told its end, as when a task is killed; or an event told that it ended well, and the orchestrator, asked
again since, still has it under way. The last two only after `grace`. What a person set by hand is none of them. A
success whose event was lost is one only if that is wanted: the answer filled the gap, and after each absence of
Watchtower there are many. While the run stands failed, it is evidence of that alert and no alert of its own. It ends
when a newer run agrees, or is forgotten after `forget_after`.

The orchestrator can also be at odds with itself: it has a run as succeeded, and has measured that nothing was computed.
Some runs are meant to end so, hence only what always computed before counts, unless the rule says otherwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, takewhile
from typing import Any, ClassVar, Literal

from pydantic import Field

from rules.computed import computed, measured
from rules.history import position
from rules.options import Options, Seconds
from rules.words import iso, length_words, subject_words
from watchtower.model.rule import Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.run import Authority, Run, RunState, Word

COMPUTED_BEFORE = 3  # successes, all of them, before one that did not is odd
_MAX_SHOWN = 10
_LOOK_AGAIN = timedelta(minutes=5)  # whether the orchestrator was asked meanwhile


class DisagreementConfig(Options):
    grace: Seconds = Field(default=300.0, description="how long the event, or the answer, may be on its way")
    untold_successes: bool = Field(default=False, description="a success whose end no event told counts, too")
    idle_successes: Literal["unusual", "always", "never"] = Field(
        default="unusual", description="successes that computed nothing: where those before computed, all, or none"
    )
    forget_after: Seconds = Field(default=86_400.0, description="after the end of the run")


@dataclass(frozen=True, slots=True)
class Dispute:
    """Of one run or try. since: when it is seen to be one; until: when it is forgotten."""

    run: Run
    told: Word
    answered: Word
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Idle:
    """A run that succeeded and computed nothing. Moments as of a dispute. before: how many runs before it computed."""

    run: Run
    before: int
    since: datetime
    until: datetime


class Disagreement:
    kind: ClassVar[str] = "disagreement"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "a newer run of it agrees, or both say the same"
    Config: ClassVar[type[DisagreementConfig]] = DisagreementConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, JobSnapshot):
            return Evaluation()
        found = list(_disputes(snapshot, rule.options, now))
        idle = list(_idle(snapshot, rule.options))
        moments = (moment for each in (*found, *idle) for moment in (each.since, each.until) if moment > now)
        next_at = min(moments, default=None)
        if standing := [each for each in found if each.since <= now < each.until]:
            return Evaluation((_violation(standing),), next_at=next_at)
        if standing := [each for each in idle if each.since <= now < each.until]:
            return Evaluation((_idle_violation(standing),), next_at=next_at)
        return Evaluation(next_at=next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: DisagreementConfig = rule.options
        return (
            f"{subject_words(snapshot)}: what is told of a run and what its orchestrator answers must agree, "
            f"at the latest {length_words(options.grace)} after it ended."
        )


def _disputes(snapshot: JobSnapshot, options: DisagreementConfig, now: datetime) -> Iterator[Dispute]:
    """From the newest run back to the first that ended well and of which all say the same."""
    if not any(run.words for run in chain(snapshot.runs, *snapshot.attempts.values())):  # nearly always
        return
    for run in sorted(snapshot.runs, key=position, reverse=True):
        both = (run, *_tries(snapshot, run))
        mine = [found for each in both if (found := _dispute(each, options, snapshot.asked_until, now))]
        yield from mine
        if not mine and run.state is RunState.SUCCEEDED:
            return


def _tries(snapshot: JobSnapshot, run: Run) -> Iterator[Run]:
    """Of a run that went well only what is open: a try that failed before it is told by nobody else."""
    for each in snapshot.attempts.get(run.id, ()):
        if run.state is not RunState.SUCCEEDED or not each.state.is_terminal:
            yield each


def _dispute(run: Run, options: DisagreementConfig, asked_until: datetime | None, now: datetime) -> Dispute | None:
    words = {word.authority: word for word in run.words}
    told, answered = words.get(Authority.STREAM), words.get(Authority.API)
    if run.historical or told is None or answered is None or Authority.OPERATOR in words:
        return None
    ended = run.ended_at or max(told.at, answered.at)
    settled, until = ended + timedelta(seconds=options.grace), ended + timedelta(seconds=options.forget_after)
    if told.state.is_terminal and answered.state.is_terminal:
        opposed = told.state.is_bad is not answered.state.is_bad
        return Dispute(run, told, answered, max(told.at, answered.at), until) if opposed else None
    if told.state.is_terminal and not told.state.is_bad and asked_until is not None:  # a failure is told anyway
        asked_since = asked_until >= settled
        return Dispute(run, told, answered, settled if asked_since else max(settled, now + _LOOK_AGAIN), until)
    if not told.state.is_terminal and _is_untold(answered.state, options):
        return Dispute(run, told, answered, settled, until)
    return None


def _is_untold(answered: RunState, options: DisagreementConfig) -> bool:
    """Whether the end should have been told: what waited for another task in vain tells nothing."""
    if answered is RunState.SUCCEEDED:
        return options.untold_successes
    return answered.is_bad and answered is not RunState.UPSTREAM_FAILED


def _idle(snapshot: JobSnapshot, options: DisagreementConfig) -> Iterator[Idle]:
    """The newest successes, as far as each computed nothing. Where it is unusual, some before must have computed, and
    none of them nothing."""
    if options.idle_successes == "never":
        return
    good = [run for run in snapshot.runs if run.state is RunState.SUCCEEDED and not run.historical and run.ended_at]
    told = [(run, did) for run in sorted(good, key=position, reverse=True) if (did := computed(run)) is not None]
    idle = list(takewhile(lambda each: not each[1], told))
    before = [did for _, did in told[len(idle) :]]
    if options.idle_successes == "unusual" and (len(before) < COMPUTED_BEFORE or not all(before)):
        return
    for run, _ in idle:
        ended = run.ended_at or run.last_event_at
        settled, until = ended + timedelta(seconds=options.grace), ended + timedelta(seconds=options.forget_after)
        yield Idle(run, len(before), settled, until)


def _idle_violation(standing: Sequence[Idle]) -> Violation:
    first = min(standing, key=lambda each: each.since)
    name = first.run.job.name
    figures = ", ".join(f"{what} {value:g}" for what, value in measured(first.run).items())
    usual = f"; each of the {first.before} before computed" if first.before >= COMPUTED_BEFORE else ""
    more = f" (and {len(standing) - 1} more)" if len(standing) > 1 else ""
    return Violation(
        since=first.since,
        summary=f"{name}: succeeded, says its orchestrator, and computed nothing ({figures}){usual}{more}",
        evidence={"computed_nothing": [_idle_evidence(each.run) for each in standing[:_MAX_SHOWN]]},
        yields_to="run_failure",
    )


def _idle_evidence(run: Run) -> dict[str, Any]:
    """Both sides."""
    return {
        "run_id": run.id,
        "native_run_id": run.native_run_id,
        "state": run.state.value,
        "ended_at": iso(run.ended_at) if run.ended_at else None,
        "measured": dict(measured(run)),
        "external_url": run.external_url,
    }


def _violation(standing: Sequence[Dispute]) -> Violation:
    first = min(standing, key=lambda each: each.since)
    name = first.run.job.name
    if first.told.state.is_terminal:
        said = f"the event said {first.told.state.value}, the orchestrator answers {first.answered.state.value}"
    else:
        said = f"the orchestrator has it as {first.answered.state.value}, and no event told its end"
    more = f" (and {len(standing) - 1} more)" if len(standing) > 1 else ""
    return Violation(
        since=first.since,
        summary=f"{name}: {said}{more}",
        evidence={"disagreements": [_evidence(each) for each in standing[:_MAX_SHOWN]]},
        yields_to="run_failure",
    )


def _evidence(dispute: Dispute) -> dict[str, Any]:
    """Both sides."""
    run = dispute.run
    return {
        "run_id": run.id,
        "native_run_id": run.native_run_id,
        "task": run.job.task,
        "attempt": run.attempt,
        "event": {"state": dispute.told.state.value, "at": iso(dispute.told.at)},
        "api": {"state": dispute.answered.state.value, "at": iso(dispute.answered.at)},
        "external_url": run.external_url,
    }
