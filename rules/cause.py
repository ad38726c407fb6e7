"""A trace to a cause: the operation of a failed or slow run that differs most from what is usual for it, in a sentence.

What counts is what an operation did to the run: its own time beyond the usual (so a parent that waited for a slow child
is not blamed), and errors that began in it and are not usual. What became slower by the same factor as everything else
is nobody's fault, and where too little is known nothing is said. docs/cause.md has the definitions and the limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any, NamedTuple

from rules.cause_words import affected_words, errors_words, number_words, pair_words, percent, time_words
from rules.failures import Failure
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run
from watchtower.model.trace import Operation, OperationStats, RunTrace, Usual

MIN_RUNS = 3  # good runs with traces, before anything is called usual
MIN_CALLS = 20  # of an operation in those, before a 95th percentile is
MIN_CALLS_NOW = 5  # of it in the run that is judged
MIN_RATIO = 1.2  # times the usual
MIN_EXCESS_S = 0.1  # own time beyond the usual, in all
MIN_P95_S = 0.005  # by which a 95th percentile must differ
LEADING = 0.2  # of all the excess there is: what names a cause must be a good part of it
DOUBLED = 2.0  # times the usual p95, or calls: a cause of a failure however little of its time that was
LIKELY = 0.05  # share of calls with errors from which they explain a failure that has another message
WEIGHTY = 0.05  # share of the usual time of a run from which an operation says how slow everything is
TRIED = 3  # candidates that are looked at closely
_MATCHING = 6  # characters of a message that say something


@dataclass(frozen=True, slots=True)
class Cause:
    """evidence: JSON values, times in the unit of their name."""

    sentence: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """What is known of a failed run besides its trace. tries: how often each of its failed tasks was tried; error: all
    that its errors say."""

    tries: Mapping[str, int] = field(default_factory=dict[str, int])
    error: str = ""


def cause_of(trace: RunTrace, usual: Usual, *, failed: Failed | None = None, pipeline: str = "") -> Cause | None:
    """failed None: the run is slow. Equal for any order of the operations."""
    departures = _departures(trace, usual, failed)
    if failed is None:
        found = _slow(departures)
    else:
        found = _failing([one for one in departures if _concerns(one, failed)], failed, pipeline)
    if found is None:
        return None
    where = found.operation.task or (next(iter(failed.tries)) if failed and len(failed.tries) == 1 else "")
    prefix = f"{'slow' if failed is None else 'failed'}{f' at {where}' if where else ''}: "
    words = _slow_words(found) if failed is None else _failed_words(found)
    return Cause(f"{prefix}{found.operation.name} {words}", _evidence(found, where))


def cause_of_failure(snapshot: JobSnapshot, failure: Failure) -> dict[str, Any]:
    """`cause` and `cause_evidence` for the evidence of a violation; empty if nothing can be said."""
    trace = snapshot.traces.get(failure.run.id)
    if trace is None:
        return {}
    errors = [each.error for each in (*failure.attempts, failure.run) if each.error]
    tries: dict[str, int] = dict.fromkeys(failure.killed, 1)
    for attempt in failure.attempts:
        if attempt.job.task:
            tries[attempt.job.task] = max(attempt.attempt, tries.get(attempt.job.task, 1))
    failed = Failed(tries, "\n".join(f"{error.type}: {error.message}\n{error.stack}" for error in errors))
    return _told(cause_of(trace, snapshot.usual, failed=failed, pipeline=snapshot.job.ref.pipeline))


def cause_of_delay(snapshot: JobSnapshot, run: Run | None) -> dict[str, Any]:
    """As above, of a run that takes or took too long."""
    trace = snapshot.traces.get(run.id) if run else None
    if trace is None:
        return {}
    return _told(cause_of(trace, snapshot.usual, pipeline=snapshot.job.ref.pipeline))


def _told(cause: Cause | None) -> dict[str, Any]:
    return {"cause": cause.sentence, "cause_evidence": dict(cause.evidence)} if cause else {}


# -- how each operation differs ------------------------------------------------------------------------------------


class _Departure(NamedTuple):
    """One operation of the run beside what is usual for it. runs: good runs that say so, 0 if they are too few;
    usual None: none of them had it. expected…: for a run like this one, its slowness as a whole taken in."""

    stats: OperationStats
    usual: OperationStats | None
    runs: int
    expected_s: float
    expected_calls: float
    excess_s: float  # 0 if nothing is usual

    @property
    def operation(self) -> Operation:
        return self.stats.operation

    @property
    def is_new(self) -> bool:
        return self.usual is None and self.runs > 0

    @property
    def usual_errors(self) -> float:
        """Share of calls."""
        return self.usual.errors / self.usual.calls if self.usual and self.usual.calls else 0.0

    @property
    def new_errors(self) -> float:
        """Errors that began here, beyond the usual ones; 0 if they are too few to be told from those."""
        stats = self.stats
        if not stats.own_errors or not stats.calls:
            return 0.0
        beyond = stats.own_errors - self.usual_errors * stats.calls
        return beyond if stats.errors / stats.calls >= 2 * self.usual_errors and beyond > 0 else 0.0

    @property
    def takes_longer(self) -> bool:
        """Noticeably more own time than expected."""
        return self.excess_s >= MIN_EXCESS_S and self.stats.own_s >= MIN_RATIO * self.expected_s

    @property
    def has_multiplied(self) -> bool:
        """It was called more often, more than each call became longer."""
        if self.usual is None or self.stats.calls < DOUBLED * self.expected_calls:
            return False
        each_s = self.usual.own_s / self.usual.calls
        by_calls = (self.stats.calls - self.expected_calls) * each_s
        return 2 * by_calls >= self.excess_s

    def p95s(self) -> tuple[float, float] | None:
        """In seconds, of this run and usual, if they can be told and differ."""
        if not self.runs or self.usual is None or self.usual.calls < MIN_CALLS or self.stats.calls < MIN_CALLS_NOW:
            return None
        before, now = self.usual.durations.quantile(0.95), self.stats.durations.quantile(0.95)
        if before is None or now is None or now - before < MIN_P95_S or now < MIN_RATIO * before:
            return None
        return now, before

    def affected(self, usual_p95_s: float) -> float:
        """Share of calls that took MIN_RATIO times the usual p95 or failed, whichever are more: which calls did both
        is not known."""
        slow = self.stats.durations.count_above(MIN_RATIO * usual_p95_s)
        failing = self.stats.errors if self.new_errors else 0
        return max(slow, failing) / self.stats.calls


def _departures(trace: RunTrace, usual: Usual, failed: Failed | None) -> list[_Departure]:
    runs = usual.runs if usual.runs >= MIN_RUNS else 0
    known = _Known(usual)
    pairs = [(stats, known.of(stats.operation)) for stats in trace.operations if stats.calls > 0]
    pace = _pace(pairs, runs, failed)
    found: list[_Departure] = []
    for stats, before in pairs:
        times = _tries(stats.operation, failed)
        own_s, calls = (before.own_s / runs, before.calls / runs) if before and runs else (0.0, 0.0)
        expected_s = own_s * times * pace
        excess_s = stats.own_s - expected_s if runs else 0.0
        found.append(_Departure(stats, before, runs, expected_s, calls * times, excess_s))
    return found


class _Known:
    """What is usual of an operation: in the same task, or else, where a task has another name now, in the one that
    called it most."""

    def __init__(self, usual: Usual) -> None:
        self._usual = usual.operations
        self._anywhere: dict[str, OperationStats] | None = None

    def of(self, operation: Operation) -> OperationStats | None:
        found = self._usual.get(operation)
        if found is not None:
            return found if found.calls > 0 else None
        if self._anywhere is None:
            ranked = sorted(self._usual.values(), key=lambda one: (one.calls, one.operation))
            self._anywhere = {one.operation.id: one for one in ranked if one.calls > 0}
        return self._anywhere.get(operation.id)


def _pace(pairs: Sequence[tuple[OperationStats, OperationStats | None]], runs: int, failed: Failed | None) -> float:
    """By how much the whole run is slower, or does more, than usual; at least 1. The lower quartile of how much more
    own time the operations of weight take: a busy machine slows all of them, a cause few."""
    total_s = fsum(before.own_s for _, before in pairs if before)
    if not runs or total_s <= 0:
        return 1.0
    ratios = sorted(
        stats.own_s * runs / before.own_s / _tries(stats.operation, failed)
        for stats, before in pairs
        if before and before.own_s >= WEIGHTY * total_s
    )
    return max(1.0, ratios[(len(ratios) - 1) // 4]) if len(ratios) > 1 else 1.0


def _tries(operation: Operation, failed: Failed | None) -> int:
    """A failed task was tried so often; in a slow run that is a cause and no excuse."""
    return max(1, failed.tries.get(operation.task, 1)) if failed else 1


# -- which of them is told -----------------------------------------------------------------------------------------


def _slow(departures: Sequence[_Departure]) -> _Departure | None:
    """The one with the largest excess, if that is a good part of all excess."""
    late = _longest(departures)
    if not late:
        return None
    total_s = fsum(one.excess_s for one in departures if one.excess_s > 0)
    return late[0] if late[0].excess_s >= LEADING * total_s else None


def _failing(departures: Sequence[_Departure], failed: Failed, pipeline: str) -> _Departure | None:
    """Where an error began, in an operation that calls no other; else what was slow; else where another error began.
    The spans of the run and its tasks themselves tell nothing that their states do not."""
    broken = [one for one in departures if one.new_errors and not _stands_for_a_task(one.operation, failed, pipeline)]
    broken.sort(key=lambda one: _suspicion(one, failed.error))
    plain = next((one for one in broken if _explains(one, failed.error)), None)
    within = [one for one in departures if one.operation.task] or departures
    usual_s = fsum(one.expected_s for one in departures)
    return plain or _delaying(within, usual_s) or next(iter(broken), None)


def _delaying(within: Sequence[_Departure], usual_s: float) -> _Departure | None:
    """The largest excess that is a good part of its task's usual time, or comes of a call that takes twice as long.
    within: the tasks that failed, where spans name tasks; the run around them waited for their retries."""
    for one in _longest(within)[:TRIED]:
        if one.is_new:
            continue  # what a failure leads to, such as a roll-back, is new as well
        p95s = one.p95s()
        if one.excess_s >= LEADING * usual_s or (p95s and p95s[0] >= DOUBLED * p95s[1]):
            return one
    return None


def _longest(departures: Iterable[_Departure]) -> list[_Departure]:
    return sorted((one for one in departures if one.takes_longer), key=lambda one: (-one.excess_s, one.operation))


def _explains(one: _Departure, error: str) -> bool:
    stats = one.stats
    if stats.own_s < stats.total_s - 1e-6 * stats.calls:
        return False  # it calls others
    return _matches(stats.message, error) or stats.errors >= LIKELY * stats.calls


def _suspicion(one: _Departure, error: str) -> tuple[bool, float, float, Operation]:
    stats = one.stats
    return (not _matches(stats.message, error), -one.new_errors, -stats.errors / stats.calls, one.operation)


def _matches(message: str, error: str) -> bool:
    """The run failed with this message: with or without the type before it."""
    bare = message.strip().partition("\n")[0]
    told = [part.strip() for part in (bare, bare.partition(": ")[2])]
    return any(len(part) >= _MATCHING and part in error for part in told)


def _concerns(one: _Departure, failed: Failed) -> bool:
    return not failed.tries or not one.operation.task or one.operation.task in failed.tries


def _stands_for_a_task(operation: Operation, failed: Failed, pipeline: str) -> bool:
    """`load`, `task_run.load`, `worker.load[{}]`."""
    name = operation.name.partition("[")[0]
    names = {operation.task, pipeline, *failed.tries} - {""}
    return any(name == each or name.endswith((f".{each}", f" {each}", f"/{each}")) for each in names)


# -- its words -----------------------------------------------------------------------------------------------------


def _failed_words(one: _Departure) -> str:
    errors = _errors(one)
    p95s = one.p95s() if one.takes_longer else None
    if one.takes_longer and one.has_multiplied:
        said = _calls_words(one)
    elif p95s:
        now, before = pair_words(*p95s)
        said = f"took {now} at p95 against {before}, {affected_words(one.affected(p95s[1]))}"
    elif one.takes_longer and not one.is_new:
        said = _own_words(one)
    else:
        return f"failed in {errors}"
    return f"{said}; failed in {errors}" if errors else said


def _slow_words(one: _Departure) -> str:
    stats = one.stats
    p95s = one.p95s()
    if one.is_new:
        said = f"is new: {time_words(stats.own_s)} of own time in {number_words(stats.calls)} call{_s(stats.calls)}"
    elif one.has_multiplied:
        now, before = _own_times(one)
        said = f"{_calls_words(one)}, {now} of own time against {before}"
    else:
        said = _own_words(one)
    if p95s:
        now, before = pair_words(*p95s)
        said += f", p95 {now} against {before}, {affected_words(one.affected(p95s[1]))}"
    errors = _errors(one)
    return f"{said}; failed in {errors}" if errors else said


def _own_words(one: _Departure) -> str:
    now, before = _own_times(one)
    return f"took {now} of own time against {before}"


def _own_times(one: _Departure) -> tuple[str, str]:
    usual_s = one.usual.own_s / one.runs if one.usual and one.runs else 0.0
    return pair_words(one.stats.own_s, usual_s)


def _calls_words(one: _Departure) -> str:
    usual_calls = one.usual.calls / one.runs if one.usual and one.runs else 0.0
    return f"was called {number_words(one.stats.calls)} times against {number_words(usual_calls)}"


def _errors(one: _Departure) -> str:
    """ "" where there are none beyond the usual ones."""
    if not one.new_errors:
        return ""
    before = "new" if one.is_new else f"usually {percent(one.usual_errors) if one.usual_errors else 'none'}"
    return errors_words(one.stats.errors, one.stats.calls, before if one.runs else "", one.stats.message)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _evidence(one: _Departure, task: str) -> dict[str, Any]:
    stats, before = one.stats, one.usual if one.runs else None
    p95s = one.p95s()
    now_s = stats.durations.quantile(0.95)
    found: dict[str, Any] = {
        "operation": stats.operation.name,
        "service": stats.operation.service,
        "kind": stats.operation.kind,
        "task": task,
        "calls": stats.calls,
        "errors": stats.errors,
        "share": round(one.affected(p95s[1]) if p95s else stats.errors / stats.calls, 4),
        "p95_ms": None if now_s is None else round(now_s * 1000, 3),
        "own_s": round(stats.own_s, 6),
        "error": stats.message if one.new_errors else "",
        "trace_id": stats.trace_id,
        "span_id": stats.span_id,
        "usual_runs": one.runs,
    }
    if before:
        usual_s = before.durations.quantile(0.95) if before.calls >= MIN_CALLS else None
        found |= {
            "usual_p95_ms": None if usual_s is None else round(usual_s * 1000, 3),
            "usual_own_s": round(before.own_s / one.runs, 6),
            "usual_calls": round(before.calls / one.runs, 2),
            "usual_errors": round(one.usual_errors, 4),
        }
    return {name: value for name, value in found.items() if value not in (None, "")}
