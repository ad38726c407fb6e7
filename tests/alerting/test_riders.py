"""What rides with the last message of a person's budget: it is told by it only if that message knew of it."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from alerting.maintenance import Window
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Call, Notice
from watchtower.model.labels import parse_matchers
from watchtower.store.database import Database
from watchtower.store.schema.alerting import notices

TEXT, OTHER = "team/oncall[0]/1/primary/sms", "wider/oncall[0]/1/primary/sms"
PERSON = Call("primary", severities=("page",), daily_cap=200, burst=1)  # each text gathers, and five minutes follow it


def _policy(*names: str) -> Pipeline:
    """Pages of the pipeline "other" go to the last of these destinations, all else to the first."""
    receivers = {name.partition("/")[0]: [Destination(name, send_resolved=False, call=PERSON)] for name in names}
    first, *_, last = [*receivers, *receivers]
    return pipeline(node(first, node(last, matchers="pipeline=other", wait=0), wait=0), receivers=receivers)


@pytest.fixture
def line(database: Database, clock: ManualClock) -> Timeline:
    """A first text has just been sent, so that what comes next waits for five minutes."""
    policy = _policy(TEXT, OTHER)
    made = Timeline(database, clock, policy, {name: Provider.like(clock, rings=True) for name in (TEXT, OTHER)})
    made.push(0, fires(policy, _page(made, 0, "earlier")))
    made.push(1, fires(policy, _page(made, 1, "lead")))
    made.play(200)
    made.want(between(0, 0), TEXT, firing=1)
    return made


def _page(line: Timeline, second: float, name: str, **labels: str) -> Alert:
    return firing_alert(line.at(second), pipeline=name, severity="page", **labels)


def test_what_begins_while_the_message_is_on_its_way_is_told_by_itself(line: Timeline) -> None:
    line.push(201, fires(line.pipeline, _page(line, 201, "rider", task="known")))
    late: list[Alert] = []

    def begins(notice: Notice) -> None:
        if not late:
            line.clock.advance(5)
            late.append(firing_alert(line.clock.now(), pipeline="rider", severity="page", task="late"))
            line.commit(fires(line.pipeline, late[0]))

    line.providers[TEXT].before_answer = begins
    line.play(302)
    assert line.want(between(300, 300), TEXT, firing=1).labels == ("RunFailed:lead",)
    line.play(900)
    told = line.want(between(600, 900), TEXT, reason="new_alerts")
    assert late[0].id in told.firing, "not by the message that left before it began"
    line.want_nothing_else()


def test_what_is_kept_quiet_of_a_rider_is_told_when_that_ends(line: Timeline) -> None:
    window = Window("works", parse_matchers("task=quiet"), once=(line.at(0), line.at(3_600)))
    line.pipeline = replace(line.pipeline, maintenance=(window,))
    line.outbox.reconfigure(line.pipeline, line.providers)
    pages = [_page(line, 201, "rider", task=task) for task in ("loud", "quiet")]
    line.push(201, fires(line.pipeline, *pages))
    line.play(3_500)
    line.want(between(300, 300), TEXT, firing=1)
    line.play(4_500)
    line.want(between(3_600, 3_900), TEXT, firing=2, reason="new_alerts")
    line.want_nothing_else()


def test_whoever_rode_with_a_message_whose_receiver_left_the_file_is_told_by_itself(line: Timeline) -> None:
    line.providers[TEXT].always = Fault.UNAVAILABLE
    line.push(299, fires(line.pipeline, _page(line, 299, "other")))
    line.play(310)
    assert _riding(line) == [OTHER]
    line.outbox.reconfigure(_policy(OTHER), {OTHER: line.providers[OTHER]})
    line.play(1_500)
    assert {state for name, _, state, _ in line.obligations() if name == OTHER} == {"delivered"}
    assert line.store.overdue(line.clock.now()) == []


def _riding(line: Timeline) -> list[str]:
    """Destinations of the notices that ride with another."""
    with line.database.read() as connection:
        return list(connection.execute(select(notices.c.destination).where(notices.c.rides.is_not(None))).scalars())
