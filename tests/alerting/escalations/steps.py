"""Steps of an escalation as the configuration makes them, and what people do while it goes on."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from alerting import incidents as deeds
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from tests.alerting.builders import firing_alert
from tests.alerting.routes import node, pipeline
from tests.timeline import Timeline
from watchtower.model.alert import Alert, Call, Incident
from watchtower.store import incidents

TEXT = "team/oncall[0]/1/primary/sms"
CALL = "team/oncall[0]/1/primary/voice"
SECOND = "team/oncall[0]/2/data-lead/voice"
THIRD = "team/oncall[0]/3/head/voice"
CHAT = "team/slack[0]"
MINUTE = 60.0

Make = Callable[..., Timeline]


def step(name: str, after_s: float = 0, *, redials: int = 0, rounds: int = 0, cap: int = 200) -> Destination:
    """A step of an escalation, as the configuration makes it."""
    return Destination(
        name,
        send_resolved=False,
        call=Call(
            person=name.split("/")[3],
            after_s=after_s,
            redial_s=300.0 if redials else None,
            redials=redials,
            round_s=10 * MINUTE if rounds else 0.0,
            rounds=rounds,
            severities=("page",),
            daily_cap=cap,
        ),
    )


STEPS = (step(TEXT), step(CALL, 2 * MINUTE), step(SECOND, 5 * MINUTE), step(THIRD, 15 * MINUTE))


def policy(steps: Sequence[Destination] = STEPS, *, wait: float = 0, chat: bool = False) -> Pipeline:
    extra = [Destination(CHAT)] if chat else []
    return pipeline(node("team", wait=wait), receivers={"team": [*extra, *steps]})


def page(line: Timeline, second: float, **labels: str) -> Alert:
    return firing_alert(line.at(second), severity="page", pipeline="orders", **labels)


def acknowledge(line: Timeline, **how: timedelta) -> Incident:
    ident = only_incident(line)
    return line.store.edit_incident(ident, partial(deeds.acknowledge, by="person:primary", now=line.clock.now(), **how))


def take_back(line: Timeline) -> Incident:
    return line.store.edit_incident(
        only_incident(line), partial(deeds.unacknowledge, by="person:primary", now=line.clock.now())
    )


def only_incident(line: Timeline) -> str:
    with line.database.read() as connection:
        return incidents.list_incidents(connection)[0].id


def fates(line: Timeline) -> dict[str, tuple[str, str | None]]:
    """By destination: state and reason of the newest entry of the ledger about a firing."""
    return {name: (state, reason) for name, kind, state, reason in line.obligations() if kind == "firing"}
