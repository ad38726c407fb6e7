"""`watchtower serve` under load, ended by `kill -9` at random times: one process on SQLite, two replicas on PostgreSQL.

Every event that was answered 2xx is in the store, everything that is owed ends, and the ledgers of a webhook (folds by
key) and of Slack (can be looked up) show each message once. For how long it was silent to the outside is measured.
"""

import contextlib
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import urllib3

from tests.app.house import event, until
from tests.cli.process import Served
from tests.crash.conftest import Record
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.outside import Outside, blind_minutes
from tests.crash.verdict import Figures, Kept, kept_in, missing, twice

KILLS = int(os.environ.get("KILLS", "8"))  # of each store
SHORTEST_S, LONGEST_S = 0.1, 1.5  # of a life under load
PAUSE_S = 0.05  # between two requests
DRAIN_S = 150.0  # a lease, a settle time and the longest backoff after a few failures
KINDS_TOLD = ("webhook", "slack")


@pytest.mark.parametrize(("engine", "replicas"), [("sqlite", 1), ("postgresql", 2)], indirect=["engine"])
def test_kills_under_load_lose_nothing_and_repeat_nothing(
    replicas: int, database_url: str, tmp_path: Path, seed: int, record: Record
) -> None:
    random = Random(f"{seed} load {replicas}")
    figures = Figures(kills=KILLS)
    with contextlib.ExitStack() as opened:
        desks = {name: opened.enter_context(KINDS[name].open(datetime.now(UTC))) for name in KINDS_TOLD}
        outside = opened.enter_context(Outside(datetime.now(UTC)))
        config = configured(_together(desks.values()), database_url, heartbeat=outside.url)
        fleet, began = Fleet(tmp_path, config, replicas), time.monotonic()
        opened.callback(fleet.end)
        load = Load(fleet, desks)
        opened.callback(load.stop)
        load.start()
        for _ in range(KILLS):
            load.wait(random.uniform(SHORTEST_S, LONGEST_S))
            fleet.kill_one(random)
        load.wait(1.0)
        load.stop()
        kept = _drained(database_url, load)
        figures.blind = blind_minutes([began, *outside.ledger], time.monotonic())
        assert fleet.end() == [0] * replicas
    seen = {name: desk.seen() for name, desk in desks.items()}
    _count(figures, load, kept, seen)
    record(figures)
    assert (load.refused, missing(load.acknowledged, kept.runs), kept.unfinished) == ([], [], ())
    for destination, told in kept.delivered_to.items():
        name = next(name for name in KINDS_TOLD if f"/{name}[" in destination)
        assert len(set(seen[name])) == told, f"{destination}: {told} delivered, {len(set(seen[name]))} seen"
    assert all(kept.transitions[name, "firing"] >= len(load.acknowledged) for name in kept.delivered_to)
    assert {name: twice(of) for name, of in seen.items()} == {name: [] for name in KINDS_TOLD}
    assert len(load.acknowledged) > KILLS, "there was no load to speak of"


class Fleet:
    """The replicas, each with a state directory of its own and all with the same keys."""

    def __init__(self, folder: Path, config: str, replicas: int) -> None:
        self._folders = [folder / f"replica{number}" for number in range(replicas)]
        for replica in self._folders:
            replica.mkdir()
            (replica / "watchtower.yaml").write_text(config)
        self.servers = [self._start(self._folders[0])]
        self.token = self.servers[0].token
        for replica in self._folders[1:]:
            (replica / "state").mkdir(mode=0o700)
            shutil.copytree(self._folders[0] / "state" / "keys", replica / "state" / "keys")
            self.servers.append(self._start(replica))

    def _start(self, folder: Path) -> Served:
        return Served(folder, "--listen", "127.0.0.1:0")

    def kill_one(self, random: Random) -> None:
        number = random.randrange(len(self.servers))
        self.servers[number].end(signal.SIGKILL)
        self.servers[number] = self._start(self._folders[number])

    def end(self) -> list[int]:
        """Stop those that run, in order; their exit statuses."""
        return [server.end() if server.process.poll() is None else server.process.returncode for server in self.servers]


class Load:
    """One sender after the other: a run that fails, repeated until it is answered 2xx, at whichever replica answers.
    refused: answers that cost an event."""

    def __init__(self, fleet: Fleet, desks: dict[str, Desk]) -> None:
        self._fleet, self._desks = fleet, desks
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: set[str] = set()
        self.refused: list[tuple[int, Any]] = []

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(60)

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(PAUSE_S):
            number += 1
            run, now = str(uuid.uuid4()), datetime.now(UTC)
            events = [event(now, kind, f"orders_{number}", run) for kind in ("START", "FAIL")]
            at = number
            while not self._post(at, events) and not self._stopping.wait(PAUSE_S):
                at += 1
            self.tell_the_time()

    def tell_the_time(self) -> None:
        """To the providers, which do not look at a clock themselves."""
        for desk in self._desks.values():
            desk.at(datetime.now(UTC))

    def _post(self, number: int, events: Sequence[dict[str, Any]]) -> bool:
        server = self._fleet.servers[number % len(self._fleet.servers)]
        try:
            status, answer = server.post(self._fleet.token, *events)
        except (urllib3.exceptions.HTTPError, OSError):
            return False
        if status not in (200, 202, 503):
            self.refused.append((status, answer))
        if status in (200, 202):
            self.acknowledged.add(str(events[0]["run"]["runId"]))
        return status in (200, 202)


def _drained(url: str, load: Load) -> Kept:
    """The store once nothing is owed any more, or as it is after a long while."""
    found = kept_in(url)

    def done() -> bool:
        nonlocal found
        load.tell_the_time()
        found = kept_in(url)
        threading.Event().wait(0.5)
        return not found.unfinished and not missing(load.acknowledged, found.runs) and _all_fired(found, load)

    with contextlib.suppress(AssertionError):
        until(done, "everything has ended", DRAIN_S)
    return found


def _all_fired(kept: Kept, load: Load) -> bool:
    told = {destination for destination, _ in kept.transitions}
    fired = [kept.transitions[destination, "firing"] for destination in told]
    return len(told) == len(KINDS_TOLD) and min(fired) >= len(load.acknowledged)


def _together(desks: Iterable[Desk]) -> dict[str, Any]:
    return {key: value for desk in desks for key, value in desk.config.items()}


def _count(figures: Figures, load: Load, kept: Kept, seen: dict[str, list[str]]) -> None:
    figures.events = 2 * len(load.acknowledged)
    figures.obligations = kept.obligations
    figures.lost = len(missing(load.acknowledged, kept.runs)) + len(kept.unfinished)
    figures.duplicates = sum(len(twice(of)) for of in seen.values())
