"""Nobody can be told of anything for six hours, while 500 alerts of 50 groups fire and 300 of them end.

Nobody dies here: it is the outage that hurts. In virtual time, through the real store and outbox, on SQLite only.
Nothing is lost, all is caught up within 15 minutes, nobody is woken for what is over, nor more often than the budget
allows. The promise says 10,000 and 6,000; the default is scaled down to seconds of computing (`ALERTS=…`). 10,000
were seen to pass in 132 s of CPU, 2,000 in 28 s, where those took two minutes while each attempt to send the message
that stands for all read all.
"""

import os
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.crash.conftest import Record
from tests.crash.verdict import ENDED, Figures, beyond, twice
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Call
from watchtower.store import ledger
from watchtower.store.database import Database

CHAT = "team/slack[0]"
SMS, VOICE = "team/oncall[0]/1/primary/sms", "team/oncall[0]/1/primary/voice"
GROUPS = 50
EACH = int(os.environ.get("ALERTS", "500")) // GROUPS
STORM_S, HOUR = 60, 3600
AWAY_S, CAUGHT_UP_S = 6 * HOUR, 900
STEPS = 71  # in which they end: one every five minutes
TEXTS, CALLS, WITHIN_S = 3, 1, 300.0  # one person's budget

_WAKES = Call("primary", severities=("page",), daily_cap=200)
POLICY = pipeline(
    node("team", repeat=7 * 24 * HOUR),
    receivers={
        "team": [
            Destination(CHAT),
            Destination(SMS, send_resolved=False, call=replace(_WAKES, burst=TEXTS)),
            Destination(VOICE, send_resolved=False, call=replace(_WAKES, after_s=120, last_resort=True, burst=CALLS)),
        ]
    },
)


@pytest.fixture
def line(database: Database, clock: ManualClock) -> Timeline:
    made = {name: Provider.like(clock, rings=name in (SMS, VOICE)) for name in (CHAT, SMS, VOICE)}
    return Timeline(database, clock, POLICY, made)


def _storm(line: Timeline) -> list[Alert]:
    """All of them within a minute, evenly; those of one second are committed together."""
    alerts: list[Alert] = []
    for second in range(STORM_S):
        first, end = (GROUPS * EACH * edge // STORM_S for edge in (second, second + 1))
        some = [
            firing_alert(line.at(second), pipeline=f"p{n % GROUPS:02}", task=f"t{n // GROUPS}", severity="page")
            for n in range(first, end)
        ]
        line.push(second, fires(line.pipeline, *some))
        alerts += some
    return alerts


def _ends(line: Timeline, alerts: list[Alert], random: Random) -> set[str]:
    """20 groups end wholly and 20 by half, in any order while nobody can be told; the ids of what ends."""
    over = [one for n, one in enumerate(alerts) if n % GROUPS < 20 or (n % GROUPS < 40 and n // GROUPS % 2)]
    random.shuffle(over)
    for step in range(STEPS):
        seconds = (step + 1) * AWAY_S // (STEPS + 1)
        some = over[len(over) * step // STEPS : len(over) * (step + 1) // STEPS]
        line.push(seconds, resolves(line.pipeline, *(resolved_alert(one, line.at(seconds)) for one in some)))
    return {one.id for one in over}


def _away(line: Timeline, fault: Fault | None) -> None:
    for provider in line.providers.values():
        provider.always = fault


def _entries(line: Timeline) -> list[ledger.LedgerEntry]:
    with line.database.read() as connection:
        return [ledger.to_entry(row) for row in connection.execute(ledger.entries())]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_six_hours_in_which_nobody_can_be_told_lose_nothing_and_wake_nobody_for_what_is_over(
    line: Timeline, seed: int, record: Record
) -> None:
    _away(line, Fault.UNAVAILABLE)
    alerts = _storm(line)
    over = _ends(line, alerts, Random(f"{seed} six hours"))
    assert (len(alerts), len(over)) == (GROUPS * EACH, GROUPS * EACH * 6 // 10)
    line.do(AWAY_S, lambda: _away(line, None))
    line.play(AWAY_S - 1)
    assert not any(provider.effects for provider in line.providers.values())
    line.play(AWAY_S + CAUGHT_UP_S)
    entries = _entries(line)
    told = {name: provider.effects for name, provider in line.providers.items()}
    unfinished = [entry for entry in entries if entry.state not in ENDED]
    figures = Figures(obligations=len(entries), lost=len(unfinished))
    figures.duplicates = sum(len(twice([one.key for one in effects])) for effects in told.values())
    figures.pages_beyond = beyond([one.at for one in told[SMS]], TEXTS, WITHIN_S)
    figures.pages_beyond += beyond([one.at for one in told[VOICE]], CALLS, WITHIN_S)
    record(figures)
    assert (unfinished[:3], figures.duplicates, figures.pages_beyond) == ([], 0, 0), line.told()
    assert len(entries) == 3 * (len(alerts) + len(over))

    # One message for each group, though a ticket and two messages would do; of what is over, a summary.
    assert len({one.episode for one in told[CHAT]}) == len(told[CHAT]) == GROUPS
    assert Counter(one.reason for one in told[CHAT]) == Counter(fired_and_resolved=20, first=30)
    known = [ident for one in told[CHAT] for ident in (*one.firing, *one.resolved)]
    assert sorted(known) == sorted(one.id for one in alerts)
    assert {ident for one in told[CHAT] for ident in one.resolved} == over
    for name in (SMS, VOICE):
        assert told[name], "nobody was woken for what still fires"
        assert not over & {ident for one in told[name] for ident in one.firing}
        firing = [entry for entry in entries if (entry.destination, entry.transition.value) == (name, "firing")]
        woken = Counter(entry.alert_id for entry in firing if entry.state.value == "delivered")
        assert woken == Counter(one.id for one in alerts if one.id not in over)
        assert {entry.provider_id for entry in firing if entry.state.value == "delivered"} <= {
            f"id-{one.key}" for one in told[name]
        }
    before = {name: len(effects) for name, effects in told.items()}
    line.play(3 * AWAY_S)
    assert {name: len(effects) for name, effects in told.items()} == before, "told again"
    assert line.store.overdue(line.clock.now()) == []
