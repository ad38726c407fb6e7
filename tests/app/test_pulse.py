"""Work that goes on is told from work that hangs."""

import threading
from datetime import datetime
from typing import Any

import pytest

from watchtower.clock import ManualClock
from watchtower.pulse import Pulse, beat
from watchtower.schedule import Periodic, Task
from watchtower.store.database import Database


def test_what_gives_no_sign_for_long_is_named_and_what_gives_one_is_not(clock: ManualClock) -> None:
    pulse = Pulse(clock)
    with pulse.of("backup"):
        clock.advance(59)
        beat()
        clock.advance(59)
        assert pulse.still(60) == []
        clock.advance(2)
        assert pulse.still(60) == ["backup"]
    assert pulse.still(0) == []


def test_a_step_may_take_as_long_as_it_was_said_to(clock: ManualClock) -> None:
    pulse = Pulse(clock)
    with pulse.of("poll:orders"):
        beat(300)
        clock.advance(359)
        assert pulse.still(60) == []
        clock.advance(2)
        assert pulse.still(60) == ["poll:orders"]


def test_a_sign_is_of_the_work_of_its_own_thread(clock: ManualClock) -> None:
    pulse = Pulse(clock)
    with pulse.of("backup"):
        clock.advance(61)
        other = threading.Thread(target=beat)
        other.start()
        other.join()
        assert pulse.still(60) == ["backup"]
    beat()  # nobody's work
    assert pulse.still(0) == []


@pytest.mark.parametrize("beats", [True, False])
def test_only_work_that_gives_signs_is_watched(database: Database, clock: ManualClock, *, beats: bool) -> None:
    pulse, seen = Pulse(clock), list[Any]()

    def work(now: datetime) -> None:
        clock.advance(61)
        seen.extend(pulse.still(60))

    task = Task("long", 3_600, work, shared=False, beats=beats)
    assert Periodic([], database=database, clock=clock, holder="me", pulse=pulse).run(task)
    assert seen == (["long"] if beats else [])
    assert pulse.still(0) == []
