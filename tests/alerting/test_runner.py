"""The outbox in threads, on the system's clock: a slow destination holds up nobody else."""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import Connection

from alerting.outbox import Outbox
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from alerting.runner import Runner
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Fault, Provider
from watchtower.clock import SystemClock
from watchtower.errors import StoreUnavailable
from watchtower.model.alert import Notice, ObligationState, Receipt
from watchtower.model.delivery import Agenda, Decide, Terms, Work
from watchtower.store import alerts, ledger
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

SLOW, FAST = "team/slow[0]", "team/fast[0]"
POLICY = pipeline(node("team", wait=0), receivers={"team": [Destination(SLOW), Destination(FAST)]})


def _commit(database: Database, policy: Pipeline, name: str) -> None:
    now = SystemClock().now()
    outcome = fires(policy, firing_alert(now, pipeline=name))
    database.write(lambda connection: alerts.write_outcome(connection, outcome, now))


def _eventually(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    for _ in range(1_200):
        if holds():
            return True
        pause.wait(0.05)
    return False


def test_a_slow_destination_holds_up_nobody_else(database: Database) -> None:
    clock = SystemClock()
    providers = {SLOW: Provider(clock), FAST: Provider(clock)}
    let_go = threading.Event()
    under_way: list[int] = []

    def wait(_: Notice) -> None:
        under_way.append(threading.active_count())
        let_go.wait(30)

    providers[SLOW].before_request = wait
    runner = Runner(Outbox(SqlAlertingStore(database), providers, POLICY, clock), clock)
    database.on_commit(runner.wake)
    runner.start()
    try:
        for index in range(10):
            _commit(database, POLICY, f"p{index}")
        assert _eventually(lambda: len(providers[FAST].effects) == 10)
        assert len(under_way) == 1, "more than one notice under way at one destination"
        assert providers[SLOW].effects == []
        let_go.set()
        assert _eventually(lambda: len(providers[SLOW].effects) == 10)
    finally:
        let_go.set()
        runner.stop()
    assert len({effect.key for effect in providers[SLOW].effects}) == 10


class _Careless(Provider):
    """A plug-in whose receipts hold what no store can keep as it is."""

    def deliver(self, notice: Notice) -> Receipt:
        return replace(super().deliver(notice), ref={"header": object(), "at": SystemClock().now()})


def test_a_receipt_that_cannot_be_stored_as_it_is_does_not_send_twice(database: Database) -> None:
    clock = SystemClock()
    careless = _Careless.like(clock, can_look_up=False, keyed=False)
    policy = pipeline(node("team", wait=0), receivers={"team": [Destination(SLOW)]})
    outbox = Outbox(SqlAlertingStore(database), {SLOW: careless}, policy, clock)
    _commit(database, policy, "orders")
    outbox.step()
    outbox.step()
    assert len(careless.effects) == 1
    with database.read() as connection:
        assert [entry.state for entry in ledger.ledger(connection)] == [ObligationState.DELIVERED]


def test_a_destination_that_comes_back_is_told_without_a_wake_up(database: Database) -> None:
    clock = SystemClock()
    providers = {SLOW: Provider(clock), FAST: Provider(clock)}
    providers[SLOW].faults.extend([Fault.REFUSE, Fault.UNAVAILABLE])
    runner = Runner(Outbox(SqlAlertingStore(database), providers, POLICY, clock), clock)
    runner.start()
    try:
        _commit(database, POLICY, "orders")
        runner.wake()
        assert _eventually(lambda: len(providers[SLOW].effects) == 1)
    finally:
        runner.stop()


def test_stopping_lets_the_attempt_under_way_end(database: Database) -> None:
    clock = SystemClock()
    providers = {SLOW: Provider(clock), FAST: Provider(clock)}
    begun, let_go = threading.Event(), threading.Event()

    def wait(_: Notice) -> None:
        begun.set()
        let_go.wait(30)

    providers[SLOW].before_request = wait
    store = SqlAlertingStore(database)
    runner = Runner(Outbox(store, providers, POLICY, clock), clock)
    runner.start()
    _commit(database, POLICY, "orders")
    runner.wake()
    assert begun.wait(60)
    threading.Timer(0.3, let_go.set).start()
    runner.stop()
    assert len(providers[SLOW].effects) == 1
    assert SLOW not in store.agenda([SLOW]).notices_at


def test_a_runner_that_was_never_started_stops(database: Database) -> None:
    clock = SystemClock()
    runner = Runner(Outbox(SqlAlertingStore(database), {}, POLICY, clock), clock)
    runner.stop()
    runner.wake()


class Fails(SqlAlertingStore):
    """The first question of each kind ends in this error."""

    def __init__(self, database: Database, error: Exception) -> None:
        super().__init__(database)
        self._error = error
        self.asked: set[str] = set()

    def _fail_once(self, what: str) -> None:
        if what not in self.asked:
            self.asked.add(what)
            raise self._error

    def agenda(self, destinations: Collection[str]) -> Agenda:
        self._fail_once("agenda")
        return super().agenda(destinations)

    def claim(self, destination: str, now: datetime, terms: Terms, decide: Decide) -> tuple[int, Work | None]:
        self._fail_once("claim")
        return super().claim(destination, now, terms, decide)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), KeyError("a fault")], ids=["store", "fault"])
def test_a_runner_whose_store_does_not_answer_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("alerting.runner.STORE_PAUSE_S", 0.01)
    clock, policy = SystemClock(), pipeline(node("team", wait=0))
    provider, store = Provider(clock), Fails(database, error)
    _commit(database, policy, "orders")
    runner = Runner(Outbox(store, {"team/webhook[0]": provider}, policy, clock), clock)
    runner.start()
    try:
        assert _eventually(lambda: len(provider.effects) == 1)
    finally:
        runner.stop()
    assert store.asked == {"agenda", "claim"}


class _Late(Outbox):
    """Something comes in hand while the thread of its destination is about to end."""

    came: Callable[[], None]
    drained = 0

    def drain(self, destination: str, now: datetime | None = None, *, stop: threading.Event | None = None) -> int:
        done = super().drain(destination, now, stop=stop)
        self.drained += 1
        if self.drained == 1:
            self.came()
        return done


def test_what_comes_in_hand_as_its_thread_ends_has_a_thread_of_its_own(database: Database) -> None:
    clock, provider = SystemClock(), Provider(SystemClock())
    policy = pipeline(node("team", wait=0), receivers={"team": [Destination(SLOW)]})
    store = SqlAlertingStore(database)
    outbox = _Late(store, {SLOW: provider}, policy, clock)

    def commit(name: str) -> None:
        now = clock.now()
        outcome = fires(policy, firing_alert(now, pipeline=name))

        def unit(connection: Connection) -> None:
            touched = alerts.write_outcome(connection, outcome, now)
            store.at_once(connection, touched, outbox.rush(), outbox.hand)

        database.write(unit)

    outbox.came = lambda: commit("second")
    commit("first")
    runner = Runner(outbox, clock)
    runner.start()
    try:
        assert _eventually(lambda: len(provider.effects) == 2)
    finally:
        runner.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_destination_whose_thread_dies_has_another_one_for_what_comes_next(database: Database) -> None:
    clock = SystemClock()
    policy = pipeline(node("team", wait=0), receivers={"team": [Destination(SLOW)]})
    provider, threads = Provider(clock), list[threading.Thread]()

    def die_at_first(_: Notice) -> None:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise SystemExit  # what nothing catches

    provider.before_request = die_at_first
    runner = Runner(Outbox(SqlAlertingStore(database), {SLOW: provider}, policy, clock), clock)
    runner.start()
    try:
        _commit(database, policy, "first")
        runner.wake()
        assert _eventually(lambda: bool(threads) and not threads[0].is_alive())
        _commit(database, policy, "second")
        runner.wake()
        assert _eventually(lambda: len(provider.effects) == 1)
    finally:
        runner.stop()
    assert threads[1] is not threads[0]
