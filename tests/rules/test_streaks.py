"""How many in a row: what opens an alert and what ends it, for any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.streaks import Streak, streak


@pytest.mark.parametrize(
    ("newest_first", "fail_after", "recover_after", "found"),
    [
        ("", 1, 1, None),
        ("x", 1, 1, Streak(0, 1)),
        ("ox", 1, 1, None),
        ("ox", 1, 2, Streak(1, 1)),
        ("oox", 1, 2, None),
        ("oxox", 1, 2, Streak(1, 1)),
        ("x", 2, 1, None),
        ("xx", 2, 1, Streak(0, 2)),
        ("xoxx", 2, 1, None),
        ("xoxx", 2, 2, Streak(2, 2)),
        ("oxoxx", 2, 2, Streak(3, 2)),
        ("ooxxx", 3, 2, None),
    ],
)
def test_newest_first(newest_first: str, fail_after: int, recover_after: int, found: Streak | None) -> None:
    assert streak([each == "x" for each in newest_first], fail_after, recover_after) == found


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_it_is_what_one_would_see_who_watched_from_the_beginning(
    oldest_first: list[bool], fail_after: int, recover_after: int
) -> None:
    is_open, bad, good = False, 0, 0
    for is_wrong in oldest_first:
        bad, good = (bad + 1, 0) if is_wrong else (0, good + 1)
        is_open = (is_open or bad >= fail_after) and good < recover_after
    assert (streak(reversed(oldest_first), fail_after, recover_after) is not None) == is_open
