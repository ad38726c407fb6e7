"""A store that is thrown away does what a lasting one does, in one thread and without waiting for a disk."""

from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from watchtower.store import migrations, scratch
from watchtower.store.database import Database
from watchtower.store.schema.observed import meta


@pytest.fixture
def thrown_away(tmp_path: Path, clock: object) -> Generator[Database]:
    database = Database(f"sqlite:///{tmp_path}/scratch.db", scratch=True)
    migrations.migrate(database, clock)  # type: ignore[arg-type] # a clock that is moved by hand
    yield database
    database.close()


def keys(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(select(meta.c.key).where(meta.c.key.like("key %"))))


def store(connection: Connection, *names: str) -> None:
    for name in names:
        connection.execute(insert(meta).values(key=f"key {name}", value=""))


def test_what_is_written_is_read_at_once(thrown_away: Database) -> None:
    thrown_away.write(lambda connection: store(connection, "a"))
    assert keys(thrown_away) == {"key a"}


def test_a_unit_that_fails_leaves_nothing_and_costs_no_other(thrown_away: Database) -> None:
    thrown_away.write(lambda connection: store(connection, "a"))
    with pytest.raises(IntegrityError):
        thrown_away.write(lambda connection: store(connection, "b", "a"))
    thrown_away.write(lambda connection: store(connection, "c"))
    assert keys(thrown_away) == {"key a", "key c"}


def test_more_units_than_one_transaction_holds_are_all_kept(
    thrown_away: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "UNITS", 2)
    for name in "abcde":
        thrown_away.write(lambda connection, name=name: store(connection, name))
    assert keys(thrown_away) == {f"key {name}" for name in "abcde"}


def test_who_listens_hears_of_each_unit(thrown_away: Database) -> None:
    heard: list[None] = []
    thrown_away.on_commit(lambda: heard.append(None))
    thrown_away.write(lambda connection: store(connection, "a"))
    thrown_away.write(lambda connection: store(connection, "b"))
    assert len(heard) == 2
