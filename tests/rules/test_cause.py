"""A trace to a cause: which operation is named, in which words, and when none is."""

import random
from dataclasses import replace
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rules.cause import MIN_CALLS, MIN_RUNS, Cause, Failed, cause_of
from tests.rules.tracing import op, trace, usual
from watchtower.model.sketch import Sketch
from watchtower.model.trace import Operation, OperationStats, RunTrace, Usual

VALIDATE = Failed({"validate": 1}, "ValueError: 6 orders were late")
LOAD = Failed({"load": 1}, "psycopg.errors.DeadlockDetected: deadlock detected\nTraceback …")


def sentence(found: Cause | None) -> str | None:
    return found.sentence if found else None


def slow_orders(task: str = "validate") -> OperationStats:
    return op("GET /orders", [0.2] * 34 + [3.0] * 6, task=task)


# -- what is said --------------------------------------------------------------------------------------------------


def test_a_slow_call_in_the_failed_task_is_named_with_its_numbers() -> None:
    before = usual(op("GET /orders", [0.2] * 40, task="validate"), op("SELECT customers", [1.0] * 5, task="extract"))
    now = trace(
        op("task_run.validate", [26.0], task="validate", own_s=0.5, errors=1, message="6 orders were late"),
        slow_orders(),
        op("SELECT customers", [1.0] * 5, task="extract"),
    )
    found = cause_of(now, before, failed=VALIDATE, pipeline="orders")
    assert sentence(found) == "failed at validate: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls"
    assert found is not None
    evidence = dict(found.evidence)
    assert evidence.pop("p95_ms") == pytest.approx(3000, rel=0.02)
    assert evidence.pop("usual_p95_ms") == pytest.approx(200, rel=0.02)
    assert evidence == {
        "operation": "GET /orders",
        "service": "shop",
        "kind": "client",
        "task": "validate",
        "calls": 40,
        "errors": 0,
        "share": 0.15,
        "own_s": pytest.approx(24.8),
        "usual_own_s": pytest.approx(8.0),
        "usual_calls": 40.0,
        "usual_errors": 0.0,
        "usual_runs": 10,
        "trace_id": now.trace_ids[0],
        "span_id": "00f067aa0ba902b7",
    }


def test_the_operation_in_which_an_error_began_is_named_with_its_message() -> None:
    before = usual(op("INSERT warehouse.orders", [0.01] * 40, task="load"), op("save", [0.5], task="load", own_s=0.1))
    now = trace(
        op("save", [0.5], task="load", own_s=0.1, errors=1, own_errors=0, message="deadlock detected"),
        op("INSERT warehouse.orders", [0.01] * 40, task="load", errors=12, message="deadlock detected"),
        op("SET cache", [0.001] * 40, task="load", errors=4, message="connection reset"),
    )
    assert sentence(cause_of(now, before, failed=LOAD)) == (
        "failed at load: INSERT warehouse.orders failed in 12 of 40 calls (usually none): deadlock detected"
    )


def test_calls_that_time_out_are_slow_and_fail() -> None:
    before = usual(op("GET /orders", [0.2] * 40, task="validate"))
    now = trace(op("GET /orders", [0.2] * 34 + [3.0] * 6, task="validate", errors=6, message="ReadTimeout"))
    assert sentence(cause_of(now, before, failed=VALIDATE)) == (
        "failed at validate: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls; "
        "failed in 6 of 40 calls (usually none): ReadTimeout"
    )


def test_a_slow_run_is_explained_by_the_most_own_time_beyond_the_usual() -> None:
    before = usual(
        op("SELECT customers", [0.06] * 50, task="transform"), op("transform", [5.0], task="transform", own_s=2.0)
    )
    now = trace(
        op("transform", [43.0], task="transform", own_s=2.1),  # it waited for its child
        op("SELECT customers", [0.06] * 5 + [0.9] * 45, task="transform", own_s=41.0),
    )
    assert sentence(cause_of(now, before)) == (
        "slow at transform: SELECT customers took 41 s of own time against 3 s, p95 900 ms against 60 ms, 90 % of calls"
    )


def test_an_operation_that_is_called_far_more_often_is_named_by_its_calls() -> None:
    before = usual(op("SELECT price", [0.003] * 300, task="enrich"), op("read", [30.0], task="enrich"))
    now = trace(op("SELECT price", [0.003] * 12_000, task="enrich"), op("read", [30.0], task="enrich"))
    assert sentence(cause_of(now, before)) == (
        "slow at enrich: SELECT price was called 12,000 times against 300, 36 s of own time against 900 ms"
    )


def test_an_operation_that_no_good_run_had_is_new() -> None:
    before = usual(op("read", [30.0], task="load"))
    now = trace(op("read", [30.0], task="load"), op("ANALYZE orders", [600.0], task="load"))
    assert sentence(cause_of(now, before)) == "slow at load: ANALYZE orders is new: 10 min of own time in 1 call"


def test_without_tasks_no_task_is_named() -> None:
    before = usual(op("SELECT customers", [1.0] * 2))
    assert sentence(cause_of(trace(op("SELECT customers", [8.0] * 2)), before)) == (
        "slow: SELECT customers took 16 s of own time against 2 s"
    )


def test_a_run_that_waited_for_its_retries_is_not_the_cause() -> None:
    before = usual(op("dag_run.orders", [8.0], own_s=2.0), op("parse", [1.0] * 6, task="validate"))
    now = trace(op("dag_run.orders", [15.0], own_s=9.0), op("parse", [1.0] * 6, task="validate"))
    assert cause_of(now, before, failed=VALIDATE, pipeline="orders") is None


def test_the_only_failed_task_is_named_where_the_spans_name_none() -> None:
    before = usual(op("GET /orders", [0.2] * 40))
    assert str(sentence(cause_of(trace(slow_orders("")), before, failed=VALIDATE))).startswith(
        "failed at validate: GET /orders took 3,000 ms"
    )


# -- what is not blamed --------------------------------------------------------------------------------------------


def test_errors_that_are_usual_are_no_cause() -> None:
    often = op("GET cache", [0.01] * 40, task="load", errors=20, message="404")
    assert cause_of(trace(replace(often, errors=22, own_errors=22)), usual(often), failed=LOAD) is None


def test_what_other_tasks_did_is_no_cause_of_a_failure() -> None:
    before = usual(op("GET /orders", [0.2] * 40, task="extract"))
    assert cause_of(trace(slow_orders("extract")), before, failed=VALIDATE) is None


def test_the_span_of_the_task_itself_says_nothing_new() -> None:
    before = usual(op("worker.load", [9.0], task="load"), op("task_run.load", [10.0], task="load", own_s=1.0))
    now = trace(
        op("task_run.load", [10.0], task="load", own_s=1.0, errors=1, own_errors=1, message=""),
        op("worker.load", [9.0], task="load"),
        op("dag_run.orders", [11.0], own_s=1.0, errors=1, own_errors=1),
    )
    assert cause_of(now, before, failed=LOAD, pipeline="orders") is None


def test_an_error_where_it_began_comes_before_the_function_that_raised_it_on() -> None:
    before = usual(op("parse", [5.0], task="load", own_s=1.0), op("INSERT", [0.1] * 40, task="load"))
    parse = op("parse", [5.0], task="load", own_s=1.0, errors=1, message="ValueError: bad date")
    plain = trace(parse, op("INSERT", [0.1] * 40, task="load"))
    failed = Failed({"load": 1}, "ValueError: bad date")
    assert sentence(cause_of(plain, before, failed=failed)) == (
        "failed at load: parse failed in 1 of 1 call (usually none): ValueError: bad date"
    )
    slow = trace(parse, op("INSERT", [0.1] * 20 + [3.0] * 20, task="load"))
    assert str(sentence(cause_of(slow, before, failed=failed))).startswith("failed at load: INSERT took 3,000 ms")


def test_the_retries_of_a_failed_task_are_not_its_cause_but_those_of_a_slow_run_are() -> None:
    before = usual(op("SELECT customers", [1.0] * 30, task="load"), op("INSERT", [1.0] * 30, task="load"))
    thrice = trace(op("SELECT customers", [1.0] * 90, task="load"), op("INSERT", [1.0] * 30, task="load"))
    assert cause_of(thrice, before, failed=Failed({"load": 3})) is None
    assert str(sentence(cause_of(thrice, before))).startswith(
        "slow at load: SELECT customers was called 90 times against 30"
    )


def test_too_little_is_known_for_a_baseline_but_errors_are_errors() -> None:
    few = usual(op("GET /orders", [0.2] * 40, task="validate"), runs=MIN_RUNS - 1)
    assert cause_of(trace(slow_orders()), few, failed=VALIDATE) is None
    assert cause_of(trace(slow_orders()), few) is None
    broken = trace(op("GET /orders", [0.2] * 40, task="validate", errors=12, message="503"))
    for known in (few, Usual()):
        assert sentence(cause_of(broken, known, failed=VALIDATE)) == (
            "failed at validate: GET /orders failed in 12 of 40 calls: 503"
        )


def test_a_percentile_of_few_calls_is_not_called_usual() -> None:
    calls = (MIN_CALLS - 1) // MIN_RUNS  # 6
    before = usual(op("GET /orders", [0.2] * calls, task="validate"), runs=MIN_RUNS)
    found = cause_of(trace(op("GET /orders", [3.0] * calls, task="validate")), before, failed=VALIDATE)
    assert sentence(found) == "failed at validate: GET /orders took 18 s of own time against 1.2 s"
    assert found and "usual_p95_ms" not in found.evidence


def test_a_little_more_than_usual_is_noise() -> None:
    before = usual(op("GET /orders", [1.0] * 40, task="validate"), op("SELECT", [1.0] * 40, task="validate"))
    now = trace(op("GET /orders", [1.1] * 40, task="validate"), op("SELECT", [1.0] * 40, task="validate"))
    assert cause_of(now, before) is None
    assert cause_of(now, before, failed=VALIDATE) is None
    fast = usual(op("ping", [0.0001] * 40, task="validate"))
    assert cause_of(trace(op("ping", [0.002] * 40, task="validate")), fast) is None


def test_many_small_excesses_name_nothing() -> None:
    names = [f"step {letter}" for letter in "abcdefgh"]
    before = usual(*(op(name, [1.0] * 30) for name in names), op("rest", [10.0] * 30))
    now = trace(*(op(name, [1.5] * 30) for name in names), op("rest", [10.0] * 30))
    assert cause_of(now, before) is None


def test_a_task_with_another_name_is_known_by_its_operations() -> None:
    before = usual(op("GET /orders", [0.2] * 40, task="check"))
    assert sentence(cause_of(trace(slow_orders()), before, failed=VALIDATE)) == (
        "failed at validate: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls"
    )


def test_operations_without_calls_and_without_anything_usual_say_nothing() -> None:
    empty = OperationStats(Operation("shop", "GET", "client"), 0, 0, Sketch(), 0.0, 0.0)
    assert cause_of(RunTrace("a", (), (empty,)), usual(op("GET", [1.0]))) is None
    assert cause_of(RunTrace("a", (), ()), Usual()) is None


# -- whatever the data ---------------------------------------------------------------------------------------------

_seconds = some.lists(some.floats(0, 50, allow_nan=False), min_size=1, max_size=30)


@some.composite
def operations(draw: some.DrawFn) -> list[OperationStats]:
    names = draw(some.lists(some.sampled_from("abcdef"), unique=True, min_size=1, max_size=6))
    made: list[OperationStats] = []
    for name in names:
        seconds = draw(_seconds)
        errors = draw(some.integers(0, len(seconds)))
        made.append(
            op(
                name,
                seconds,
                task=draw(some.sampled_from(["", "load", "validate"])),
                own_s=sum(seconds) * draw(some.sampled_from([0.0, 0.3, 1.0])),
                errors=errors,
                own_errors=draw(some.integers(0, errors)),
                message=draw(some.sampled_from(["", "deadlock detected", "x: y\nz"])),
            )
        )
    return made


_failures = some.sampled_from([None, VALIDATE, LOAD, Failed({"load": 3, "validate": 2}), Failed()])


@settings(max_examples=200, deadline=None)
@given(operations(), operations(), some.integers(0, 8), _failures, some.randoms(use_true_random=False))
def test_the_order_of_operations_makes_no_difference(
    now: list[OperationStats],
    before: list[OperationStats],
    runs: int,
    failed: Failed | None,
    order: random.Random,
) -> None:
    known = usual(*before, runs=runs)
    wanted = cause_of(trace(*now), known, failed=failed)
    order.shuffle(now)
    items = list(known.operations.items())
    order.shuffle(items)
    assert cause_of(trace(*now), Usual(known.runs, dict(items)), failed=failed) == wanted


@settings(max_examples=200, deadline=None)
@given(operations(), operations(), some.integers(0, 8), _failures)
def test_whoever_is_named_did_more_than_usual(
    now: list[OperationStats], before: list[OperationStats], runs: int, failed: Failed | None
) -> None:
    found = cause_of(trace(*now), usual(*before, runs=runs), failed=failed)
    if found is None:
        return
    told = found.evidence
    if "failed in" not in found.sentence:
        assert told["own_s"] > told.get("usual_own_s", 0.0)
        assert runs >= MIN_RUNS
    else:
        assert told["errors"] > told.get("usual_errors", 0.0) * told["calls"]
    assert "\n" not in found.sentence


@settings(max_examples=100, deadline=None)
@given(some.integers(2, 12), some.floats(1, 50), some.integers(0, 40), _failures)
def test_what_slows_everything_alike_is_no_operations_fault(
    count: int, factor: float, more: int, failed: Failed | None
) -> None:
    ops = [op(f"step {number:x}", [1.0 + number / 10] * (20 + more)) for number in range(count)]
    slower = [op(one.operation.name, [(1.0 + number / 10) * factor] * one.calls) for number, one in enumerate(ops)]
    assert cause_of(trace(*slower), usual(*ops), failed=failed) is None
    oftener = [op(one.operation.name, [1.0 + number / 10] * (one.calls * 7)) for number, one in enumerate(ops)]
    assert cause_of(trace(*oftener), usual(*ops), failed=failed) is None


def test_what_is_as_usual_is_no_cause() -> None:
    names = ["read", "write"]
    same = [op(name, [0.5] * 40, task="load", errors=2) for name in names]
    assert cause_of(trace(*same), usual(*same)) is None
    assert cause_of(trace(*same), usual(*same), failed=LOAD) is None


def test_fifty_operations_cost_little() -> None:
    drawn = random.Random(7)
    ops = [op(f"step {n}", [drawn.lognormvariate(0, 1) for _ in range(200)], task="load") for n in range(50)]
    known = usual(*ops)
    now = trace(*ops[:-1], op("step 49", [9.0] * 200, task="load"))
    began = perf_counter()
    for _ in range(100):
        assert cause_of(now, known) is not None
    each_us = (perf_counter() - began) * 1e4
    assert each_us < 5_000  # on any machine; measured: well below 200 µs
