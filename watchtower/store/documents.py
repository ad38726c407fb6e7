"""Documents of one table, in the form in which they are stored: the hot write path, through the driver underneath.

A document is a row as a dict of primitives: instants as microseconds, JSON decoded, `stamps` unpacked. What was loaded
is written back as an UPDATE of the columns that changed, so that an index is only touched where its columns were; what
is new is inserted. Two replicas that make the same new row at once must not overwrite one another: the later one's
transaction is repeated, and finds the row.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache, partial
from itertools import compress
from operator import is_not, itemgetter
from typing import Any, cast

import msgspec
import psycopg
from sqlalchemy import Boolean, Connection, Table
from sqlalchemy.exc import OperationalError

from watchtower.model.fold import Document, pack_stamps, unpack_stamps
from watchtower.store import dialect, driver
from watchtower.store.schema.base import Json

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_STATEMENTS = 256  # kept, by the set of columns that changed
_is_said = cast("Callable[[Any], bool]", partial(is_not, None))


class Stored(dict[str, Any]):
    """A Document that was loaded. row: as it stands in the table."""

    __slots__ = ("row",)

    def __init__(self, values: Iterable[tuple[str, Any]], row: tuple[Any, ...]) -> None:
        super().__init__(values)
        self.row = row


class Documents:
    """The rows of table, which has a column `stamps`."""

    def __init__(self, table: Table) -> None:
        self._table = table.name
        self._columns = tuple(column.name for column in table.columns)
        self._values = cast("Callable[[Document], tuple[Any, ...]]", itemgetter(*self._columns))
        self._keys = tuple(column.name for column in table.primary_key.columns)
        self._places = {name: place for place, name in enumerate(self._columns)}
        self._stamps = self._places["stamps"]
        self._json = tuple(
            self._places[column.name]
            for column in table.columns
            if isinstance(column.type, Json) and column.name != "stamps"
        )
        self._flags = tuple(self._places[column.name] for column in table.columns if isinstance(column.type, Boolean))
        self._insert_sql = lru_cache(maxsize=_STATEMENTS)(self._new_sql)
        self._update = lru_cache(maxsize=_STATEMENTS)(self._update_sql)

    def load(
        self, connection: Connection, values: Collection[str], *, by: str = "id", lock: bool = True
    ) -> list[Stored]:
        """The documents whose column `by` is one of values. lock: on PostgreSQL, until the end of the transaction and
        in one order, so that replicas that need the same rows wait for each other and never for one another."""
        order = f' ORDER BY "{by}"' + (" FOR UPDATE" if lock and not dialect.is_sqlite(connection) else "")
        columns = ", ".join(f'"{name}"' for name in self._columns)
        sql = f'SELECT {columns} FROM {self._table} WHERE "{by}" {{among}}{order}'  # noqa: S608 - names of our own
        return [self._document(row) for row in dialect.rows_among(connection, sql, values)]

    def write(self, connection: Connection, documents: Iterable[Document]) -> None:
        """Insert what is new, update what was loaded and is not as it was."""
        new: list[tuple[Any, ...]] = []
        changed: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for document in documents:
            row = self._row(document)
            if isinstance(document, Stored):
                names, values = self._changes(document.row, row)
                if names:
                    changed.setdefault(names, []).append(values)
            else:
                new.append(row)
        for names, rows in self._by_width(connection, new):
            self._insert(connection, names, rows)
        for names, rows in changed.items():
            driver.write(connection, self._update(names, dialect.mark(connection)), rows)

    def _by_width(
        self, connection: Connection, rows: list[tuple[Any, ...]]
    ) -> Iterable[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        """Names of columns, and the rows that hold something in these and nothing in the others: of a run's forty some
        twenty, and each that is bound takes its time. On PostgreSQL all rows in the order they came in, so that
        replicas that make the same ones wait for each other and never for one another."""
        if not dialect.is_sqlite(connection):
            return [(self._columns, rows)] if rows else []
        found: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for row in rows:
            names = tuple(compress(self._columns, map(_is_said, row)))
            found.setdefault(names, []).append(tuple(filter(_is_said, row)))
        return found.items()

    def _insert(self, connection: Connection, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        sql = self._insert_sql(names)
        inserted = driver.insert(connection, sql, rows)
        if inserted != len(rows):
            why = psycopg.errors.SerializationFailure(f"rows of {self._table} were made by another replica meanwhile")
            raise OperationalError(sql, None, why)

    def _new_sql(self, names: tuple[str, ...]) -> str:
        columns = ", ".join(f'"{name}"' for name in names)
        return f"INSERT INTO {self._table} ({columns}) VALUES {{values}} ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own

    def _update_sql(self, names: tuple[str, ...], mark: str) -> str:
        assigned = ", ".join(f'"{name}" = {mark}' for name in names)
        matched = " AND ".join(f'"{name}" = {mark}' for name in self._keys)
        return f"UPDATE {self._table} SET {assigned} WHERE {matched}"  # noqa: S608 - names of our own

    def _changes(self, old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """(names of the columns that changed, their values and then those of the key)."""
        places = [place for place, value in enumerate(new) if value != old[place]]
        names = tuple(self._columns[place] for place in places)
        return names, (*(new[place] for place in places), *(old[self._places[name]] for name in self._keys))

    def _row(self, document: Document) -> tuple[Any, ...]:
        row = list(self._values(document))
        row[self._stamps] = _encode(pack_stamps(row[self._stamps])).decode()
        for place in self._json:
            if row[place] is not None:
                row[place] = _encode(row[place]).decode()
        return tuple(row)

    def _document(self, row: Sequence[Any]) -> Stored:
        values = list(row)
        values[self._stamps] = unpack_stamps(_decode(values[self._stamps]))
        for place in self._json:
            if values[place] is not None:
                values[place] = _decode(values[place])
        for place in self._flags:
            if values[place] is not None:
                values[place] = bool(values[place])
        return Stored(zip(self._columns, values, strict=True), tuple(row))
