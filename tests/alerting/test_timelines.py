"""What is told, to whom, and when: timelines in virtual time against a real store, on both engines."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from alerting import incidents as deeds
from alerting import silences
from alerting.inhibition import Inhibition
from alerting.intervals import TimeInterval
from alerting.pipeline import Pipeline
from alerting.routing import Destination, local_router
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Incident
from watchtower.model.labels import parse_matchers
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"
Make = Callable[..., Timeline]


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    """`make(pipeline, keyed=True, …)`: a timeline whose destinations all have a provider of these traits."""

    def made(policy: Pipeline | None = None, **traits: bool | float) -> Timeline:
        policy = policy or pipeline()
        names = {item.name for items in policy.router.destinations.values() for item in items}
        return Timeline(database, clock, policy, {name: Provider.like(clock, **traits) for name in sorted(names)})

    return made


# -- Alertmanager's timing ------------------------------------------------------------------------------------------


def test_alerts_of_a_group_are_told_together_after_group_wait(make: Make) -> None:
    line = make()
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="orders", task="a")))
    line.push(20, fires(line.pipeline, firing_alert(line.at(20), pipeline="orders", task="b")))
    line.play(200)
    line.want(between(31, 31), WEBHOOK, firing=2, resolved=0, reason="first")
    line.want_nothing_else()


def test_groups_wait_for_themselves(make: Make) -> None:
    line = make()
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="orders")))
    line.push(20, fires(line.pipeline, firing_alert(line.at(20), pipeline="billing")))
    line.play(200)
    line.want(between(31, 31), WEBHOOK, firing=1)
    line.want(between(50, 50), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_a_new_alert_of_a_told_group_waits_for_group_interval(make: Make) -> None:
    line = make()
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders", task="a")))
    line.push(100, fires(line.pipeline, firing_alert(line.at(100), pipeline="orders", task="b")))
    line.play(1000)
    line.want(between(30, 30), WEBHOOK, firing=1, reason="first")
    line.want(between(330, 330), WEBHOOK, firing=2, reason="new_alerts")
    line.want_nothing_else()


def test_what_resolves_within_group_wait_is_never_told(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(10, resolves(line.pipeline, resolved_alert(alert, line.at(10))))
    line.play(1000)
    line.want_nothing_else()
    assert line.obligations() == [
        (WEBHOOK, "firing", "superseded", "resolved_before_notice"),
        (WEBHOOK, "resolved", "superseded", "never_told"),
    ]
    assert line.incidents() == [("resolved", "RunFailed: orders")]


def test_a_fully_clear_group_is_told_at_once(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(60, resolves(line.pipeline, resolved_alert(alert, line.at(60))))
    line.play(100_000)
    line.want(between(30, 30), WEBHOOK, firing=1)
    line.want(between(60, 60), WEBHOOK, firing=0, resolved=1, reason="all_resolved")
    line.want_nothing_else()
    assert {state for _, _, state, _ in line.obligations()} == {"delivered"}
    assert line.incidents() == [("resolved", "RunFailed: orders")]


def test_a_partly_resolved_group_is_told_with_the_next_interval(make: Make) -> None:
    line = make()
    one = firing_alert(line.at(0), pipeline="orders", task="a")
    two = firing_alert(line.at(0), pipeline="orders", task="b")
    line.push(0, fires(line.pipeline, one, two))
    line.push(100, resolves(line.pipeline, resolved_alert(one, line.at(100))))
    line.play(2000)
    line.want(between(30, 30), WEBHOOK, firing=2)
    line.want(between(330, 330), WEBHOOK, firing=1, resolved=1, reason="resolved_alerts")
    line.want_nothing_else()


def test_what_still_fires_is_repeated(make: Make) -> None:
    line = make(pipeline(node("team", repeat=3600)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(2 * 3600 + 60)
    line.want(between(30, 30), WEBHOOK, reason="first")
    line.want(between(3630, 3630), WEBHOOK, reason="repeat")
    line.want(between(7230, 7230), WEBHOOK, reason="repeat")
    line.want_nothing_else()
    assert len(line.obligations()) == 1


def test_a_repeat_interval_is_rounded_up_to_the_group_interval(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, interval=300, repeat=400)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(700)
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want(between(600, 600), WEBHOOK, reason="repeat")
    line.want_nothing_else()


def test_a_receiver_without_send_resolved_hears_of_firing_only(make: Make) -> None:
    line = make(pipeline(receivers={"team": [Destination(WEBHOOK, send_resolved=False)]}))
    one = firing_alert(line.at(0), pipeline="orders", task="a")
    two = firing_alert(line.at(0), pipeline="orders", task="b")
    line.push(0, fires(line.pipeline, one, two))
    line.push(100, resolves(line.pipeline, resolved_alert(one, line.at(100))))
    line.push(400, resolves(line.pipeline, resolved_alert(two, line.at(400))))
    line.play(5000)
    line.want(between(30, 30), WEBHOOK, firing=2, resolved=0)
    line.want_nothing_else()
    assert [reason for _, kind, _, reason in line.obligations() if kind == "resolved"] == ["send_resolved_off"] * 2


def test_a_violation_after_the_end_is_a_new_episode_and_a_new_incident(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    first = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, first))
    line.push(60, resolves(line.pipeline, resolved_alert(first, line.at(60))))
    line.push(90, fires(line.pipeline, firing_alert(line.at(90), pipeline="orders")))
    line.play(200)
    opened = line.want(between(0, 0), WEBHOOK, firing=1)
    closed = line.want(between(60, 60), WEBHOOK, resolved=1)
    again = line.want(between(90, 90), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()
    assert opened.episode == closed.episode != again.episode
    assert [status for status, _ in line.incidents()] == ["triggered", "resolved"]


# -- the built-in route ---------------------------------------------------------------------------------------------


def test_without_a_configuration_a_page_is_told_at_once_and_a_ticket_after_group_wait(make: Make) -> None:
    line = make(Pipeline(local_router()))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders", severity="page")))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="billing", severity="ticket")))
    line.play(100)
    assert line.want(between(0, 0), "local", firing=1).labels == ("RunFailed:orders",)
    assert line.want(between(30, 30), "local", firing=1).labels == ("RunFailed:billing",)
    line.want_nothing_else()


def test_a_page_hurries_a_group_that_waits_or_was_told_of_a_ticket(make: Make) -> None:
    line = make(Pipeline(local_router()))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.push(60, fires(line.pipeline, firing_alert(line.at(60), pipeline="orders", name="Late", severity="page")))
    line.push(70, fires(line.pipeline, firing_alert(line.at(70), pipeline="orders", name="Slow", severity="page")))
    line.play(1000)
    line.want(between(30, 30), "local", firing=1)
    line.want(between(60, 60), "local", firing=2)
    line.want(between(360, 360), "local", firing=3)
    line.want_nothing_else()


# -- mutes: judged when the notice is about to leave ----------------------------------------------------------------


def _silence(line: Timeline, matchers: str, first: float, last: float, ident: str = "s1") -> None:
    wanted = silences.Wanted(parse_matchers(matchers), line.at(first), line.at(last), "data-lead", "known")
    now = line.clock.now()
    line.store.revise_silence(None, lambda before: silences.put(before, wanted, now, ident))


def test_a_silence_that_comes_while_a_notice_waits_for_its_provider_holds_for_it(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    provider = line.providers[WEBHOOK]
    provider.always = Fault.REFUSE
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(5, lambda: _silence(line, 'pipeline="orders"', 5, 3_600))
    line.do(6, lambda: setattr(provider, "always", None))
    line.play(4_000)
    line.want(between(3_600, 3_600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()


def test_a_silence_keeps_quiet_and_its_end_tells_what_still_fires(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: _silence(line, 'pipeline="orders"', 0, 600))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.play(2000)
    line.want(between(600, 600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()
    assert line.obligations() == [
        (WEBHOOK, "firing", "superseded", "silenced"),
        (WEBHOOK, "firing", "delivered", None),
    ]


def test_what_is_over_when_its_silence_ends_is_never_told(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(10), pipeline="orders")
    line.do(0, lambda: _silence(line, 'pipeline="orders"', 0, 600))
    line.push(10, fires(line.pipeline, alert))
    line.push(500, resolves(line.pipeline, resolved_alert(alert, line.at(500))))
    line.play(2000)
    line.want_nothing_else()


def test_ending_a_silence_by_hand_tells_at_once(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: _silence(line, 'pipeline="orders"', 0, 6000))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.do(300, lambda: line.store.revise_silence("s1", lambda before: silences.expire(before, line.clock.now())))
    line.play(2000)
    line.want(between(300, 300), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_the_end_of_what_was_told_is_told_through_a_silence(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.do(10, lambda: _silence(line, 'pipeline="orders"', 10, 600))
    line.push(60, resolves(line.pipeline, resolved_alert(alert, line.at(60))))
    line.play(2000)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(60, 60), WEBHOOK, resolved=1, reason="all_resolved")
    line.want_nothing_else()


def test_a_silenced_alert_is_not_repeated(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=3600)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(10, lambda: _silence(line, 'pipeline="orders"', 10, 5000))
    line.play(4500)
    line.want(between(0, 0), WEBHOOK)
    line.want_nothing_else()


def test_only_the_silenced_alert_of_a_group_stays_untold(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: _silence(line, "task=a", 0, 600))
    quiet = firing_alert(line.at(10), pipeline="orders", task="a")
    line.push(10, fires(line.pipeline, quiet, firing_alert(line.at(10), pipeline="orders", task="b")))
    line.play(2000)
    line.want(between(10, 10), WEBHOOK, firing=1)
    assert quiet.id in line.want(between(600, 600), WEBHOOK, firing=2, reason="new_alerts").firing
    line.want_nothing_else()


def test_a_source_keeps_its_targets_quiet_until_it_resolves(make: Make) -> None:
    rule = Inhibition(parse_matchers("alertname=RunFailed"), parse_matchers("alertname=Stale"), ("team",))
    line = make(pipeline(node("team", wait=0), inhibitions=[rule]))
    source = firing_alert(line.at(0), pipeline="orders", team="data")
    line.push(0, fires(line.pipeline, source))
    line.push(5, fires(line.pipeline, firing_alert(line.at(5), name="Stale", pipeline="report", team="data")))
    line.push(6, fires(line.pipeline, firing_alert(line.at(6), name="Stale", pipeline="other", team="web")))
    line.push(900, resolves(line.pipeline, resolved_alert(source, line.at(900))))
    line.play(2000)
    assert line.want(between(0, 0), WEBHOOK).labels == ("RunFailed:orders",)
    assert line.want(between(6, 6), WEBHOOK).labels == ("Stale:other",)
    after = [line.want(between(900, 900), WEBHOOK).labels for _ in range(2)]
    assert sorted(after) == [(), ("Stale:report",)]
    line.want_nothing_else()
    assert (WEBHOOK, "firing", "superseded", "inhibited") in line.obligations()


def test_a_mute_time_interval_holds_back_and_its_end_tells(make: Make) -> None:
    lunch = TimeInterval(minutes=((9 * 60, 10 * 60),), zone="Europe/Berlin")  # 08:00 to 09:00 UTC in March
    line = make(pipeline(node("team", wait=0, mute=["lunch"]), intervals={"lunch": [lunch]}))
    line.push(60, fires(line.pipeline, firing_alert(line.at(60), pipeline="orders")))
    line.play(2 * 3600)
    line.want(between(3600, 3600), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()
    assert (WEBHOOK, "firing", "superseded", "muted") in line.obligations()


def test_an_end_inside_a_mute_time_interval_is_told_after_it(make: Make) -> None:
    night = TimeInterval(minutes=((8 * 60 + 30, 9 * 60),))
    line = make(pipeline(node("team", wait=0, mute=["night"]), intervals={"night": [night]}))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(2000, resolves(line.pipeline, resolved_alert(alert, line.at(2000))))
    line.play(2 * 3600)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(3600, 3600), WEBHOOK, resolved=1)
    line.want_nothing_else()


def test_outside_its_active_time_interval_a_route_is_mute(make: Make) -> None:
    work = TimeInterval(minutes=((9 * 60, 17 * 60),), weekdays=((1, 5),))
    line = make(pipeline(node("team", wait=0, active=["work"]), intervals={"work": [work]}))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(2 * 3600)
    line.want(between(3600, 3600), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_when_one_of_two_silences_ends_the_end_of_the_other_still_tells(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.do(0, lambda: _silence(line, "pipeline=orders", 0, 200, "s1"))
    line.push(10, fires(line.pipeline, firing_alert(line.at(10), pipeline="orders")))
    line.do(100, lambda: _silence(line, "pipeline=orders", 100, 300, "s2"))
    line.play(2000)
    line.want(between(300, 300), WEBHOOK, firing=1)
    line.want_nothing_else()


# -- incidents and acknowledgement ----------------------------------------------------------------------------------


def _only_incident(line: Timeline) -> str:
    from watchtower.store import incidents

    with line.database.read() as connection:
        return incidents.list_incidents(connection)[0].id


def _acknowledge(line: Timeline) -> Incident:
    return line.store.edit_incident(
        _only_incident(line), partial(deeds.acknowledge, by="primary", now=line.clock.now())
    )


def test_an_acknowledged_incident_is_not_repeated_until_the_acknowledgement_runs_out(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=3600)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(100, lambda: _acknowledge(line))
    line.play(5 * 3600)
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want(between(100 + 4 * 3600, 100 + 4 * 3600), WEBHOOK, reason="repeat")
    line.want_nothing_else()
    assert line.incidents() == [("triggered", "RunFailed: orders")]


def test_what_rings_is_not_told_what_somebody_has_already_but_is_told_what_is_new(make: Make) -> None:
    receivers = {"team": [Destination("team/sms[0]")]}
    line = make(pipeline(node("team", wait=30), receivers=receivers), rings=True)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders", task="a")))
    line.do(10, lambda: _acknowledge(line))
    line.push(400, fires(line.pipeline, firing_alert(line.at(400), pipeline="orders", task="b")))
    line.play(3600)
    line.want(between(400, 700), "team/sms[0]", firing=1)
    line.want_nothing_else()
    assert ("team/sms[0]", "firing", "superseded", "acknowledged") in line.obligations()


def test_groups_that_share_an_alert_share_an_incident(make: Make) -> None:
    first = node("team", parent_key="{}", matchers="", goes_on=True, group_by=["pipeline"])
    second = node("desk", parent_key="{}", matchers="severity=ticket", group_by=["team"])
    root = node("team", first, second)
    receivers = {"team": [Destination(WEBHOOK)], "desk": [Destination("desk/webhook[0]")]}
    line = make(pipeline(root, receivers=receivers))
    alert = firing_alert(line.at(0), pipeline="orders", team="data")
    line.push(0, fires(line.pipeline, alert))
    line.play(60)
    assert line.incidents() == [("triggered", "RunFailed: orders")]
    line.want(between(30, 30), WEBHOOK)
    line.want(between(30, 30), "desk/webhook[0]")
    line.push(70, resolves(line.pipeline, resolved_alert(alert, line.at(70))))
    line.play(80)
    assert line.incidents() == [("resolved", "RunFailed: orders")]


# -- providers that fail --------------------------------------------------------------------------------------------


def test_a_provider_that_is_away_for_six_hours_is_told_once_what_still_fires(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=24 * 3600)))
    provider = line.providers[WEBHOOK]
    provider.always = Fault.UNAVAILABLE
    over = firing_alert(line.at(60), pipeline="billing")
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.push(60, fires(line.pipeline, over))
    line.push(3600, resolves(line.pipeline, resolved_alert(over, line.at(3600))))
    line.do(6 * 3600, lambda: setattr(provider, "always", None))
    line.play(6 * 3600 + 900)  # promise P12: all caught up 15 min after it is back
    told = {line.want(between(6 * 3600, 6 * 3600 + 900), WEBHOOK).reason for _ in range(2)}
    assert told == {"first", "fired_and_resolved"}
    line.want_nothing_else()
    assert {state for _, _, state, _ in line.obligations()} == {"delivered"}


def test_what_fired_and_resolved_while_the_provider_was_away_rings_nobody(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)), rings=True)
    provider = line.providers[WEBHOOK]
    provider.always = Fault.REFUSE
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(600, resolves(line.pipeline, resolved_alert(alert, line.at(600))))
    line.do(1200, lambda: setattr(provider, "always", None))
    line.play(3000)
    line.want_nothing_else()
    assert line.obligations() == [
        (WEBHOOK, "firing", "superseded", "resolved_before_notice"),
        (WEBHOOK, "resolved", "superseded", "never_told"),
    ]


@pytest.mark.parametrize("keyed", [False, True])
def test_after_a_time_out_the_provider_is_looked_up_and_not_told_twice(make: Make, *, keyed: bool) -> None:
    line = make(pipeline(node("team", wait=0)), keyed=keyed, can_look_up=not keyed)
    line.providers[WEBHOOK].faults.append(Fault.TAKEN_THEN_TIMEOUT)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(60)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want_nothing_else()
    assert line.obligations() == [(WEBHOOK, "firing", "delivered", None)]


def test_what_never_arrived_is_sent_again_after_the_settle_time(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.providers[WEBHOOK].faults.append(Fault.RESET_BEFORE)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(60)
    line.want(between(10, 12), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_without_key_and_look_up_nothing_is_sent_a_third_time(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=10**6)), can_look_up=False)
    line.providers[WEBHOOK].always = Fault.TAKEN_THEN_TIMEOUT
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(3600)
    assert len(line.providers[WEBHOOK].effects) == 2
    assert line.obligations()[0] == (WEBHOOK, "firing", "dead_letter", "unknown")


def test_retry_after_holds_for_the_whole_destination(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.providers[WEBHOOK].faults.append(Fault.RATE_LIMITED)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="billing")))
    line.play(300)
    line.want(between(90, 91), WEBHOOK)
    line.want(between(90, 91), WEBHOOK)
    line.want_nothing_else()


def test_a_refused_notice_is_a_dead_letter_that_others_are_told_of(make: Make) -> None:
    first = node("team", parent_key="{}", matchers="kind!=meta")
    root = node("ops", first, group_by=["destination"], wait=0)
    receivers = {"team": [Destination(WEBHOOK)], "ops": [Destination("ops/webhook[0]"), Destination(WEBHOOK)]}
    line = make(pipeline(root, receivers=receivers))
    line.providers[WEBHOOK].always = Fault.PERMANENT
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(3600)
    assert line.want(between(30, 30), "ops/webhook[0]").labels == ("WatchtowerDeliveryFailed:",)
    line.want_nothing_else()
    assert line.obligations()[0] == (WEBHOOK, "firing", "dead_letter", "rejected")
    assert line.providers[WEBHOOK].requests == 1

    line.providers[WEBHOOK].always = None
    dead = _dead_letters(line)
    assert [line.store.replay(notice_id, line.clock.now()) for notice_id in dead] == [True]
    line.play(3700)
    line.want(between(3600, 3600), WEBHOOK, firing=1)
    line.want(between(3600, 3600), "ops/webhook[0]", resolved=1)
    line.want_nothing_else()
    assert {state for _, _, state, _ in line.obligations()} == {"delivered"}


def _dead_letters(line: Timeline) -> list[str]:
    from watchtower.store import ledger

    with line.database.read() as connection:
        return [item.notice_id for item in ledger.dead_letters(connection)]


def test_two_destinations_that_both_fail_do_not_tell_one_another_for_ever(make: Make) -> None:
    receivers = {"team": [Destination(WEBHOOK), Destination("team/webhook[1]")]}
    line = make(pipeline(node("team", wait=0, group_by=["alertname"], repeat=10**6), receivers=receivers))
    for provider in line.providers.values():
        provider.always = Fault.PERMANENT
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(3600)
    assert sum(provider.requests for provider in line.providers.values()) <= 4
    assert {state for _, _, state, _ in line.obligations()} == {"dead_letter"}


def test_after_72_hours_a_notice_is_given_up(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=10**6)))
    line.providers[WEBHOOK].always = Fault.UNAVAILABLE
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(600)
    line.clock.set(line.at(72 * 3600 - 1))
    line.play(72 * 3600 - 1)
    assert line.obligations()[0][2] == "due"
    assert line.store.overdue(line.clock.now()) == []
    line.play(72 * 3600 + 600)
    assert line.obligations()[0] == (WEBHOOK, "firing", "dead_letter", "server_error")


def test_a_failing_destination_is_asked_ever_less_often(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=10**6)))
    line.providers[WEBHOOK].always = Fault.UNAVAILABLE
    for index in range(50):
        line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline=f"p{index}")))
    line.play(3600)
    assert line.providers[WEBHOOK].requests < 150


def test_a_resolve_waits_for_the_outcome_of_its_trigger(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.providers[WEBHOOK].faults.append(Fault.TAKEN_THEN_TIMEOUT)
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(2, resolves(line.pipeline, resolved_alert(alert, line.at(2))))
    line.play(100)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(10, 12), WEBHOOK, firing=0, resolved=1, reason="all_resolved")
    line.want_nothing_else()


def test_a_reload_that_removes_a_receiver_plans_what_it_owes_anew(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.providers[WEBHOOK].always = Fault.UNAVAILABLE
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(10)
    line.pipeline = pipeline(node("new", wait=0), receivers={"new": [Destination("new/webhook[0]")]})
    provider = Provider(line.clock)
    line.providers["new/webhook[0]"] = provider
    assert line.outbox.reconfigure(line.pipeline, {"new/webhook[0]": provider}) == 1
    line.play(100)
    line.want(between(10, 10), "new/webhook[0]", firing=1)
    line.want_nothing_else()
    assert sorted(line.obligations()) == [
        ("new/webhook[0]", "firing", "delivered", None),
        (WEBHOOK, "firing", "superseded", "receiver_removed"),
    ]


def test_a_changed_route_brings_to_its_end_what_it_told_and_tells_the_new_one(make: Make) -> None:
    both = {"team": [Destination(WEBHOOK)], "new": [Destination("new/webhook[0]")]}
    line = make(pipeline(node("team", wait=0), receivers=both))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.play(10)
    line.pipeline = pipeline(node("new", wait=0), receivers=both)
    line.outbox.reconfigure(line.pipeline, line.providers)
    line.push(60, resolves(line.pipeline, resolved_alert(alert, line.at(60))))
    line.play(10**5)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(60, 60), WEBHOOK, resolved=1)
    line.want(between(10, 10), "new/webhook[0]", firing=1)
    line.want(between(60, 60), "new/webhook[0]", resolved=1)
    line.want_nothing_else()


def test_history_is_kept_and_owes_nothing(make: Make) -> None:
    line = make()
    alert = replace(firing_alert(line.at(0) - timedelta(days=30), pipeline="orders"), historical=True)
    line.push(0, fires(line.pipeline, alert))
    line.push(1, resolves(line.pipeline, resolved_alert(alert, line.at(1))))
    line.play(1000)
    line.want_nothing_else()
    assert line.obligations() == []
    assert line.incidents() == []


def test_committing_the_same_outcome_again_owes_nothing_more(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(0), pipeline="orders")
    over = resolved_alert(alert, line.at(60))
    for _ in range(2):
        line.push(0, fires(line.pipeline, alert))
    for _ in range(2):
        line.push(60, resolves(line.pipeline, over))
    line.play(1000)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want(between(60, 60), WEBHOOK, resolved=1)
    line.want_nothing_else()
    assert len(line.obligations()) == 2
