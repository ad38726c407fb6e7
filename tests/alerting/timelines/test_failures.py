"""Providers that fail: what is tried again, looked up, given up, and told to others."""

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.alerting.timelines.conftest import WEBHOOK, Make
from tests.simulators.provider import Fault
from tests.timeline import Timeline, between


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
