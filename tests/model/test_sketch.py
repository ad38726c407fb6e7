"""Sketches keep quantiles within ±2 % of the value, merge exactly, and survive their encoding."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchtower.model.sketch import RELATIVE_ERROR, SMALLEST, Sketch

VALUES = st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=60)


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_within_two_percent_of_the_value_of_that_rank(values: list[float], q: float) -> None:
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    seen = Sketch.of(values).quantile(q)
    assert seen is not None
    assert seen == pytest.approx(exact, rel=RELATIVE_ERROR * 1.0001, abs=SMALLEST)


@given(VALUES, VALUES)
def test_merging_is_the_sketch_of_both(left: list[float], right: list[float]) -> None:
    merged = Sketch.of(left).merge(Sketch.of(right))
    assert merged == Sketch.of(left + right) == Sketch.of(right).merge(Sketch.of(left))


@given(VALUES)
def test_a_sketch_survives_its_encoding(values: list[float]) -> None:
    sketch = Sketch.of(values)
    assert Sketch.decode(sketch.encode()) == sketch
    assert Sketch.decode(sketch.encode()).count == len(values)


def test_ten_thousand_durations_of_three_decades_stay_below_a_kilobyte() -> None:
    assert len(Sketch.of(10.0 * 1.0007**index for index in range(10_000)).encode()) < 1024


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Sketch().add(value)


@pytest.mark.parametrize("body", [b"", b"\x02\x00", b"\x01", b"\x01\x80", b"\x01\x00\x02"])
def test_foreign_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="sketch"):
        Sketch.decode(body)


def test_nothing_has_no_quantile() -> None:
    assert Sketch().quantile(0.5) is None
