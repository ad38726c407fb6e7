"""A store that is thrown away: one connection for all, in one thread, whose transactions stay open for long.

A rehearsal takes thousands of small transactions, of which none has to outlive it. What a server pays for each (a
connection of its own, a lock, a commit) costs more there than what is done in them. So a unit of work is a savepoint,
and is committed with a thousand others. Reading sees what is written at once.
"""

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, StaticPool, create_engine
from sqlalchemy.engine import URL

from watchtower.store import driver

UNITS = 1_000  # of one transaction: what could be taken back of it is held in memory
_CACHE_KIB = 65_536


class Scratch:
    """url: of an SQLite file that nobody else opens."""

    def __init__(self, url: URL) -> None:
        self._opened = sqlite3.connect(str(url.database), isolation_level=None, check_same_thread=False)
        for pragma in (
            "journal_mode=MEMORY",
            "synchronous=OFF",
            "locking_mode=EXCLUSIVE",
            "temp_store=MEMORY",
            f"cache_size=-{_CACHE_KIB}",
        ):
            self._opened.execute(f"PRAGMA {pragma}")
        self.writing = _engine(url, self._open)
        self._reading = _engine(url, self._open)
        self._writer = _for_good(self.writing)
        self._reader = _for_good(self._reading)
        self._units = 0
        self._opened.execute("BEGIN")

    def _open(self) -> sqlite3.Connection:
        return self._opened

    @contextmanager
    def unit(self) -> Generator[Connection]:
        """All of it, or nothing if the block raises."""
        driver.control(self._writer, "SAVEPOINT unit")
        try:
            yield self._writer
        except BaseException:
            driver.control(self._writer, "ROLLBACK TO unit")
            raise
        finally:
            driver.control(self._writer, "RELEASE unit")
        self._units += 1
        if self._units % UNITS == 0:
            self._opened.execute("COMMIT")
            self._opened.execute("BEGIN")

    @contextmanager
    def read(self) -> Generator[Connection]:
        yield self._reader

    def close(self) -> None:
        self._opened.execute("COMMIT")
        self._opened.close()


def _engine(url: URL, opened: Callable[[], sqlite3.Connection]) -> Engine:
    return create_engine(url, creator=opened, poolclass=StaticPool)


def _for_good(engine: Engine) -> Connection:
    """A connection that is in a transaction as far as SQLAlchemy knows; those there really are begun above."""
    connection = engine.connect()
    connection.begin()
    return connection
