"""What is counted and remembered of attempts, and what is forgotten again: nothing of it is told, all of it decides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from alerting import silences
from alerting.breaker import Breaker
from alerting.outbox import Attempt, Outbox
from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from tests.timeline import Timeline, between
from watchtower.clock import ManualClock
from watchtower.errors import Reason, Transient
from watchtower.lives import Lives, mark_of
from watchtower.model.alert import Notice, ObligationState, Receipt
from watchtower.model.delivery import Failure, LedgerEntry, Work
from watchtower.model.labels import parse_matchers
from watchtower.store import alerts, attempts, due, ledger
from watchtower.store.database import Database
from watchtower.store.schema.alerting import group_alerts, notices

WEBHOOK = "team/webhook[0]"
Make = Callable[..., Timeline]


@pytest.fixture
def make(database: Database, clock: ManualClock) -> Make:
    """`make(keyed=True, …)`: a timeline with one destination that is told at once, and its provider's traits."""

    def made(**traits: bool | float) -> Timeline:
        policy = pipeline(node("team", wait=0))
        return Timeline(database, clock, policy, {WEBHOOK: Provider.like(clock, **traits)})

    return made


def _fail(line: Timeline, *faults: Fault) -> None:
    line.providers[WEBHOOK].faults.extend(faults)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))


def _entries(line: Timeline) -> list[LedgerEntry]:
    with line.database.read() as connection:
        return ledger.ledger(connection)


def test_attempts_are_counted_from_one_in_the_notice_and_in_the_ledger(make: Make) -> None:
    line = make()
    attempts: list[int] = []

    def count(notice: Notice) -> None:
        attempts.append(notice.attempt)

    line.providers[WEBHOOK].before_request = count
    _fail(line, Fault.REFUSE, Fault.UNAVAILABLE)
    line.play(600)
    line.want(between(0, 60), WEBHOOK, firing=1, reason="first")
    assert attempts == [1, 2, 3]
    assert [entry.attempts for entry in _entries(line)] == [3]


def test_a_channel_that_breaks_after_it_sent_is_asked_what_became_of_it(make: Make) -> None:
    line = make()
    _fail(line, Fault.BROKEN_PLUGIN)
    line.play(25)  # within the provider's settle time, and not only when the lease is over
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want_nothing_else()
    assert [(entry.state.value, entry.attempts) for entry in _entries(line)] == [("delivered", 1)]


@pytest.mark.parametrize(
    "error", [Transient(Reason.CONNECT, "refused"), KeyError("ts")], ids=["provider away", "broken plug-in"]
)
def test_a_look_up_that_fails_is_made_again_before_anything_is_sent(make: Make, error: Exception) -> None:
    line = make()
    provider, failures = line.providers[WEBHOOK], [error]
    look_up = provider.look_up

    def fails_first(notice: Notice) -> Receipt | None:
        if failures:
            raise failures.pop()
        return look_up(notice)

    provider.look_up = fails_first
    _fail(line, Fault.TAKEN_THEN_TIMEOUT)
    line.play(600)
    line.want(between(0, 0), WEBHOOK, firing=1)
    line.want_nothing_else()
    assert (failures, provider.requests) == ([], 1)
    assert [entry.state.value for entry in _entries(line)] == ["delivered"]


def test_what_three_processes_died_of_is_a_dead_letter_that_is_told_and_holds_up_no_other(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    there = "other/webhook[0]"
    root = node("team", node("other", matchers="kind=meta", wait=0), wait=0)
    policy = pipeline(root, receivers={"team": [Destination(WEBHOOK)], "other": [Destination(there)]})
    line = Timeline(database, clock, policy, {name: Provider.like(clock) for name in (WEBHOOK, there)})
    line.commit(fires(policy, firing_alert(line.at(0), pipeline="orders")))
    with database.read() as connection:
        waiting = connection.execute(select(notices.c.id)).scalar_one()
    (tmp_path / mark_of(f"notice {waiting}")).write_text("3")
    line.outbox = Outbox(line.store, line.providers, policy, clock, lives=Lives(tmp_path))
    line.push(1, fires(policy, firing_alert(line.at(1), pipeline="customers")))
    line.play(60)
    assert [effect.labels for effect in line.providers[WEBHOOK].effects] == [("RunFailed:customers",)]
    assert [effect.labels[0] for effect in line.providers[there].effects] == ["WatchtowerDeliveryFailed:"]
    (entry,) = [entry for entry in _entries(line) if entry.state is ObligationState.DEAD_LETTER]
    assert (entry.reason, entry.error) == ("unknown", "3 processes died of it")


def test_a_channel_that_breaks_at_each_attempt_is_asked_three_times_and_then_given_up(make: Make) -> None:
    line = make(can_look_up=False, keyed=True)
    line.providers[WEBHOOK].always = Fault.BROKEN_PLUGIN
    seen: list[Attempt] = []
    line.outbox = Outbox(line.store, line.providers, line.pipeline, line.clock, observe=seen.append)
    line.push(0, fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.play(3_000)
    assert line.providers[WEBHOOK].requests == 3
    assert [(attempt.reason, attempt.gave_up) for attempt in seen] == [
        (Reason.UNKNOWN, last) for last in (False, False, True)
    ]
    (entry,) = [entry for entry in _entries(line) if entry.state is ObligationState.DEAD_LETTER]
    assert entry.error == "the channel failed: KeyError: 'ts'"


def test_a_dead_letter_that_is_tried_again_has_all_its_attempts_before_it(make: Make) -> None:
    """Two attempts without an answer end it where nothing can be looked up; a replay begins anew."""
    line = make(can_look_up=False)
    _fail(line, Fault.RESET_BEFORE, Fault.RESET_BEFORE)
    line.play(600)
    (entry,) = _entries(line)
    assert (entry.state.value, entry.notice_id is not None) == ("dead_letter", True)
    line.providers[WEBHOOK].faults.append(Fault.RESET_BEFORE)
    line.do(700, lambda: line.store.replay(entry.notice_id or "", line.clock.now()))
    line.play(1300)
    assert [(item.state.value, item.reason) for item in _entries(line)] == [("delivered", None)]


@pytest.mark.parametrize(("stood_still_s", "sent_at_once"), [(20, True), (21, False)])
def test_whoever_stood_still_for_most_of_the_lease_sends_nothing_under_it(
    make: Make, clock: ManualClock, stood_still_s: float, sent_at_once: bool
) -> None:
    """A send may take ten of its thirty seconds. Afterwards it is looked up, and told once."""
    line = make()
    line.commit(fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    assert line.outbox.in_hand == [WEBHOOK]
    clock.advance(stood_still_s)
    line.outbox.step()
    assert (line.providers[WEBHOOK].requests == 1) is sent_at_once
    line.play(600)
    line.want(between(20, 20) if sent_at_once else between(40, 60), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_whoever_lost_a_claim_writes_nothing_about_it_any_more(make: Make, clock: ManualClock) -> None:
    line = make()
    taken: list[Work] = []
    outcome = fires(line.pipeline, firing_alert(line.at(0), pipeline="orders"))

    def claimed_by_another(connection: Connection) -> None:
        touched = alerts.write_outcome(connection, outcome, clock.now())
        line.store.at_once(connection, touched, line.outbox.rush(), lambda works, _: taken.extend(works))

    line.database.write(claimed_by_another)
    (work,) = taken
    clock.advance(31)
    line.outbox.step()  # finds out that the lease is over
    line.store.record_failed(work, Failure(Reason.REJECTED, "bad request", None), clock.now(), None)
    assert not line.store.record_delivered(work, Receipt("id-late"), clock.now(), "")
    line.play(600)
    line.want(between(40, 60), WEBHOOK, firing=1)
    assert [entry.state.value for entry in _entries(line)] == ["delivered"]
    line.want_nothing_else()


def test_a_timer_of_a_silence_that_comes_early_wakes_nobody_and_stays(make: Make) -> None:
    line = make()
    wanted = silences.Wanted(parse_matchers("pipeline=orders"), line.at(0), line.at(3600), "data-lead", "known")
    line.do(0, lambda: line.store.revise_silence("s1", lambda old: silences.put(old, wanted, line.at(0), "s1")))
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="orders")))
    line.do(60, lambda: line.database.write(lambda c: due.mark(c, due.SILENCE, ["s1"], line.clock.now())))
    line.play(3599)
    with line.database.read() as connection:
        assert due.next_at(connection, [due.SILENCE]) == line.at(3600)
    line.play(3700)
    line.want(between(3600, 3600), WEBHOOK, firing=1)
    line.want_nothing_else()


def test_a_destination_that_is_away_is_asked_at_pauses_that_double_up_to_a_minute() -> None:
    breaker, now, pauses = Breaker(), 100.0, list[float]()
    for _ in range(10):
        breaker.failed(Transient(Reason.SERVER_ERROR, "away"), now)
        pauses.append(max(0.0, breaker.until - now))
        now += pauses[-1]
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_one_success_forgets_all_failures() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(Transient(Reason.CONNECT, "refused"), 100)
    breaker.succeeded()
    assert breaker == Breaker()


def test_an_attempt_that_does_not_end_is_told_by_its_destination_and_no_longer(make: Make, clock: ManualClock) -> None:
    line = make()
    stuck: list[list[str]] = []

    def wait(_: Notice) -> None:
        for seconds in (60, 1):
            clock.advance(seconds)
            stuck.append(line.outbox.stuck(60))

    line.providers[WEBHOOK].before_request = wait
    _fail(line)
    line.play(100)
    assert (stuck, line.outbox.stuck(60)) == ([[], [WEBHOOK]], [])


def test_nothing_is_sent_to_a_destination_that_is_not_configured(make: Make) -> None:
    assert make().outbox.drain("gone/webhook[0]") == 0


def test_a_group_that_does_not_clear_lets_go_of_what_is_over_and_told(make: Make) -> None:
    line = make()
    one, two, three = (firing_alert(line.at(0), pipeline="orders", task=task) for task in "abc")
    line.push(0, fires(line.pipeline, one, two))
    line.push(10, resolves(line.pipeline, resolved_alert(two, line.at(10))))
    line.play(299)
    assert _members(line) == {one.id, two.id}
    line.play(400)  # its end is told with the group's next look, at 300
    line.push(410, fires(line.pipeline, three))
    line.play(1_000)
    assert _members(line) == {one.id, three.id}


def _members(line: Timeline) -> set[str]:
    with line.database.read() as connection:
        return set(connection.scalars(select(group_alerts.c.alert_id).where(group_alerts.c.left_at.is_(None))))


def test_a_retry_after_does_not_shorten_a_pause_that_is_longer() -> None:
    breaker = Breaker()
    breaker.failed(Transient(Reason.RATE_LIMITED, "slow down", retry_after_s=90), 100)
    breaker.failed(Transient(Reason.RATE_LIMITED, "slow down", retry_after_s=30), 101)
    assert breaker.until == 190
    for _ in range(4):
        breaker.failed(Transient(Reason.CONNECT, "refused"), 101)
    assert breaker.until == 190


def test_a_look_up_under_a_claim_that_was_lost_changes_nothing(make: Make) -> None:
    line = make(can_look_up=True)
    _fail(line, Fault.RESET_BEFORE)
    real, lost = line.store.record_absent, list[bool]()

    def absent(work: Work, now: datetime, *, keyed: bool) -> bool:
        lost.append(real(replace(work, fence=work.fence - 1), now, keyed=keyed))
        return real(work, now, keyed=keyed)

    line.store.record_absent = absent
    line.play(600)
    assert lost == [False]
    line.want(between(0, 600), WEBHOOK, firing=1, reason="first")


def test_only_a_dead_letter_is_replayed(make: Make) -> None:
    line = make()
    _fail(line)
    line.play(60)
    (entry,) = _entries(line)
    assert entry.notice_id is not None
    assert not line.database.write(lambda c: attempts.replay(c, str(entry.notice_id), line.clock.now()))
    assert not line.database.write(lambda c: attempts.replay(c, "unknown", line.clock.now()))


def test_what_a_look_up_does_not_find_is_sent_in_the_same_turn(make: Make) -> None:
    line = make()
    line.providers[WEBHOOK].faults.append(Fault.RESET_BEFORE)
    line.commit(fires(line.pipeline, firing_alert(line.at(0), pipeline="orders")))
    line.outbox.drain(WEBHOOK)
    line.clock.advance(60)
    line.outbox.drain(WEBHOOK)
    line.want(between(60, 60), WEBHOOK, firing=1)
