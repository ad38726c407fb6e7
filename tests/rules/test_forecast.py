"""When a run will end: past runs replayed from where this one stands."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.forecast import Forecast, Past, Standing, forecast

DAY_S = 86_400.0


def fork(day: int, *, slow: float = 0.0, load: float = 60.0) -> Past:
    """extract → load (a minute) and extract → check (ten minutes), both → report. Starts ten seconds apart."""
    began = day * DAY_S
    loaded, checked = began + 130 + load + slow, began + 730
    last = max(loaded, checked)
    tasks = {
        "extract": (began + 10, began + 120),
        "load": (began + 130, loaded),
        "check": (began + 130, checked),
        "report": (last + 10, last + 40),
    }
    return Past(began, began, last + 42, tasks)


PAST = [fork(day, load=60 + day % 3) for day in range(1, 13)]
NOW = 20 * DAY_S
STARTED = Standing(NOW, NOW, {"extract": (NOW + 10, NOW + 120), "load": (NOW + 130, None), "check": (NOW + 130, None)})


def ends(found: Forecast) -> list[float]:
    return [end - NOW for end, _ in found.ends]


def test_a_run_on_its_way_ends_as_past_ones_did() -> None:
    found = forecast(STARTED, PAST, NOW + 140)
    assert ends(found) == [772] * 12
    assert found.bottleneck == "check"


def test_what_is_not_on_the_critical_path_costs_no_time_when_it_is_late() -> None:
    """`load` may take three times as long before anybody waits for it."""
    found = forecast(STARTED, PAST, NOW + 300)
    assert found.quantile(0.5) - NOW == 772
    assert found.bottleneck == "check"


def test_a_task_that_the_end_waits_for_is_named_with_how_long_it_is_over() -> None:
    checked = {**STARTED.tasks, "check": (NOW + 130, NOW + 730)}
    found = forecast(replace(STARTED, tasks=checked), PAST, NOW + 1_000)
    assert found.bottleneck == "load"
    assert found.overdue_s == pytest.approx(870 - 61)
    assert found.quantile(0.5) - NOW > 1_040


def test_a_run_that_is_expected_ends_as_long_after_its_time_as_others_did() -> None:
    late = [replace(one, meant=one.meant - 60) for one in PAST]
    assert ends(forecast(Standing(NOW, None, {}), late, NOW - 3_600)) == [832] * 12
    assert ends(forecast(Standing(NOW, None, {}), late, NOW + 300)) == [300 + 772] * 12


def test_a_slow_day_stays_slow() -> None:
    quick, slow = [_tempo(day, 1.0) for day in range(1, 11)], [_tempo(day, 2.0) for day in range(11, 16)]
    here = Standing(NOW, NOW, {"a": (NOW, NOW + 200), "b": (NOW + 200, None)})
    assert forecast(here, [*quick, *slow], NOW + 201).quantile(0.5) - NOW == 600
    here = Standing(NOW, NOW, {"a": (NOW, NOW + 100), "b": (NOW + 100, None)})
    assert forecast(here, [*quick, *slow], NOW + 101).quantile(0.5) - NOW == 300


def _tempo(day: int, tempo: float) -> Past:
    began = day * DAY_S
    return Past(began, began, began + 300 * tempo, {
        "a": (began, began + 100 * tempo), "b": (began + 100 * tempo, began + 300 * tempo),
    })  # fmt: skip


def test_what_waits_for_what_may_be_told_and_is_then_not_guessed() -> None:
    """`report` always began after `load` had ended, but it does not wait for it."""
    checked = {**STARTED.tasks, "check": (NOW + 130, NOW + 730)}
    here, told = replace(STARTED, tasks=checked), {"report": ["check"]}
    assert forecast(here, PAST, NOW + 731).quantile(0.01) - NOW > 772
    found = forecast(here, PAST, NOW + 731, told)
    reports = [end - NOW for end, _ in found.ends]
    assert min(reports) == 772


def test_runs_without_tasks_go_on_as_those_that_took_longer() -> None:
    past = [Past(day * DAY_S, day * DAY_S, day * DAY_S + 100 * day, {}) for day in range(1, 11)]
    found = forecast(Standing(NOW, NOW, {}), past, NOW + 850)
    assert set(ends(found)) == {900, 1_000}
    assert found.chance_after(NOW + 950) == pytest.approx((5 + 0.5) / 11)


def test_longer_than_ever_before_is_as_likely_to_double_its_excess_as_not() -> None:
    past = [Past(day * DAY_S, day * DAY_S, day * DAY_S + 100, {}) for day in range(1, 12)]
    found = forecast(Standing(NOW, NOW, {}), past, NOW + 160)
    assert found.quantile(0.5) - NOW == pytest.approx(220, abs=10)


def test_a_run_of_thousands_of_tasks_is_taken_as_one_piece() -> None:
    many = {f"t{index}": (0.0, 1.0) for index in range(2_000)}
    past = [Past(0.0, 0.0, 50.0, many)] * 10
    assert ends(forecast(Standing(NOW, NOW, {}), past, NOW)) == [50.0] * 10


def test_a_circle_of_what_was_told_is_cut() -> None:
    told = {"load": ["check"], "check": ["load"]}
    assert forecast(STARTED, PAST, NOW + 140, told).ends


@given(st.integers(0, 10_000), st.integers(0, 2_000))
def test_no_end_lies_in_the_past_and_chances_are_chances(seed: int, passed: int) -> None:
    dice = random.Random(seed)
    past = [fork(day, slow=dice.choice([0, 0, 700 * dice.random()])) for day in range(1, 1 + dice.randint(1, 30))]
    run = fork(20, slow=dice.choice([0, 900 * dice.random()]))
    now = NOW + passed
    tasks = {name: (began, end if end <= now else None) for name, (began, end) in run.tasks.items() if began <= now}
    found = forecast(Standing(NOW, NOW, tasks), past, now)
    assert all(end >= now for end, _ in found.ends)
    chances = [found.chance_after(now + step) for step in range(0, 3_000, 300)]
    assert all(0 < chance < 1 for chance in chances)
    assert chances == sorted(chances, reverse=True)
    assert found.calm_until >= now
