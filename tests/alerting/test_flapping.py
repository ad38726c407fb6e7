"""What comes and goes is told once to be doing so, and then not before it is stable; the ledger keeps all of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from alerting.incidents import acknowledge
from alerting.pipeline import Pipeline
from alerting.rendering import render
from alerting.routing import Destination
from tests.alerting import notices
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, AlertState, Call
from watchtower.model.flapping import FlapLimits, FlapPolicy, begins
from watchtower.store import alerts, due, incidents
from watchtower.store.database import Database
from watchtower.store.schema.alerting import flapping as spells

CHAT, PHONE = "team/webhook[0]", "team/oncall[0]/1/primary/sms"
LIMITS = FlapLimits(4, 900, 450)
Make = Callable[..., Timeline]


def _policy(*, send_resolved: bool = True, wait: float = 0) -> Pipeline:
    person = Call("primary", severities=("page",), daily_cap=1000, last_resort=True)
    receivers = {"team": [Destination(CHAT, send_resolved), Destination(PHONE, send_resolved=False, call=person)]}
    return replace(pipeline(node("team", wait=wait), receivers=receivers), flapping=FlapPolicy(None, LIMITS))


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    def made(policy: Pipeline) -> Timeline:
        phone = Provider.like(clock, rings=True)
        return Timeline(database, clock, policy, {CHAT: Provider.like(clock), PHONE: phone})

    return made


def _flap(line: Timeline, *times: float) -> list[Alert]:
    """One alert about a series that begins at the first of times, ends at the second, begins at the third, …"""
    made: list[Alert] = []
    for index, at in enumerate(times):
        if index % 2 == 0:
            made.append(firing_alert(line.at(at), name="QueueFull", series="queue", severity="page"))
            line.push(at, fires(line.pipeline, made[-1]))
        else:
            line.push(at, resolves(line.pipeline, resolved_alert(made[-1], line.at(at))))
    return made


def _open(line: Timeline) -> list[Alert]:
    with line.database.read() as connection:
        return [item.alert for item in alerts.list_alerts(connection, states=[AlertState.FIRING])]


def test_the_fourth_change_is_told_as_flapping_and_then_it_is_quiet(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 1200, 60))
    line.play(5000)
    for second, told in ((0, "first"), (60, "all_resolved"), (120, "first"), (180, "all_resolved")):
        line.want(between(second, second), CHAT, reason=told)
    line.want(between(0, 0), PHONE, firing=1)
    line.want_nothing_else()
    ends = [(state, reason) for where, _, state, reason in line.obligations() if where == CHAT]
    assert ends == [("delivered", None)] * 4 + [("superseded", "flapping")] * 16


def test_what_is_stable_at_last_and_fires_is_told_at_once_and_rings(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 540, 60))  # the last change, at 480, is to firing
    line.do(500, lambda: _assert_marked(line))
    line.play(480 + 450 + 100)
    for second in (0, 60, 120, 180):
        line.want(between(second, second), CHAT)
    line.want(between(930, 930), CHAT, firing=1, reason="first")
    for second in (0, 930):
        line.want(between(second, second), PHONE, firing=1)
    line.want_nothing_else()
    assert [alert.flapping_since for alert in _open(line)] == [None]
    assert line.obligations()[-1] == (PHONE, "firing", "delivered", None)


def test_a_spell_is_forgotten_once_its_changes_would_count_no_more(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 480, 60))  # the last change, at 420, ends it
    for until, left in ((420 + 450 + 899, 1), (420 + 450 + 901, 0)):
        line.play(until)
        with line.database.read() as connection:
            assert connection.execute(select(func.count()).select_from(spells)).scalar_one() == left
            assert (due.next_at(connection, [due.FLAP]) is not None) is bool(left)


def _assert_marked(line: Timeline) -> None:
    assert [alert.flapping_since for alert in _open(line)] == [line.at(180)]


def test_after_it_was_stable_it_is_told_again_as_ever(make: Make) -> None:
    line = make(_policy())
    _flap(line, 0, 60, 120, 180, 180 + 451, 180 + 500)
    line.play(5000)
    assert [effect.reason for effect in line.providers[CHAT].effects[-2:]] == ["first", "all_resolved"]
    line.want(between(0, 0), PHONE)
    line.want(between(631, 631), PHONE)


def test_whoever_hears_no_ends_is_told_with_the_next_beginning(make: Make) -> None:
    line = make(_policy(send_resolved=False))
    _flap(line, *range(0, 1200, 60))
    line.play(5000)
    assert [(effect.at - line.beginning).total_seconds() for effect in line.providers[CHAT].effects] == [0, 120, 240]
    assert len(line.providers[PHONE].effects) == 1


def test_what_came_back_and_stands_rings_after_a_while_and_no_sooner(make: Make) -> None:
    line = make(_policy())
    _flap(line, 0, 60, 120)
    line.play(5000)
    for second, firing in ((0, 1), (60, 0), (120, 1)):
        line.want(between(second, second), CHAT, firing=firing)
    line.want(between(0, 0), PHONE, firing=1)
    line.want(between(570, 570), PHONE, firing=1)
    line.want_nothing_else()
    ends = [(transition, state, reason) for where, transition, state, reason in line.obligations() if where == PHONE]
    assert sorted(ends, key=str) == [
        ("firing", "delivered", None),
        ("firing", "delivered", None),
        ("firing", "superseded", "flapping"),
        ("resolved", "superseded", "send_resolved_off"),
    ]


def test_a_failure_after_a_longer_calm_is_another_one_and_rings_at_once(make: Make) -> None:
    line = make(_policy())
    _flap(line, 0, 60, 60 + 901)
    line.play(1000)
    assert [(effect.at - line.beginning).total_seconds() for effect in line.providers[PHONE].effects] == [0, 961]
    assert [status for status, _ in line.incidents()] == ["triggered", "resolved"]


def test_what_comes_back_rings_at_once_where_nobody_was_told_of_it(make: Make) -> None:
    line = make(_policy(wait=30))  # the first one is over before anybody is told
    _flap(line, 0, 10, 60)
    line.play(100)
    assert [(effect.at - line.beginning).total_seconds() for effect in line.providers[PHONE].effects] == [90]


def test_a_policy_may_take_every_beginning_for_news(make: Make) -> None:
    policy = replace(_policy(), flapping=FlapPolicy(None, replace(LIMITS, returns_s=0)))
    line = make(policy)
    _flap(line, 0, 60, 120, 180)
    line.play(1000)
    assert [(effect.at - line.beginning).total_seconds() for effect in line.providers[PHONE].effects] == [0, 120]


def test_what_comes_and_goes_is_one_incident_until_it_is_stable(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 1200, 60))
    line.do(90, lambda: _assert_incidents(line, "resolved"))  # it may not come back
    line.do(130, lambda: _assert_incidents(line, "triggered"))
    line.do(1190, lambda: _assert_incidents(line, "triggered"))  # its alert is clear, and nobody knows for how long
    line.play(5000)
    _assert_incidents(line, "resolved")
    with line.database.read() as connection:
        (only,) = incidents.list_incidents(connection)
        story = [event.kind for event in incidents.timeline(connection, only.id)]
    assert only.resolved_at == line.at(1140 + 450)
    assert [kind for kind in story if kind != "told"] == ["triggered", "resolved", "came_back", "flapping", "resolved"]


def test_who_had_it_does_not_have_what_came_back(make: Make) -> None:
    line = make(_policy())
    _flap(line, 0, 60, 120)
    line.do(30, lambda: _acknowledge(line))
    line.play(5000)
    line.want(between(0, 0), PHONE)
    line.want(between(570, 570), PHONE)
    with line.database.read() as connection:
        (only,) = incidents.list_incidents(connection)
    assert (only.acknowledged_at, only.past_acks) == (None, ((line.at(30), line.at(60)),))


def _acknowledge(line: Timeline) -> None:
    with line.database.read() as connection:
        (only,) = incidents.list_incidents(connection)
    line.store.edit_incident(only.id, partial(acknowledge, by="person:ada", now=line.clock.now()))


def _assert_incidents(line: Timeline, *statuses: str) -> None:
    assert [status for status, _ in line.incidents()] == list(statuses)


def test_another_alert_of_the_group_is_told_all_the_while(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 1200, 60))
    line.push(400, fires(line.pipeline, firing_alert(line.at(400), name="Late", severity="page")))
    line.play(401)
    assert line.providers[CHAT].effects[-1].labels == ("Late:",)
    assert line.providers[PHONE].effects[-1].labels == ("Late:",)


def test_a_slow_change_does_not_flap_and_a_policy_without_limits_never_does(make: Make) -> None:
    line = make(_policy())
    _flap(line, *range(0, 3000, 301))
    line.play(5000)
    assert len(line.providers[CHAT].effects) == 10
    assert FlapPolicy(None, None).of({"series": "queue"}) is None
    assert FlapPolicy().of({"kind": "meta", "series": "queue"}) is None
    assert FlapPolicy(None, LIMITS).of({"kind": "threshold"}) is LIMITS


def test_a_change_that_is_written_twice_counts_once(make: Make) -> None:
    line = make(_policy())
    made = _flap(line, 0, 60, 120)
    for _ in range(3):
        line.push(130, fires(line.pipeline, made[-1]))
    line.play(200)
    assert _open(line)[0].flapping_since is None


@given(st.lists(st.integers(min_value=0, max_value=2_000), max_size=12), st.integers(min_value=1, max_value=6))
def test_it_begins_with_so_many_changes_within_the_span(seconds: list[int], changes: int) -> None:
    start = notices.BEGAN
    times, now = [start + timedelta(seconds=each) for each in seconds], start + timedelta(seconds=2_000)
    lately = [each for each in seconds if each > 2_000 - 900]
    assert begins(times, FlapLimits(changes, 900, 450), now) == (len(lately) >= changes)


def test_the_message_says_that_it_flaps_and_what_follows() -> None:
    flapping = notices.resolved(notices.alert(flapping_since=notices.BEGAN))
    said = "It is flapping: it comes and goes. Nothing more is told of that before it is stable."
    assert render(notices.all_resolved(flapping)).news == f"Resolved after 12 min. {said}"
    many = render(notices.notice(notices.alert("a", flapping_since=notices.BEGAN), notices.alert("b")))
    assert "1 of them are flapping" in many.news
    assert "RunFailed · a: firing and flapping since 2026-03-02 08:00:00 UTC" in many.text


def test_that_an_alert_flaps_stands_in_the_story_of_its_own_incident_alone(make: Make) -> None:
    line = make(_policy())
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), name="Slow", pipeline="orders", severity="page")))
    _flap(line, *range(10, 310, 60))
    line.play(400)
    with line.database.read() as connection:
        listed = incidents.list_incidents(connection)
        told = {item.title: [event.kind for event in incidents.timeline(connection, item.id)] for item in listed}
    assert [title for title, kinds in told.items() if "flapping" in kinds] == ["QueueFull"]
    assert len(told) == 2
