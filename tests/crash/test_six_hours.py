"""Nobody can be told of anything for six hours, while 500 alerts of 50 groups fire and 300 of them end.

Nobody dies here: it is the outage that hurts. In virtual time, through the real store and outbox, on SQLite only.
Nothing is lost, all is caught up within 15 minutes, and nobody is woken for what is over. The promise says 10,000 and
6,000; the default is scaled down to ten seconds of computing. `ALERTS=2000` was seen to pass in 84 s on two busy cores.
`ALERTS=10000` has not been played to its end: with four destinations it was stopped after four minutes.
Nobody has a budget of texts here, since it does not hold after an outage (docs/limits.md).
"""

import os
from collections import Counter
from random import Random

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.crash.conftest import Record
from tests.crash.verdict import ENDED, Figures, twice
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, Call
from watchtower.store import ledger
from watchtower.store.database import Database

CHAT = "team/slack[0]"
SMS = "team/oncall[0]/1/primary/sms"
GROUPS = 50
EACH = int(os.environ.get("ALERTS", "500")) // GROUPS
STORM_S, HOUR = 60, 3600
AWAY_S, CAUGHT_UP_S = 6 * HOUR, 900
STEPS = 71  # in which they end: one every five minutes

POLICY = pipeline(
    node("team", repeat=7 * 24 * HOUR),
    receivers={
        "team": [
            Destination(CHAT),
            Destination(SMS, send_resolved=False, call=Call("primary", severities=("page",), daily_cap=200)),
        ]
    },
)


@pytest.fixture
def line(database: Database, clock: ManualClock) -> Timeline:
    made = {name: Provider.like(clock, rings=name == SMS) for name in (CHAT, SMS)}
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
    record(figures)
    assert (unfinished[:3], figures.duplicates) == ([], 0), line.told()
    assert len(entries) == 2 * (len(alerts) + len(over))

    # One message for each group, though a ticket and two messages would do; of what is over, a summary.
    assert len({one.episode for one in told[CHAT]}) == len(told[CHAT]) == GROUPS
    assert Counter(one.reason for one in told[CHAT]) == Counter(fired_and_resolved=20, first=30)
    known = [ident for one in told[CHAT] for ident in (*one.firing, *one.resolved)]
    assert sorted(known) == sorted(one.id for one in alerts)
    assert {ident for one in told[CHAT] for ident in one.resolved} == over
    firing = [entry for entry in entries if (entry.destination, entry.transition.value) == (SMS, "firing")]
    woken = {entry.alert_id: entry.provider_id for entry in firing if entry.state.value == "delivered"}
    proofs = {ident: f"id-{one.key}" for one in told[SMS] for ident in one.firing}
    assert len(told[SMS]) == 30, "one text for each group that still fires"
    assert woken == proofs
    assert woken.keys() == {one.id for one in alerts} - over
    before = {name: len(effects) for name, effects in told.items()}
    line.play(3 * AWAY_S)
    assert {name: len(effects) for name, effects in told.items()} == before, "told again"
    assert line.store.overdue(line.clock.now()) == []
