"""A loop rests between its steps, unless something urgent is due."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from queue import SimpleQueue

import pytest

from watchtower.clock import ManualClock, SystemClock
from watchtower.errors import StoreUnavailable
from watchtower.loop import Loop


class SlowClock(SystemClock):
    """On which every step seems to take an hour, so that a rest is as long as a rest may be."""

    def __init__(self) -> None:
        self._asked = 0

    def boottime(self) -> float:
        self._asked += 1
        return self._asked * 3600.0


@pytest.fixture(autouse=True)
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends sooner was ended."""
    for name in ("LONGEST_REST_S", "MAX_SLEEP_S", "AFTER_FAILURE_S"):
        monkeypatch.setattr(f"watchtower.loop.{name}", 3600.0)


def test_what_is_urgent_ends_a_rest() -> None:
    steps: list[datetime] = []
    begun, again = threading.Event(), threading.Event()

    def step(now: datetime) -> int:
        steps.append(now)
        (again if len(steps) > 1 else begun).set()
        return 1 if len(steps) == 1 else 0

    loop = Loop("test", step=step, next_at=lambda: None, clock=SlowClock())
    loop.start()
    assert begun.wait(60)
    loop.hurry()
    assert again.wait(60)
    loop.stop()


def test_a_loop_that_rests_stops_at_once() -> None:
    begun = threading.Event()

    def step(now: datetime) -> int:
        begun.set()
        return 1

    loop = Loop("test", step=step, next_at=lambda: None, clock=SlowClock())
    loop.start()
    assert begun.wait(60)
    loop.stop()


class Rounds:
    """A loop whose steps find nothing to do. went: one entry for each round, whether it went well."""

    def __init__(self, clock: ManualClock, next_at: Callable[[], datetime | None], step: Callable[[], int]) -> None:
        self.went: SimpleQueue[bool] = SimpleQueue()
        self.loop = Loop("test", step=lambda now: step(), next_at=next_at, clock=clock, observe=self.went.put)

    def next(self) -> bool:
        return self.went.get(timeout=60)


def test_a_loop_with_nothing_planned_sleeps_until_it_is_woken(clock: ManualClock) -> None:
    rounds = Rounds(clock, lambda: None, lambda: 0)
    rounds.loop.start()
    assert rounds.next()
    rounds.loop.wake()
    assert rounds.next()
    rounds.loop.stop()
    assert rounds.went.empty(), "it went round without being woken"


def test_a_loop_goes_round_at_once_for_what_is_due_and_sleeps_until_what_is_not(clock: ManualClock) -> None:
    moments = [clock.now() + timedelta(hours=1), clock.now(), clock.now() - timedelta(hours=1)]
    rounds = Rounds(clock, moments.pop, lambda: 0)
    rounds.loop.start()
    assert [rounds.next() for _ in range(3)] == [True] * 3
    rounds.loop.stop()
    assert rounds.went.empty()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), KeyError("a fault")], ids=["store", "fault"])
def test_a_loop_that_failed_waits_says_so_and_goes_on(clock: ManualClock, error: Exception) -> None:
    failures = [error]

    def step() -> int:
        if failures:
            raise failures.pop()
        return 0

    rounds = Rounds(clock, lambda: None, step)
    rounds.loop.start()
    assert not rounds.next()
    rounds.loop.wake()
    assert rounds.next()
    rounds.loop.stop()


def test_a_loop_that_was_stopped_can_be_started_again(clock: ManualClock) -> None:
    rounds = Rounds(clock, lambda: None, lambda: 0)
    for _ in range(2):
        rounds.loop.start()
        assert rounds.next()
        rounds.loop.stop()


def test_a_loop_that_was_never_started_is_stopped_at_once() -> None:
    Loop("test", step=lambda now: 0, next_at=lambda: None, clock=SystemClock()).stop()
