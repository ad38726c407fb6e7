"""What the cyclic collector looks through: not what was made at the start, which stays until the end."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

# One event makes some thousand objects, nearly all of which are gone when it is answered: with CPython's 700 the
# collector would look for cycles several times within each.
YOUNG = 20_000


@contextmanager
def settled() -> Generator[None]:
    """Around the life of a server, from when it has started: what is there now is not looked through again."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:  # libraries that look for leaks at the end must find all
        gc.set_threshold(*before)
        gc.unfreeze()
