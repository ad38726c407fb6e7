"""What a claim makes of rows that hold nothing to send, and of attempts that somebody else has begun."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.model.alert import Notice, ObligationState, Receipt
from watchtower.model.delivery import Decide, Terms, Work
from watchtower.store import alerts, due, ledger, outbox, silences
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.notices import lane
from watchtower.store.schema.alerting import notices
from watchtower.store.schema.observed import due as due_rows

WEBHOOK = "team/webhook[0]"
ANOTHER = Terms("another", 30.0, 10.0)


def timeline(database: Database, clock: ManualClock, **traits: bool | float) -> Timeline:
    return Timeline(database, clock, pipeline(node("team", wait=0)), {WEBHOOK: Provider.like(clock, **traits)})


def claimed(line: Timeline) -> Work:
    """Another process is about to tell of an alert, and is never heard of again."""
    now = line.clock.now()
    outcome = fires(line.pipeline, firing_alert(now, pipeline="orders"))
    line.database.write(lambda connection: alerts.write_outcome(connection, outcome, now))
    line.outbox.turn(now)
    _, work = line.store.claim(WEBHOOK, now, ANOTHER, partial(line.pipeline.decide, rings=False))
    assert work is not None
    return work


def test_rows_for_which_nothing_waits_leave_the_queue_a_bounded_number_in_one_transaction(
    database: Database, clock: ManualClock
) -> None:
    line = timeline(database, clock)
    nobody = [f"group {number}" for number in range(60)]
    database.write(lambda connection: due.mark(connection, lane(WEBHOOK), nobody, clock.now()))
    decide = partial(line.pipeline.decide, rings=False)
    assert line.store.claim(WEBHOOK, clock.now(), ANOTHER, decide) == (50, None)
    assert line.store.claim(WEBHOOK, clock.now(), ANOTHER, decide) == (10, None)
    assert line.store.agenda([WEBHOOK]).notices_at == {}


def test_where_no_group_is_due_none_is_looked_at(database: Database, clock: ManualClock) -> None:
    line = timeline(database, clock)
    now = clock.now()
    assert database.write(lambda connection: outbox.flush(connection, now, 50, "me", line.pipeline.flush)) == 0


def test_an_attempt_is_left_alone_as_long_as_its_own_lease_says(database: Database, clock: ManualClock) -> None:
    line = timeline(database, clock)
    work = claimed(line)
    until = clock.now() + timedelta(seconds=60)
    mine = notices.c.id == work.notice.id
    database.write(lambda connection: connection.execute(update(notices).where(mine).values(lease_until=until)))
    clock.advance(31)
    line.outbox.step()
    assert line.store.agenda([WEBHOOK]).notices_at[WEBHOOK] == until
    assert line.providers[WEBHOOK].requests == 0
    clock.advance(29)
    line.outbox.step()
    clock.advance(10)
    line.outbox.step()
    line.outbox.step()
    assert [effect.key for effect in line.providers[WEBHOOK].effects] == [work.notice.key]


def test_a_look_up_that_comes_too_late_for_its_claim_is_not_made(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = timeline(database, clock)
    work = claimed(line)
    clock.advance(30)
    line.outbox.step()
    clock.advance(10)
    real, pauses = SqlAlertingStore.claim, [25.0]

    def stands_still(
        self: SqlAlertingStore, destination: str, now: datetime, terms: Terms, decide: Decide
    ) -> tuple[int, Work | None]:
        handled, found = real(self, destination, now, terms, decide)
        if found is not None and pauses:
            clock.advance(pauses.pop())
        return handled, found

    looked: list[str] = []
    look_up = line.providers[WEBHOOK].look_up

    def look(notice: Notice) -> Receipt | None:
        looked.append(notice.id)
        return look_up(notice)

    monkeypatch.setattr(line.providers[WEBHOOK], "look_up", look)
    monkeypatch.setattr(SqlAlertingStore, "claim", stands_still)
    line.outbox.step()
    assert looked == []
    clock.advance(60)
    for _ in range(4):
        line.outbox.step()
        clock.advance(30)
    assert looked == [work.notice.id]
    assert len(line.providers[WEBHOOK].effects) == 1


def test_what_rings_and_may_have_rung_is_not_rung_again_for_what_is_over(
    database: Database, clock: ManualClock
) -> None:
    """A receiver that folds repeats is sent the same again under the same key; but nobody is woken for what has ended,
    and whoever may have been woken is told that it has."""
    line = timeline(database, clock, keyed=True, can_look_up=False, rings=True)
    alert = firing_alert(line.at(0), pipeline="orders")
    line.providers[WEBHOOK].faults.append(Fault.RESET_BEFORE)
    line.push(0, fires(line.pipeline, alert))
    line.push(5, resolves(line.pipeline, resolved_alert(alert, line.at(5))))
    line.play(600)
    assert [effect.firing for effect in line.providers[WEBHOOK].effects if effect.firing] == []
    with database.read() as connection:
        states = {entry.state for entry in ledger.ledger(connection)}
    assert states <= {ObligationState.SUPERSEDED, ObligationState.DELIVERED}


def test_what_may_have_rung_is_rung_again_under_its_key_while_it_still_fires(
    database: Database, clock: ManualClock
) -> None:
    line = timeline(database, clock, keyed=True, can_look_up=False, rings=True)
    line.providers[WEBHOOK].faults.append(Fault.RESET_BEFORE)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(60)
    line.want(between(10, 60), WEBHOOK, firing=1, reason="first")
    line.want_nothing_else()


def test_a_message_about_what_is_over_that_is_refused_for_good_is_not_planned_again(
    database: Database, clock: ManualClock
) -> None:
    line = timeline(database, clock)
    alert = firing_alert(line.at(0), pipeline="orders")
    line.providers[WEBHOOK].faults.extend([Fault.UNAVAILABLE, Fault.PERMANENT])
    line.push(0, fires(line.pipeline, alert))
    line.push(0.001, resolves(line.pipeline, resolved_alert(alert, line.at(0.001))))
    line.play(4 * 3600)
    assert line.providers[WEBHOOK].effects == []
    with database.read() as connection:
        entries = [entry for entry in ledger.ledger(connection) if entry.alert_id == alert.id]
    assert {entry.state for entry in entries} == {ObligationState.DEAD_LETTER}


def test_silences_that_ended_before_are_left_out_and_the_last_to_end_comes_first(
    database: Database, clock: ManualClock
) -> None:
    line = timeline(database, clock)
    for name, hours in (("over", 1), ("first", 2), ("last", 3)):
        line.silence("pipeline=orders", hours * 3600, name)
    with database.read() as connection:
        found = silences.list_silences(connection, ended_after=line.at(3600), limit=10)
        assert [item.id for item in found] == ["last", "first"]
        assert [item.id for item in silences.list_silences(connection, ended_after=line.at(3600), limit=1)] == ["last"]


def test_to_give_back_nothing_is_no_statement(database: Database, clock: ManualClock) -> None:
    def nothing(connection: silences.Connection) -> None:
        due.settle(connection, due.GROUP, [])
        due.settle_judged(connection, [])

    database.write(nothing)
    with database.read() as connection:
        assert due.next_at(connection) is None


@pytest.mark.parametrize(("send_resolved", "fault"), [(True, None), (False, None), (True, Fault.PERMANENT)])
def test_of_what_is_over_and_told_or_given_up_nothing_stays_in_the_queue(
    database: Database, clock: ManualClock, *, send_resolved: bool, fault: Fault | None
) -> None:
    receivers = {"team": [Destination(WEBHOOK, send_resolved)]}
    policy = pipeline(node("team", wait=0), receivers=receivers)
    line = Timeline(database, clock, policy, {WEBHOOK: Provider.like(clock)})
    alert = firing_alert(line.at(0), pipeline="orders")
    line.push(0, fires(policy, alert))
    line.do(30, lambda: setattr(line.providers[WEBHOOK], "always", fault))
    line.push(60, resolves(policy, resolved_alert(alert, line.at(60))))
    line.play(60)
    line.providers[WEBHOOK].always = None
    line.play(12 * 3600)
    with database.read() as connection:
        assert connection.execute(select(due_rows.c.lane, due_rows.c.subject)).all() == []
