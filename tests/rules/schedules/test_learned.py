"""Learned schedules: what is regular is found with its rhythm, what is not stays silent."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.schedules.declared import CronSchedule
from rules.schedules.learned import LearnedSchedule, learn

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def _hours(count: int, keep: Callable[[datetime], bool] = lambda moment: True, step: float = 1) -> list[datetime]:
    moments = (MONDAY + timedelta(hours=step * index) for index in range(count))
    return [moment for moment in moments if keep(moment)]


def _learned(starts: list[datetime], timezone: str = "UTC") -> LearnedSchedule:
    schedule = learn(starts, timezone)
    assert schedule is not None
    return schedule


@pytest.mark.parametrize(
    ("starts", "described"),
    [
        (_hours(10), "every 1h"),
        (_hours(200, step=0.25), "every 15m"),
        (_hours(50, step=7), "every 7h"),
        (_hours(10, step=6), "every 6h"),
        (_hours(40, step=6), "at 00:00, 06:00, 12:00, 18:00 UTC"),
        (_hours(20, step=24), "at 00:00 UTC"),
        (_hours(12, step=168), "at 00:00 UTC on Mon"),
        (_hours(24 * 40, lambda m: m.hour == 6 and m.weekday() < 5), "at 06:00 UTC on Mon-Fri"),
        (_hours(24 * 14, lambda m: m.hour == 6 and m.weekday() < 5), "at 06:00 UTC on Mon-Fri"),
        (_hours(24 * 40, lambda m: m.hour in (6, 14)), "at 06:00, 14:00 UTC"),
        (_hours(24 * 30, lambda m: 9 <= m.hour < 12 and m.weekday() < 5), "at 09:00, 10:00, 11:00 UTC on Mon-Fri"),
        (_hours(30, step=48), "every 2d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_regular_rhythm_is_found(starts: list[datetime], described: str) -> None:
    schedule = _learned(starts)
    assert schedule.pattern.describe() == described
    assert schedule.confidence == 1.0


def test_silent_below_ten_runs() -> None:
    assert learn(_hours(9)) is None


def test_irregular_monthly_and_too_fast_work_stay_silent() -> None:
    chance = random.Random(7)
    anywhen = [MONDAY + timedelta(hours=1000 * chance.random()) for _ in range(200)]
    assert learn(anywhen) is None
    assert learn([datetime(2025, month, 1, tzinfo=UTC) for month in range(1, 13)]) is None
    assert learn(_hours(200, step=1 / 60)) is None  # 3 hours cannot show whether it pauses at night


def test_the_zones_clock_is_followed_over_its_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    starts = [datetime(2026, 3, 15 + day, 6, tzinfo=berlin).astimezone(UTC) for day in range(14)]  # ends the day before
    schedule = _learned(starts, "Europe/Berlin")
    assert schedule.after(starts[-1]) == datetime(2026, 3, 29, 4, tzinfo=UTC)
    assert schedule.after(datetime(2026, 3, 29, 4, tzinfo=UTC)) == datetime(2026, 3, 30, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "day", "begins"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC)),
        (
            "Australia/Lord_Howe",
            datetime(2026, 10, 4, tzinfo=UTC),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        ),  # by half an hour
    ],
)
def test_a_time_that_the_clocks_skip_happens_right_behind_the_gap_as_cron_has_it(
    timezone: str, day: datetime, begins: datetime
) -> None:
    place = ZoneInfo(timezone)
    starts = [(day - timedelta(days=n)).replace(hour=2, minute=15, tzinfo=place) for n in range(20, 0, -1)]
    schedule = _learned([start.astimezone(UTC) for start in starts], timezone)
    assert schedule.after(starts[-1]) == begins == CronSchedule("15 2 * * *", timezone).after(starts[-1])
    assert schedule.before(begins + timedelta(hours=3)) == begins


def test_a_day_that_a_zone_skips_has_no_start() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went from 29 to 31 December 2011
    starts = [datetime(2011, 12, day, 6, tzinfo=apia).astimezone(UTC) for day in range(10, 30)]
    following = _learned(starts, "Pacific/Apia").after(starts[-1])
    assert following == datetime(2011, 12, 31, 6, tzinfo=apia)


def test_an_outage_does_not_make_it_forget() -> None:
    starts = [start for start in _hours(60, step=24) if not 20 <= (start - MONDAY).days < 24]
    schedule = _learned(starts)
    assert schedule.pattern.describe() == "at 00:00 UTC"
    assert 0.85 <= schedule.confidence < 1


def test_a_new_cadence_is_silent_until_ten_runs_show_it() -> None:
    before = _hours(60, step=24)
    after = [before[-1] + timedelta(days=1, hours=hour) for hour in range(30)]
    assert learn(before + after[:5]) is None
    assert _learned(before + after).pattern.describe() == "every 1h"


def test_a_moved_time_of_day_is_not_measured_by_the_old_one_for_long() -> None:
    before = _hours(40, step=24)
    moved = [before[-1] + timedelta(days=day + 1, hours=2) for day in range(12)]
    assert learn(before + moved[:3]) is None
    assert _learned(before + moved).pattern.describe() == "at 02:00 UTC"


def test_lateness_of_nominal_runs_is_their_jitter() -> None:
    starts = _hours(20)
    assert _learned(starts).jitter_s == 0
    schedule = learn(starts, lateness=[100.0] * 18 + [400.0] * 2)
    assert schedule is not None
    assert schedule.jitter_s == 600


@given(st.lists(st.integers(0, 45), min_size=10, max_size=40))
@settings(max_examples=40, deadline=None)
def test_starts_some_seconds_late_keep_their_time_of_day(seconds: list[int]) -> None:
    starts = [MONDAY + timedelta(days=day, hours=6, seconds=late) for day, late in enumerate(seconds)]
    schedule = _learned(starts)
    assert schedule.pattern.describe() == "at 06:00 UTC"
    assert schedule.jitter_s <= 45 * 1.5


@given(st.lists(st.integers(0, 13_000_000), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_history_is_answered_and_always_the_same(seconds: list[int]) -> None:
    starts = sorted(MONDAY + timedelta(seconds=offset) for offset in seconds)
    assert learn(starts) == learn(list(starts))


def hours_of(first: int, last: int, step: int = 1) -> list[datetime]:
    return [MONDAY + timedelta(hours=hour) for hour in range(first, last, step)]


def test_a_job_that_runs_each_second_hour_now_is_not_expected_in_between_for_long() -> None:
    """Each skipped hour is late until three distances are alike; ten starts show the new rhythm."""
    hourly = hours_of(0, 168)
    assert described(learn([*hourly, *hours_of(168, 173, 2)])) == "every 1h"
    assert learn([*hourly, *hours_of(168, 175, 2)]) is None
    assert described(learn([*hourly, *hours_of(168, 188, 2)])) == "every 2h"


def test_skipped_starts_of_no_rhythm_are_missing_and_nothing_else() -> None:
    irregular = [start for start in hours_of(0, 240) if start.hour not in (9, 12, 16)]
    assert described(learn(irregular)) == "every 1h"


def test_a_weekday_that_stays_away_three_times_is_not_expected_any_more() -> None:
    days = [MONDAY + timedelta(days=day, hours=6) for day in range(56)]
    weekdays = [day for day in days[28:] if day.weekday() < 5]
    twice = learn([*days[:28], *weekdays[:11]])
    assert twice is not None
    saturday = MONDAY + timedelta(days=47)
    assert twice.after(saturday) == saturday + timedelta(hours=6)
    thrice = learn([*days[:28], *weekdays[:16]])
    assert described(thrice) == "at 06:00 UTC on Mon-Fri"


def test_a_time_of_day_that_stays_away_is_not_expected_any_more() -> None:
    four = [MONDAY + timedelta(days=day, hours=hour) for day in range(20) for hour in (0, 6, 12, 18)]
    two = [MONDAY + timedelta(days=day, hours=hour) for day in range(20, 28) for hour in (0, 12)]
    assert learn([*four, *two[:4]]) is None
    assert described(learn([*four, *two])).startswith("at 00:00, 12:00 UTC")


def test_what_came_back_is_expected_again() -> None:
    days = [MONDAY + timedelta(days=day, hours=6) for day in range(70)]
    rests = [day for day in days if not (28 <= (day - MONDAY).days < 42 and day.weekday() == 5)]
    assert described(learn(rests)) in ("at 06:00 UTC", "every 1d")


def described(found: LearnedSchedule | None) -> str:
    assert found is not None
    return found.pattern.describe()
