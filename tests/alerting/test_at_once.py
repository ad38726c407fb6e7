"""What is due at once is claimed in the transaction that makes it due, and is sent by whoever holds it."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, select

from alerting.outbox import Outbox
from alerting.pipeline import Pipeline
from alerting.routing import Destination
from alerting.runner import Runner
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from tests.simulators.provider import Provider
from watchtower.clock import ManualClock, SystemClock
from watchtower.model.alert import Alert, Notice, ObligationState
from watchtower.model.delivery import Conversation, Decision, Flush, Situation, Way
from watchtower.ports import Clock
from watchtower.store import alerts, conversations, ledger
from watchtower.store import groups as store_groups
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database
from watchtower.store.schema.alerting import groups
from watchtower.store.statements import Row
from watchtower.store.touched import Touched

DESTINATION = "team/webhook[0]"
POLICY = pipeline(node("team", wait=0))
LATER = pipeline(node("team", wait=30))


def _outbox(database: Database, clock: Clock, provider: Provider, policy: Pipeline = POLICY) -> Outbox:
    return Outbox(SqlAlertingStore(database), {DESTINATION: provider}, policy, clock)


def _commit(database: Database, outbox: Outbox, clock: Clock, *made: Alert, **otherwise: Any) -> None:
    """As the rules do. otherwise: what is not as usual in their rush."""

    def unit(connection: Connection) -> None:
        touched = alerts.write_outcome(connection, fires(POLICY, *made), clock.now())
        SqlAlertingStore(database).at_once(connection, touched, replace(outbox.rush(), **otherwise), outbox.hand)

    database.write(unit)


def _no_way(_: str) -> None:
    return None


def _states(database: Database) -> list[ObligationState]:
    with database.read() as connection:
        return [entry.state for entry in ledger.ledger(connection)]


def _alert(now: datetime, name: str = "orders") -> Alert:
    return firing_alert(now, pipeline=name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def provider(clock: ManualClock) -> Provider:
    return Provider(clock)


def test_the_intent_is_committed_with_the_alert(database: Database, clock: ManualClock, provider: Provider) -> None:
    outbox = _outbox(database, clock, provider)
    _commit(database, outbox, clock, _alert(clock.now()))
    assert _states(database) == [ObligationState.SENDING]
    assert outbox.in_hand == [DESTINATION]
    assert provider.requests == 0
    outbox.step()
    assert _states(database) == [ObligationState.DELIVERED]
    assert outbox.in_hand == []
    assert provider.requests == 1


def test_one_notice_is_in_hand_and_the_others_are_due(
    database: Database, clock: ManualClock, provider: Provider
) -> None:
    outbox = _outbox(database, clock, provider)
    _commit(database, outbox, clock, *[_alert(clock.now(), name) for name in ("orders", "billing", "stock")])
    assert sorted(_states(database)) == [ObligationState.DUE, ObligationState.DUE, ObligationState.SENDING]
    _commit(database, outbox, clock, _alert(clock.now(), "returns"))
    assert sorted(_states(database)) == [*[ObligationState.DUE] * 3, ObligationState.SENDING]
    outbox.step()
    assert provider.requests == len(provider.effects) == 4


def test_a_provider_that_fails_is_not_hurried(database: Database, clock: ManualClock, provider: Provider) -> None:
    outbox = _outbox(database, clock, provider)
    _commit(database, outbox, clock, _alert(clock.now()), way=_no_way)
    assert _states(database) == [ObligationState.DUE]
    assert outbox.in_hand == []
    outbox.step()
    assert _states(database) == [ObligationState.DELIVERED]


def test_a_group_that_waits_is_not_claimed(database: Database, clock: ManualClock, provider: Provider) -> None:
    outbox = _outbox(database, clock, provider, LATER)

    def unit(connection: Connection) -> None:
        touched = alerts.write_outcome(connection, fires(LATER, _alert(clock.now())), clock.now())
        SqlAlertingStore(database).at_once(connection, touched, outbox.rush(), outbox.hand)

    database.write(unit)
    assert _states(database) == [ObligationState.DUE]
    outbox.step()
    assert provider.requests == 0
    clock.advance(30)
    outbox.step()
    assert provider.requests == 1


def test_haste_that_fails_costs_neither_the_alert_nor_the_notice(
    database: Database, clock: ManualClock, provider: Provider
) -> None:
    def broken(held: Sequence[Conversation], now: datetime) -> Flush:
        raise KeyError("destination")

    outbox = _outbox(database, clock, provider)
    _commit(database, outbox, clock, _alert(clock.now()), flush=broken)
    assert _states(database) == [ObligationState.DUE]
    assert outbox.in_hand == []
    outbox.step()
    assert _states(database) == [ObligationState.DELIVERED]
    assert provider.requests == 1


def test_what_was_too_long_in_hand_is_left_to_its_lease(
    database: Database, clock: ManualClock, provider: Provider
) -> None:
    """Another process may look after it by then."""
    outbox = _outbox(database, clock, provider)
    _commit(database, outbox, clock, _alert(clock.now()))
    clock.advance(25)
    outbox.step()
    assert provider.requests == 0
    rival = _outbox(database, clock, provider)
    for _ in range(3):
        clock.advance(20)
        rival.step()
    assert _states(database) == [ObligationState.DELIVERED]
    assert len(provider.effects) == 1


def test_what_is_in_hand_is_sent_before_the_end(database: Database) -> None:
    """It is claimed: in the next life it would have to be looked up first."""
    clock = SystemClock()
    provider = Provider(clock)
    begun, let_go = threading.Event(), threading.Event()

    def wait(_: Notice) -> None:
        begun.set()
        let_go.wait(60)

    provider.before_request = wait
    outbox = _outbox(database, clock, provider)
    runner = Runner(outbox, clock)
    runner.start()
    _commit(database, outbox, clock, _alert(clock.now()))
    runner.wake()
    assert begun.wait(60)
    unaware = _outbox(database, clock, provider)  # that one is under way
    _commit(database, outbox, clock, _alert(clock.now(), "billing"), way=unaware.rush().way)
    assert outbox.in_hand == [DESTINATION]
    stopping = threading.Thread(target=runner.stop, args=[60.0])
    stopping.start()
    let_go.set()
    stopping.join(120)
    assert len(provider.effects) == 2
    assert _states(database) == [ObligationState.DELIVERED] * 2


def test_what_is_handed_on_of_a_new_episode_is_what_the_store_says_of_it(
    database: Database, clock: ManualClock, provider: Provider
) -> None:
    """At the flush, and at the claims of two destinations."""
    policy = pipeline(
        node("team", wait=0, group_by=("team",)), receivers={"team": [Destination(DESTINATION), Destination("team/b")]}
    )
    outbox = Outbox(SqlAlertingStore(database), {DESTINATION: provider, "team/b": provider}, policy, clock)
    stands, handed = list[Conversation](), list[Conversation]()

    def unit(connection: Connection) -> None:
        def read() -> list[Conversation]:
            rows = connection.execute(select(groups).order_by(groups.c.id)).all()
            return [talk for some in conversations.load(connection, rows).values() for talk in some]

        def flush(held: Sequence[Conversation], now: datetime) -> Flush:
            stands.extend(read())
            handed.extend(held)
            return policy.flush(held, now)

        def decide(situation: Situation, now: datetime) -> Decision:
            talk = situation.conversation
            stands.extend(one for one in read() if one.planned.destination == talk.planned.destination)
            handed.append(talk)
            return policy.decide(situation, now, rings=False)

        def way(destination: str) -> Way | None:
            found = outbox.rush().way(destination)
            return None if found is None else replace(found, decide=decide)

        firing = firing_alert(clock.now(), pipeline="orders", team="data")
        touched = alerts.write_outcome(connection, fires(policy, firing), clock.now())
        assert all(touched.values()), "it was opened here"
        rush = replace(outbox.rush(), flush=flush, way=way)
        SqlAlertingStore(database).at_once(connection, touched, rush, outbox.hand)

    database.write(unit)
    assert len(handed) == 4
    assert handed == stands


def test_an_episode_that_another_replica_opened_first_is_read(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It owes more than this transaction knows of. The other one commits between the look and the insert."""
    policy = pipeline(node("team", wait=0, group_by=("team",)))

    def write(name: str) -> Touched:
        firing = firing_alert(clock.now(), pipeline=name, team="data")
        return database.write(lambda c: alerts.write_outcome(c, fires(policy, firing), clock.now()))

    (first,) = write("orders").items()
    looks, look = iter([True]), store_groups._lock_open  # pyright: ignore[reportPrivateUsage]

    def too_early(connection: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Row]:
        return {} if next(looks, False) else look(connection, keys)

    monkeypatch.setattr(store_groups, "_lock_open", too_early)
    assert first[1] is not None
    assert write("billing") == {first[0]: None}
