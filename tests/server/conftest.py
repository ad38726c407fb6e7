"""One running server per test, on SQLite unless the test asks for both engines."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.server.site import Site, running
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


@pytest.fixture
def site(sqlite: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    with running(sqlite, tmp_path, clock) as found:
        yield found


@pytest.fixture
def any_site(database: Database, tmp_path: Path, clock: ManualClock) -> Generator[Site]:
    """A server on each engine."""
    with running(database, tmp_path, clock) as found:
        yield found
