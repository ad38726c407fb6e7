"""How often somebody may try to sign in: five times a minute, then ever more rarely; nobody else waits for it."""

import pytest

from watchtower.clock import ManualClock
from watchtower.server.authentication import Attempts

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def attempts(clock: ManualClock) -> Attempts:
    return Attempts(clock, allowed=5, most=3)


def _fail(attempts: Attempts, times: int, address: str = HERE) -> None:
    for _ in range(times):
        attempts.failed(address)


def test_the_fifth_wrong_try_is_followed_by_a_minute_of_waiting_and_nobody_else_waits(attempts: Attempts) -> None:
    _fail(attempts, 4)
    assert attempts.wait_s(HERE) == 0
    _fail(attempts, 1)
    assert (attempts.wait_s(HERE), attempts.wait_s(THERE)) == (60, 0)


def test_each_further_wrong_try_doubles_the_wait_up_to_a_quarter_of_an_hour(
    attempts: Attempts, clock: ManualClock
) -> None:
    _fail(attempts, 4)
    waits: list[int] = []
    for _ in range(6):
        _fail(attempts, 1)
        waits.append(attempts.wait_s(HERE))
        clock.advance(waits[-1] - 1)
        assert attempts.wait_s(HERE) == 1
        clock.advance(1)
        assert attempts.wait_s(HERE) == 0
    assert waits == [60, 120, 240, 480, 900, 900]


@pytest.mark.parametrize(("pause_s", "wait_s"), [(60, 60), (61, 0)])
def test_wrong_tries_add_up_within_a_minute(
    attempts: Attempts, clock: ManualClock, pause_s: float, wait_s: int
) -> None:
    _fail(attempts, 4)
    clock.advance(pause_s)
    _fail(attempts, 1)
    assert attempts.wait_s(HERE) == wait_s
    _fail(attempts, 3)
    assert (attempts.wait_s(HERE) > 0) is (wait_s > 0)
    _fail(attempts, 1)
    assert attempts.wait_s(HERE) > 0, "five since the pause"


def test_the_right_one_ends_the_count(attempts: Attempts) -> None:
    _fail(attempts, 4)
    attempts.succeeded(HERE)
    _fail(attempts, 4)
    assert attempts.wait_s(HERE) == 0
    _fail(attempts, 1)
    assert attempts.wait_s(HERE) == 60


def test_of_more_addresses_than_are_kept_the_oldest_is_forgotten(attempts: Attempts) -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 5)]
    for address in addresses[:3]:
        _fail(attempts, 5, address)
    assert [attempts.wait_s(address) for address in addresses] == [60, 60, 60, 0]
    _fail(attempts, 5, addresses[3])
    assert [attempts.wait_s(address) for address in addresses] == [0, 60, 60, 60]
