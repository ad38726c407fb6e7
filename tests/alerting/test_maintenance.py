"""Maintenance: nobody is told inside a window, everybody of what still fires at its end; each suppression is kept."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from alerting.intervals import TimeInterval
from alerting.maintenance import Recurring, Window, keeping_quiet
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.config import examine, load_text
from watchtower.model.alert import Call
from watchtower.model.labels import parse_matchers
from watchtower.store import audit
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.schema.access import audit as audit_rows

CHAT, VOICE = "team/webhook[0]", "team/oncall[0]/1/primary/voice"
KEY = b"k" * 32
Make = Callable[..., Timeline]


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    """`make(window, …)`: a timeline in which these windows are planned; times of a window in seconds."""

    def made(*windows: Window) -> Timeline:
        call = Call("primary", 0, 300, 5, severities=("page",), daily_cap=200, last_resort=True)
        receivers = {"team": [Destination(CHAT), Destination(VOICE, send_resolved=False, call=call)]}
        policy = replace(pipeline(node("team", wait=0), receivers=receivers), maintenance=windows)
        line = Timeline(database, clock, policy, {CHAT: Provider.like(clock), VOICE: Provider.like(clock, rings=True)})
        line.store = SqlAlertingStore(database, KEY)
        line.restart()
        return line

    return made


def _window(clock: ManualClock, first: float, last: float, matchers: str = 'pipeline="orders"') -> Window:
    start = clock.now()
    once = (start + timedelta(seconds=first), start + timedelta(seconds=last))
    return Window("upgrade", parse_matchers(matchers), "the warehouse is upgraded", "data-lead", once=once)


def test_nobody_is_told_inside_a_window_and_everybody_at_its_end(make: Make, clock: ManualClock) -> None:
    line = make(_window(clock, 0, 600))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders", severity="page")))
    line.push(20, fires(line.pipeline, firing_alert(line.at(20), pipeline="billing", severity="page")))
    line.play(700)
    for second in (20, 600):
        line.want(between(second, second), CHAT, firing=1)
    for second in (20, 320, 600, 620):  # of what nothing keeps quiet: at 20, and every five minutes
        line.want(between(second, second), VOICE, firing=1)
    line.want_nothing_else()
    ends = [(reason, state) for _, _, state, reason in line.obligations()]
    assert ends.count(("maintenance", "superseded")) == 2


def test_what_rang_before_a_window_does_not_ring_in_it_and_goes_on_after_it(make: Make, clock: ManualClock) -> None:
    line = make(_window(clock, 100, 1_000))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders", severity="page")))
    line.play(1_200)
    line.want(between(0, 0), CHAT)
    line.want(between(0, 0), VOICE, reason="first")
    line.want(between(1_000, 1_000), VOICE, reason="redial")
    line.want_nothing_else()


def test_what_is_over_before_the_end_is_not_told_but_the_end_of_what_was_told(make: Make, clock: ManualClock) -> None:
    line = make(_window(clock, 100, 1_000))
    before, inside = (firing_alert(line.at(at), pipeline="orders", task=str(at)) for at in (0, 200))
    line.push(0, fires(line.pipeline, before))
    line.push(200, fires(line.pipeline, inside))
    line.push(400, resolves(line.pipeline, resolved_alert(before, line.at(400)), resolved_alert(inside, line.at(400))))
    line.play(2_000)
    line.want(between(0, 0), CHAT, firing=1)
    line.want(between(400, 400), CHAT, firing=0, reason="all_resolved")
    line.want_nothing_else()


def test_each_suppression_is_an_entry_of_the_audit(make: Make, clock: ManualClock, database: Database) -> None:
    line = make(_window(clock, 0, 600))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.play(100)
    with database.read() as connection:
        rows = connection.execute(select(audit_rows)).all()
        assert audit.verify(connection, KEY).fault is None
    assert [(row.actor, row.action, row.after["reason"], row.after["by"]) for row in rows] == [
        ("system", "alert.suppressed", "maintenance", "upgrade")
    ]
    assert len(rows[0].after["obligations"]) == 1


def test_a_window_of_a_time_interval_ends_with_it(make: Make, clock: ManualClock) -> None:
    minute = clock.now().hour * 60 + clock.now().minute
    interval = TimeInterval(minutes=((minute, minute + 10),))
    line = make(Window("nightly", parse_matchers('pipeline="orders"'), intervals=(interval,)))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.play(1_000)
    line.want(between(600 - clock.now().second, 600), CHAT, firing=1)


def test_cron_is_meant_in_its_zone_and_durations_are_real_time() -> None:
    window = Window("vacuum", parse_matchers('team="a"'), recurring=Recurring("0 2 * * sun", 7_200, "Europe/Berlin"))
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in (((2026, 3, 22), 2), ((2026, 3, 29), 2), ((2026, 10, 25), 2)):
        begins = datetime(*day, 2, tzinfo=berlin).astimezone(UTC)
        if day == (2026, 3, 29):  # two o'clock does not exist: Debian's cron begins right after the gap
            begins = datetime(*day, 3, tzinfo=berlin).astimezone(UTC)
        end = begins + timedelta(hours=hours)
        assert window.ends_at(begins - timedelta(seconds=1)) is None, day
        assert window.ends_at(begins) == window.ends_at(end - timedelta(seconds=1)) == end, day
        assert window.ends_at(end) is None, day


@given(st.integers(min_value=-200, max_value=400), st.sampled_from(["a", "b"]))
def test_a_window_once_holds_exactly_from_its_start_to_its_end(second: int, team: str) -> None:
    start = datetime(2026, 3, 14, 22, tzinfo=UTC)
    window = Window("once", parse_matchers('team="a"'), once=(start, start + timedelta(seconds=200)))
    now = start + timedelta(seconds=second)
    assert (keeping_quiet({"team": team}, [window], now) is window) == (team == "a" and 0 <= second < 200)


# -- the configuration ----------------------------------------------------------------------------------------------

GOOD: dict[str, str] = {
    "once": "start: 2026-03-14T22:00:00+01:00, end: 2026-03-15T02:00:00+01:00",
    "cron": "cron: 0 2 * * sun, duration: 2h, timezone: Europe/Berlin",
    "intervals": "time_intervals: [night]",
}
NIGHT = "time_intervals: [{name: night, time_intervals: [{times: [{start_time: '01:00', end_time: '05:00'}]}]}]\n"


def _section(times: str) -> str:
    return NIGHT + f"maintenance: [{{name: w, matchers: ['team=\"a\"'], reason: why, {times}}}]\n"


@pytest.mark.parametrize("times", GOOD.values(), ids=GOOD)
def test_the_section_is_read(times: str) -> None:
    [made] = load_text(_section(times)).maintenance
    assert (made.name, made.reason, [str(item) for item in made.matchers]) == ("w", "why", ['team="a"'])


BAD: list[tuple[str, Any]] = [
    ("author: me", "it must be said when it holds, in one way"),
    ("time_intervals: [nigth]", "unknown time interval 'nigth'"),
    ("cron: 0 2 * * sun", "cron and duration belong together"),
    ("cron: often, duration: 1h", "'often' is no cron expression"),
    ("start: 2026-03-14T22:00:00+01:00", "start and end belong together"),
    ("start: 2026-03-14T22:00:00Z, end: 2026-03-14T21:00:00Z", "it ends before it starts"),
    ("start: 2026-03-14T22:00:00, end: 2026-03-14T23:00:00Z", "timezone"),
]


@pytest.mark.parametrize(("times", "fault"), BAD, ids=[fault for _, fault in BAD])
def test_every_fault_of_the_section_is_named(times: str, fault: str) -> None:
    found = [str(each) for each in examine(_section(times)).faults]
    assert any(fault in each for each in found), found


def test_each_of_two_windows_that_hold_for_one_group_lets_go_at_its_own_end(make: Make, clock: ManualClock) -> None:
    line = make(_window(clock, 0, 7_200, "task=a"), replace(_window(clock, 0, 3_600, "task=b"), name="another"))
    line.push(10, fires(line.pipeline, *(firing_alert(line.at(10), pipeline="orders", task=task) for task in "ab")))
    line.play(9_000)
    line.want(between(3_600, 3_600), CHAT, firing=1)
    line.want(between(7_200, 7_500), CHAT, firing=2)
    line.want_nothing_else()
