"""Each way in which a provider fails × each kind of provider, through the whole outbox and the real client (T23).

The provider fails once and is well again: then everybody knows exactly once, or twice at most where the table of
docs/channels.md says so; or there is a dead letter, which was told of, and which is told when it is tried again.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from alerting.routing import Destination
from tests.alerting.builders import fires, firing_alert
from tests.alerting.desks import HTTP_BENCHES, Bench, patience
from tests.alerting.notices import NOW
from tests.alerting.routes import node, pipeline
from tests.simulators.faults import ACCEPTED, ON_THE_WAY, Fault
from tests.simulators.front import in_front
from tests.simulators.provider import Provider
from tests.timeline import Timeline
from watchtower.clock import ManualClock
from watchtower.store import ledger
from watchtower.store.database import Database

HOUR = 3600
WAIT_S = 1.5  # for a provider that says nothing: one that is only slow on a busy machine must not be taken for it
HERE, ELSEWHERE = "team/desk[0]", "team/other[0]"
FOR_GOOD = frozenset({Fault.UNAUTHORIZED, Fault.FORBIDDEN, Fault.NOT_FOUND, Fault.REDIRECT})
"""Refusals that a person has to see to."""


@contextmanager
def failing(
    name: str, fault: Fault, clock: ManualClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[tuple[Bench, Callable[[], None]]]:
    """A channel whose provider fails in this way, and what makes it well again."""
    make, wait_s = HTTP_BENCHES[name], max(WAIT_S, patience(fault))
    if fault in ON_THE_WAY:
        with in_front(fault, folder, monkeypatch) as front, make(wait_s, clock) as bench:
            yield bench, front.heal
    else:
        with make(wait_s, clock) as bench:
            bench.provider.fail_next(fault)
            yield bench, lambda: None


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Generator[Database]:
    file = tmp_path / "watchtower.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.REFUSE], ids=str)
@pytest.mark.parametrize("name", HTTP_BENCHES)
def test_nothing_is_lost_and_nothing_seen_more_often_than_it_may_be(
    name: str, fault: Fault, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(NOW)
    with failing(name, fault, clock, tmp_path, monkeypatch) as (bench, heal):
        other = Provider(clock)
        channels = cast("dict[str, Any]", {HERE: bench.channel, ELSEWHERE: other})
        receivers = {"team": [Destination(HERE), Destination(ELSEWHERE)]}
        story = Timeline(sqlite, clock, pipeline(node("team", wait=0), receivers=receivers), channels)
        story.push(0, fires(story.pipeline, firing_alert(clock.now(), severity="page", pipeline="orders_daily")))
        story.do(1, heal)
        story.play(HOUR)

        ends = ends_of(story)
        if "dead_letter" in ends:
            assert fault in FOR_GOOD | ACCEPTED
            assert any(label.startswith("WatchtowerDeliveryFailed:") for one in other.effects for label in one.labels)
            story.do(2 * HOUR, lambda: replay_all(story))
            story.play(3 * HOUR)
            ends = ends_of(story)
        assert ends == {"delivered"}
        sure = bench.channel.can_look_up or bench.channel.keyed
        assert 1 <= bench.effects() <= (1 if sure or fault not in ACCEPTED else 2)
        assert story.store.overdue(clock.now()) == []


def ends_of(story: Timeline) -> set[str]:
    return {state for destination, _, state, _ in story.obligations() if destination == HERE}


def replay_all(story: Timeline) -> None:
    """A person has seen to it."""
    with story.database.read() as connection:
        dead = [entry for entry in ledger.ledger(connection, limit=100) if entry.state.value == "dead_letter"]
    for notice_id in {entry.notice_id for entry in dead}:
        assert notice_id is not None
        assert story.store.replay(notice_id, story.clock.now())
