"""As test_outbox_dies, with tickets: the senders die between and within the calls to desks that make it hard to go on.

Jira's search is late by up to two minutes, ServiceNow lets one insert land twice. Three replicas that are killed in
mid-call open exactly one ticket (jiralert #119 opened three).
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from alerting.outbox import Outbox
from alerting.tickets.desk import desk_channel
from alerting.tickets.jira import Jira
from alerting.tickets.servicenow import ServiceNow
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.desks import context
from tests.conftest import START
from tests.crash.test_outbox_dies import (
    DESTINATION,
    DIED,
    MOST_POINTS,
    POLICY,
    Counted,
    Point,
    check_ledger,
    commit,
    finish,
    live,
)
from tests.crash.test_phone_dies import Pointed
from tests.simulators.jira import JiraSimulator
from tests.simulators.servicenow import STAGING, ServiceNowSimulator
from watchtower.clock import ManualClock
from watchtower.ports import Channel
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

LAG_S = 110.0  # below Jira's settle time of 120 s
LOGIN = {"basic_auth": {"username": "bot@example.com", "password": "api-token"}}
JIRA = {"project": "OPS", "issue_type": "Task", "http_config": LOGIN}
SERVICENOW = {"username": "watchtower", "password": "itil-password"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A ticket as people see it: is it over, and how many comments it has."""

    id: str
    subject: str
    ended: bool
    comments: int


@dataclass(frozen=True, slots=True)
class Desk:
    system: Any
    start: Callable[[ManualClock], AbstractContextManager[Any]]
    options: Callable[[str], dict[str, Any]]
    shown: Callable[[Any], list[Shown]]

    def make(self, url: str, point: Point, clock: ManualClock, database: Database) -> Channel:
        kind = desk_channel(self.system)
        usual = context(clock)
        around = replace(usual, http=Pointed(usual.http, point))
        return kind(kind.Config.model_validate(self.options(url)), around)


def _issues(jira: JiraSimulator) -> list[Shown]:
    return [Shown(row.key, row.fields["summary"], row.status == "Done", len(row.comments)) for row in jira.issues]


def _incidents(desk: ServiceNowSimulator) -> list[Shown]:
    rows = [(row, row.columns) for row in desk.incidents]
    return [
        Shown(row.number, columns["short_description"], columns["state"] == "6", len(row.notes))
        for row, columns in rows
    ]


def _jira(clock: ManualClock) -> JiraSimulator:
    return JiraSimulator(clock.now(), clock=clock, lag_s=LAG_S)


def _servicenow(clock: ManualClock) -> ServiceNowSimulator:
    return ServiceNowSimulator(clock.now(), clock=clock)


DESKS = {
    "jira": Desk(
        Jira,
        _jira,
        lambda url: {**JIRA, "api_url": url, "api_type": "cloud"},
        _issues,
    ),
    "servicenow": Desk(ServiceNow, _servicenow, lambda url: {**SERVICENOW, "base_url": url}, _incidents),
    "servicenow import set": Desk(
        ServiceNow, _servicenow, lambda url: {**SERVICENOW, "base_url": url, "import_set": STAGING}, _incidents
    ),
}


@pytest.mark.parametrize("name", DESKS)
def test_a_ticket_is_opened_and_ended_once_wherever_its_sender_dies(database_url: str, name: str) -> None:
    """The first life opens, or dies; then the alert ends; the second life ends the ticket, or dies."""
    desk, clock, deaths = DESKS[name], ManualClock(START), 0
    with desk.start(clock) as provider:
        make = partial(desk.make, provider.url)
        for die_at in range(MOST_POINTS):
            alert = firing_alert(clock.now(), pipeline=f"orders{die_at}")
            commit(database_url, clock, fires(POLICY, alert))
            first = live(database_url, clock.now(), make, die_at)
            if first == DIED:
                finish(database_url, clock, make)
            clock.advance(5)
            commit(database_url, clock, resolves(POLICY, resolved_alert(alert, clock.now())))
            second = live(database_url, clock.now(), make, die_at)
            assert {first, second} <= {0, DIED}
            finish(database_url, clock, make)
            made = [ticket for ticket in desk.shown(provider) if f" orders{die_at}: " in ticket.subject]
            assert [(ticket.ended, ticket.comments) for ticket in made] == [(True, 1)], (die_at, made)
            check_ledger(database_url, alert.id, [f"{desk.system.name}:{made[0].id}"])
            clock.advance(3600)
            if (first, second) == (0, 0):
                break
            deaths += 1
    assert 10 < deaths < MOST_POINTS


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize("name", DESKS)
def test_three_replicas_that_are_killed_in_mid_call_open_one_ticket(database_url: str, name: str) -> None:
    """All start at once on one store; each dies at its own point, again and again, until one gets through."""
    desk, clock = DESKS[name], ManualClock(START)
    with desk.start(clock) as provider:
        make = partial(desk.make, provider.url)
        for round_ in range(4):
            alert = firing_alert(clock.now(), pipeline=f"orders{round_}")
            commit(database_url, clock, fires(POLICY, alert))
            for deadly in ((9, 10, 11), (5, 7, 9 + round_), (12, 11, 10)):
                replicas = [_replica(database_url, clock, make, die_at) for die_at in deadly]
                assert {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in replicas} <= {0, DIED}
                clock.advance(31 + desk.system.settle_s)  # the lease, and the time after which a search knows
            finish(database_url, clock, make)
            made = [ticket for ticket in desk.shown(provider) if f" orders{round_}: " in ticket.subject]
            assert len(made) == 1, made
            clock.advance(3600)


def _replica(url: str, clock: ManualClock, make: Callable[..., Channel], die_at: int) -> int:
    """A sender in a process of its own, which goes on beside the others. Its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        left = die_at

        def point() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(DIED)

        database = Database(url)
        store: Any = Counted(SqlAlertingStore(database), point)
        Outbox(store, {DESTINATION: make(point, clock, database)}, POLICY, clock).step()
        status = 0
    finally:
        os._exit(status)
