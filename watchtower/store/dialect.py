"""The few places where SQLite and PostgreSQL differ, side by side."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from watchtower.store import driver
from watchtower.store.statements import Prepared, prepared

T = TypeVar("T")

# SQLite allows 32,766 bound parameters in a statement, PostgreSQL 65,535.
MAX_PARAMETERS = 8_000

Insert = sqlite.Insert | postgresql.Insert
_INSERT: Mapping[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def mark(connection: Connection) -> str:
    """What stands for a value in a statement that is given to the driver as it is."""
    return "?" if is_sqlite(connection) else "%s"


def rows_among(connection: Connection, sql: str, values: Collection[str]) -> Iterator[Sequence[Any]]:
    """Rows as the driver gives them, for sql with `{among}` behind a column: those where it is one of values, each of
    which is asked for once. Few different texts come of it, so that the engine's prepared statements are met again."""
    for some in chunks(sorted(values), 512):
        text, parameters = among(connection, some)
        yield from driver.rows(connection, sql.format(among=text), parameters)


def among(connection: Connection, values: Collection[str] | None) -> tuple[str, Sequence[Any]]:
    """What stands behind a column that must be one of a few values, and the parameters of it; nothing for None."""
    if values is None:
        return "", ()
    ordered = sorted(values)
    if not is_sqlite(connection):
        return "= ANY(%s)", (ordered,)
    size = 1 << (len(ordered) - 1).bit_length()
    return f"IN ({', '.join('?' * size)})", (*ordered, *[ordered[-1]] * (size - len(ordered)))


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def insert(connection: Connection, table: Table) -> Insert:
    """An INSERT that can say ON CONFLICT."""
    return insert_on(connection.dialect.name, table)


def insert_on(engine: str, table: Table) -> Insert:
    """As insert, for a statement that is prepared for an engine."""
    return _INSERT[engine](table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; the number inserted."""
    return _inserting_new(connection.dialect.name, table).run_each(connection, rows)


@lru_cache(maxsize=128)
def _inserting_new(engine: str, table: Table) -> Prepared:
    return prepared(_INSERT[engine](table).on_conflict_do_nothing())


def upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, keep: Iterable[str] = ()
) -> None:
    """Insert rows, or set all their columns but the key and `keep` where the key is there already."""
    if rows:
        _upserting(connection.dialect.name, table, tuple(rows[0]), tuple(keep)).run_each(connection, rows)


@lru_cache(maxsize=128)
def _upserting(engine: str, table: Table, names: Sequence[str], keep: Sequence[str]) -> Prepared:
    statement = _INSERT[engine](table)
    keys = [column.name for column in table.primary_key.columns]
    fixed = {*keys, *keep}
    changed = {name: statement.excluded[name] for name in names if name not in fixed}
    return prepared(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def chunks(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Slices of at most size items: lists of bound parameters have limits."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
