"""The history of an execution of Step Functions → what its states did, attempt by attempt.

The history is one flat list; `previousEventId` says what an event follows from, since branches interleave. A state is
entered and exited; between them a task is scheduled, started, and ends, again and again while it is retried. Source:
AWS Step Functions API reference, "HistoryEvent"; seen with moto 5.2, which numbers events as AWS does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from collectors.aws.source import instant
from watchtower.model.run import RunState

MOST_ATTEMPTS: Final = 2_000  # of one execution
# A Task is told of by its own events; Pass, Choice, Succeed and Fail take no time.
_TIMED: Final = frozenset({"Wait", "Map", "Parallel"})
_ENDS: Final[Mapping[str, RunState]] = {
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "TimedOut": RunState.TIMED_OUT,
    "Aborted": RunState.CANCELLED,
}
_WORK: Final = ("Task", "LambdaFunction", "Activity")
_MAP: Final = "MapIteration"


@dataclass(slots=True)
class Tried:
    """One attempt of a state. entered: number of the event that entered it, which tells its entries apart; generation:
    how often the execution had been redriven; caught: its failure was handled, and the execution went on."""

    name: str
    entered: int
    number: int
    generation: int
    map_index: int | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None = None
    state: RunState = RunState.RUNNING
    final: bool | None = None
    error: str = ""
    cause: str = ""
    caught: bool = False
    last: int = 0  # number of the newest event that told of it


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the execution ended before it was redriven."""

    state: RunState
    at: datetime | None
    error: str
    cause: str


@dataclass(frozen=True, slots=True)
class History:
    """tries: in the order in which they began; ends: one for each time that the execution was redriven."""

    tries: list[Tried]
    ends: list[Ended]


@dataclass(slots=True)
class _Frame:
    """A state that is entered (kind, name), or an iteration of a Map (index)."""

    kind: str
    name: str
    number: int
    index: int | None = None
    tries: list[Tried] = field(default_factory=list[Tried])


_Path = tuple[_Frame, ...]


def history_of(events: Iterable[Mapping[str, Any]], *, over: bool) -> History:
    """over: the execution has ended, so what failed last was not tried again."""
    reading = _Reading()
    for event in sorted(events, key=_number):
        reading.take(event)
        if len(reading.tries) > MOST_ATTEMPTS:
            break
    redrives = len(reading.ends)
    tries = [_decided(each, over=over or each.generation < redrives) for each in reading.tries[:MOST_ATTEMPTS]]
    return History(tries, reading.ends)


class _Reading:
    """Event by event: where in the machine each of them leaves the execution."""

    def __init__(self) -> None:
        self.tries: list[Tried] = []
        self.ends: list[Ended] = []
        self._paths: dict[int, _Path] = {}
        self._end: Ended | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        kind, at = str(event.get("type")), instant(event.get("timestamp"))
        if kind == "ExecutionRedriven":
            self.ends.append(self._end or Ended(RunState.FAILED, at, "", ""))
        elif kind.startswith("Execution") and (state := _ENDS.get(kind.removeprefix("Execution"))):
            details = _details(event)
            self._end = Ended(state, at, str(details.get("error") or ""), str(details.get("cause") or ""))
        path = self._paths.get(_whole(event.get("previousEventId")), ())
        self._paths[_number(event)] = self._after(event, kind, at, path)

    def _after(self, event: Mapping[str, Any], kind: str, at: datetime | None, path: _Path) -> _Path:
        if kind.endswith("StateEntered"):
            frame = _Frame(kind.removesuffix("StateEntered"), str(_details(event).get("name")), _number(event))
            if frame.kind in _TIMED:
                self._try(frame, event, path, queued=at, started=at)
            return (*path, frame)
        if kind.endswith("StateExited"):
            return _exited(str(_details(event).get("name")), _number(event), at, path)
        if kind == f"{_MAP}Started":
            details = _details(event)
            frame = _Frame(_MAP, str(details.get("name")), _number(event), index=_whole(details.get("index")))
            return (*_within_map(path), frame)
        if kind.startswith(_MAP):
            return _within_map(path)
        if path and kind.startswith(_WORK):
            self._work(event, kind, at, path)
        elif path and path[-1].tries and kind in ("MapStateFailed", "MapStateAborted", "ParallelStateFailed"):
            _end(path[-1].tries[-1], _ENDS[kind.rpartition("State")[2]], at, event)
        return path

    def _work(self, event: Mapping[str, Any], kind: str, at: datetime | None, path: _Path) -> None:
        tries = path[-1].tries
        if kind.endswith("Scheduled"):
            if tries:
                tries[-1].final = False
            self._try(path[-1], event, path[:-1], queued=at, started=None)
        elif tries and kind.endswith("Started"):
            tries[-1].started_at, tries[-1].last = at, _number(event)
        elif tries and not kind.endswith("SubmitSucceeded"):
            end = next((state for word, state in _ENDS.items() if kind.endswith(word)), None)
            if end is not None:
                _end(tries[-1], end, at, event)

    def _try(
        self,
        frame: _Frame,
        event: Mapping[str, Any],
        within: _Path,
        *,
        queued: datetime | None,
        started: datetime | None,
    ) -> None:
        number, generation = _number(event), len(self.ends)
        index = next((each.index for each in reversed(within) if each.kind == _MAP), None)
        tried = Tried(frame.name, frame.number, len(frame.tries) + 1, generation, index, queued, started, last=number)
        frame.tries.append(tried)
        self.tries.append(tried)


def _exited(name: str, number: int, at: datetime | None, path: _Path) -> _Path:
    """What was not told to have ended otherwise went well; a failure before the exit was caught."""
    depth = next((depth for depth in reversed(range(len(path))) if path[depth].name == name), None)
    if depth is None:
        return path
    if path[depth].tries:
        last = path[depth].tries[-1]
        last.caught, last.last = last.state.is_bad, number
        if not last.state.is_terminal:
            last.state, last.ended_at = RunState.SUCCEEDED, at
    return path[:depth]


def _end(tried: Tried, state: RunState, at: datetime | None, event: Mapping[str, Any]) -> None:
    details = _details(event)
    tried.state, tried.ended_at, tried.last = state, at, _number(event)
    tried.error, tried.cause = str(details.get("error") or ""), str(details.get("cause") or "")


def _decided(tried: Tried, *, over: bool) -> Tried:
    """A failure is final once the execution has ended with it. Until then a retry or a catcher may follow."""
    if tried.final is None and tried.state.is_terminal:
        if not tried.state.is_bad:
            tried.final = True
        elif over:
            tried.final = not tried.caught
    if over and not tried.state.is_terminal:
        tried.state = RunState.CANCELLED  # it was under way when the execution ended
    return tried


def _within_map(path: _Path) -> _Path:
    """The Map that path is inside of."""
    depth = next((depth for depth in reversed(range(len(path))) if path[depth].kind == _MAP), None)
    return path if depth is None else path[:depth]


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of an event; it has one object of details, named after its type."""
    for name, value in event.items():
        if name.endswith("Details") and isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
    return {}


def _number(event: Mapping[str, Any]) -> int:
    return _whole(event.get("id"))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
