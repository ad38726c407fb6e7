"""A busy job's days: weekdays and turns of a month are known though its last hundred runs are four days."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from rules.day_seasons import day_factors, day_season
from rules.engine import Engine
from rules.kinds.duration import Duration
from rules.seasons import Season
from tests.rules.memory import MemoryStore, OneReceiver
from tests.rules.timeline import MONDAY, PIPELINE, daily, of_job, only, rule, run
from watchtower.clock import ManualClock
from watchtower.model.day_medians import DayMedians
from watchtower.model.rule import JobSnapshot
from watchtower.model.run import Run

KIND = Duration()
LEARNED = replace(rule(KIND), declared=False)
FIRST = date(2025, 11, 3)  # a Monday, seventeen weeks before MONDAY
SATURDAY = datetime(2026, 3, 7, tzinfo=UTC)


def days(count: int, weekend: float = 3.0) -> DayMedians:
    """Each day about ten minutes, and so many times that at weekends."""
    first = (FIRST - date(1970, 1, 1)).days
    return DayMedians.of(
        (first + day, (600.0 + day % 5) * (weekend if (FIRST + timedelta(days=day)).weekday() > 4 else 1.0))
        for day in range(count)
    )


def hourly(until: datetime, weekend: float = 3.0, hours: int = 130) -> list[Run]:
    """Up to `until` (exclusive), as `days` has them."""
    begins = [until - timedelta(hours=hours - number) for number in range(hours)]
    return [
        run(f"h{at:%d%H}", at, (10 + at.hour % 5 / 60) * (weekend if at.weekday() > 4 else 1), nominal=at)
        for at in begins
    ]


def known(runs: list[Run], medians: DayMedians) -> JobSnapshot:
    return replace(of_job(runs, all_whole=True), days=medians)


def test_what_days_are_told_of_is_read_back() -> None:
    assert list(days(2)) == [(FIRST, 600.0), (FIRST + timedelta(days=1), 601.0)]
    assert (len(days(2)), days(2) == days(2), len(DayMedians())) == (2, True, 0)


def test_a_weekday_that_is_longer_is_told_by_its_factor() -> None:
    factors = day_factors(days(120), None)
    assert set(factors) == {Season("weekday", 5), Season("weekday", 6)}
    assert factors[Season("weekday", 5)] == pytest.approx(3.0, rel=0.02)
    assert day_season(SATURDAY, factors, None)[0] == Season("weekday", 5)
    assert day_season(MONDAY, factors, None) == (None, 1.0)
    assert day_factors(days(27), None) == {}
    assert day_factors(days(120, weekend=1.0), None) == {}


def test_the_first_saturday_that_is_in_view_is_no_surprise() -> None:
    """The last 130 runs are Monday to Saturday morning; without its days, each run of Saturday is too long."""
    saturday = hourly(SATURDAY + timedelta(hours=1))
    now = saturday[-1].ended_at or SATURDAY
    assert KIND.evaluate(LEARNED, of_job(saturday, all_whole=True), now).violations
    assert not KIND.evaluate(LEARNED, known(saturday, days(120)), now).violations
    assert "on Saturdays" in KIND.describe(LEARNED, known(saturday, days(120)))


def test_a_saturday_that_is_too_long_for_a_saturday_is_told_as_such() -> None:
    runs = hourly(SATURDAY)
    runs.append(run("late", SATURDAY, 60, nominal=SATURDAY))
    found = only(KIND.evaluate(LEARNED, known(runs, days(120)), SATURDAY + timedelta(hours=2)))
    assert "on Saturdays" in found.summary
    assert found.evidence["season"] == "on Saturdays"
    assert 1_700 < found.evidence["usual_median_s"] < 1_900


def test_a_monday_is_not_held_against_the_weekend_that_fills_the_view() -> None:
    monday = datetime(2026, 3, 9, tzinfo=UTC)
    runs = hourly(monday, hours=130)
    runs.append(run("long", monday, 30, nominal=monday))
    found = only(KIND.evaluate(LEARNED, known(runs, days(120)), monday + timedelta(hours=1)))
    assert 580 < found.evidence["usual_median_s"] < 620


def test_days_are_read_of_busy_jobs_alone(clock: ManualClock) -> None:
    """The past of a daily job is four months by itself."""
    store = MemoryStore()
    engine = Engine(store, OneReceiver(), clock, lambda: (LEARNED,), {"duration": KIND})
    store.days[PIPELINE.id] = days(120)
    busy, rare = of_job(hourly(SATURDAY), all_whole=True), of_job(daily(120), all_whole=True)
    for snapshot, is_read in ((busy, True), (rare, False)):
        store.put(snapshot, SATURDAY)
        [explained] = engine.explain([snapshot.key], SATURDAY)
        assert ("on Saturdays" in explained.expects[LEARNED.name]) is is_read
