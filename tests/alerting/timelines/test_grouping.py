"""Alertmanager's timing of groups, and what the built-in route makes of a page and a ticket."""

from alerting.pipeline import Pipeline
from alerting.routing import Destination, local_router
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.alerting.timelines.conftest import WEBHOOK, Make
from tests.timeline import between

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
