"""What the spans of a trace come to, whatever the order in which they came."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as some

from watchtower.model.tally import Tally, TallySpan, tally


def span(  # noqa: PLR0917 - a row of a table
    number: int,
    start: int,
    took: int,
    parent: int | None = None,
    operation: str = "op",
    task: str = "",
    error: str | None = None,
) -> TallySpan:
    above = parent.to_bytes(8, "big") if parent is not None else None
    return TallySpan(number.to_bytes(8, "big"), above, start, took, operation, error is not None, error or "", task)


def own(*spans: TallySpan) -> dict[str, int]:
    return {operation: found.own_us for (operation, _), found in tally(spans).items()}


def test_own_time_is_what_no_child_covers() -> None:
    assert own(span(1, 0, 100, operation="a"), span(2, 10, 20, 1, "b"), span(3, 50, 10, 1, "c")) == {
        "a": 70,
        "b": 20,
        "c": 10,
    }


def test_concurrent_children_cover_their_time_once() -> None:
    assert own(span(1, 0, 100, operation="a"), *(span(n, 10, 50, 1, "b") for n in (2, 3, 4)))["a"] == 50


def test_a_child_that_outlives_its_parent_covers_no_more_than_it() -> None:
    assert own(span(1, 0, 100, operation="a"), span(2, 90, 500, 1, "b"))["a"] == 90
    assert own(span(1, 100, 100, operation="a"), span(2, 0, 500, 1, "b"))["a"] == 0


def test_grandchildren_are_covered_by_their_parent() -> None:
    assert own(span(1, 0, 100, operation="a"), span(2, 10, 50, 1, "b"), span(3, 20, 30, 2, "c"))["a"] == 50


def test_the_task_of_a_span_is_that_of_its_nearest_ancestor() -> None:
    found = tally(
        [
            span(1, 0, 100, operation="dag"),
            span(2, 1, 50, 1, "worker", "load"),
            span(3, 2, 10, 2, "query"),
            span(4, 3, 1, 3, "row"),
            span(5, 60, 10, 9, "stray"),
        ]
    )
    assert set(found) == {("dag", ""), ("worker", "load"), ("query", "load"), ("row", "load"), ("stray", "")}


def test_tries_that_share_a_span_id_each_have_their_own_children() -> None:
    """Airflow exports `task_run` once a try, with the same id."""
    assert own(
        span(1, 0, 100, operation="task"),
        span(1, 1_000, 100, operation="task"),
        span(2, 10, 40, 1, "work"),
        span(3, 1_010, 60, 1, "work"),
    ) == {"task": 100, "work": 100}


def test_a_trace_that_is_its_own_ancestor_is_tallied_all_the_same() -> None:
    found = tally([span(1, 0, 10, 2, "a"), span(2, 0, 10, 1, "b"), span(3, 0, 10, 3, "c")])
    assert {key: one.calls for key, one in found.items()} == {("a", ""): 1, ("b", ""): 1, ("c", ""): 1}


def test_the_first_error_and_the_slowest_span_are_named() -> None:
    found: Tally = tally([span(3, 5, 7, error="late"), span(2, 1, 9, error="early"), span(1, 0, 9)])["op", ""]
    assert (found.calls, found.errors, found.message) == (3, 2, "early")
    assert (found.slowest, found.slowest_us, found.total_us) == ((1).to_bytes(8, "big"), 9, 25)


SPANS = some.builds(
    span,
    some.integers(0, 12),
    some.integers(0, 50),
    some.integers(0, 60),
    some.none() | some.integers(0, 12),
    some.sampled_from(["a", "b", "c"]),
    some.sampled_from(["", "", "t", "u"]),
)


@settings(max_examples=150, deadline=None)
@given(some.lists(SPANS, max_size=14, unique_by=lambda one: (one.span_id, one.started_us)), some.randoms())
def test_the_order_of_arrival_makes_no_difference(spans: list[TallySpan], order: Random) -> None:
    other = list(spans)
    order.shuffle(other)
    assert tally(other) == tally(spans)


@settings(max_examples=150, deadline=None)
@given(some.lists(SPANS, max_size=14, unique_by=lambda one: (one.span_id, one.started_us)))
def test_own_time_is_never_negative_nor_more_than_all_of_it(spans: list[TallySpan]) -> None:
    found = tally(spans)
    assert all(0 <= one.own_us <= one.total_us for one in found.values())
    assert sum(one.calls for one in found.values()) == len(spans)


def test_an_error_that_passes_through_its_callers_began_in_one_place() -> None:
    found = tally(
        [
            span(1, 0, 100, operation="task", error="deadlock detected"),
            span(2, 10, 80, 1, "save", error="deadlock detected"),
            span(3, 20, 10, 2, "INSERT orders"),
            span(4, 40, 10, 2, "INSERT orders", error="deadlock detected"),
        ]
    )
    assert {name: (one.errors, one.own_errors) for (name, _), one in found.items()} == {
        "task": (1, 0),
        "save": (1, 0),
        "INSERT orders": (1, 1),
    }


def test_the_message_is_that_of_an_error_that_began_there() -> None:
    callers = [span(1, 0, 10, operation="call", error="passed on"), span(2, 1, 5, 1, "query", error="inner")]
    own_one = span(3, 20, 10, operation="call", error="its own")
    assert tally([*callers, own_one])["call", ""].message == "its own"
    assert tally(callers)["call", ""].message == "passed on"
