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
from watchtower.demo.grid import MovedDay
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
    events: int
    timers: int


class _Sender:
    """One kept-alive connection that posts events as Airflow does."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(self, body: bytes) -> None:
        self._connection.request("POST", "/api/v1/lineage", body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if not 200 <= answer.status < 300:
            raise WatchtowerError(f"replay: the server answered {answer.status}: {text[:300].decode(errors='replace')}")

    def close(self) -> None:
        self._connection.close()


def replay(
    day: MovedDay, host: Host, clock: ReplayClock, token: str, progress: Callable[[], None] = lambda: None
) -> Replayed:
    """Replay day from its beginning to the real now, then release the clock. progress is called for each event."""
    sender = _Sender(host.url, token)
    timers = 0
    try:
        for received_at, body in day.events:
            timers += _run_until(received_at, host, clock)
            clock.set(received_at)
            sender.post(body)
            settle(host)
            progress()
    finally:
        sender.close()
    timers += _run_until(day.now, host, clock)
    clock.release()
    settle(host)
    return Replayed(len(day.events), timers)


def _run_until(when: datetime, host: Host, clock: ReplayClock) -> int:
    """Fire the timers due before when, each at its own time; their number."""
    fired = 0
    while (at := host.next_due()) is not None and at <= when:
        clock.set(max(at, clock.now()))
        settle(host)
        fired += 1
    return fired


def settle(host: Host) -> None:
    """Do all that is due at this moment, also what that makes due in turn."""
    while host.step():
        pass
