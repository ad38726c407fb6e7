"""A process that sends dies by `os._exit` at every point between its transactions; another one goes on from the store.

The provider's ledger is a file that outlives the process. Nothing may be lost and, since the provider can be looked up
or folds by key, nothing may be seen twice.
"""

import json
import os
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from alerting.outbox import Outbox
from tests.alerting.builders import fires, firing_alert, resolved_alert, resolves
from tests.alerting.routes import node, pipeline
from tests.conftest import START
from watchtower.clock import ManualClock
from watchtower.model.alert import Notice, Receipt
from watchtower.ports import Channel, Clock
from watchtower.store import alerts, ledger
from watchtower.store.alerting import SqlAlertingStore
from watchtower.store.database import Database

DESTINATION = "team/webhook[0]"
POLICY = pipeline(node("team", wait=0, repeat=10**8))
DIED = 137
MOST_POINTS = 60


class FileProvider:
    """A Channel whose effects are lines of a file, written through to it."""

    name: ClassVar[str] = "file"
    Config: ClassVar[type[Any]] = dict
    settle_s: ClassVar[float] = 10.0
    can_look_up: ClassVar[bool] = True
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False

    def __init__(self, file: Path, point: Callable[[], None]) -> None:
        self._file = file
        self._point = point

    def deliver(self, notice: Notice) -> Receipt:
        self._point()
        if not (self.keyed and notice.key in self.keys()):
            with self._file.open("a") as lines:
                lines.write(json.dumps([notice.key, notice.reason]) + "\n")
        self._point()
        return Receipt(f"id-{notice.key}")

    def look_up(self, notice: Notice) -> Receipt | None:
        self._point()
        return Receipt(f"id-{notice.key}") if notice.key in self.keys() else None

    def keys(self) -> list[str]:
        return [json.loads(line)[0] for line in self._file.read_text().splitlines()] if self._file.exists() else []


class KeyedProvider(FileProvider):
    can_look_up = False
    keyed = True


Point = Callable[[], None]
Make = Callable[[Point, ManualClock, Database], Channel]  # a channel that says `point` wherever its process may die


class Counted:
    """A store with a point before and after each of its transactions."""

    def __init__(self, store: SqlAlertingStore, point: Callable[[], None]) -> None:
        self._store = store
        self._point = point

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._point()
            result = method(*args, **kwargs)
            self._point()
            return result

        return call


def live(url: str, now: datetime, make: Make, die_at: int) -> int:
    """One life of a sender, in a process of its own: it dies at its die_at-th point. Its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            left = die_at

            def point() -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(DIED)

            database = Database(url)
            store: Any = Counted(SqlAlertingStore(database), point)
            clock = ManualClock(now)
            Outbox(store, {DESTINATION: make(point, clock, database)}, POLICY, clock).step()
            database.close()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("provider", [FileProvider, KeyedProvider])
def test_a_sender_may_die_at_any_point(database_url: str, tmp_path: Path, provider: type[FileProvider]) -> None:
    clock = ManualClock(START)
    deaths = 0
    for die_at in range(MOST_POINTS):
        file = tmp_path / f"{die_at}.ledger"
        alert = firing_alert(clock.now(), pipeline=f"orders{die_at}")
        commit(database_url, clock, fires(POLICY, alert))
        make = partial(_of_file, provider, file)
        status = live(database_url, clock.now(), make, die_at)
        assert status in (0, DIED)
        clock.advance(5)
        commit(database_url, clock, resolves(POLICY, resolved_alert(alert, clock.now())))
        finish(database_url, clock, make)
        keys = provider(file, nothing).keys()
        assert len(keys) == len(set(keys)), f"seen twice after a death at point {die_at}: {keys}"
        check_ledger(database_url, alert.id, [f"id-{key}" for key in keys])
        if status == 0:
            break
        deaths += 1
    assert 10 < deaths < MOST_POINTS


def _of_file(provider: type[FileProvider], file: Path, point: Point, clock: Clock, database: Database) -> Channel:
    return provider(file, point)


def finish(url: str, clock: ManualClock, make: Make) -> None:
    """Another process goes on, and does not die."""
    database = Database(url)
    outbox = Outbox(SqlAlertingStore(database), {DESTINATION: make(nothing, clock, database)}, POLICY, clock)
    for _ in range(20):
        outbox.step()
        clock.advance(11)
    database.close()


def commit(url: str, clock: ManualClock, outcome: Any) -> None:
    database = Database(url)
    database.write(lambda connection: alerts.write_outcome(connection, outcome, clock.now()))
    database.close()


def check_ledger(url: str, alert_id: str, proofs_seen: Collection[str]) -> None:
    """Everything owed has ended, and each proof stands for something that was seen."""
    database = Database(url)
    with database.read() as connection:
        entries = ledger.ledger(connection, ledger.Filter(alert_id=alert_id))
    database.close()
    states = {entry.transition.value: entry.state.value for entry in entries}
    proofs = {entry.provider_id for entry in entries if entry.state.value == "delivered"}
    assert set(states) == {"firing", "resolved"}
    assert set(states.values()) <= {"delivered", "superseded"}, states
    assert proofs == set(proofs_seen), (states, proofs_seen)


def nothing() -> None:
    return None
