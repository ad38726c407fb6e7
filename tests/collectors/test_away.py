"""Promise P6 for every source that can be asked: Watchtower was away for a day, and has what it missed after one poll.

Runs that began and ended meanwhile, one that was under way before and has ended, one that was deleted there, and one
that is still under way. And a history of any length is read in pieces: a poll that is killed goes on where it was.
"""

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.app.polls import ask, polling, state_of
from tests.collectors.folding import folded
from tests.collectors.test_asked import Poller
from tests.collectors.world import World
from tests.collectors.worlds import WORLDS
from watchtower.model.run import RunState
from watchtower.store.database import Database
from watchtower.store.schema.observed import runs

DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
SLICED = ("airflow", "prefect", "dagster", "databricks", "data_factory", "vertex_ai")  # asked for spans of time


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[World]:
    with WORLDS[request.param](tmp_path) as made:
        yield made


@pytest.fixture(params=SLICED)
def sliced(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[World]:
    with WORLDS[request.param](tmp_path) as made:
        yield made


def stored(database: Database) -> dict[str, tuple[str, bool]]:
    """Runs of pipelines by their own ids: their state, and whether they are history, which tells nobody."""
    with database.read() as connection:
        rows = connection.execute(select(runs).where(runs.c.task.is_(None)).order_by(runs.c.generation))
        return {str(row.native_run_id): (row.state, row.historical) for row in rows}


def hourly(world: World, count: int = 24) -> set[str]:
    """Runs that began each hour until now, the newest half an hour ago."""
    first = world.now - timedelta(minutes=30) - (count - 1) * HOUR
    return {world.ran(number, first + number * HOUR) for number in range(count)}


def under_way(database: Database) -> set[str]:
    return {run for run, (state, _) in stored(database).items() if not RunState(state).is_terminal}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_after_a_day_away_every_run_is_there_and_is_news(world: World, database: Database) -> None:
    assert ask(polling(database, world.clock), world.source())
    before = under_way(database)
    world.wait(DAY)
    world.end()
    missed = hourly(world)
    assert ask(polling(database, world.clock), world.source())  # by another process
    found = stored(database)
    assert missed <= found.keys()
    assert {found[run] for run in missed} == {("succeeded", False)}
    assert bool(before - under_way(database)) is world.tells_starts
    assert state_of(database, "shop").mark == world.server.now.replace(microsecond=0)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_under_way_all_the_time_is_known_once(world: World, database: Database) -> None:
    ask(polling(database, world.clock), world.source())
    before = stored(database)
    world.wait(DAY)
    assert ask(polling(database, world.clock), world.source())
    assert stored(database) == before


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_was_deleted_there_is_still_known_here_and_costs_no_other(world: World, database: Database) -> None:
    ask(polling(database, world.clock), world.source())
    before = stored(database)
    world.wait(DAY)
    world.forget()
    missed = hourly(world, 3)
    assert ask(polling(database, world.clock), world.source())
    assert stored(database).keys() == before.keys() | missed


def test_a_poll_of_a_long_history_goes_on_where_it_was_killed(sliced: World) -> None:
    hourly(sliced)
    sliced.lookback = DAY
    whole = Poller.of(sliced)
    whole.poll()
    marks = whole.marks
    assert len(marks) > 12
    assert marks == sorted(marks)
    poller = Poller.of(sliced)
    for reached in (marks[5], marks[12]):
        poller.poll(until=reached)
        assert poller.mark == reached
        poller.source = sliced.source()
    poller.poll()
    assert folded(poller.facts()) == folded(whole.facts())
    assert len(poller.marks) <= len(marks) + 4  # an hour before each of the two is read again, not the day


def test_a_page_of_a_long_history_is_no_larger_than_of_a_short_one(sliced: World) -> None:
    """What is held at once does not grow with what there is."""
    sliced.lookback = DAY
    largest: list[int] = []
    for count in (24, 96):
        first = sliced.now - DAY
        for number in range(count):
            sliced.ran(1_000 * count + number, first + number * DAY / count)
        poller = Poller.of(sliced)
        poller.poll()
        largest.append(poller.largest)
    assert largest[1] <= 2 * largest[0]
