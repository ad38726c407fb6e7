"""Fresh databases without a new one each time: whoever is done with one hands it back, and it is emptied.

Copying a template, filling the caches of its first connection and dropping it again cost PostgreSQL ten times as much
as most tests do. What could couple two tests is never used again: a database that somebody is still connected to, or
whose schema or settings are no longer those of the template.
"""

import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from tests.services.postgres import PostgresServer

_GOODBYE_S = 1.0  # PostgreSQL notices shortly after a client that it has gone; who takes longer costs only time
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# Everything a statement of a test could leave behind beside rows; statistics too, which plans are made by.
_SHAPE: LiteralString = """
    WITH mine AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    SELECT md5(concat_ws(' ',
        (SELECT string_agg(concat_ws(',', relname, relkind, reloptions, relhastriggers), ';' ORDER BY relname)
           FROM mine),
        (SELECT string_agg(concat_ws(',', attname, atttypid, atttypmod, attnotnull, attisdropped),
                           ';' ORDER BY attrelid, attnum) FROM pg_attribute WHERE attrelid IN (SELECT oid FROM mine)),
        (SELECT string_agg(pg_get_constraintdef(oid), ';' ORDER BY conname)
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
        (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_'),
        (SELECT count(*) FROM pg_statistic WHERE starelid IN (SELECT oid FROM mine)),
        (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON setdatabase = pg_database.oid
          WHERE datname = current_database())))
"""
_HOLD_ROWS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
"""
_COUNTED = "SELECT count(last_value) FROM pg_sequences WHERE schemaname = 'public'"
_COUNT_ANEW = """
    SELECT setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class _Template:
    """rows: of each table that is not empty in it, as COPY writes them."""

    name: str
    shape: str
    rows: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Copy:
    """watching: a connection of its own, so that emptying it need not begin with reading its catalogue."""

    name: str
    watching: psycopg.Connection


class FreshDatabases:
    """Copies of one template. template: the name of a database that nobody writes to any more."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        with psycopg.connect(server.url(template)) as connection:
            assert _one(connection, _COUNTED) == 0, "the sequences of the template stand at their beginning"
            rows = {table: _rows(connection, table) for table in _tables_with_rows(connection)}
            self._template = _Template(template, _shape(connection), rows)
        self._free: list[_Copy] = []
        self._taken: dict[str, _Copy] = {}

    def take(self) -> str:
        """The name of a database that is as the template is."""
        copy = self._free.pop() if self._free else self._new_copy()
        self._taken[copy.name] = copy
        return copy.name

    def hand_back(self, name: str) -> None:
        """Whoever took it is done with it."""
        copy = self._taken.pop(name)
        if self._is_as_before(copy.watching):
            self._empty(copy.watching)
            self._free.append(copy)
        else:
            copy.watching.close()
            self._server.drop_database(name)

    def close(self) -> None:
        for copy in (*self._free, *self._taken.values()):
            copy.watching.close()

    def _new_copy(self) -> _Copy:
        name = self._server.create_database(self._template.name)
        return _Copy(name, psycopg.connect(self._server.url(name), autocommit=True))

    def _is_as_before(self, connection: psycopg.Connection) -> bool:
        """But for its rows."""
        try:
            return _is_alone(connection) and _shape(connection) == self._template.shape
        except psycopg.OperationalError:  # a test has ended the connections of all
            return False

    def _empty(self, connection: psycopg.Connection) -> None:
        before = self._template.rows
        touched = {
            table
            for table in before.keys() | {*_tables_with_rows(connection)}
            if table not in before or _rows(connection, table) != before[table]
        }
        with connection.transaction():
            if touched:
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, touched))))
            for table in touched & before.keys():
                _write(connection, table, before[table])
            connection.execute(_COUNT_ANEW)


def _is_alone(connection: psycopg.Connection) -> bool:
    deadline = time.monotonic() + _GOODBYE_S
    while _one(connection, _OTHERS):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _shape(connection: psycopg.Connection) -> str:
    return str(_one(connection, _SHAPE))


def _tables_with_rows(connection: psycopg.Connection) -> list[str]:
    return [str(name) for (name,) in connection.execute(_HOLD_ROWS)]


def _rows(connection: psycopg.Connection, table: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copied:
        return b"".join(copied)


def _write(connection: psycopg.Connection, table: str, rows: bytes) -> None:
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copying:
        copying.write(rows)


def _one(connection: psycopg.Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
