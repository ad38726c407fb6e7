"""Futures that are cheap to make: the writing thread gives one for each unit of work, thousands a second.

A `concurrent.futures.Future` brings a condition with two locks of its own, which cost more than what it waits for.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_guard = threading.Lock()  # of all answers: it is held for two assignments


class Answer(Future[T]):
    """A Future that cannot be cancelled and is not for `concurrent.futures.wait`; whoever waits brings the event."""

    def __init__(self) -> None:  # not the base's: that is what costs
        self._is_done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._calls: list[Callable[[Future[T]], Any]] = []

    def set_result(self, result: T) -> None:
        self._value = result
        self._finish()

    def set_exception(self, exception: BaseException | None) -> None:
        self._error = exception
        self._finish()

    def done(self) -> bool:
        return self._is_done

    def running(self) -> bool:
        return not self._is_done

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def add_done_callback(self, fn: Callable[[Future[T]], Any]) -> None:
        with _guard:
            if not self._is_done:
                self._calls.append(fn)
                return
        fn(self)

    def result(self, timeout: float | None = None) -> T:
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value] # set before it was done

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return self._error

    def _wait(self, timeout: float | None) -> None:
        if not self._is_done:
            finished = threading.Event()
            self.add_done_callback(lambda _: finished.set())
            if not finished.wait(timeout):
                raise TimeoutError

    def _finish(self) -> None:
        with _guard:
            self._is_done = True
            calls, self._calls = self._calls, []
        for call in calls:
            try:
                call(self)
            except Exception:
                log.exception("whoever waited for a commit failed on its answer")
