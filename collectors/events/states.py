"""Words for the state of a run, as tools and people write them, in ours."""

import re
from collections.abc import Mapping
from typing import Final

from watchtower.model.run import RunState

_WORDS: Final[Mapping[RunState, str]] = {
    RunState.QUEUED: "queued pending submitted scheduled waiting created requested",
    RunState.RUNNING: "start started starting running run inprogress executing active begin began begun",
    RunState.RETRY_WAIT: "retry retrying retrywait upforretry awaitingretry pendingredrive",
    RunState.SUCCEEDED: "complete completed success succeeded successful finish finished ok passed done",
    RunState.FAILED: "fail failed failure error errored faulted",
    RunState.SKIPPED: "skip skipped",
    RunState.UPSTREAM_FAILED: "upstreamfailed",
    RunState.CANCELLED: "abort aborted cancel cancelled canceled cancelling canceling stopped stopping killed",
    RunState.TIMED_OUT: "timeout timedout",
    RunState.CRASHED: "crash crashed",
    RunState.LOST: "lost",
}
STATES: Final[Mapping[str, RunState]] = {word: state for state, words in _WORDS.items() for word in words.split()}
SHOWN: Final = "start, running, complete, fail, abort, skip, timeout, retry, queued, crash"
_LETTERS: Final = re.compile(r"[^a-z]+")
_EVENT_TYPES: Final[Mapping[RunState, str]] = {
    RunState.RUNNING: "START",
    RunState.SUCCEEDED: "COMPLETE",
    RunState.FAILED: "FAIL",
    RunState.TIMED_OUT: "FAIL",
    RunState.CRASHED: "FAIL",
    RunState.CANCELLED: "ABORT",
}


def state_of(word: str) -> RunState | None:
    """`TIMED_OUT`, `In progress`, `Succeeded` … in any case; None for a word that is not known."""
    return STATES.get(_LETTERS.sub("", word.lower()))


def event_type_of(state: RunState | None) -> str:
    """OpenLineage's word."""
    return _EVENT_TYPES.get(state, "OTHER") if state else "OTHER"
