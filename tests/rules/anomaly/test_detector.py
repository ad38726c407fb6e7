"""The detector: what it finds, what it leaves alone, and that it knows nothing of what is still to come."""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.anomaly import rarity
from rules.anomaly.calendar import Calendar
from rules.anomaly.days import Days
from rules.anomaly.detector import Detector, Scored
from rules.anomaly.rarity import Rarity
from rules.anomaly.shapes import SIZES, Shapes
from rules.anomaly.stillness import Stillness
from rules.anomaly.usual import Expectation, level_of
from rules.anomaly.windows import SortedWindow
from watchtower.model.business import BusinessCalendar

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
FIVE = timedelta(minutes=5)
HOUR = timedelta(hours=1)


def noise(count: int, level: float = 100.0, spread: float = 5.0, seed: int = 7) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(level, spread) for _ in range(count)]


def judged(values: Sequence[float], step: timedelta = FIVE) -> list[Scored]:
    detector = Detector()
    return [detector.see(START + place * step, value) for place, value in enumerate(values)]


def scores(values: Sequence[float], step: timedelta = FIVE) -> list[float]:
    return [one.score for one in judged(values, step)]


def found(values: Sequence[float], least: float = 0.5, step: timedelta = FIVE) -> list[int]:
    return [place for place, score in enumerate(scores(values, step)) if score >= least]


def flat(_: datetime) -> float:
    return 100.0


def by_day(at: datetime) -> float:
    return 100.0 if 8 <= at.hour < 18 else 20.0


def by_working_day(at: datetime) -> float:
    return by_day(at) if at.weekday() < 5 else 20.0


def up(value: float) -> float:
    return value + 40


def wider(value: float) -> float:
    return 100 + (value - 100) * 5


# -- what is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [60, -60])
def test_a_spike_is_the_highest_score_at_its_row(away: int) -> None:
    values = noise(1000)
    values[700] += away
    seen = scores(values)
    assert max(range(len(seen)), key=seen.__getitem__) == 700
    assert seen[700] > 0.55


@pytest.mark.parametrize("after", [up, wider])
def test_a_lasting_change_is_found_soon_and_told_a_few_times_only(after: Callable[[float], float]) -> None:
    values = noise(1600)
    changed = [*values[:900], *map(after, values[900:])]
    told = [place for place in found(changed) if place >= 900]
    assert told[0] < 1000
    assert len(told) <= 4


def test_what_the_clock_explains_is_no_anomaly_and_its_absence_is() -> None:
    chance = random.Random(3)
    day = [100.0 if 8 <= hour < 18 else 20.0 for hour in range(24)]
    values = [day[row // 12 % 24] + chance.gauss(0, 2) for row in range(288 * 12)]
    quiet = 288 * 10  # a day on which nobody came to work
    for row in range(quiet, quiet + 288):
        values[row] = 20.0 + chance.gauss(0, 2)
    seen = scores(values)
    assert max(range(len(seen)), key=seen.__getitem__) in range(quiet + 96, quiet + 288)
    assert sum(score >= 0.5 for score in seen[288 * 4 : quiet]) <= 3


@pytest.mark.parametrize("value", [0.0, 1e-300, 42.0, -7e18])
def test_a_constant_has_nothing_unusual(value: float) -> None:
    assert set(scores([value] * 500)) == {0.0}


def test_the_first_change_of_a_constant_is_found() -> None:
    assert found([5.0] * 400 + [6.0] + [5.0] * 100)[0] == 400


def test_a_stretch_of_known_values_in_an_unknown_order_is_found() -> None:
    """Each value, each jump and each mean of the second half of that day is one of every day."""
    chance = random.Random(4)
    day = [100 + 40 * math.sin(row / 288 * 2 * math.pi) for row in range(288)]
    values = [day[row % 288] + chance.gauss(0, 2) for row in range(288 * 9)]
    flat = 288 * 8
    values[flat : flat + 100] = [100 + chance.gauss(0, 2) for _ in range(100)]
    assert any(place in range(flat, flat + 196) for place in found(values, 0.5))


def test_it_is_told_what_shows_it_most() -> None:
    values = noise(1000)
    values[700] -= 60
    assert [one.why for one in judged(values)][700] == "a jump down"
    assert {one.why for one in judged([5.0] * 100)} == {""}


@pytest.mark.parametrize("step", [FIVE, HOUR, 24 * HOUR])
def test_four_incidents_do_not_make_it_deaf(step: timedelta) -> None:
    """Each is as large as the one before it, and they are a month apart or more."""
    values = noise(1600)
    apart = max(160, timedelta(days=30) // step)
    incidents = list(range(apart, len(values), apart)) if step > FIVE else []
    for place in incidents:
        values[place] += 60
    told = found(values, step=step)
    assert set(incidents) <= set(told)


def test_what_comes_each_day_is_not_told_again_and_again() -> None:
    values = noise(24 * 7 * 12)
    for place in range(25, len(values), 25):  # at another hour each time
        values[place] += 60
    assert len([place for place in found(values, step=HOUR) if place > 24 * 7 * 4]) <= 8


# -- what stands still ----------------------------------------------------------------------------------------------


def stuck(_: float) -> float:
    return 100.0


def calm(value: float) -> float:
    return 100 + (value - 100) / 100


@pytest.mark.parametrize("still", [stuck, calm])
def test_a_noisy_series_that_goes_flat_at_its_own_middle_is_found(still: Callable[[float], float]) -> None:
    values = noise(1000)
    values[700:740] = [still(value) for value in values[700:740]]
    told = [one for one in judged(values)[700:760] if one.score >= 0.5]
    assert [one.why for one in told] == ["it hardly changes"]
    assert 706 <= found(values)[-1] <= 724


def still_rows(values: Sequence[float]) -> list[int]:
    stillness = Stillness()
    return [place for place, value in enumerate(values) if stillness.look(value) > 0]


def test_what_was_still_before_makes_it_no_harder_to_find() -> None:
    values = noise(3000)
    for first in (900, 1600, 2300):
        values[first : first + 20] = [values[first]] * 20
    assert {place // 100 for place in still_rows(values)} == {9, 16, 23}


def test_what_stays_still_is_how_it_is() -> None:
    told = still_rows([*noise(500), *[100.0] * 1000])
    assert 500 < told[0] < 510
    assert told[-1] < 700


def test_a_calm_night_and_a_value_that_is_mostly_the_same_are_nothing_new() -> None:
    chance = random.Random(8)
    nights = [100 + chance.gauss(0, 5) if row % 24 >= 8 else 20.0 for row in range(24 * 40)]
    same = [100.0 if chance.random() < 0.8 else 101.0 for _ in range(24 * 40)]
    assert (still_rows(nights), still_rows(same)) == ([], [])


# -- days that are rare ---------------------------------------------------------------------------------------------


def test_the_turn_of_a_month_is_expected_from_the_fourth_on() -> None:
    """Twice as much comes on the last day of each month: the first three may be told, and no others."""
    chance, detector = random.Random(6), Detector()
    told: list[datetime] = []
    for row in range(6 * 155):
        at = START + row * 4 * HOUR
        times = 2 if is_last_of_month(at) else 1
        if detector.see(at, by_day(at) * times * math.exp(chance.gauss(0, 0.03))).score >= 0.5:
            told.append(at)
        if at.date() == date(2026, 7, 31) and at.hour == 12:
            assert detector.expected is not None and detector.expected.middle == pytest.approx(200, rel=0.1)
    assert {at.month for at in told if is_last_of_month(at)} <= {3, 4, 5}


def test_a_month_that_ends_unlike_the_others_is_told() -> None:
    chance, detector = random.Random(6), Detector()
    told: list[date] = []
    for row in range(6 * 155):
        at = START + row * 4 * HOUR
        times = 3 if is_last_of_month(at) and at.month != 7 else 1
        if detector.see(at, 100 * times * math.exp(chance.gauss(0, 0.03))).score >= 0.5:
            told.append(at.date())
    assert date(2026, 7, 31) in told


def is_last_of_month(at: datetime) -> bool:
    return (at + timedelta(days=1)).day == 1


def test_a_holiday_is_expected_once_three_have_shown_what_they_are_like() -> None:
    closed = [START.date() + timedelta(days=day) for day in (37, 65, 93, 123, 151)]
    days = Days(BusinessCalendar("made", frozenset(range(7)), frozenset(closed)))
    calendar, chance = Calendar(), random.Random(6)
    as_usual: dict[date, float] = {}
    for row in range(6 * 153):
        at = START + row * 4 * HOUR
        value = by_day(at) * (0.0 if at.date() in closed else math.exp(chance.gauss(0, 0.03)))
        value = days.see(at, value, calendar.usually(at))
        calendar.see(at, value)
        if at.hour == 12:
            as_usual[at.date()] = value
    assert [as_usual[day] for day in closed[:3]] == [0, 0, 0]
    assert [as_usual[day] for day in closed[3:]] == [pytest.approx(100, rel=0.1)] * 2


def test_what_a_day_is_like_by_chance_is_nothing_to_expect() -> None:
    chance, days = random.Random(5), Days()
    seen: set[float] = set()
    for row in range(6 * 365):
        days.see(START + row * 4 * HOUR, math.exp(chance.gauss(0, 0.5)), 1.0)
        seen.add(days.times)
    assert seen == {1.0}


def test_of_a_series_below_zero_no_multiples_are_known() -> None:
    days = Days()
    for row in range(6 * 200):
        at = START + row * 4 * HOUR
        value = -200.0 if is_last_of_month(at) else -100.0
        assert days.see(at, value, -100.0) == value


# -- what holds for any series ------------------------------------------------------------------------------------

anything = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=120)


@given(anything)
@settings(max_examples=40, deadline=None)
def test_a_score_is_between_zero_and_one(values: list[float]) -> None:
    assert all(0.0 <= score < 1.0 for score in scores(values))


@given(anything, anything)
@settings(max_examples=30, deadline=None)
def test_what_comes_later_changes_no_score(values: list[float], later: list[float]) -> None:
    assert scores(values + later)[: len(values)] == scores(values)


def test_a_score_does_not_depend_on_the_unit() -> None:
    values = noise(600)
    values[500] += 50
    assert scores([value * 1024 for value in values]) == pytest.approx(scores(values), abs=1e-6)


@pytest.mark.parametrize(("step", "told"), [(FIVE, [300]), (HOUR, [300]), (24 * HOUR, [300, 310])])
def test_what_comes_within_a_day_and_24_rows_of_what_was_told_is_about_the_same(
    step: timedelta, told: list[int]
) -> None:
    remembered = Rarity()
    evidence = [10.0 if row % 110 == 0 else 1.0 for row in range(400)]
    evidence[300], evidence[310] = 11.0, 1e6
    found = [row for row in range(320) if remembered.see(START + row * step, evidence[row]).told > 0]
    assert [row for row in found if row >= 300] == told


def test_what_is_remembered_is_bounded() -> None:
    remembered = Rarity()
    for row in range(3 * rarity.HORIZON):
        remembered.see(START + row * HOUR, float(row * 2654435761 % 1009))
    assert len(remembered._episodes) <= rarity.MOST + 1  # pyright: ignore[reportPrivateUsage]


def test_the_largest_floats_there_are_leave_the_detector_whole() -> None:
    values = noise(4400)
    values[50:250:10] = [1.7e308, -1.7e308] * 10
    values[4300] = 190.0
    seen = scores(values)
    assert all(0.0 <= score < 1.0 for score in seen)


# -- parts --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=13, max_size=70))
@settings(max_examples=30, deadline=None)
def test_the_distance_of_a_shape_is_that_to_the_nearest_stretch_before_it(values: list[float]) -> None:
    memory = 40
    shapes = Shapes(memory)
    seen = [shapes.see(value) for value in values][-1]
    for size, distance in zip(SIZES, seen, strict=True):
        end = len(values)
        newest = values[end - size :]
        earlier = [values[end - back - size : end - back] for back in range(size, min(memory, end - size) + 1)]
        assert distance == pytest.approx(min((math.dist(newest, one) for one in earlier), default=0.0), abs=1e-6)


def test_a_huge_value_blurs_no_distance_once_it_is_past() -> None:
    shapes = Shapes(50)
    values = [1e150, *[float(row % 7) for row in range(60)]]
    assert [shapes.see(value) for value in values][-1] == [0.0, 0.0, 0.0, 0.0, 0.0]


def test_surprise_is_one_bit_for_each_halving_and_each_doubling() -> None:
    window = SortedWindow(200, [float(value) for value in range(1, 128)])
    bits = [window.surprise(value) for value in (64.0, 96.5, 112.5, 128.0)]
    assert bits == [0.0, pytest.approx(1.0), pytest.approx(2.0), pytest.approx(6.02, abs=0.02)]
    assert window.surprise(64 + 63 * 4.0) - window.surprise(64 + 63 * 2.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("usual", "pattern"), [(flat, None), (by_day, "hour"), (by_working_day, "weekday")])
def test_a_pattern_counts_once_it_has_shown_itself(usual: Callable[[datetime], float], pattern: str | None) -> None:
    calendar, chance = Calendar(), random.Random(5)
    for hour in range(24 * 42):
        at = START + hour * HOUR
        calendar.see(at, usual(at) + chance.gauss(0, 2))
    assert calendar.pattern == pattern


def test_the_range_follows_a_new_level_after_ten_values() -> None:
    expectation = Expectation("none")
    for row, value in enumerate([*noise(80), *noise(9, 200.0)]):
        expectation.see(START + row * HOUR, value)
    before = expectation.range(START + 100 * HOUR)
    assert before is not None and before.high() < 150
    expectation.see(START + 99 * HOUR, 201.0)
    after = expectation.range(START + 100 * HOUR)
    assert after is not None and 180 < after.low() < after.middle < after.high() < 220
    assert after.count == 10


def test_a_drift_is_carried_on() -> None:
    middle, sigma, count = level_of([float(row) + (row % 3) for row in range(100)])
    assert middle == pytest.approx(101, abs=2.5)
    assert sigma < 5
    assert count == 100


def test_too_few_values_make_no_range() -> None:
    expectation = Expectation("none")
    for row in range(9):
        expectation.see(START + row * HOUR, 1.0)
    assert expectation.range(START + 9 * HOUR) is None
