"""How many in a row: what must be wrong before people are told, and well before it is over.

Terms: Sentry's `failure_issue_threshold` and `recovery_threshold`. It is read from the past each time, not remembered:
the same runs give the same answer, whenever they are looked at.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

LOOKED_AT = 50  # of one history, where more than the newest decides
MOST_TO_RECOVER = 7  # of what is judged whole: the newest eight of a history are known so


class Streak(NamedTuple):
    """first: the place of its newest; length: how many there are in a row."""

    first: int
    length: int


def streak(wrong: Iterable[bool], fail_after: int = 1, recover_after: int = 1) -> Streak | None:
    """The newest row of at least fail_after wrong ones that no row of recover_after good ones has followed. wrong:
    newest first."""
    place = 0
    for is_wrong, group in groupby(wrong):
        count = sum(1 for _ in group)
        if is_wrong and count >= fail_after:
            return Streak(place, count)
        if not is_wrong and count >= recover_after:
            return None
        place += count
    return None
