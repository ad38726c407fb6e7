"""The wall clock may be set to anything at any time: what Watchtower does by time does not jump with it."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from watchtower.clock import HELD_S, STEP_S, STOOD_STILL_S, SteadyClock

START = 1_772_438_400.0
DAY_S = 86_400.0


@dataclass
class Machine:
    """A machine whose two clocks are moved by hand; its loops read the time once a minute."""

    wall: float = START
    boot: float = 1_000.0
    clock: SteadyClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = SteadyClock(lambda: self.wall, lambda: self.boot)

    def run(self, seconds: float) -> None:
        while seconds > 0:
            step = min(60.0, seconds)
            self.wall, self.boot, seconds = self.wall + step, self.boot + step, seconds - step
            self.clock.now()

    def sleep(self, seconds: float) -> None:
        """Suspended: both clocks go on, nobody reads them."""
        self.wall, self.boot = self.wall + seconds, self.boot + seconds

    @property
    def now(self) -> float:
        return self.clock.now().timestamp()


def test_a_day_forward_that_is_put_right_again_is_never_seen() -> None:
    for step in (DAY_S, -DAY_S, 300.0, -300.0):
        machine = Machine()
        machine.wall += step
        machine.run(HELD_S - 60)
        assert abs(machine.now - (START + HELD_S - 60)) < 1, step
        machine.wall -= step
        machine.run(3_600)
        assert abs(machine.now - machine.wall) < 1, step
        assert machine.clock.gaps() == (), step


def test_a_step_that_stays_is_believed_after_a_quarter_of_an_hour() -> None:
    machine = Machine()
    machine.wall += DAY_S
    machine.run(HELD_S + 120)
    assert abs(machine.now - machine.wall) < 1
    [gap] = machine.clock.gaps()
    assert (gap.end - gap.start).total_seconds() == DAY_S


def test_a_clock_that_is_set_again_and_again_is_not_believed_meanwhile() -> None:
    machine = Machine()
    for number in range(30):
        machine.wall += DAY_S if number % 2 == 0 else -2 * DAY_S
        machine.run(300)
    assert abs(machine.now - (START + 30 * 300)) < 1


def test_a_suspend_is_a_gap_and_no_step() -> None:
    machine = Machine()
    machine.run(600)
    machine.sleep(8 * 3_600)
    assert abs(machine.now - machine.wall) < 1
    [gap] = machine.clock.gaps()
    assert (gap.end - gap.start).total_seconds() == 8 * 3_600
    machine.run(7_200)
    assert len(machine.clock.gaps()) == 1


def test_the_system_behind_it_is_the_real_one() -> None:
    clock = SteadyClock()
    assert abs((clock.now() - clock.now()).total_seconds()) < STOOD_STILL_S
    assert clock.boottime() > 0


@given(st.lists(st.floats(min_value=-STEP_S * 0.9, max_value=STEP_S * 0.9), max_size=30))
def test_small_corrections_are_followed_at_once(steps: list[float]) -> None:
    machine = Machine()
    for step in steps:
        machine.wall += step
        machine.run(60)
        assert abs(machine.now - machine.wall) < 0.001
    assert machine.clock.gaps() == ()
