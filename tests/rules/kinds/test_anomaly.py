"""A number off its own baseline: what is unusual, what is too small to matter, and what a change does to it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from rules.kinds.anomaly import Anomaly, AnomalyConfig
from tests.rules.telling import of_series, sample
from tests.rules.timeline import at, only, rule
from watchtower.model.business import BusinessCalendar
from watchtower.model.change import Change
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot, Violation
from watchtower.model.series import Sample, SeriesKind

KIND = Anomaly()
NOW = at(60)
HOUR = 60  # minutes


def of(**options: Any) -> Rule:
    return rule(KIND, "Odd", series="score", **options)


def hourly(values: Sequence[float], **said: Any) -> list[Sample]:
    return [sample(place * HOUR, value, **said) for place, value in enumerate(values)]


def usual(count: int = 60, level: float = 100.0, spread: float = 5.0) -> list[float]:
    chance = random.Random(9)
    return [chance.gauss(level, spread) for _ in range(count)]


def evaluate(values: Sequence[float], **options: Any) -> Evaluation:
    return KIND.evaluate(of(**options), of_series(hourly(values)), NOW)


def found(values: Sequence[float], **options: Any) -> Violation | None:
    violations = evaluate(values, **options).violations
    return violations[0] if violations else None


# -- what is unusual ----------------------------------------------------------------------------------------------


def test_the_alert_says_the_value_the_range_since_when_and_how_often() -> None:
    one = only(evaluate([*usual(), 180.0, 190.0]))
    assert one.value == 190.0
    assert one.since == at(0, seconds=60 * HOUR * 60)
    assert one.summary.startswith("score of orders_daily is 190")
    assert one.summary.endswith("that is usual (0 of 60 samples before were nearly as high)")
    assert one.evidence["in_a_row"] == 2
    assert one.evidence["expected"].startswith("between ")
    assert 70 < one.evidence["expected_low"] < one.evidence["usual"] < one.evidence["expected_high"] < 130


@pytest.mark.parametrize(
    ("value", "direction", "wrong"),
    [
        (180.0, "both", True), (180.0, "up", True), (180.0, "down", False),
        (20.0, "both", True), (20.0, "up", False), (20.0, "down", True), (102.0, "both", False),
    ],
)  # fmt: skip
def test_only_the_direction_that_was_asked_for_is_wrong(value: float, direction: str, wrong: bool) -> None:
    assert bool(found([*usual(), value], direction=direction)) is wrong


def test_sensitivity_moves_the_range() -> None:
    values = [*usual(spread=10.0), 135.0]
    assert [bool(found(values, sensitivity=word)) for word in ("low", "medium", "high")] == [False, True, True]


@pytest.mark.parametrize(
    ("value", "options", "wrong"),
    [
        (119.0, {}, False),
        (121.0, {}, True),
        (119.0, {"min_change": "10%"}, True),
        (121.0, {"min_difference": 30}, False),
        (131.0, {"min_difference": 30}, True),
    ],
)
def test_what_is_small_is_no_anomaly_however_steady_the_series(
    value: float, options: dict[str, Any], wrong: bool
) -> None:
    assert bool(found([*[100.0] * 40, value], **options)) is wrong


def test_it_learns_until_there_are_ten_samples_before_the_judged_one() -> None:
    assert evaluate([100.0] * 9 + [500.0]).learning == "9 of 10 samples"
    assert found([100.0] * 10 + [500.0])
    assert evaluate([100.0] * 10 + [500.0], min_samples=20).learning == "10 of 20 samples"


def test_what_one_sample_in_ten_comes_to_is_no_anomaly() -> None:
    values = [300.0 if place % 10 == 0 else value for place, value in enumerate(usual(100))]
    assert not found([*values, 300.0])
    assert found([*values, 400.0])


@pytest.mark.parametrize(
    ("bursts", "wrong"),
    [
        ((60, 220), True),
        ((60, 220, 380), False),  # on three days of three weeks
        ((100, 101, 102, 103), True),  # one incident hides no other
    ],
)
def test_what_comes_on_day_after_day_is_no_anomaly(bursts: Sequence[int], wrong: bool) -> None:
    values = usual(480)
    for place in bursts:
        values[place] = 300.0
    assert bool(found([*values, 300.0])) is wrong
    assert found([*values, 400.0])


def test_the_next_usual_value_ends_it() -> None:
    assert evaluate([*usual(), 190.0, 101.0]) == Evaluation(resolution={"value": 101.0})


def test_ten_values_at_a_new_level_are_the_new_level() -> None:
    values = [*usual(), *[200.0 + place % 3 for place in range(10)]]
    assert found(values)
    assert not found([*values, 201.0])
    assert not found([*values, 100.0])  # it was there for long


# -- seasons ------------------------------------------------------------------------------------------------------


def night_and_day(days: int) -> list[float]:
    chance = random.Random(2)
    return [(100 if 8 <= hour % 24 < 18 else 20) + chance.gauss(0, 1) for hour in range(24 * days)]


@pytest.mark.parametrize(("seasonality", "wrong"), [("auto", True), ("hour", True), ("none", False)])
def test_a_daytime_value_at_night_is_unusual_once_the_hours_are_known(seasonality: str, wrong: bool) -> None:
    values = [*night_and_day(14), 21.0, 100.0]
    one = found(values, seasonality=seasonality)
    assert bool(one) is wrong
    assert one is None or (one.evidence["seasonality"], "usual at this time of day" in one.summary) == ("hour", True)


@pytest.mark.parametrize(("days", "wrong"), [((4, 9), True), ((4, 9, 15), False)])
def test_what_the_hours_leave_on_day_after_day_is_no_anomaly(days: Sequence[int], wrong: bool) -> None:
    values = night_and_day(20)
    for day in days:
        values[24 * day + 12 + day % 4] = 160.0
    now = [*night_and_day(1)[:10], 160.0]
    assert bool(found([*values, *now])) is wrong
    assert found([*values, *now[:-1], 230.0])


def test_a_job_that_is_slow_each_monday_is_measured_against_its_mondays() -> None:
    chance = random.Random(3)
    slow = (at(0).weekday() - 1) % 7  # of the days, counted from the first sample on
    days = [(3600 if day % 7 == slow else 1200) + chance.gauss(0, 40) for day in range(70)]

    def on(day: int, value: float) -> bool:
        told = [sample(place * 24 * HOUR, each) for place, each in enumerate([*days[:day], value])]
        return bool(KIND.evaluate(of(seasonality="weekday"), of_series(told), at(99)).violations)

    assert not on(63 + slow, 3600)
    assert on(63 + slow, 1200)
    assert on(64 + slow, 3600)
    assert not on(64 + slow, 1200)


def test_hours_are_those_of_the_clock_that_was_named() -> None:
    values = [*night_and_day(14), *night_and_day(1)[:9]]  # 08:00 in UTC
    assert not found(values)
    assert not found(values, timezone="Asia/Tokyo")  # the pattern moves with the clock


# -- changes of the job -------------------------------------------------------------------------------------------


def deployed(values: Sequence[float], hour: int) -> SeriesSnapshot:
    change = Change(at(0, seconds=(hour * HOUR - 1) * 60), "ci", "deploy", "New model", commit="abc12345def")
    return replace(of_series(hourly(values)), changes=(change,))


@pytest.mark.parametrize(
    ("after", "value", "wrong"),
    [
        ("widen", 130.0, False), ("widen", 300.0, True),
        ("restart", 300.0, False),
        ("ignore", 130.0, True),
    ],
)  # fmt: skip
def test_what_a_deploy_does_is_chosen(after: str, value: float, wrong: bool) -> None:
    snapshot = deployed([*usual(), value], 60)
    evaluation = KIND.evaluate(of(after=after), snapshot, NOW)
    assert bool(evaluation.violations) is wrong
    if after == "restart":
        assert evaluation.learning == "0 of 10 samples"


def test_ten_samples_after_a_deploy_the_range_is_as_narrow_as_before() -> None:
    snapshot = deployed([*usual(), *usual(10), 130.0], 60)
    only(KIND.evaluate(of(), snapshot, NOW))


# -- kinds of series ----------------------------------------------------------------------------------------------


def test_a_counter_is_judged_by_what_it_grew() -> None:
    told: list[Sample] = []
    total = 0.0
    for place, growth in enumerate([*usual(40), 500.0]):
        total += growth
        told.append(sample(place * HOUR, total))
    one = only(KIND.evaluate(of(), of_series(told, kind=SeriesKind.SUM), NOW))
    assert one.value == pytest.approx(500.0)


def test_history_teaches_and_never_pages() -> None:
    past = hourly([*usual(), 190.0], historical=True)
    assert only(KIND.evaluate(of(), of_series(past), NOW)).historical
    live = [*past[:-1], replace(past[-1], historical=False)]
    assert not only(KIND.evaluate(of(), of_series(live), NOW)).historical


def test_a_sample_that_is_still_to_come_counts_from_its_moment_on() -> None:
    snapshot = of_series(hourly([*usual(), 190.0]))
    ahead = snapshot.samples[0].at
    before = KIND.evaluate(of(), snapshot, snapshot.samples[1].at)
    assert (before.violations, before.next_at) == ((), ahead)
    assert KIND.evaluate(of(), snapshot, ahead).violations


def test_another_series_and_one_without_samples_say_nothing() -> None:
    assert KIND.evaluate(of(), of_series([], name="score"), NOW) == Evaluation()
    assert KIND.evaluate(of(), of_series(hourly([1.0]), name="other"), NOW) == Evaluation()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"series": "no name"}, "is no name of a series"),
        ({"min_change": "much"}, "is no share"),
        ({"seasonality": "moon"}, "Input should be 'auto'"),
        ({"min_samples": 2}, "greater than or equal to 5"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AnomalyConfig.model_validate({"series": "score", **options})


def test_it_is_told_in_plain_words_what_is_expected() -> None:
    assert KIND.describe(of()) == "score must be as usual."
    assert KIND.describe(of(direction="up"), of_series(hourly([1.0]))) == (
        "score of orders_daily must be no higher than usual; what is usual is being learned."
    )
    assert KIND.describe(of(), of_series(hourly([100.0] * 20))) == (
        "score of orders_daily must be as usual: between 80 and 120."
    )


# -- turns of a month, holidays, one weekday ----------------------------------------------------------------------

LATER = at(400)


def each_day(count: int, value_of: Callable[[datetime], float]) -> list[Sample]:
    """One sample a day at six, none of them equal."""
    return [sample((day * 24 + 6) * 60, value_of(at(day)) + day % 3) for day in range(count)]


def is_last(day: datetime) -> bool:
    return (day + timedelta(days=1)).month != day.month


def test_the_end_of_a_month_may_be_high_and_another_day_may_not() -> None:
    """2026-03-02 is day 0, so day 151 is the 31st of July."""
    samples = each_day(152, lambda day: 900 if is_last(day) else 300)
    assert not KIND.evaluate(of(), of_series(samples), LATER).violations
    assert "on the last day of a month" in KIND.describe(of(), of_series(samples))
    higher = [*samples[:-1], replace(samples[-1], value=1_500.0)]
    assert only(KIND.evaluate(of(), of_series(higher), LATER)).evidence["seasonality"] == "on the last day of a month"
    early = [*samples[:-2], replace(samples[-2], value=900.0)]
    assert only(KIND.evaluate(of(), of_series(early), LATER)).evidence["seasonality"] == "on days like this"
    assert KIND.evaluate(of(seasonality="none"), of_series(higher), LATER).violations


def test_high_mondays_are_usual_and_a_high_tuesday_is_not() -> None:
    samples = each_day(99, lambda day: 900 if day.weekday() == 0 else 300)
    assert not KIND.evaluate(of(), of_series(samples), LATER).violations
    tuesday = [*samples, sample((99 * 24 + 6) * 60, 900)]
    assert KIND.evaluate(of(), of_series(tuesday), LATER).violations


def test_a_holiday_is_held_against_holidays() -> None:
    """Four of them were low; the fifth is as an ordinary day."""
    office = BusinessCalendar("office", frozenset(range(7)), frozenset(at(day).date() for day in (9, 31, 52, 73, 93)))
    samples = each_day(93, lambda day: 300 if office.is_open(day.date()) else 20)
    low, ordinary = ([*samples, sample((93 * 24 + 6) * 60, value)] for value in (20, 300))
    assert not KIND.evaluate(of(calendar=office), of_series(low), LATER).violations
    told = only(KIND.evaluate(of(calendar=office), of_series(ordinary), LATER))
    assert told.evidence["seasonality"] == "on days without business"
    assert KIND.evaluate(of(), replace(of_series(ordinary), calendar=office), LATER).violations
    assert not KIND.evaluate(of(), of_series(ordinary), LATER).violations


# -- the first weekend --------------------------------------------------------------------------------------------


def until(day: int, hour: int, first: int, **said: Any) -> Evaluation:
    """Half as much at the weekend, by the hour from the day `first` on (0 is a Monday) up to that one."""
    chance = random.Random(9)
    values = {
        place: chance.gauss(100, 5) * (0.5 if at(place // 24).weekday() >= 5 else 1.0)
        for place in range(24 * day + hour + 1)
    }
    samples = [sample(place * HOUR, value) for place, value in values.items() if place >= 24 * first]
    return KIND.evaluate(of(**said), of_series(samples, first_seen=at(0)), NOW)


def test_on_the_first_weekend_nobody_knows_what_weekends_are_like() -> None:
    assert at(0).weekday() == 0
    assert until(5, 3, first=0).learning == "the first day without business that it sees"
    assert not until(5, 3, first=0).violations


def test_a_weekend_is_judged_once_one_was_seen_whether_it_is_in_view_or_not() -> None:
    """Of many samples an hour only two days are in view: then each weekend is unlike these."""
    assert until(12, 3, first=11).violations
    assert not until(12, 3, first=0).violations


def test_days_without_business_are_those_of_the_calendar() -> None:
    office = BusinessCalendar("office", frozenset(range(7)), frozenset({at(0).date()}))
    assert until(5, 3, first=0, calendar=office).violations


def test_what_began_before_the_first_weekend_goes_on() -> None:
    values = [*usual(24 * 5 - 3), *[300.0] * 6]
    snapshot = of_series(hourly(values), first_seen=at(0))
    assert KIND.evaluate(of(), snapshot, NOW).violations
