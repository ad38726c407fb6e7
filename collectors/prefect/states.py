"""Prefect's states, in our words: one flow run as its lives, one task run as its attempts.

By type, since names are free text; a few names say more (docs.prefect.io, "States"). A flow that is run again after its
end has a further *life*: Prefect keeps its id and forgets its end. A retry by policy is no end: the run goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from collectors.openlineage.instants import utc
from collectors.prefect.wire import State
from watchtower.model.run import RunState

TYPES: Final[Mapping[str, RunState]] = {
    "SCHEDULED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
    "CANCELLING": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
    "CRASHED": RunState.CRASHED,
}
AWAITING_RETRY: Final = "AwaitingRetry"
_NOT_READY: Final = "NotReady"  # a task whose upstream failed stays pending under this name for ever


@dataclass(frozen=True, slots=True)
class Life:
    """From a beginning to an end. state: its last; runs: how often the flow had been started by then, over all its
    lives; tries: how often in this one."""

    number: int
    state: State
    started_at: datetime | None
    ended_at: datetime | None
    runs: int
    tries: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of a task. state: its last."""

    number: int
    state: State
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


def run_state(state: State) -> RunState | None:
    """Of a flow run. While a flow waits for its next try it is under way."""
    if state.type == "SCHEDULED" and state.name == AWAITING_RETRY:
        return RunState.RUNNING
    return _terminal_word(state) or TYPES.get(state.type or "")


def task_state(state: State) -> RunState | None:
    """Of one attempt of a task. One that waits for the next has failed."""
    if state.type == "SCHEDULED" and state.name == AWAITING_RETRY:
        return RunState.FAILED
    if state.type == "PENDING" and state.name == _NOT_READY:
        return RunState.UPSTREAM_FAILED
    return _terminal_word(state) or TYPES.get(state.type or "")


def is_over(state: State) -> bool:
    known = TYPES.get(state.type or "")
    return known is not None and known.is_terminal


def lives(states: Iterable[State]) -> list[Life]:
    """Of a flow run, oldest first. states: of one flow run, in any order; those without a time say nothing."""
    found: list[Life] = []
    started: datetime | None = None
    before: State | None = None
    runs = 0
    for state in in_order(states):
        if before is not None and is_over(before) and not is_over(state):
            found.append(_life(found, before, started, runs))
            started = None
        if state.type == "RUNNING" and not (before is not None and before.type in ("PAUSED", "RUNNING")):
            runs += 1
            started = started or utc(state.timestamp)
        before = state
    return [*found, _life(found, before, started, runs)] if before is not None else []


def attempts(states: Iterable[State]) -> list[Attempt]:
    """Of a task run, oldest first."""
    found: list[Attempt] = []
    queued: datetime | None = None
    started: datetime | None = None
    last: State | None = None
    for state in in_order(states):
        at = utc(state.timestamp)
        if state.type == "RUNNING" and last is not None and task_ended(last):
            found.append(Attempt(len(found) + 1, last, queued, started, utc(last.timestamp)))
            queued, started = None, None
        if state.type == "RUNNING":
            started = started or at
        elif state.type in ("PENDING", "SCHEDULED") and not task_ended(state):
            queued = queued or at
        last = state
    if last is None:
        return found
    ended = utc(last.timestamp) if task_ended(last) else None
    return [*found, Attempt(len(found) + 1, last, queued, started, ended)]


def task_ended(state: State) -> bool:
    known = task_state(state)
    return known is not None and known.is_terminal


def in_order(states: Iterable[State]) -> Sequence[State]:
    timed = {state.id or f"{state.timestamp}": state for state in states if state.timestamp is not None}
    return sorted(timed.values(), key=lambda state: (utc(state.timestamp) or state.timestamp, state.id or ""))


def _life(before: Sequence[Life], last: State, started: datetime | None, runs: int) -> Life:
    ended = utc(last.timestamp) if is_over(last) else None
    return Life(len(before), last, started, ended, runs, runs - (before[-1].runs if before else 0))


def _terminal_word(state: State) -> RunState | None:
    if state.type == "FAILED" and state.name == "TimedOut":
        return RunState.TIMED_OUT
    if state.type == "COMPLETED" and state.name == "Skipped":
        return RunState.SKIPPED
    return None
