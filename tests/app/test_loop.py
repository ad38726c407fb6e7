"""A loop rests between its steps, unless something urgent is due."""

import threading
from datetime import datetime

from watchtower.clock import SystemClock
from watchtower.loop import Loop


class SlowClock(SystemClock):
    """On which every step seems to take an hour, so that a rest is as long as a rest may be."""

    def __init__(self) -> None:
        self._asked = 0

    def boottime(self) -> float:
        self._asked += 1
        return self._asked * 3600.0


def test_what_is_urgent_ends_a_rest() -> None:
    steps: list[datetime] = []
    begun, again = threading.Event(), threading.Event()

    def step(now: datetime) -> int:
        steps.append(now)
        (again if len(steps) > 1 else begun).set()
        return 1 if len(steps) == 1 else 0

    loop = Loop("test", step=step, next_at=lambda: None, clock=SlowClock())
    loop.start()
    assert begun.wait(10)
    loop.hurry()
    assert again.wait(10)
    loop.stop()
    assert (steps[1] - steps[0]).total_seconds() < 0.9, "the rest would have taken a second"


def test_a_loop_that_rests_stops_at_once() -> None:
    begun = threading.Event()

    def step(now: datetime) -> int:
        begun.set()
        return 1

    loop = Loop("test", step=step, next_at=lambda: None, clock=SlowClock())
    loop.start()
    assert begun.wait(10)
    loop.stop()
