"""Replicas keep to the clock of the store's server, whatever their own ones say."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from watchtower.app.store_time import StoreTime
from watchtower.clock import HELD_S, STEP_S, SteadyClock

START = 1_772_438_400.0


@dataclass
class Server:
    """A store whose clock is moved by hand, as is this machine's boot time. slow_s: how long its answer takes, of which
    half is the way there."""

    wall: float = START
    boot: float = 500.0
    slow_s: float = 0.0

    def ask(self) -> datetime:
        self.run(self.slow_s / 2)
        said = datetime.fromtimestamp(self.wall, UTC)
        self.run(self.slow_s / 2)
        return said

    def run(self, seconds: float) -> None:
        self.wall, self.boot = self.wall + seconds, self.boot + seconds

    def time(self) -> StoreTime:
        return StoreTime(self.ask, lambda: self.boot)


@pytest.mark.parametrize("slow_s", [0.0, 0.01, 4.0])
def test_the_time_is_the_servers_whatever_it_takes_to_ask(slow_s: float) -> None:
    server = Server(slow_s=slow_s)
    time = server.time()
    server.run(3_600)
    assert time.wall() == pytest.approx(server.wall, abs=slow_s / 2 + 1e-6)


def test_a_slow_answer_moves_nothing_that_it_does_not_contradict() -> None:
    server = Server()
    time = server.time()
    before = time.wall() - server.boot
    server.slow_s = 8.0
    time.look()
    assert time.wall() - server.boot == before


def test_a_server_that_is_set_is_followed_when_it_is_asked_next() -> None:
    server = Server()
    time = server.time()
    server.wall += 1.5
    time.look()
    assert time.wall() == pytest.approx(server.wall)


@pytest.mark.parametrize("off_s", [-120.0, -0.1, 0.1, 120.0, 86_400.0])
def test_a_machine_whose_clock_is_off_has_the_stores_time_at_once(off_s: float) -> None:
    server = Server()
    clock = SteadyClock(lambda: server.wall + off_s, lambda: server.boot)
    clock.keep_to(server.time().wall)
    server.run(60)
    assert clock.now().timestamp() == pytest.approx(server.wall)
    assert clock.gaps() == ()


def test_a_step_of_the_stores_clock_is_believed_as_late_as_any_other() -> None:
    server = Server()
    time = server.time()
    clock = SteadyClock(lambda: server.wall, lambda: server.boot)
    clock.keep_to(time.wall)
    server.wall += STEP_S * 100
    for _ in range(int(HELD_S / 60)):
        time.look()
        assert clock.now().timestamp() == pytest.approx(server.wall - STEP_S * 100)
        server.run(60)
    time.look()
    clock.now()
    server.run(60)
    assert clock.now().timestamp() == pytest.approx(server.wall)
