"""What pushed sources tell gives the same store in any order and any number of times, on every engine (promise T8)."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from collectors.events import Events
from collectors.pings import Action, Ping, Pings, completed
from tests.builders import DAY
from tests.store.test_folding import clear, feed
from watchtower.model.fact import Fact
from watchtower.ports import Received
from watchtower.store.database import Database


def pings() -> list[Fact]:
    """Two runs at the same time, one that says something meanwhile, and a check that only ever says it is well."""
    told: list[tuple[float, str, Action, str, str]] = [
        (0, "backup", "start", "r1", ""),
        (10, "backup", "start", "r2", ""),
        (20, "backup", "log", "r1", "half way"),
        (30, "backup", "fail", "r2", "disk full"),
        (40, "backup", "success", "r1", "12 files"),
        (50, "beat", "success", "t50", ""),
        (60, "backup", "log", "", "by the way"),
    ]
    found: list[Fact] = []
    for seconds, job, action, run, said in told:
        at = DAY + timedelta(seconds=seconds)
        found += Pings().decode(completed(Ping(job, action, at, run=run, said=said)), Received(at)).facts
    return found


def events() -> list[Fact]:
    """A run with a task that is tried twice, told late and out of order, and what it wrote."""
    run: dict[str, Any] = {"job": "orders", "namespace": "prod", "run": "r1"}
    told = [
        {**run, "event": "start", "at": _iso(0), "trigger": "schedule", "tags": {"tier": "1"}},
        {**run, "event": "start", "at": _iso(5), "task": "load", "attempt": 1},
        {**run, "event": "fail", "at": _iso(9), "task": "load", "attempt": 1, "final": False, "error": "network"},
        {**run, "event": "start", "at": _iso(12), "task": "load", "attempt": 2},
        {**run, "event": "complete", "at": _iso(20), "task": "load", "attempt": 2, "outputs": [OUT]},
        {**run, "event": "complete", "at": _iso(21), "owner": "data", "tags": {"tier": "2"}},
        {**run, "run": "r2", "event": "fail", "at": _iso(60), "started_at": _iso(50)},
        {**run, "run": "r2", "event": "running", "at": _iso(55)},
    ]
    body = msgspec.json.encode(told)
    return list(Events().decode(body, Received(DAY + timedelta(minutes=5))).facts)


OUT = {"namespace": "postgres://w:5432", "name": "orders", "rows": 12}


def _iso(seconds: float) -> str:
    return (DAY + timedelta(seconds=seconds)).isoformat()


STORIES: dict[str, Callable[[], list[Fact]]] = {"pings": pings, "events": events}


@pytest.mark.parametrize("story", STORIES)
def test_order_and_repetition_do_not_matter(database: Database, story: str) -> None:
    facts = STORIES[story]()
    assert facts
    wanted = feed(database, [facts])
    for seed in range(6):
        dice = random.Random(seed)
        shuffled = [*facts, *dice.sample(facts, len(facts) // 2)]
        dice.shuffle(shuffled)
        cut = dice.randrange(1, len(shuffled))
        clear(database)
        assert feed(database, [shuffled[:cut], shuffled[cut:]]) == wanted, f"seed {seed}"
