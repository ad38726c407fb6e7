"""What pollers remember from poll to poll, so that it need not be asked for again: as much as is kept, the newest."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def forget_oldest(known: dict[K, V], most: int) -> None:
    """Until there are no more than so many. Forgotten is what was put in first, and it is only asked for once more."""
    while len(known) > most:
        del known[next(iter(known))]
