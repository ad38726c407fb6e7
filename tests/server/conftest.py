"""One running server per test, on SQLite unless the test asks for both engines."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.server.site import Site, running, with_settings
from watchtower.clock import ManualClock
from watchtower.store.database import Database


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path) -> Generator[Database]:
    """An open, migrated SQLite store."""
    file = tmp_path / "watchtower.db"
    shutil.copyfile(migrated_sqlite, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


PATIENT = with_settings(patience_s=30.0)  # a busy machine is not a store that does not keep up


@pytest.fixture
def site(sqlite: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    with running(sqlite, tmp_path, clock, settings=PATIENT) as found:
        yield found


@pytest.fixture
def hasty(sqlite: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    """A server that goes to its spool as soon as one does that is shipped."""
    with running(sqlite, tmp_path, clock) as found:
        yield found


@pytest.fixture
def any_site(database: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    """A server on each engine."""
    with running(database, tmp_path, clock, settings=PATIENT) as found:
        yield found
