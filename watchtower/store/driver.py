"""Statements of the hot path, given to the driver underneath SQLAlchemy as they are.

Core adds about a tenth of a millisecond to each statement, more than SQLite needs to run it. The transaction stays the
one of the connection, and errors are raised as SQLAlchemy's own, so that everything above them is as with Core.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

MAX_PARAMETERS = 4_000  # of one statement; SQLite allows 32,766
ANY_NUMBER = 32  # of records up to which each number has a statement of its own
STATEMENTS = 512  # that a connection of SQLite keeps prepared


def rows(connection: Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What sql selects, as the driver gives it: no column types' conversions."""
    return _run(connection, sql, parameters, lambda cursor: cursor.execute(sql, parameters) and cursor.fetchall())


def rows_for(connection: Connection, sql: str, records: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What sql, a SELECT with `{values}` in it, selects for all of records, which are of one width."""
    found: list[tuple[Any, ...]] = []
    width, one = (len(records[0]), "?" if connection.dialect.name == "sqlite" else "%s") if records else (1, "?")
    for some in _slices(records, max(1, MAX_PARAMETERS // width)):
        found += rows(connection, _for_so_many(sql, one, width, len(some)), list(chain.from_iterable(some)))
    return found


def write(connection: Connection, sql: str, parameters: Sequence[Sequence[Any]]) -> int:
    """Run sql once for each of parameters; the number of rows that were written."""
    return _run(connection, sql, parameters, lambda cursor: _many(cursor, sql, parameters))


def control(connection: Connection, sql: str) -> None:
    """Begin a transaction, or set, release or go back to a savepoint: Core takes twenty times as long for each."""
    _raised(connection, sql, (), lambda cursor: cursor.execute(sql))


def insert(connection: Connection, sql: str, records: Sequence[tuple[Any, ...]]) -> int:
    """Run sql, an INSERT with `{values}` in it, for all of records; the number of rows that were written.

    SQLite takes many records in one statement: sqlite3 lets go of the interpreter at every step of a statement, and
    while other threads are busy each return waits up to 5 ms (sys.getswitchinterval).
    """
    if not records:
        return 0
    width = len(records[0])
    if connection.dialect.name != "sqlite":
        return write(connection, _for_so_many(sql, "%s", width, 1), records)
    return sum(
        _run(connection, sql, some, lambda cursor, some=some: _together(cursor, sql, width, some))
        for some in _slices(records, max(1, MAX_PARAMETERS // width))
    )


def _together(cursor: Any, sql: str, width: int, records: Sequence[tuple[Any, ...]]) -> int:
    cursor.execute(_for_so_many(sql, "?", width, len(records)), list(chain.from_iterable(records)))
    return cursor.rowcount


@lru_cache(maxsize=512)
def _for_so_many(sql: str, mark: str, width: int, count: int) -> str:
    """The same text object each time: its hash, by which the driver knows prepared statements, is worked out once."""
    return sql.format(values=", ".join([f"({', '.join([mark] * width)})"] * count))


def _slices(records: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Of few different lengths, so that prepared statements are met again: a rest of up to ANY_NUMBER, and before it
    powers of two."""
    place = 0
    while place < len(records):
        left = min(len(records) - place, most)
        size = left if left <= ANY_NUMBER else 1 << (left.bit_length() - 1)
        yield records[place : place + size]
        place += size


def _many(cursor: Any, sql: str, parameters: Sequence[Sequence[Any]]) -> int:
    if len(parameters) == 1:
        cursor.execute(sql, parameters[0])
    elif parameters:
        cursor.executemany(sql, parameters)
    return cursor.rowcount


def _run(connection: Connection, sql: str, parameters: Any, work: Callable[[Any], T]) -> T:
    if not connection.in_transaction():
        connection.begin()  # as Core does at a connection's first statement
    return _raised(connection, sql, parameters, work)


def _raised(connection: Connection, sql: str, parameters: Any, work: Callable[[Any], T]) -> T:
    """What work makes of a cursor; the driver's errors as SQLAlchemy's."""
    driver: Any = connection.connection.dbapi_connection
    cursor = None
    try:
        cursor = driver.cursor()
        return work(cursor)
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, sql, parameters, error)
    finally:
        if cursor is not None:
            cursor.close()


def _raise(connection: Connection, sql: str, parameters: Any, error: Exception) -> NoReturn:
    """As SQLAlchemy raises it, with what it knows of lost connections."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection, None)  # type: ignore[arg-type] # any DBAPI's error
    raise DBAPIError.instance(
        sql, parameters, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
    ) from error
