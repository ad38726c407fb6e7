"""The writer commits units of work in groups and answers each after its commit; readers cannot write."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from watchtower.errors import ConfigError, StoreError, StoreUnavailable
from watchtower.store.database import GATHERINGS, SIBLINGS, Database
from watchtower.store.schema.observed import meta
from watchtower.store.work import after_commit


def keys(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(select(meta.c.key)))


def store(connection: Connection, key: str) -> str:
    connection.execute(insert(meta).values(key=key, value=""))
    return key


def test_written_unit_is_durable_and_its_value_is_the_answer(database: Database) -> None:
    assert database.write(lambda connection: store(connection, "a")) == "a"
    assert keys(database) == {"a"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_commit_of_sqlite_is_synced_before_it_is_answered(database: Database) -> None:
    full = 2  # https://sqlite.org/pragma.html#pragma_synchronous
    assert database.write(lambda connection: connection.execute(text("PRAGMA synchronous")).scalar()) == full


def test_unit_that_fails_costs_its_neighbours_nothing(database: Database) -> None:
    hold, go_on = threading.Event(), threading.Event()

    def block(_connection: Connection) -> None:
        hold.set()
        go_on.wait(10)

    blocker = database.submit_unit(block)
    hold.wait(10)
    units = [database.submit_unit(lambda connection, key=key: store(connection, key)) for key in ("a", "a", "b")]
    go_on.set()
    blocker.result(10)
    assert units[0].result(10) == "a"
    with pytest.raises(IntegrityError):
        units[1].result(10)
    assert units[2].result(10) == "b"
    assert keys(database) == {"a", "b"}


def test_group_of_equal_handlers_is_one_call_and_one_commit(database: Database) -> None:
    hold, go_on = threading.Event(), threading.Event()
    calls: list[int] = []
    commits: list[None] = []
    database.on_commit(lambda: commits.append(None))

    def block(_connection: Connection) -> None:
        hold.set()
        go_on.wait(10)

    def handle(connection: Connection, payloads: Sequence[str]) -> list[str]:
        calls.append(len(payloads))
        return [store(connection, key) for key in payloads]

    database.submit_unit(block)
    hold.wait(10)
    futures = [database.submit(handle, str(number)) for number in range(100)]
    go_on.set()
    assert [future.result(10) for future in futures] == [str(number) for number in range(100)]
    assert calls == [100]
    assert len(commits) == 2


def test_what_fails_among_others_is_taken_back_whole_and_the_others_run_again(database: Database) -> None:
    """Nothing is guarded at first, so the whole group is rolled back once: no unit counts twice, or is half there."""
    hold, go_on = threading.Event(), threading.Event()
    calls: list[str] = []

    def block(_connection: Connection) -> None:
        hold.set()
        go_on.wait(10)

    def half(connection: Connection) -> None:
        store(connection, "half")
        raise ValueError("no more of it")

    def noted(key: str) -> Callable[[Connection], str]:
        def unit(connection: Connection) -> str:
            after_commit(connection, lambda: calls.append(key))
            return store(connection, key)

        return unit

    database.submit_unit(block)
    hold.wait(10)
    before, failing, behind = (database.submit_unit(unit) for unit in (noted("a"), half, noted("b")))
    go_on.set()
    assert (before.result(10), behind.result(10)) == ("a", "b")
    with pytest.raises(ValueError, match="no more of it"):
        failing.result(10)
    assert keys(database) == {"a", "b"}
    assert calls == ["a", "b"]


@pytest.mark.parametrize(
    ("behind", "waits"),
    [([1], 1), ([SIBLINGS, 1], 2), ([SIBLINGS] * GATHERINGS, GATHERINGS)],
    ids=["few behind them", "as many, then few", "as many each time"],
)
def test_where_many_come_at_once_those_behind_them_are_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, behind: list[int], waits: int
) -> None:
    hold, go_on = threading.Event(), threading.Event()
    commits: list[None] = []
    late: list[Future[str]] = []
    turns = list(behind)

    def block(_connection: Connection) -> None:
        hold.set()
        go_on.wait(10)

    def submit(key: str) -> "Future[str]":
        return database.submit_unit(lambda connection: store(connection, key))

    def meanwhile(_seconds: float) -> bool:
        first = len(late)
        late.extend(submit(f"late {number}") for number in range(first, first + turns.pop(0)))
        return False

    monkeypatch.setattr(database._pause, "wait", meanwhile)  # pyright: ignore[reportPrivateUsage] # instead of 2 ms
    database.submit_unit(block)
    hold.wait(10)
    database.on_commit(lambda: commits.append(None))
    early = [submit(str(number)) for number in range(SIBLINGS)]
    go_on.set()
    assert [future.result(10) for future in early] == [str(number) for number in range(SIBLINGS)]
    assert [future.result(10) for future in late] == [f"late {number}" for number in range(sum(behind))]
    database.close()
    assert len(behind) - len(turns) == waits
    assert len(commits) == 2, "the one that was under way, and one for all of them"


def test_reader_cannot_write(database: Database) -> None:
    with pytest.raises((DBAPIError, StoreError)), database.read() as connection:
        store(connection, "a")
    assert keys(database) == set()


def test_reader_sees_one_state_while_the_writer_goes_on(database: Database) -> None:
    with database.read() as connection:
        count = select(meta.c.key)
        assert connection.scalars(count).all() == []
        database.write(lambda writer: store(writer, "a"))
        assert connection.scalars(count).all() == []
    assert keys(database) == {"a"}


def test_connection_lost_in_between_is_replaced(database: Database) -> None:
    """PostgreSQL may end any connection: a restart, a failover, an administrator."""
    database.write(lambda connection: store(connection, "a"))
    if not database.is_sqlite:
        end_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        database.write(lambda connection: connection.execute(text(f"{end_others} AND datname = current_database()")))
        with pytest.raises(StoreUnavailable):
            database.write(lambda connection: connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())")))
    assert database.write(lambda connection: store(connection, "b")) == "b"
    assert keys(database) == {"a", "b"}


def test_closed_store_refuses_new_work_and_finishes_what_was_queued(database: Database) -> None:
    futures = [database.submit_unit(lambda connection, n=n: store(connection, str(n))) for n in range(20)]
    database.close()
    assert [future.result(0) for future in futures] == [str(n) for n in range(20)]
    with pytest.raises(StoreUnavailable, match="closed"):
        database.write(lambda connection: store(connection, "late"))


def test_unconfirmed_commits_are_refused_on_postgresql(database: Database, database_url: str) -> None:
    if database.is_sqlite:
        with database.read() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert database.write(lambda writer: writer.execute(text("PRAGMA synchronous")).scalar_one()) == 2
        return
    name = database.url.database
    database.write(lambda writer: writer.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off')))
    with pytest.raises(StoreError, match="an acknowledged event could be lost"):
        Database(database_url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/x", "known: sqlite, postgresql"),
        ("nonsense", "is not a database URL"),
    ],
)
def test_unusable_url_is_a_config_error(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Database(url)


def test_password_is_not_shown() -> None:
    with pytest.raises(StoreError) as caught:
        Database("postgresql://user:hunter2@127.0.0.1:1/none?connect_timeout=1")
    assert "hunter2" not in str(caught.value)
