"""A poller's frame without its threads: one poll at a time, as the replica whose turn it is makes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from collectors.identity import run_alias
from collectors.polled import polled_fact
from watchtower.app.polling import Polling, declared
from watchtower.model.instants import from_micros
from watchtower.model.run import Authority, JobRef, RunPatch, RunState
from watchtower.model.source import Page, Source, Window
from watchtower.outbound import Outbound, parse_networks
from watchtower.ports import Clock, Decoded, PollContext, PolledSource, Received, Reject
from watchtower.store import claims, sources
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append

KIND = "fake"


def context(clock: Clock) -> PollContext:
    """For a poller that asks a server of the test's own."""
    http = Outbound(clock, parse_networks(["127.0.0.0/8"]))
    return PollContext(
        clock,
        http,
        http.check,
        lambda namespace: f"openlineage:{namespace}",
        lambda source, namespace, native_run_ids: {},
        Path.cwd(),
        http.dial,
    )


def polling(database: Database, clock: Clock, holder: str = "wt-a") -> Polling:
    """Of one process."""

    def store(facts: Any, quarantined: Any = (), *, beside: Any = None) -> Any:
        return append(database, Intake(facts, quarantined, beside=beside))

    return Polling(database, clock, holder, store, lambda namespace: f"openlineage:{namespace}")


def ask(polled: Polling, source: PolledSource, holder: str = "wt-a", *, declare: bool = True) -> bool:
    """As the scheduler does: claim the source, then poll it once. declare: the source is not in the configuration."""
    database, now = polled._database, polled._clock.now()  # type: ignore[attr-defined]
    polled.take([source])
    if declare:
        database.write(lambda connection: sources.declare(connection, declared([source]), now))
    database.write(
        lambda connection: claims.claim(connection, f"poll:{source.name}", holder, now, lease_s=300, every_s=0)
    )
    return polled.poll(source, now)


def state_of(database: Database, name: str) -> Source:
    with database.read() as connection:
        return sources.by_name(connection, [name])[name]


def record(run: str, state: RunState, at: datetime, pipeline: str = "orders") -> bytes:
    """As FakeSource decodes it."""
    said = {"run": run, "state": state.value, "at": int(at.timestamp() * 1e6), "pipeline": pipeline}
    return msgspec.json.encode(said)


@dataclass
class FakeSource:
    """Answers each poll with the next of `answers`: pages, perhaps an error at the end. windows: as it was asked."""

    answers: list[list[Page | Exception]] = field(default_factory=list[list[Page | Exception]])
    name: str = "prod"
    namespace: str = "prod"
    kind: str = KIND
    every_s: float = 60.0
    lookback_s: float = 86_400.0
    windows: list[Window] = field(default_factory=list[Window])
    decoded: list[bytes] = field(default_factory=list[bytes])

    def read(self, window: Window) -> Iterator[Page]:
        self.windows.append(window)
        for each in self.answers.pop(0) if self.answers else []:
            if isinstance(each, Exception):
                raise each
            yield each

    def decode(self, record: bytes, received: Received) -> Decoded:
        self.decoded.append(record)
        said = msgspec.json.decode(record)
        if "run" not in said:
            return Decoded((), (Reject("incomplete", "no run", record),))
        source = received.source or ""
        patch = RunPatch(
            aliases=(run_alias(source, self.namespace, said["pipeline"], said["run"]),),
            job=JobRef(source, self.namespace, said["pipeline"]),
            event_type="OTHER",
            authority=Authority.API,
            state=RunState(said["state"]),
            native_run_id=said["run"],
        )
        return Decoded((polled_fact(record, from_micros(said["at"]), received, source=source, kind=KIND, run=patch),))
