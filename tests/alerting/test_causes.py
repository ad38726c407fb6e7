"""A cause that becomes known after people were told: who hears of it, when, and how often; on both stores."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from alerting import incidents as deeds
from alerting import silences
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Call, Incident
from watchtower.model.incident import IncidentEvent
from watchtower.model.labels import parse_matchers
from watchtower.model.rule import SubjectKey
from watchtower.ports import Outcome
from watchtower.store import incidents
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"
SLOW = "failed at validate: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls"
Make = Callable[..., Timeline]


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    def made(policy: Pipeline | None = None, **traits: bool | float) -> Timeline:
        policy = policy or pipeline(node("team", wait=0))
        names = {item.name for items in policy.router.destinations.values() for item in items}
        return Timeline(database, clock, policy, {name: Provider.like(clock, **traits) for name in sorted(names)})

    return made


def explained(alert: Alert, cause: str = SLOW) -> Outcome:
    """What the rules engine commits once the spans have come: no transition, other evidence."""
    told = replace(alert, evidence={"cause": cause}, annotations={**alert.annotations, "cause": cause})
    return Outcome(SubjectKey("job", "1"), 1, None, (told,), ())


def only_incident(line: Timeline) -> tuple[Incident, list[IncidentEvent]]:
    with line.database.read() as connection:
        [found] = incidents.list_incidents(connection)
        return found, incidents.timeline(connection, found.id)


def test_who_was_told_of_a_failure_is_told_its_cause_at_once_and_once(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(7, explained(alert))
    line.push(
        20, explained(alert, "failed at validate: GET /orders took 2,900 ms at p95 against 200 ms, 14 % of calls")
    )
    line.push(40, explained(alert))
    line.play(5 * 3600)
    line.want(between(0, 0), WEBHOOK, firing=1, reason="first")
    line.want(between(7, 7), WEBHOOK, firing=1, reason="cause_found")
    line.want(between(7 + 4 * 3600, 7 + 4 * 3600), WEBHOOK, firing=1, reason="repeat")
    line.want_nothing_else()
    incident, events = only_incident(line)
    assert incident.summary == f"it failed\nCause: {SLOW}"
    assert [event.text for event in events if event.kind == "cause_found"] == [f"The cause is known: {SLOW}"]


def test_a_cause_that_is_known_in_time_is_part_of_the_first_notice_and_hurries_nothing(make: Make) -> None:
    line = make(pipeline(node("team", wait=30)))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(7, explained(alert))
    line.play(600)
    line.want(between(30, 30), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()


def test_each_alert_of_a_group_is_explained_once(make: Make) -> None:
    line = make()
    one = firing_alert(line.at(0), pipeline="orders", task="a")
    two = firing_alert(line.at(0), pipeline="orders", task="b")
    line.push(0, fires(line.pipeline, one, two))
    line.push(5, explained(one))
    line.push(10, explained(two))
    line.play(600)
    line.want(between(0, 0), WEBHOOK, firing=2, reason="first")
    line.want(between(5, 5), WEBHOOK, firing=2, reason="cause_found")
    line.want(between(10, 10), WEBHOOK, firing=2, reason="cause_found")
    line.want_nothing_else()


def test_what_rings_does_not_ring_for_a_cause(make: Make) -> None:
    line = make(pipeline(node("team", wait=0), receivers={"team": [Destination("team/sms[0]")]}), rings=True)
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(7, explained(alert))
    line.play(600)
    line.want(between(0, 0), "team/sms[0]", reason="first")
    line.want_nothing_else()


def test_whoever_is_on_call_is_not_told_again_for_a_cause(make: Make) -> None:
    step = Destination("team/sms[0]", call=Call(person="primary"))
    line = make(pipeline(node("team", wait=0), receivers={"team": [step, Destination(WEBHOOK)]}))
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(7, explained(alert))
    line.play(600)
    line.want(between(0, 0), "team/sms[0]", reason="first")
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want(between(7, 7), WEBHOOK, reason="cause_found")
    line.want_nothing_else()


def test_whoever_has_the_incident_hears_its_cause(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.do(
        3,
        lambda: line.store.edit_incident(
            only_incident(line)[0].id, partial(deeds.acknowledge, by="primary", now=line.clock.now())
        ),
    )
    line.push(7, explained(alert))
    line.play(600)
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want(between(7, 7), WEBHOOK, reason="cause_found")
    line.want_nothing_else()


def test_a_silence_holds_for_a_cause_too(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    wanted = silences.Wanted(parse_matchers("pipeline=orders"), line.at(3), line.at(3600), "data-lead", "known")
    line.do(3, lambda: line.store.revise_silence("s1", lambda old: silences.put(old, wanted, line.at(3), "s1")))
    line.push(7, explained(alert))
    line.play(600)
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want_nothing_else()


def test_the_cause_of_what_is_over_is_not_told_by_itself(make: Make) -> None:
    line = make()
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    told = explained(alert).alerts[0]
    line.push(7, resolves(line.pipeline, resolved_alert(told, line.at(7))))
    line.play(600)
    line.want(between(0, 0), WEBHOOK, reason="first")
    line.want(between(7, 7), WEBHOOK, reason="all_resolved", resolved=1)
    line.want_nothing_else()


def test_a_cause_that_comes_while_the_first_notice_is_under_way_follows_it(make: Make) -> None:
    line = make()
    line.providers[WEBHOOK].faults.append(Fault.TAKEN_THEN_TIMEOUT)
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(line.pipeline, alert))
    line.push(3, explained(alert))
    line.play(600)
    line.want(between(0, 0), WEBHOOK, firing=1, reason="first")
    line.want(between(3, 60), WEBHOOK, firing=1, reason="cause_found")
    line.want_nothing_else()
