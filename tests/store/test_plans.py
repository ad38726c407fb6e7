"""Questions that must stay cheap however long the history is: which index SQLite answers them by."""

import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import ORDERS, at
from watchtower.model.run import RunState
from watchtower.store import driver, runs
from watchtower.store.database import Database
from watchtower.store.reading import checks, fleet
from watchtower.store.reading.observed import RunFilter, list_runs
from watchtower.store.reading.paging import Window

QUESTIONS: dict[str, Callable[[Connection], object]] = {
    "open runs of jobs": lambda connection: runs.open_ids(connection, [ORDERS.id]),
    "the open run of a check": lambda connection: checks.open_run(connection, ORDERS),
    "how many runs are open": lambda connection: fleet.read(connection, at(0), pipelines=10, of_datasets=10),
    "runs that were lost": lambda connection: list_runs(connection, RunFilter(states=(RunState.LOST,)), Window()),
}


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Generator[Database]:
    file = tmp_path / "watchtower.db"
    shutil.copyfile(migrated_sqlite, file)
    opened = Database(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_runs_that_did_not_succeed_are_found_without_those_that_did(
    sqlite: Database, ask: Callable[[Connection], object]
) -> None:
    asked: list[str] = []
    with sqlite.read() as connection:
        underneath: Any = connection.connection.driver_connection
        driver.rows(connection, "SELECT 1", ())
        underneath.set_trace_callback(asked.append)
        ask(connection)
        underneath.set_trace_callback(None)
        plans = [_plan(connection, sql) for sql in asked if " runs" in sql and sql.startswith("SELECT")]
    assert any("ix_runs_state" in plan for plan in plans), plans


def _plan(connection: Connection, sql: str) -> str:
    return "; ".join(str(row[-1]) for row in driver.rows(connection, f"EXPLAIN QUERY PLAN {sql}", ()))
