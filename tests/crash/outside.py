"""The service outside that takes heartbeats, and for how long it could not have known that Watchtower works."""

import time
from collections.abc import Sequence
from itertools import pairwise

from tests.simulators.http import HttpSimulator, Recorded, Reply

BLIND_AFTER_S = 120.0  # without a heartbeat


class Outside(HttpSimulator):
    """Takes heartbeats. ledger: when each came, by a clock that does not jump."""

    def answer(self, request: Recorded) -> Reply:
        self.ledger.append(time.monotonic())
        return Reply(200)


def blind_minutes(beats: Sequence[float], ends: float) -> float:
    """Minutes in which nobody outside could have known that it works, beyond the two that a watcher allows."""
    moments = [*beats, ends]
    return sum(max(0.0, later - one - BLIND_AFTER_S) for one, later in pairwise(moments)) / 60
