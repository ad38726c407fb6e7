"""The few places where SQLite and PostgreSQL differ, side by side."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from watchtower.store import driver

T = TypeVar("T")

# SQLite allows 32,766 bound parameters in a statement, PostgreSQL 65,535.
MAX_PARAMETERS = 8_000

Insert = sqlite.Insert | postgresql.Insert


def mark(connection: Connection) -> str:
    """What stands for a value in a statement that is given to the driver as it is."""
    return "?" if is_sqlite(connection) else "%s"


def rows_among(connection: Connection, sql: str, values: Collection[str]) -> Iterator[Sequence[Any]]:
    """Rows as the driver gives them, for sql with `{among}` behind a column: those where it is one of values, each of
    which is asked for once. Few different texts come of it, so that the engine's prepared statements are met again."""
    ordered = sorted(values)
    if not is_sqlite(connection):
        if ordered:
            yield from driver.rows(connection, sql.format(among="= ANY(%s)"), (ordered,))
        return
    for some in chunks(ordered, 512):
        size = 1 << (len(some) - 1).bit_length()
        padded = (*some, *[some[-1]] * (size - len(some)))
        yield from driver.rows(connection, sql.format(among=f"IN ({', '.join('?' * size)})"), padded)


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
