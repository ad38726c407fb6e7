"""What was made at the start is not looked through for cycles while the server lives, and is again at its end."""

import gc

from watchtower.garbage import YOUNG, settled


def test_what_stays_is_set_aside_while_it_lives_and_all_is_as_it_was_afterwards() -> None:
    before, aside = gc.get_threshold(), gc.get_freeze_count()
    with settled():
        assert gc.get_freeze_count() > aside + 10_000
        assert gc.get_threshold() == (YOUNG, *before[1:])
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_cycles_that_are_made_while_it_lives_are_found() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    with settled():
        rings = [Ring() for _ in range(10)]
        del rings
        assert gc.collect() >= 10
