"""A store is brought to the schema of this program step by step, on both engines, whatever interrupts it."""

import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.engine.interfaces import ReflectedIndex

from watchtower.clock import ManualClock
from watchtower.errors import StoreError
from watchtower.store.database import Database
from watchtower.store.migrations import (
    STEPS,
    Standing,
    Step,
    StepKind,
    check_readable,
    check_startable,
    migrate,
    state,
)
from watchtower.store.schema import metadata
from watchtower.store.schema.observed import migrations


@dataclass(frozen=True, slots=True)
class Scripted(Step):
    """A step whose SQL stands in the test."""

    sql: str = ""

    def script(self, engine: str) -> str:
        return self.sql


ROOT = Path(__file__).parents[2]
SPINE = STEPS[0]
EXPAND = Scripted(2, "notes", StepKind.EXPAND, "CREATE TABLE notes (id BIGINT PRIMARY KEY);\n")
CONTRACT = Scripted(3, "drop_notes", StepKind.CONTRACT, "DROP TABLE notes;\n")
HALF_WRONG = Scripted(
    2, "half_wrong", StepKind.EXPAND, "CREATE TABLE notes (id BIGINT PRIMARY KEY);\nALTER TABLE nowhere ADD x BIGINT;\n"
)


@pytest.fixture
def empty(empty_database_url: str) -> Generator[Database]:
    """An open store without any table, on each engine."""
    opened = Database(empty_database_url)
    yield opened
    opened.close()


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def test_empty_store_is_created_at_start(empty: Database, clock: ManualClock) -> None:
    assert state(empty).kind is Standing.EMPTY
    assert check_startable(empty, clock).kind is Standing.CURRENT
    assert tables(empty) == set(metadata.tables)
    with empty.read() as connection:
        row = connection.execute(select(migrations)).one()
    assert (row.number, row.name, row.applied_at) == (1, "spine", clock.now())


def test_reading_makes_nothing_of_an_empty_store(empty: Database, clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="is empty: no Watchtower has been started on it"):
        check_readable(empty)
    assert tables(empty) == set()
    migrate(empty, clock)
    assert check_readable(empty).kind is Standing.CURRENT


def test_migrating_twice_changes_nothing(empty: Database, clock: ManualClock) -> None:
    assert migrate(empty, clock) == list(STEPS)
    assert migrate(empty, clock) == []


def test_older_store_is_served_when_only_expand_steps_are_pending(database: Database, clock: ManualClock) -> None:
    found = check_startable(database, clock, (SPINE, EXPAND))
    assert (found.kind, found.pending) == (Standing.EXPAND, (EXPAND,))
    assert "notes" not in tables(database)
    assert migrate(database, clock, (SPINE, EXPAND)) == [EXPAND]
    assert "notes" in tables(database)


def test_contract_step_needs_the_operator(database: Database, clock: ManualClock) -> None:
    needed = r"pending: 2 \(notes\), 3 \(drop_notes\).*run `watchtower migrate`"
    with pytest.raises(StoreError, match=needed):
        check_startable(database, clock, (SPINE, EXPAND, CONTRACT))
    with pytest.raises(StoreError, match=needed):
        check_readable(database, (SPINE, EXPAND, CONTRACT))
    assert migrate(database, clock, (SPINE, EXPAND, CONTRACT)) == [EXPAND, CONTRACT]
    assert check_startable(database, clock, (SPINE, EXPAND, CONTRACT)).kind is Standing.CURRENT


def test_newer_store_is_refused(database: Database, clock: ManualClock) -> None:
    migrate(database, clock, (SPINE, EXPAND))
    for attempt in (check_startable, migrate):
        with pytest.raises(StoreError, match="a newer Watchtower made it"):
            attempt(database, clock)


def test_failed_step_leaves_nothing_and_the_next_try_goes_on(empty: Database, clock: ManualClock) -> None:
    with pytest.raises(Exception, match="nowhere"):
        migrate(empty, clock, (SPINE, HALF_WRONG))
    assert state(empty, (SPINE, EXPAND)).current == 1
    assert "notes" not in tables(empty)
    assert migrate(empty, clock, (SPINE, EXPAND)) == [EXPAND]


# Asked for the time when the step's statements are done and its record is not yet written, the clock never answers.
KILLED_IN_A_STEP = """
import sys
import threading
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

class Clock:
    def now(self):
        print("in the step", flush=True)
        threading.Event().wait()

migrate(Database(sys.argv[1]), Clock())
"""


def test_killed_in_the_middle_of_a_step_the_next_start_goes_on(empty_database_url: str, clock: ManualClock) -> None:
    command = [sys.executable, "-c", KILLED_IN_A_STEP, empty_database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline() == b"in the step\n"
        process.kill()
    database = Database(empty_database_url)
    assert state(database).kind is Standing.EMPTY
    assert check_startable(database, clock).kind is Standing.CURRENT
    assert tables(database) == set(metadata.tables)
    database.close()


def test_foreign_database_is_refused(empty: Database, clock: ManualClock) -> None:
    empty.write(lambda connection: connection.execute(text("CREATE TABLE dag_run (id BIGINT)")))
    with pytest.raises(StoreError, match=r"holds the table 'dag_run'.*database of its own"):
        check_startable(empty, clock)


def test_store_of_an_unreleased_form_of_a_step_is_refused(database: Database, clock: ManualClock) -> None:
    other = Scripted(1, "spine", StepKind.EXPAND, "CREATE TABLE other (id BIGINT);\n")
    with pytest.raises(StoreError, match=r"step 1 \(spine\) was taken in another form"):
        check_startable(database, clock, (other,))


def test_two_processes_that_start_at_once_take_each_step_once(empty_database_url: str, clock: ManualClock) -> None:
    """Two Database objects stand for two processes: they share nothing but the database."""
    taken: list[Sequence[Step]] = []
    start = threading.Barrier(2)

    def run() -> None:
        database = Database(empty_database_url)
        start.wait(10)
        taken.append(migrate(database, clock))
        database.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(len, taken)) == [0, len(STEPS)]


def index_of(index: ReflectedIndex) -> tuple[object, ...]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return index["name"], index["column_names"], index["unique"], options


def schema_of(connection: Connection) -> dict[str, object]:
    """What the engine itself says of its tables: columns, keys, indexes."""
    look = inspect(connection)
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], bool(column.get("autoincrement")))
                for column in look.get_columns(name)
            ],
            "key": look.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(sorted(unique["column_names"]) for unique in look.get_unique_constraints(name)),
            "indexes": sorted(str(index_of(index)) for index in look.get_indexes(name)),
        }
        for name in sorted(look.get_table_names())
    }


def test_migrated_schema_is_the_schema_of_the_tables(empty: Database, database: Database, clock: ManualClock) -> None:
    empty.write(metadata.create_all)
    with database.read() as migrated, empty.read() as declared:
        found, wanted = schema_of(migrated), schema_of(declared)
    assert found == wanted, (
        "the tables were changed without a step: run `python -m watchtower.store.migrations freeze` "
        "(before the first release), or append a step to watchtower/store/migrations/steps.py"
    )


def test_both_engines_have_every_step() -> None:
    sql = ROOT / "watchtower/store/migrations/sql"
    files = {step.file_name(engine) for step in STEPS for engine in ("sqlite", "postgresql")}
    assert {file.name for file in sql.iterdir()} == files
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
