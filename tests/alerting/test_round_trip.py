"""The alert of a round trip goes its own way: no route sends it to people, and nothing they do keeps it quiet."""

from alerting.inhibition import Inhibition
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.labels import parse_matchers
from watchtower.model.round_trip import DESTINATION, KIND, RULE
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"


def test_a_round_trip_arrives_through_a_silence_and_an_inhibition_of_everything_and_reaches_nobody_else(
    database: Database, clock: ManualClock
) -> None:
    everything = parse_matchers("severity=~.+")
    policy = pipeline(node("team", wait=0), inhibitions=[Inhibition(everything, everything, ())])
    line = Timeline(database, clock, policy, {name: Provider.like(clock) for name in (WEBHOOK, DESTINATION)})
    line.do(0, lambda: line.silence("severity=~.+", 3_600))
    line.push(1, fires(policy, firing_alert(line.at(1), name="Failed", pipeline="orders")))
    line.push(2, fires(policy, firing_alert(line.at(2), name=RULE, kind=KIND, trip="me/1")))
    line.play(60)
    line.want(between(2, 2), DESTINATION, firing=1)
    line.want_nothing_else()
