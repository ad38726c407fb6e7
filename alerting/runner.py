"""Runs an outbox in threads: one looks at the timers, and one for each destination that has something to send.

A thread of a destination lives while there is something to send to it, so a slow provider holds up nobody else, and
nothing is ever under way twice for one destination.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from alerting.outbox import Outbox
from watchtower.errors import StoreError
from watchtower.ports import Clock

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 1.0  # wall clocks jump; a timer is looked at again this often
STORE_PAUSE_S = 1.0


class Runner:
    """Owned by the application. `wake` after every commit that may have made something due."""

    def __init__(self, outbox: Outbox, clock: Clock, *, advanced: Callable[[], None] = lambda: None) -> None:
        """advanced: is called after each round that went well."""
        self._outbox = outbox
        self._clock = clock
        self._advanced = advanced
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._senders: dict[str, threading.Thread] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may be due now. Returns at once."""
        self._woken.set()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Let attempts under way end, start none. What is cut off by the timeout is found by its lease."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._lock:
            senders = list(self._senders.values())
        for sender in senders:
            sender.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._send_in_hand()
            try:
                agenda = self._outbox.agenda()
                if self._outbox.turn(self._clock.now(), agenda):
                    agenda = self._outbox.agenda()
                for destination in () if self._stopping.is_set() else self._outbox.due(self._clock.now(), agenda):
                    self._send(destination)
                wait_s = self._wait_s(self._outbox.next_at(agenda, busy=self._busy()))
                self._advanced()
            except StoreError as error:
                log.warning("the store does not answer; alerts wait", extra={"error": str(error)})
                wait_s = STORE_PAUSE_S
            except Exception:  # the edge of the loop: it must go on, and the fault must be seen
                log.exception("outbox turn failed")
                wait_s = STORE_PAUSE_S
            self._woken.wait(wait_s)
        self._send_in_hand()

    def _send_in_hand(self) -> None:
        """Nothing has to be asked for these. At the stop, too: what is claimed and not sent would be looked up first
        in the next life."""
        for destination in self._outbox.in_hand:
            self._send(destination)

    def _busy(self) -> list[str]:
        """Destinations whose senders are at work; their end wakes us."""
        with self._lock:
            return list(self._senders)

    def _wait_s(self, at: datetime | None) -> float:
        if at is None:
            return LONGEST_WAIT_S
        return min(LONGEST_WAIT_S, max(0.01, (at - self._clock.now()).total_seconds()))

    def _send(self, destination: str) -> None:
        with self._lock:
            if destination in self._senders:
                return
            sender = threading.Thread(target=self._drain, args=[destination], name=f"send {destination}", daemon=True)
            self._senders[destination] = sender
            sender.start()

    def _drain(self, destination: str) -> None:
        try:
            self._outbox.drain(destination, stop=self._stopping)
        except StoreError as error:
            log.warning("the store does not answer", extra={"destination": destination, "error": str(error)})
        except Exception:  # the edge of one destination
            log.exception("sending failed", extra={"destination": destination})
        finally:
            with self._lock:
                del self._senders[destination]
            if destination in self._outbox.in_hand:  # it came while this thread was about to end
                self._send(destination)
            self._woken.set()
