"""Time intervals: the semantics of Alertmanager's documentation as a table; the end of a mute against a plain scan."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerting.intervals import TimeInterval, active_names, muted_by, muted_until

# 2026-03-02 is a Monday; Berlin is UTC+1 until 2026-03-29 02:00, then UTC+2.
CASES = [
    ("no restriction holds always", TimeInterval(), "2026-03-02T00:00", True),
    ("the start is inside", TimeInterval(minutes=((540, 1020),)), "2026-03-02T09:00", True),
    ("the end is outside", TimeInterval(minutes=((540, 1020),)), "2026-03-02T17:00", False),
    ("the last minute counts whole", TimeInterval(minutes=((540, 1020),)), "2026-03-02T16:59:59", True),
    ("until midnight", TimeInterval(minutes=((1020, 1440),)), "2026-03-02T23:59:59", True),
    ("any of several times", TimeInterval(minutes=((0, 60), (540, 600))), "2026-03-02T09:30", True),
    ("Monday is 1", TimeInterval(weekdays=((1, 5),)), "2026-03-02T12:00", True),
    ("Sunday is 0", TimeInterval(weekdays=((0, 0),)), "2026-03-01T12:00", True),
    ("Saturday is not a working day", TimeInterval(weekdays=((1, 5),)), "2026-03-07T12:00", False),
    ("the last day of the month", TimeInterval(days_of_month=((-1, -1),)), "2026-02-28T12:00", True),
    ("the last day of a leap February", TimeInterval(days_of_month=((-1, -1),)), "2028-02-29T12:00", True),
    ("not the last but one", TimeInterval(days_of_month=((-1, -1),)), "2026-02-27T12:00", False),
    ("from the 1st to the last but two", TimeInterval(days_of_month=((1, -3),)), "2026-02-26T12:00", True),
    ("a range is clamped to the month", TimeInterval(days_of_month=((28, 31),)), "2026-02-28T12:00", True),
    ("a range beyond the month never holds", TimeInterval(days_of_month=((30, 31),)), "2026-02-28T12:00", False),
    ("months", TimeInterval(months=((5, 7),)), "2026-06-01T12:00", True),
    ("months are inclusive", TimeInterval(months=((5, 7),)), "2026-07-31T23:59", True),
    ("years", TimeInterval(years=((2025, 2025),)), "2026-01-01T00:00", False),
    ("all parts must hold", TimeInterval(minutes=((540, 1020),), weekdays=((6, 6),)), "2026-03-02T12:00", False),
    ("in the zone's own time", TimeInterval(minutes=((540, 600),), zone="Europe/Berlin"), "2026-03-02T08:30", True),
    ("after the clocks change", TimeInterval(minutes=((540, 600),), zone="Europe/Berlin"), "2026-03-30T07:30", True),
    ("the zone's own day", TimeInterval(weekdays=((2, 2),), zone="Asia/Kathmandu"), "2026-03-02T18:15", True),
    ("half an hour of summer", TimeInterval(minutes=((0, 60),), zone="Australia/Lord_Howe"), "2026-07-01T13:30", True),
]


@pytest.mark.parametrize(("interval", "now", "holds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_interval_holds(interval: TimeInterval, now: str, *, holds: bool) -> None:
    assert interval.contains(datetime.fromisoformat(now).replace(tzinfo=UTC)) is holds


NINE_TO_FIVE = TimeInterval(minutes=((540, 1020),))
AT_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_route_is_mute_inside_a_mute_and_outside_all_active_intervals() -> None:
    intervals = {
        "work": [NINE_TO_FIVE],
        "weekend": [TimeInterval(weekdays=((6, 6),)), TimeInterval(weekdays=((0, 0),))],
    }
    assert muted_by(["work"], [], intervals, AT_NOON) == "work"
    assert muted_by([], ["work"], intervals, AT_NOON) is None
    assert muted_by([], ["weekend"], intervals, AT_NOON) == "weekend"
    assert muted_by([], ["weekend", "work"], intervals, AT_NOON) is None
    assert muted_by(["weekend"], ["work"], intervals, AT_NOON) is None


def test_a_name_that_the_configuration_lost_mutes_nothing() -> None:
    assert active_names(["gone"], {}, AT_NOON) == ()
    assert muted_by(["gone"], ["gone"], {}, AT_NOON) is None


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
SPANS = st.tuples(st.integers(0, 95), st.integers(1, 96)).filter(lambda span: span[0] < span[1])
WEEKDAYS = st.sampled_from([(0, 0), (1, 5), (6, 6), (0, 3)])


@st.composite
def intervals_of_a_week(draw: st.DrawFn) -> TimeInterval:
    spans = draw(st.lists(SPANS, max_size=2))
    return TimeInterval(
        minutes=tuple((start * 15, end * 15) for start, end in spans),
        weekdays=tuple(draw(st.lists(WEEKDAYS, max_size=1))),
        zone=draw(ZONES),
    )


# Around the days on which these zones change their clocks.
STARTS = st.sampled_from([datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), AT_NOON])


@settings(max_examples=60, deadline=None)
@example(TimeInterval(weekdays=((6, 6),), zone="Europe/Berlin"), datetime(2026, 3, 28, tzinfo=UTC), 0)
@given(mute=intervals_of_a_week(), start=STARTS, minutes=st.integers(0, 2 * 24 * 60))
def test_the_end_of_a_mute_is_the_first_minute_that_is_not_mute(
    mute: TimeInterval, start: datetime, minutes: int
) -> None:
    now = start + timedelta(minutes=minutes, seconds=17)
    intervals = {"mute": [mute]}
    found = muted_until(["mute"], [], intervals, now)
    minute = now.replace(second=0) + timedelta(minutes=1)
    limit = now + timedelta(days=8)
    while minute < limit and mute.contains(minute):
        minute += timedelta(minutes=1)
    if minute < limit and mute.contains(now):
        assert found == minute
    elif minute >= limit:
        assert found > limit - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("zone", "minutes", "now", "ends"),
    [
        # At 01:00 UTC the clocks of Berlin go from 03:00 back to 02:00, in New York's spring from 02:00 on to 03:00.
        ("Europe/Berlin", (0, 150), "2026-10-25T00:40", "2026-10-25T01:00"),
        ("America/New_York", (150, 240), "2026-03-08T06:59", "2026-03-08T07:00"),
    ],
)
def test_an_interval_can_begin_with_a_change_of_the_clocks(
    zone: str, minutes: tuple[int, int], now: str, ends: str
) -> None:
    intervals = {"active": [TimeInterval(minutes=(minutes,), zone=zone)]}
    at, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, ends))
    assert muted_by([], ["active"], intervals, at) is not None
    assert muted_until([], ["active"], intervals, at) == end
