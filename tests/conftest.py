"""Fixtures for all tests: a manual clock, and a fresh store on each engine.

Each test process (each xdist worker) starts at most one PostgreSQL, when the first test asks for it. Fresh stores are
copies of one that was migrated once: a file on SQLite, a template database on PostgreSQL, whose copies are emptied and
used again.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.services.fresh import FreshDatabases
from tests.services.postgres import PostgresServer
from watchtower.clock import ManualClock
from watchtower.store.database import Database
from watchtower.store.migrations import migrate

START = datetime(2026, 3, 2, 8, tzinfo=UTC)  # a Monday
ENGINES = ("sqlite", "postgresql")

# How fast a machine draws examples is no property of the code. The quick suite plays the same examples each time, so
# that a change is judged by what it changed; the long ones (`make crash`, `make fuzz`) look further, by their seeds.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

NewDatabase = Callable[[str, bool], str]

_HERE = Path(__file__).parent
_LONG = {_HERE / name: getattr(pytest.mark, name) for name in ("e2e", "crash", "fuzz")}
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30  # bytes
_QUICKER = ("test_outbox_dies.py", "test_phone_dies.py", "test_tickets_die.py")  # run by `make e2e`


def pytest_configure(config: pytest.Config) -> None:
    """What the quick tests write need not outlive the machine: where memory has room for it, no commit waits for a
    disk. The long tests, which are asked for by their marker, take a disk as it is."""
    is_quick = str(config.getoption("markexpr")).startswith("not ")
    if is_quick and "TMPDIR" not in os.environ and _has_room(_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _has_room(folder: Path) -> bool:
    """And programs may be run from there, which some tests write."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & (os.ST_RDONLY | os.ST_NOEXEC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stands in the folders of long tests is long. Each belongs to one command."""
    for item in items:
        for folder, marker in _LONG.items():
            if item.path.is_relative_to(folder):
                item.add_marker(pytest.mark.e2e if item.path.name in _QUICKER else marker)


@pytest.fixture
def clock() -> ManualClock:
    """Stands at Monday, 2026-03-02 08:00 UTC until it is moved."""
    return ManualClock(START)


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    """The PostgreSQL of this test process."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("template") / "watchtower.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> Generator[FreshDatabases]:
    """Migrated databases without a row, each for one test at a time."""
    name = postgres.create_database()
    _migrate(postgres.url(name))
    fresh = FreshDatabases(postgres, name)
    yield fresh
    fresh.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """`sqlite`, then `postgresql`."""
    return request.param


@pytest.fixture
def new_database(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Generator[NewDatabase]:
    """Make another database on the engine of this test: `new_database(name, migrated)` gives its URL."""
    with ExitStack() as later:

        def on_sqlite(name: str, migrated: bool) -> str:
            file = tmp_path / f"{name}.db"
            if migrated:
                shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
            return f"sqlite:///{file}"

        def on_postgres(_name: str, migrated: bool) -> str:
            server: PostgresServer = request.getfixturevalue("postgres")
            if migrated:
                fresh: FreshDatabases = request.getfixturevalue("migrated_postgres")
                database = fresh.take()
                later.callback(fresh.hand_back, database)
            else:
                database = server.create_database()
                later.callback(server.drop_database, database)
            return server.url(database)

        yield on_sqlite if engine == "sqlite" else on_postgres


@pytest.fixture
def empty_database_url(new_database: NewDatabase) -> str:
    """The URL of a fresh database without any table, on each engine."""
    return new_database("empty", False)


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """The URL of a fresh, migrated store, on each engine."""
    return new_database("watchtower", True)


@pytest.fixture
def database(database_url: str) -> Generator[Database]:
    """An open, fresh, migrated store, on each engine."""
    opened = Database(database_url)
    yield opened
    opened.close()


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database, ManualClock(START))
    database.close()
