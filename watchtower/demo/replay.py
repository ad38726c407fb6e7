"""Sends a recorded day through the server's own HTTP endpoint while the clock follows the recording.

Before each event all timers up to its time are fired in order, exactly as they would have been: a missing run is
found at the minute at which it was missed, a slow one while it still runs. At the end the clock is the real one.
"""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from watchtower.clock import ReplayClock
from watchtower.demo.grid import MovedDay, Post
from watchtower.errors import WatchtowerError


class Host(Protocol):
    """The running server, as the replay needs it."""

    @property
    def url(self) -> str: ...

    def step(self) -> int:
        """Do what is due now (rules, groups, deliveries); how much was done."""
        ...

    def next_due(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """exports: requests that brought spans."""

    events: int
    exports: int
    timers: int


class _Sender:
    """One kept-alive connection that posts events and spans as Airflow does."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def send(self, post: Post) -> None:
        headers = {**self._headers, "Content-Type": post.content_type}
        self._connection.request("POST", post.path, post.body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if not 200 <= answer.status < 300:
            raise WatchtowerError(f"replay: the server answered {answer.status}: {text[:300].decode(errors='replace')}")

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Replay:
    """host: the server; people: let those who are rung answer, and say how many did; progress: called for each
    request."""

    host: Host
    clock: ReplayClock
    people: Callable[[], int] = lambda: 0
    progress: Callable[[], None] = lambda: None

    def play(self, day: MovedDay, token: str) -> Replayed:
        """Replay day from its beginning to the real now, then release the clock."""
        sender = _Sender(self.host.url, token)
        timers = 0
        try:
            for post in day.posts:
                timers += self._run_until(post.received_at)
                self.clock.set(post.received_at)
                sender.send(post)
                self.settle()
                self.progress()
        finally:
            sender.close()
        timers += self._run_until(day.now)
        self.clock.release()
        self.settle()
        return Replayed(day.events, len(day.posts) - day.events, timers)

    def settle(self) -> None:
        """Do all that is due at this moment, also what that makes due in turn."""
        while self.host.step() or self.people():
            pass

    def _run_until(self, when: datetime) -> int:
        """Fire the timers due before when, each at its own time; their number."""
        fired = 0
        while (at := self.host.next_due()) is not None and at <= when:
            self.clock.set(max(at, self.clock.now()))
            self.settle()
            fired += 1
        return fired
