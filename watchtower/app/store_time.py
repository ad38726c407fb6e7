"""The time of day that replicas share: that of the store's server, which each of them asks every few seconds.

Leases and all that is due are written by one replica and judged by another, so how far their machines' clocks are apart
must not matter. Between two answers time goes on by this machine's boot time, also while the store is away.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from watchtower.errors import StoreError

log = logging.getLogger(__name__)

EVERY_S = 10.0
_FIRST_LOOKS = 3  # what each answer leaves open, the others narrow


class StoreTime:
    """A thread of its own. ask: what the store's clock says; boot: this machine's boot time, in seconds. The first
    looks are made at once. Raises StoreError where the store is away."""

    def __init__(self, ask: Callable[[], datetime], boot: Callable[[], float]) -> None:
        self._ask = ask
        self._boot = boot
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        spans = [self._span() for _ in range(_FIRST_LOOKS)]
        self._offset = (max(low for low, _ in spans) + min(high for _, high in spans)) / 2

    def wall(self) -> float:
        """What the store's clock says now, in seconds since 1970."""
        return self._boot() + self._offset

    def look(self) -> None:
        """Put right what is believed, as far as the answer contradicts it: a slow answer says little and moves
        little, so time does not tremble with the network."""
        low, high = self._span()
        self._offset = min(max(self._offset, low), high)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="store-time", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _span(self) -> tuple[float, float]:
        """Between which bounds the store's clock is ahead of boot time: it was read after asking, before the answer."""
        before = self._boot()
        there = self._ask().timestamp()
        return there - self._boot(), there - before

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self.look()
            except StoreError as error:
                log.debug("the store was not asked for the time", extra={"why": str(error)})
            except Exception:  # the edge of the loop: time goes on by boot time
                log.exception("the store's answer about the time could not be used")
