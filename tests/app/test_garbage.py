"""What was made at the start is not looked through for cycles while the server lives, and is again at its end.

Each in a process of its own: what is set aside would be all that the other tests made.
"""

import subprocess
import sys
from textwrap import dedent


def said_by(program: str) -> list[str]:
    code = "import gc\nfrom watchtower.garbage import YOUNG, settled\n" + dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    return done.stdout.split()


def test_what_stays_is_set_aside_while_it_lives_and_all_is_as_it_was_afterwards() -> None:
    program = """
        before = gc.get_threshold()
        with settled():
            print(gc.get_freeze_count() > 1_000, gc.get_threshold() == (YOUNG, *before[1:]))
        print(gc.get_freeze_count(), gc.get_threshold() == before)
    """
    assert said_by(program) == ["True", "True", "0", "True"]


def test_cycles_that_are_made_while_it_lives_are_found() -> None:
    program = """
        class Ring:
            def __init__(self):
                self.itself = self

        with settled():
            rings = [Ring() for _ in range(10)]
            del rings
            print(gc.collect() >= 10)
    """
    assert said_by(program) == ["True"]


def test_a_library_that_looks_for_leaks_at_the_end_finds_none() -> None:
    program = """
        import duckdb
        with settled():
            print(*duckdb.connect().execute("select 1").fetchone())
    """
    assert said_by(program) == ["1"]
