"""A sender dies in mid-attempt: how soon the next process finds out what became of it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from alerting.outbox import LEASE_S, SEND_TIMEOUT_S, Outbox
from tests.alerting.builders import fires, firing_alert
from tests.alerting.routes import node, pipeline
from tests.simulators.provider import Provider
from tests.timeline import Timeline, between
from watchtower.app.store_time import StoreTime
from watchtower.clock import ManualClock, SteadyClock
from watchtower.lives import Lives
from watchtower.model.alert import Notice
from watchtower.ports import Clock
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

WEBHOOK = "team/webhook[0]"


class Killed(BaseException):
    """The process ends here; nothing of it goes on."""


def _kill(_notice: Notice) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("dies", "seen"), [("before_request", 0), ("before_answer", 1)], ids=["before the request", "after it"]
)
@pytest.mark.parametrize(("alone", "found_at"), [(True, 42), (False, 72)], ids=["the only process", "one of many"])
def test_what_a_dead_sender_left_is_found_out(
    database: Database, clock: ManualClock, dies: str, seen: int, *, alone: bool, found_at: float
) -> None:
    """It sent at second 31, the next process starts at second 32: a look-up waits for the settle time (10 s), and for
    the lease (30 s) where another process could be holding it."""
    provider = Provider.like(clock)
    line = Timeline(database, clock, pipeline(), {WEBHOOK: provider})
    line.push(1, fires(line.pipeline, firing_alert(line.at(1), pipeline="orders")))
    setattr(provider, dies, _kill)
    with pytest.raises(Killed):
        line.play(31)
    assert len(provider.effects) == seen
    setattr(provider, dies, None)
    line.restart()
    clock.advance(1)
    if alone:
        line.store.free_leases(clock.now())
    line.play(200)
    assert len(provider.effects) == 1, "told once, and not lost"
    line.want(between(31, 31) if seen else between(found_at - 1, found_at), WEBHOOK, firing=1)
    assert [state for _, _, state, _ in line.obligations()] == ["delivered"]


class Ahead:
    """The clock of another machine, so many seconds ahead."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock, self._ahead = clock, timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def boottime(self) -> float:
        return self._clock.boottime()


class Standing(Lives):
    """Whoever has claimed something stands still before it is sent, once."""

    def __init__(self, stand_still: Callable[[], None]) -> None:
        super().__init__(None)
        self._moments = [stand_still]

    @contextmanager
    def attempt(self, piece: str) -> Generator[None]:
        while self._moments:
            self._moments.pop()()
        with super().attempt(piece):
            yield


def _of_a_machine(store: ManualClock, ahead: float) -> SteadyClock:
    """The time that a replica keeps whose own clock is so far ahead of the store's."""
    clock = SteadyClock(lambda: store.now().timestamp() + ahead, store.boottime)
    clock.keep_to(StoreTime(store.now, store.boottime).wall)
    return clock


@pytest.mark.parametrize("ahead", [-120, -9, -0.1, 0.1, 9, 120])
def test_replicas_whose_machines_have_other_clocks_tell_once(
    database: Database, clock: ManualClock, ahead: float
) -> None:
    _two_replicas_tell_once(database, clock, _of_a_machine(clock, -ahead), _of_a_machine(clock, ahead))


@pytest.mark.parametrize("ahead", [-9, 0, 9])
def test_what_they_keep_may_differ_by_less_than_ten_seconds(
    database: Database, clock: ManualClock, ahead: float
) -> None:
    """While a step of the store's clock is believed by one of them and not yet by the other."""
    _two_replicas_tell_once(database, clock, clock, Ahead(clock, ahead))


def _two_replicas_tell_once(database: Database, clock: ManualClock, here: Clock, there: Clock) -> None:
    """The worst that one may do: it stands still until the last moment at which it may send, and its request takes as
    long as it may; the other one takes its lease for over by its own clock."""
    provider = Provider.like(clock)
    line = Timeline(database, clock, pipeline(node("team", wait=0)), {WEBHOOK: provider})
    rival = Outbox(SqlAlertingStore(database), line.providers, line.pipeline, there, holder="rival")

    def rival_works(seconds: float) -> None:
        for _ in range(int(seconds)):
            clock.advance(1)
            rival.step()

    def stand_still() -> None:
        rival_works(LEASE_S - SEND_TIMEOUT_S - 1)
        provider.before_request = be_on_its_way

    def be_on_its_way(_notice: Notice) -> None:
        provider.before_request = None
        rival_works(SEND_TIMEOUT_S)

    line.outbox = Outbox(line.store, line.providers, line.pipeline, here, lives=Standing(stand_still))
    line.commit(fires(line.pipeline, firing_alert(clock.now(), pipeline="orders")))
    line.outbox.step()
    rival_works(100)
    assert len(provider.effects) == 1
    assert [state for _, _, state, _ in line.obligations()] == ["delivered"]
