"""One thread that does what is due, then sleeps until it is woken or until the next moment of the due queue."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from watchtower.errors import StoreError
from watchtower.ports import Clock

log = logging.getLogger(__name__)

# Nobody sleeps longer than this: a wall clock that jumps, or a mark made by another replica, is seen within it.
MAX_SLEEP_S = 1.0
AFTER_FAILURE_S = 1.0
LONGEST_REST_S = 1.0


class Loop:
    """step(now) does some of what is due and says how much; next_at() is the next moment at which something is.

    observe(ok) is called after each round. A failing step is counted, logged and tried again a second later.
    """

    def __init__(
        self,
        name: str,
        *,
        step: Callable[[datetime], int],
        next_at: Callable[[], datetime | None],
        clock: Clock,
        observe: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        self._name = name
        self._step = step
        self._next_at = next_at
        self._clock = clock
        self._observe = observe
        self._woken = threading.Event()
        self._hurried = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look again now. Cheap, from any thread."""
        self._woken.set()

    def hurry(self) -> None:
        """As wake, and without resting first: something urgent is due."""
        self._hurried.set()
        self._woken.set()

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is under way."""
        self._stopping.set()
        self.hurry()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                while self._rested_step() and not self._stopping.is_set():
                    pass
                self._observe(True)
                wait_s = self._wait_s()
            except StoreError as error:
                log.warning("the store does not answer; the loop waits", extra={"loop": self._name, "why": str(error)})
                self._observe(False)
                wait_s = AFTER_FAILURE_S
            except Exception:
                log.exception("loop failed", extra={"loop": self._name})
                self._observe(False)
                wait_s = AFTER_FAILURE_S
            if wait_s > 0:
                self._woken.wait(wait_s)

    def _rested_step(self) -> int:
        """A step, and a rest as long as it took: half of one core at most. While much comes in, more is then due at
        the next step, which costs less for each, and those who bring it are not starved; when little comes in, nobody
        waits for a rest, nor does what is urgent."""
        began = self._clock.boottime()
        self._hurried.clear()
        done = self._step(self._clock.now())
        if done:
            self._hurried.wait(min(LONGEST_REST_S, max(0.0, self._clock.boottime() - began)))
        return done

    def _wait_s(self) -> float:
        at = self._next_at()
        if at is None:
            return MAX_SLEEP_S
        return min(MAX_SLEEP_S, max(0.0, (at - self._clock.now()).total_seconds()))
