"""The scorer against what its paper and the published scores say."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.nab import LOW_FALSE, LOW_MISSED, PROFILES, Labelled, Profile, at_threshold, best, sigmoid, windows_of

ROWS = 1000
WINDOWS = ((300, 399), (700, 799))


def detected(*rows: int) -> Labelled:
    return Labelled([1.0 if row in rows else 0.0 for row in range(ROWS)], WINDOWS)


def score(*rows: int, profile: Profile | None = None) -> float:
    return at_threshold([detected(*rows)], 1.0, profile or PROFILES[0]).score


def test_the_sigmoid_is_that_of_the_paper() -> None:
    """Figure 2 of arXiv 1510.03336: a detection behind the window is worth -0.8093, and the whole example 0.6909."""
    assert sigmoid(0.45) == pytest.approx(-0.8093, abs=1e-4)
    assert -0.11 + 0.9999 + 0.11 * sigmoid(0.45) - 0.11 == pytest.approx(0.6909, abs=1e-4)
    assert [sigmoid(place) for place in (0.0, 3.0, 50.0)] == [0.0, -1.0, -1.0]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_nothing_is_zero_and_the_first_row_of_each_window_is_a_hundred(profile: Profile) -> None:
    assert score(profile=profile) == pytest.approx(0)
    assert score(300, 700, profile=profile) == pytest.approx(100)


def test_only_the_first_detection_in_a_window_counts() -> None:
    assert score(350, 351, 399) == score(350)
    assert score(300) > score(350) > score(399) > 0


def test_a_detection_outside_costs_the_more_the_farther_it_lies_behind_a_window() -> None:
    costs = [score(300, 700) - score(300, 700, row) for row in (200, 402, 440, 698)]
    per_row = 100 / 4  # two windows, from missed to found
    assert costs[0] == pytest.approx(0.11 * per_row)
    assert costs[1] < costs[2] < costs[3] == pytest.approx(0.11 * per_row, rel=0.01)


def test_the_other_profiles_weigh_what_they_are_named_for() -> None:
    assert score(300, 200, profile=LOW_FALSE) < score(300, 200)
    assert score(300, profile=LOW_MISSED) == pytest.approx(50)


def test_what_is_on_probation_counts_neither_way() -> None:
    assert score(*range(150)) == pytest.approx(0)
    assert at_threshold([Labelled([1.0] * 200, ((0, 20),))], 1.0).windows == 0


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=40, max_size=40))
def test_the_best_threshold_is_the_best_of_all(scores: Sequence[float]) -> None:
    series = [Labelled(scores, ((20, 25),)), Labelled([*reversed(scores)], ((30, 39),))]
    each = [at_threshold(series, threshold).score for threshold in (2.0, *set(scores))]
    assert best(series).score == pytest.approx(max(each))


def test_windows_are_found_by_their_moments_the_first_of_equal_ones() -> None:
    assert windows_of(["a", "b", "b", "c", "d"], [["c", "d"], ["a", "b"]]) == [(0, 1), (3, 4)]
