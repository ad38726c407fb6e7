"""A consistent copy of a store while it is in use, and a store made of one.

SQLite: its online backup API, in one step over one read transaction, so that writing goes on beside it and nothing is
begun anew. PostgreSQL: COPY in its binary form of every table, in one repeatable-read transaction; `pg_basebackup` with
an archive of its WAL, which is the operator's, loses less. Both are opened and read before they count as made.
"""

import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table, update
from sqlalchemy.engine import make_url

from watchtower.errors import StoreDamaged, StoreError
from watchtower.model.instants import from_micros
from watchtower.pulse import beat
from watchtower.store.database import file_of
from watchtower.store.schema.alerting import groups, notices
from watchtower.store.schema.base import metadata

SQLITE, POSTGRESQL = "sqlite", "postgresql"
DATABASE = "store.db"
TABLES = "tables"
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"  # postgresql.org/docs/current/sql-copy.html, "Binary Format"
_PAGES = 4_096  # of one step of a copy: 16 MiB
_STEPS = 1_000_000  # of SQLite's machine between two signs of life
_OPEN = ("due", "sending")
_SAID = "SELECT (SELECT coalesce(max(number), 0) FROM migrations), (SELECT max(received_at) FROM facts)"


@dataclass(frozen=True, slots=True)
class Copied:
    """engine: of the store; step: of its schema; rows: by table; last_entry: when its newest fact was received."""

    engine: str
    step: int
    rows: Mapping[str, int]
    last_entry: str | None


def copy(url: str, folder: Path) -> Copied:
    """Copy the store at url into folder, which exists. Raises StoreError, also where the copy cannot be read."""
    file = file_of(url)
    return _copy_sqlite(file, folder / DATABASE) if file is not None else _copy_postgresql(url, folder / TABLES)


def check(folder: Path, copied: Copied) -> None:
    """Read the copy in folder: it must hold what copied says. Raises StoreDamaged."""
    found = _read_sqlite(folder / DATABASE) if copied.engine == SQLITE else _count_tables(folder / TABLES, copied)
    wrong = [name for name, count in copied.rows.items() if found.get(name) != count]
    if wrong:
        raise StoreDamaged(f"the backup in {folder} does not hold what was copied: {', '.join(sorted(wrong))}")


def load_tables(url: str, folder: Path) -> None:
    """Fill the migrated, else empty PostgreSQL store at url from the tables in folder, in one transaction."""
    with _psycopg(url) as connection, connection.cursor() as cursor:
        names = [sql.Identifier(table.name) for table in metadata.sorted_tables]
        cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
        for table in metadata.sorted_tables:
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(*_named(table))
            with (folder / f"{table.name}.copy").open("rb") as file, cursor.copy(statement) as into:
                while chunk := file.read(1 << 20):
                    into.write(chunk)
            _advance(cursor, table)


def mark_restored(connection: Connection) -> int:
    """What was owed when the backup was made may have been told since, by the life that ended after it. So whatever is
    told next in the conversations of that time is looked up first; the number of messages that wait for that."""
    connection.execute(update(groups).values(restored=True))
    waiting = update(notices).where(notices.c.state.in_(_OPEN), notices.c.outcome_unknown.is_(False))
    return connection.execute(waiting.values(look_first=True)).rowcount


# -- SQLite -------------------------------------------------------------------------------------------------------


def _copy_sqlite(source: Path, target: Path) -> Copied:
    """Through a connection that can neither write nor checkpoint, in whichever process (docs, 0002-one-writer)."""
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.execute("BEGIN")
            reading.execute(_SAID).fetchone()  # from here on it sees one state, so that no commit makes it begin anew
            reading.backup(writing, pages=_PAGES, progress=_goes_on)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file, without a WAL beside it
        rows = _read_sqlite(target)
        with closing(sqlite3.connect(target)) as copied:
            step, newest = copied.execute(_SAID).fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"store {source} cannot be copied to {target}: {error}") from error
    return Copied(SQLITE, step, rows, _said(newest))


def _goes_on(status: int, remaining: int, total: int) -> None:
    beat()


def _read_sqlite(file: Path) -> dict[str, int]:
    """Rows of each table, once the whole file has proven to be sound."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(beat, _STEPS)
            said = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
            if said != ["ok"]:
                raise StoreDamaged(f"{file} is damaged: {'; '.join(said)}")
            there = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            names = [table.name for table in metadata.sorted_tables if table.name in there]
            return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608
    except sqlite3.Error as error:
        raise StoreDamaged(f"{file} cannot be read: {error}") from error


# -- PostgreSQL ---------------------------------------------------------------------------------------------------


def _copy_postgresql(url: str, folder: Path) -> Copied:
    folder.mkdir()
    rows: dict[str, int] = {}
    with _psycopg(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for table in metadata.sorted_tables:
            statement = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(*_named(table))
            with (folder / f"{table.name}.copy").open("wb") as file, cursor.copy(statement) as out:
                for chunk in out:
                    file.write(chunk)
                    beat()
            rows[table.name] = cursor.rowcount
        step, newest = cursor.execute(_SAID).fetchone() or (0, None)
    return Copied(POSTGRESQL, step, rows, _said(newest))


def _count_tables(folder: Path, copied: Copied) -> dict[str, int]:
    try:
        return {name: _count(folder / f"{name}.copy") for name in copied.rows}
    except (OSError, struct.error, ValueError) as error:
        raise StoreDamaged(f"{folder} cannot be read: {error}") from error


def _count(path: Path) -> int:
    """Rows of a file of COPY, read field by field to its end mark."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise ValueError(f"{path} is no binary COPY")
        _flags, extension = struct.unpack("!II", _exactly(file, 8))
        _exactly(file, extension)
        rows = 0
        while (fields := struct.unpack("!h", _exactly(file, 2))[0]) != -1:
            for _ in range(fields):
                size = struct.unpack("!i", _exactly(file, 4))[0]
                _exactly(file, max(0, size))
            rows += 1
        return rows


def _exactly(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise ValueError(f"{file.name} ends in the middle of a row")
    return found


def _advance(cursor: "psycopg.Cursor[Any]", table: Table) -> None:
    """Numbers that the engine gives go on behind the last one."""
    column = next((column for column in table.columns if column.autoincrement is True), None)
    if column is None:
        return
    statement = sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}")
    cursor.execute(
        statement.format(
            sql.Literal(table.name), sql.Literal(column.name), sql.Identifier(column.name), sql.Identifier(table.name)
        )
    )


def _named(table: Table) -> tuple[sql.Identifier, sql.Composed]:
    return sql.Identifier(table.name), sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)


def _psycopg(url: str) -> "psycopg.Connection[Any]":
    try:
        plain = make_url(url).set(drivername=POSTGRESQL)
        return psycopg.connect(plain.render_as_string(hide_password=False))
    except psycopg.Error as error:
        raise StoreError(f"the store does not answer: {error}") from error


def _said(newest: int | None) -> str | None:
    return None if newest is None else from_micros(newest).isoformat()
