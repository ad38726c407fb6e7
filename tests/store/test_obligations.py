"""Obligations in the store: all or none, once, with pages that do not move, and an auditor that finds what is stuck."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, delete, select

from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from watchtower.clock import ManualClock
from watchtower.model.alert import Alert, AlertState
from watchtower.store import alerts, due, incidents, ledger
from watchtower.store.database import Database
from watchtower.store.schema.alerting import alerts as alert_rows
from watchtower.store.schema.alerting import groups, obligations, transitions
from watchtower.store.schema.observed import due as due_rows

POLICY = pipeline(node("team"))


class Stopped(Exception):
    """The transaction does not get through."""


def test_a_transition_creates_all_that_it_owes_or_nothing(database: Database, clock: ManualClock) -> None:
    outcome = fires(POLICY, firing_alert(clock.now(), pipeline="orders"))

    def unit(connection: Connection) -> None:
        alerts.write_outcome(connection, outcome, clock.now())
        raise Stopped

    with pytest.raises(Stopped):
        database.write(unit)
    with database.read() as connection:
        for table in (alert_rows, transitions, groups, obligations, due_rows):
            assert connection.execute(select(table)).all() == []


def test_one_transaction_holds_alert_history_group_obligation_incident_and_timer(
    database: Database, clock: ManualClock
) -> None:
    alert = firing_alert(clock.now(), pipeline="orders", team="data", severity="page")
    _write(database, clock, [alert])
    with database.read() as connection:
        assert [item.alert for item in alerts.list_alerts(connection)] == [alert]
        assert alerts.of_subjects(connection, ["job:1", "job:2"]) == {"job:1": (alert,), "job:2": ()}
        (entry,) = ledger.ledger(connection)
        assert (entry.alert_id, entry.destination, entry.state.value) == (alert.id, "team/webhook[0]", "due")
        (incident,) = incidents.list_incidents(connection, team="data")
        assert (incident.title, incident.severity.value, incident.labels) == (
            "RunFailed: orders",
            "page",
            {"pipeline": "orders"},
        )
        assert [event.kind for event in incidents.timeline(connection, incident.id)] == ["triggered"]
        assert due.next_at(connection, [due.GROUP]) == clock.now() + timedelta(seconds=30)


def test_a_hundred_outcomes_in_one_transaction_are_as_a_hundred_transactions(
    database: Database, clock: ManualClock
) -> None:
    made = [firing_alert(clock.now(), pipeline=f"p{index % 7}", task=str(index)) for index in range(100)]
    over = [resolved_alert(alert, clock.now()) for alert in made[:50]]
    now = clock.now()
    database.write(lambda connection: alerts.write_outcomes(connection, [fires(POLICY, item) for item in made], now))
    database.write(lambda connection: alerts.write_outcomes(connection, [resolves(POLICY, *over)], now))
    with database.read() as connection:
        assert len(connection.execute(select(groups)).all()) == 7
        assert len(ledger.ledger(connection, limit=1000)) == 150
        assert len(alerts.list_alerts(connection, states=[AlertState.FIRING])) == 50
        titles = {item.title for item in incidents.list_incidents(connection)}
    assert len(titles) == 7
    assert all("more)" in title for title in titles)


def test_pages_of_the_ledger_do_not_move_while_it_grows(database: Database, clock: ManualClock) -> None:
    _write(database, clock, [firing_alert(clock.now(), pipeline=f"p{index}") for index in range(5)])
    seen: list[str] = []
    after = None
    for _ in range(10):
        with database.read() as connection:
            page = ledger.ledger(connection, after=after, limit=2)
        if not page:
            break
        seen += [entry.id for entry in page]
        after = (page[-1].created_at, page[-1].id)
        clock.advance(1)
        if len(seen) < 6:
            _write(database, clock, [firing_alert(clock.now(), pipeline=f"q{len(seen)}")])
    with database.read() as connection:
        assert seen == [entry.id for entry in ledger.ledger(connection)]
    assert len(seen) == len(set(seen)) == 7


def test_the_auditor_finds_what_nothing_will_move(database: Database, clock: ManualClock) -> None:
    _write(database, clock, [firing_alert(clock.now(), pipeline="orders")])
    clock.advance(299)
    assert _overdue(database, clock) == []
    clock.advance(60)
    (late,) = _overdue(database, clock)
    assert "its next step was due at" in late
    database.write(lambda connection: connection.execute(delete(due_rows)).rowcount)
    assert _overdue(database, clock) == ["nothing is planned for it"]


def _overdue(database: Database, clock: ManualClock) -> list[str]:
    with database.read() as connection:
        return [item.why for item in ledger.overdue(connection, clock.now())]


def _write(database: Database, clock: ManualClock, firing: list[Alert]) -> None:
    now = clock.now()
    database.write(lambda connection: alerts.write_outcome(connection, fires(POLICY, *firing), now))
