"""Incidents and acknowledgements; what a reload, a replay and a repeated outcome owe."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from alerting import incidents as deeds
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.alerting.timelines.conftest import WEBHOOK, Make
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.model.alert import AlertState, Incident
from watchtower.store import incidents, notices

# -- incidents and acknowledgement ----------------------------------------------------------------------------------


def _only_incident(line: Timeline) -> str:
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


# -- what changes, and what does not -------------------------------------------------------------------------------


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


def test_what_its_old_route_has_not_been_told_is_told_by_the_new_one_alone(make: Make) -> None:
    before = pipeline(node("team", wait=0), receivers={"team": [Destination(WEBHOOK)]})
    line = make(before)
    line.providers[WEBHOOK].always = Fault.REFUSE
    line.push(0, fires(before, firing_alert(line.at(0), pipeline="orders")))
    line.play(10)
    after = pipeline(
        node("new", wait=0), receivers={"team": [Destination(WEBHOOK)], "new": [Destination("new/webhook[0]")]}
    )
    line.providers["new/webhook[0]"] = Provider.like(line.clock)
    line.restart()
    line.outbox.reconfigure(after, line.providers)
    line.providers[WEBHOOK].always = None
    line.play(3_600)
    line.want(between(10, 10), "new/webhook[0]", firing=1)
    line.want_nothing_else()
    assert [(name, reason) for name, _, state, reason in line.obligations() if state == "superseded"] == [
        (WEBHOOK, "route_changed")
    ]


def test_a_reload_that_changes_nothing_of_a_route_tells_nobody_again(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(10)
    assert line.outbox.reconfigure(pipeline(node("team", wait=0)), line.providers) == 1
    line.play(3_600)
    line.want(between(0, 0), WEBHOOK, firing=1)
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


def test_a_repeat_that_waits_for_its_provider_is_not_made_once_somebody_has_it(make: Make) -> None:
    line = make(pipeline(node("team", wait=0, repeat=600)))
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.do(500, lambda: setattr(line.providers[WEBHOOK], "always", Fault.UNAVAILABLE))
    line.do(700, lambda: _acknowledge(line))
    line.do(800, lambda: setattr(line.providers[WEBHOOK], "always", None))
    line.play(3_600)
    line.want(between(0, 0), WEBHOOK, firing=1)
    assert line.providers[WEBHOOK].requests > 1, "the repeat was tried before"
    line.want_nothing_else()


def test_what_was_told_of_an_incident_is_kept_as_it_was_sent(make: Make) -> None:
    line = make(pipeline(node("team", wait=0)))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(60, resolves(line.pipeline, resolved_alert(alert, line.at(60))))
    line.play(600)
    with line.database.read() as connection:
        told = notices.told(connection, _only_incident(line))
    assert [(notice.reason.value, notice.attempt) for notice in told] == [("first", 1), ("all_resolved", 1)]
    assert [[item.state for item in notice.alerts] for notice in told] == [[AlertState.FIRING], [AlertState.RESOLVED]]
    assert [notice.now for notice in told] == [line.at(0), line.at(60)]
