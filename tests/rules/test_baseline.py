"""Baselines: robust statistics against the standard library's, and a limit that is quiet for steady and short jobs."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.baseline import MIN_SAMPLES, Baseline

VALUES = st.lists(st.floats(0, 1e6), min_size=MIN_SAMPLES, max_size=100)


def _of(values: list[float]) -> Baseline:
    made = Baseline.of(values)
    assert made is not None
    return made


@given(VALUES)
def test_statistics_agree_with_the_standard_library(values: list[float]) -> None:
    baseline, middle = _of(values), statistics.median(values)
    assert baseline.median == pytest.approx(middle)
    assert baseline.mad == pytest.approx(statistics.median(abs(value - middle) for value in values))
    assert baseline.quantile(0.95) == pytest.approx(
        statistics.quantiles(values, n=100, method="inclusive")[94], rel=1e-6, abs=1e-6
    )
    assert (baseline.quantile(0), baseline.quantile(1)) == (min(values), max(values))


def test_fewer_than_ten_values_are_no_baseline() -> None:
    assert Baseline.of([1.0] * 9) is None
    assert _of([1.0] * 10).count == 10


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ([3.0] * 20, 63.0),
        ([1200.0] * 20, 1800.0),
        ([100.0, 200.0] * 10, 150 + 3.5 * 1.4826 * 50),
        ([600.0] * 99 + [86_400.0], 900.0),
    ],
    ids=["short: median + 60 s", "steady: p95 × 1.5", "scattered: median + 3.5 sigma", "one outlier teaches nothing"],
)
def test_the_usual_limit_is_the_largest_of_its_four_terms(values: list[float], limit: float) -> None:
    assert _of(values).usual_limit == pytest.approx(limit)


@given(VALUES)
def test_the_usual_limit_is_above_the_median_by_a_minute_and_a_fifth(values: list[float]) -> None:
    baseline = _of(values)
    assert baseline.usual_limit >= max(baseline.median + 60, baseline.median * 1.2)
