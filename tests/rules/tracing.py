"""Builders of what spans say of a run, for rules: operations with the durations of their calls."""

from collections.abc import Sequence

from watchtower.model.sketch import Sketch
from watchtower.model.trace import Operation, OperationStats, RunTrace, Usual

TRACE = "5b8efff798038103d269b633813fc60c"


def op(
    name: str,
    seconds: Sequence[float],
    *,
    task: str = "",
    kind: str = "client",
    own_s: float | None = None,
    errors: int = 0,
    own_errors: int | None = None,
    message: str = "",
) -> OperationStats:
    """own_s: all its time, unless it calls others; own_errors: all its errors, unless they passed through."""
    total_s = sum(seconds)
    return OperationStats(
        Operation("shop", name, kind, task),
        len(seconds),
        errors,
        Sketch.of(seconds),
        total_s,
        total_s if own_s is None else own_s,
        message,
        TRACE,
        "00f067aa0ba902b7",
        errors if own_errors is None else own_errors,
    )


def trace(*operations: OperationStats, run: str = "a") -> RunTrace:
    return RunTrace(run, (TRACE,), operations)


def usual(*operations: OperationStats, runs: int = 10) -> Usual:
    """operations: those of one run; `runs` such runs are put together."""
    return Usual(runs, {one.operation: _times(one, runs) for one in operations})


def _times(one: OperationStats, runs: int) -> OperationStats:
    return OperationStats(
        one.operation,
        one.calls * runs,
        one.errors * runs,
        Sketch(one.durations.zeros * runs, {index: count * runs for index, count in one.durations.buckets.items()}),
        one.total_s * runs,
        one.own_s * runs,
        one.message,
        one.trace_id,
        one.span_id,
        one.own_errors * runs,
    )
