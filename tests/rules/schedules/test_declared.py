"""Declared schedules: cron in a zone gives every expected start once, also where the clock changes."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.schedules.declared import CronSchedule, Every, expected_between, parse_schedule, timetable
from rules.schedules.zones import zone
from watchtower.errors import BadInput

# Zone, the UTC moment of its spring change and of its autumn change. Lord Howe's clocks move by half an hour.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC)),
]
EXPRESSIONS = ["30 2 * * *", "45 1 * * *", "0 6 * * 1-5", "15 1,2,3 * * *", "*/15 * * * *", "0 */3 * * *", "5 2 * * 0"]


def _all_starts(expression: str, timezone: str, start: datetime, end: datetime) -> list[datetime]:
    """The plain forward walk of a cron daemon that runs all the time."""
    starts: list[datetime] = []
    for tick in CronSim(expression, start.astimezone(zone(timezone))):
        if tick.astimezone(UTC) > end:
            return starts
        if not starts or tick.astimezone(UTC) > starts[-1]:
            starts.append(tick.astimezone(UTC))
    return starts


@pytest.mark.parametrize("change", [1, 2], ids=["spring", "autumn"])
@pytest.mark.parametrize("zone_changes", CHANGES, ids=lambda each: each[0])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_neighbours_agree_with_a_forward_walk_around_a_change_of_the_clock(
    expression: str, zone_changes: tuple[str, datetime, datetime], change: int
) -> None:
    timezone, moment = zone_changes[0], zone_changes[change]
    assert isinstance(moment, datetime)
    starts = _all_starts(expression, timezone, moment - timedelta(days=20), moment + timedelta(days=20))
    schedule = CronSchedule(expression, timezone)
    probe = moment - timedelta(days=2)
    while probe < moment + timedelta(days=2):
        place = bisect_right(starts, probe)
        assert schedule.before(probe) == starts[place - 1], probe
        assert schedule.after(probe) == starts[place], probe
        probe += timedelta(minutes=29, seconds=59)
        place = bisect_right(starts, starts[place])


@pytest.mark.parametrize(
    ("timezone", "day", "expected"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 3, 8, 7, 0, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_skipped_time_moves_behind_the_gap_and_a_repeated_one_happens_once(
    timezone: str, day: datetime, expected: datetime
) -> None:
    schedule = CronSchedule("30 2 * * *", timezone)
    first = schedule.after(day)
    assert first is not None
    assert first == expected
    following = schedule.after(first)
    assert following is not None
    assert following - first > timedelta(hours=20)


@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from([each[0] for each in CHANGES] + ["UTC"]),
    st.integers(0, 365 * 86_400_000),
)
@settings(max_examples=60, deadline=None)
def test_before_and_after_enclose_every_moment(expression: str, timezone: str, milliseconds: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    schedule = CronSchedule(expression, timezone)
    before, after = schedule.before(moment), schedule.after(moment)
    assert before is not None
    assert after is not None
    assert before <= moment < after
    assert schedule.after(before) == after
    assert schedule.before(after) == after


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("0 6 * * 1-5", "cron 0 6 * * 1-5 Europe/Berlin"),
        ("@daily", "cron 0 0 * * * Europe/Berlin"),
        ("1 day, 0:00:00", "every 1d"),
        ("0:15:00", "every 15m"),
    ],
)
def test_what_orchestrators_write_is_understood(text: str, described: str) -> None:
    schedule = parse_schedule(text, "Europe/Berlin", datetime(2026, 3, 2, tzinfo=UTC))
    assert schedule is not None
    assert schedule.describe() == described


@pytest.mark.parametrize("text", ["", None, "None", "Asset", "@once", "@continuous", "0 25 * * *", "Never, external"])
def test_what_is_no_timetable_is_none(text: str | None) -> None:
    assert parse_schedule(text, "UTC", datetime(2026, 3, 2, tzinfo=UTC)) is None


def test_a_period_without_a_known_start_says_nothing() -> None:
    assert parse_schedule("1 day, 0:00:00", "UTC", None) is None


@pytest.mark.parametrize(("expression", "timezone"), [("0 6 * *", "UTC"), ("0 6 * * *", "Mars/Olympus"), ("x", "UTC")])
def test_a_wrong_expression_or_zone_is_refused_with_an_example(expression: str, timezone: str) -> None:
    with pytest.raises(BadInput, match=r"e\.g\. 0 6|Europe/Berlin"):
        CronSchedule(expression, timezone)


def test_a_period_counts_from_its_anchor_in_both_directions() -> None:
    anchor = datetime(2026, 3, 2, 6, tzinfo=UTC)
    every = Every(7 * 3600, anchor)
    assert every.before(anchor) == anchor
    assert every.after(anchor) == anchor + timedelta(hours=7)
    assert every.before(anchor - timedelta(seconds=1)) == anchor - timedelta(hours=7)


def test_expected_starts_are_bounded() -> None:
    start = datetime(2026, 3, 2, tzinfo=UTC)
    assert len(expected_between(CronSchedule("* * * * *"), start, start + timedelta(days=9), 100)) == 100


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 6 31 4,6,9,11 *"])
def test_a_day_that_no_month_has_never_comes(expression: str) -> None:
    with pytest.raises(BadInput, match="never comes; none of its months has such a day"):
        timetable(expression)
    assert timetable("0 0 29 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)
