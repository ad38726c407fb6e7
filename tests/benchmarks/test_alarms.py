"""Made series of pipelines, and what an alarm in one is worth."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from benchmarks.alarms import HELD_BACK, HOLDS, METHODS, judge, quiet_enough
from benchmarks.made_series import FIRST_FAULT, NATURES, START, Fault, Made, make

HOUR = timedelta(hours=1)
BEGINS = 24 * FIRST_FAULT
ROWS = BEGINS + 720
MADE = Made(
    "rows",
    [START + row * HOUR for row in range(ROWS)],
    [1.0] * ROWS,
    [Fault("spike", BEGINS + 100, BEGINS + 103), Fault("drop", BEGINS + 300, BEGINS + 310)],
    [(BEGINS + 500, BEGINS + 524)],
)


def alarmed(*rows: int) -> list[float]:
    return [1.0 if row - BEGINS in rows else 0.0 for row in range(ROWS)]


@pytest.mark.parametrize(
    ("rows", "found", "false"),
    [
        ((), [False, False], 0),
        ((103, 310), [True, True], 0),
        ((99, 104), [False, False], 1),  # the second lies in the first alarm, and behind a fault
        ((50, 50 + HOLDS - 1, 50 + HOLDS), [False, False], 2),  # an alarm holds half a day
        ((95, 100), [True, False], 1),  # and hides no fault that begins meanwhile
        ((-10, 510, 311), [False, False], 0),  # learning, a new level, the end of a fault
        (tuple(range(720)), [True, True], 55),
    ],
)
def test_an_alarm_is_right_in_a_fault_and_false_outside(rows: Sequence[int], found: list[bool], false: int) -> None:
    seen = judge(MADE, alarmed(*rows), 1.0)
    assert (list(seen.found), seen.false, seen.months) == (found, false, 1.0)


def test_the_threshold_is_the_lowest_with_one_false_alarm_a_month() -> None:
    scores = [0.0] * ROWS
    scores[BEGINS + 20], scores[BEGINS + 101], scores[BEGINS + 220], scores[BEGINS + 301] = 0.5, 0.2, 0.3, 0.4
    assert quiet_enough([MADE], [scores]) == 0.4
    assert quiet_enough([MADE], [[0.0] * ROWS]) == float("inf")


@pytest.mark.parametrize("seed", range(8))
def test_a_made_series_follows_from_its_seed_and_its_faults_lie_in_it(seed: int) -> None:
    made = make(seed)
    assert made == make(seed)
    assert made.values != make(seed + len(NATURES)).values
    assert list(made.moments) == sorted(set(made.moments))
    assert len(made.moments) == len(made.values) < 24 * 182
    assert made.faults
    for fault in made.faults:
        hours = (made.moments[fault.last] - made.moments[fault.first]) / HOUR
        assert hours == fault.last - fault.first  # no row of it is missing
        assert made.moments[fault.first] >= START + timedelta(days=FIRST_FAULT)


@pytest.mark.parametrize("name", METHODS)
def test_no_method_looks_ahead(name: str) -> None:
    made = make(0)
    short = replace(made, moments=made.moments[:400], values=made.values[:400])
    shorter = replace(made, moments=made.moments[:390], values=made.values[:390])
    scores = METHODS[name](short)
    assert len(scores) == 400
    assert all(score >= 0 for score in scores)
    assert scores[:390] == METHODS[name](shorter)


def test_what_is_held_back_is_no_seed_to_try_things_on() -> None:
    assert min(HELD_BACK) >= 1_000
