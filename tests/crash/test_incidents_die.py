"""As test_outbox_dies, with real providers: each episode is one incident or ticket, wherever its senders die.

PagerDuty folds what it is sent again; a ticket is looked up, and Zendesk folds by an idempotency key. Nothing may be
opened twice, and what was opened must have ended in the end.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from alerting.destinations import channel_type
from alerting.outbox import LEASE_S, Outbox
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.desks import context
from tests.conftest import START, NewDatabase
from tests.crash.test_outbox_dies import (
    DESTINATION,
    DIED,
    MOST_POINTS,
    POLICY,
    Make,
    Point,
    check_ledger,
    commit,
    finish,
    live,
    nothing,
)
from tests.crash.test_phone_dies import Pointed
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator
from tests.simulators.pagerduty import ROUTING_KEY, PagerDutySimulator
from tests.simulators.zendesk import API_TOKEN, EMAIL, ZendeskSimulator
from watchtower.clock import ManualClock
from watchtower.ports import Channel
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Provider:
    """options: of the destination, given the simulator. opened: provider id and status of what was opened, in order;
    over: the status that says that it has ended; hide: makes what was just opened invisible to look-ups for an hour."""

    simulator: Callable[[Any], HttpSimulator]
    options: Callable[[Any], dict[str, Any]]
    opened: Callable[[Any], Sequence[tuple[str, str]]]
    over: str
    hide: Callable[[Any], None] = lambda provider: None


PROVIDERS = {
    "pagerduty": Provider(
        PagerDutySimulator,
        lambda provider: {"routing_key": ROUTING_KEY, "url": provider.events_url},
        lambda provider: [(f"pagerduty:{row.dedup_key}", row.status) for row in provider.ledger],
        "resolved",
    ),
    "zendesk": Provider(
        ZendeskSimulator,
        lambda provider: {"base_url": provider.url, "email": EMAIL, "api_token": API_TOKEN},
        lambda provider: [(f"zendesk:{row.id}", row.status) for row in provider.ledger],
        "solved",
        lambda provider: setattr(provider, "lag_s", 3600.0),
    ),
}


def _made(name: str, options: dict[str, Any], point: Point, clock: ManualClock, database: Database) -> Channel:
    kind, usual = channel_type(name), context(clock)
    made: Channel = kind(kind.Config.model_validate(options), replace(usual, http=Pointed(usual.http, point)))
    return made


@pytest.mark.parametrize("name", PROVIDERS)
def test_it_is_opened_once_and_ends_wherever_its_sender_dies(database_url: str, name: str) -> None:
    clock, kind = ManualClock(START), PROVIDERS[name]
    deaths = 0
    with kind.simulator(clock.now()) as provider:
        make = partial(_made, name, kind.options(provider))
        for die_at in range(MOST_POINTS):
            seen = len(kind.opened(provider))
            alert = firing_alert(clock.now(), pipeline=f"orders{die_at}")
            commit(database_url, clock, fires(POLICY, alert))
            provider.now = clock.now()
            status = live(database_url, clock.now(), make, die_at)
            assert status in (0, DIED)
            clock.advance(5)
            provider.now = clock.now()
            commit(database_url, clock, resolves(POLICY, resolved_alert(alert, clock.now())))
            finish(database_url, clock, make)
            made = kind.opened(provider)[seen:]
            assert [state for _, state in made] in ([], [kind.over]), f"after a death at point {die_at}: {made}"
            if made:
                check_ledger(database_url, alert.id, {made[0][0]})
            clock.advance(3600)
            if status == 0:
                assert made
                break
            deaths += 1
    assert 8 < deaths < MOST_POINTS


@pytest.mark.parametrize("engine", ["postgresql"], indirect=False)
@pytest.mark.parametrize("name", PROVIDERS)
def test_replicas_that_are_killed_in_mid_call_open_exactly_one(new_database: NewDatabase, name: str) -> None:
    """Three at a time, three times over: the provider takes the call and the caller is killed before it hears so, and
    no look-up shows it until all of them are dead."""
    url, clock, kind = new_database("watchtower", True), ManualClock(START), PROVIDERS[name]
    with kind.simulator(clock.now()) as provider:
        make = partial(_made, name, kind.options(provider))
        kind.hide(provider)
        alert = firing_alert(clock.now(), pipeline="orders")
        commit(url, clock, fires(POLICY, alert))
        for _ in range(3):
            provider.fail_next(Fault.ACCEPT_THEN_TIMEOUT)
            _killed_in_mid_call(url, clock, make, provider)
            clock.advance(LEASE_S + channel_type(name).settle_s + 1)
            provider.now = clock.now()
        assert len(kind.opened(provider)) == 1
        clock.advance(3600)
        provider.now = clock.now()
        finish(url, clock, make)
        assert len(kind.opened(provider)) == 1
        commit(url, clock, resolves(POLICY, resolved_alert(alert, clock.now())))
        finish(url, clock, make)
        [(ident, state)] = kind.opened(provider)
    assert state == kind.over
    check_ledger(url, alert.id, {ident})


def _killed_in_mid_call(url: str, clock: ManualClock, make: Make, provider: HttpSimulator) -> None:
    changes = sum(map(provider.changes_something, provider.requests))
    replicas = [_replica(url, clock, make, f"replica-{number}") for number in range(3)]
    until = time.monotonic() + PATIENCE_S
    while sum(map(provider.changes_something, list(provider.requests))) == changes and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)  # the others have their chance
    for pid in replicas:
        os.kill(pid, signal.SIGKILL)
    for pid in replicas:
        os.waitpid(pid, 0)
    assert sum(map(provider.changes_something, provider.requests)) == changes + 1, "only one of them may speak"


def _replica(url: str, clock: ManualClock, make: Make, holder: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            database = Database(url)
            channels = {DESTINATION: make(nothing, clock, database)}
            Outbox(SqlAlertingStore(database), channels, POLICY, clock, holder=holder).step()
            time.sleep(PATIENCE_S)
        finally:
            os._exit(1)
    return child
