"""The few places where SQLite and PostgreSQL differ, side by side."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

# SQLite allows 32,766 bound parameters in a statement, PostgreSQL 65,535.
MAX_PARAMETERS = 8_000

Insert = sqlite.Insert | postgresql.Insert


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def insert(connection: Connection, table: Table) -> Insert:
    """An INSERT that can say ON CONFLICT."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; the number inserted."""
    if not rows:
        return 0
    return connection.execute(insert(connection, table).on_conflict_do_nothing(), list(rows)).rowcount


def upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, keep: Iterable[str] = ()
) -> None:
    """Insert rows, or set all their columns but the key and `keep` where the key is there already."""
    if not rows:
        return
    statement = insert(connection, table)
    keys = [column.name for column in table.primary_key.columns]
    fixed = {*keys, *keep}
    changed = {name: statement.excluded[name] for name in rows[0] if name not in fixed}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))


def chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Slices of at most size items: lists of bound parameters have limits."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
