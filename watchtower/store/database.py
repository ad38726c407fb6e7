"""One database, two engines: SQLite by default, PostgreSQL by URL.

All writing goes through one thread that commits many units of work at once (group commit): a unit is answered only
after the commit that holds it. On SQLite this thread owns the only connection that writes and checkpoints, which
also keeps clear of the WAL-reset corruption of SQLite 3.7.0 to 3.51.2 (sqlite.org/wal.html, "walreset bug").
Reading happens beside it on connections of its own.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url

from watchtower.errors import ConfigError, Fault, StoreDamaged, StoreError, StoreUnavailable
from watchtower.store import driver
from watchtower.store.failures import is_repeatable, shown, translated
from watchtower.store.scratch import Scratch
from watchtower.store.work import (
    AFTER_COMMIT,
    BatchHandler,
    OfOne,
    Result,
    Work,
    answer,
    run_guarded,
    run_together,
    run_units,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Unit = Callable[[Connection], T]

MAX_GROUP = 512  # units of work per commit
# A commit costs as much as storing a dozen events. Where so many are queued at once, others are about to be, and are
# waited for: PostgreSQL's commit_siblings and commit_delay, and once more if as many came. A few alone are committed at
# once.
SIBLINGS = 4
GATHERING_S = 0.002
GATHERINGS = 2
BUSY_TIMEOUT_MS = 5_000
CONNECT_TIMEOUT_S = 10
WAL_AUTOCHECKPOINT_PAGES = 4_000  # 16 MiB of 4 KiB pages
READER_CACHE_KIB = 8_192  # of each reading connection: there are up to 18, and the kernel caches the file, too
DUE_LANES = "due lanes"  # in a writing connection's `info`: where its transaction made something due
RETRIES = 5  # of a whole group after a deadlock or serialization failure (PostgreSQL)


class Database:
    """Opens `url` (`sqlite:///file.db` or `postgresql://…`). Raises StoreError with a remedy when it cannot. scratch:
    of an SQLite store that is thrown away: it writes in the thread that asks for it, and waits for no disk."""

    def __init__(self, url: str, *, scratch: bool = False) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.is_scratch = scratch
        self._scratch = Scratch(self.url) if scratch else None
        self._writer = self._scratch.writing if self._scratch else self._engine(writing=True)
        self._reader = self._engine(writing=False)
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._pause = threading.Event()  # set once it is closed: nothing is waited for then
        self._listeners: list[tuple[Callable[[], None], Callable[[str], bool] | None]] = []
        self._closed = False
        self.damage: str | None = None  # why nothing of it is believed any more
        self._file = file_of(url)
        with translated(self.url):
            self._check()
        self._inode = self._inode_now()
        self._thread = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def shown_url(self) -> str:
        """For messages: without the password."""
        return shown(self.url)

    # -- use ------------------------------------------------------------------------------------------------------

    def submit(self, handler: BatchHandler, payload: Any) -> "Future[Any]":
        """Queue payload for handler; neighbours with the same handler are handled in one call. The future is done
        only after the commit. It must be repeatable: a group that failed is run again, one payload at a time."""
        work = Work(handler, payload)
        if self.damage is not None:
            work.future.set_exception(StoreDamaged(self.damage))
        elif self._closed:
            work.future.set_exception(StoreUnavailable("the store is closed: the server is stopping"))
        elif self._scratch is not None:
            self._commit_group([work])
        else:
            self._queue.put(work)
        return work.future

    def submit_unit(self, unit: "Unit[T]") -> "Future[T]":
        """Queue one unit of work: a function of the connection, repeatable, without side effects elsewhere."""
        return cast("Future[T]", self.submit(run_units, unit))

    def write(self, unit: "Unit[T]", timeout_s: float | None = 60.0) -> T:
        """Run unit in a durable transaction and wait for the commit."""
        return self.submit_unit(unit).result(timeout_s)

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A connection that sees one consistent state and cannot write."""
        if self.damage is not None:
            raise StoreDamaged(self.damage)
        try:
            with translated(self.url), self._scratch.read() if self._scratch else self._reader.connect() as connection:
                yield connection
        except StoreDamaged as error:
            self.condemn(str(error))
            raise

    def on_commit(self, listener: Callable[[], None], *, concerns: Callable[[str], bool] | None = None) -> None:
        """Call listener after each commit, from the writer thread: it must return at once. concerns: only after those
        that made something due in a lane of which it is true (store.due)."""
        self._listeners.append((listener, concerns))

    @property
    def writing(self) -> Engine:
        """The engine of connections that write: what a process remembers of its own commits is kept by it."""
        return self._writer

    def close(self) -> None:
        """Finish what is queued, then close."""
        if self._closed:
            return
        self._closed = True
        self._pause.set()
        self._queue.put(None)
        self._thread.join()
        if self._scratch is not None:
            self._scratch.close()
        else:
            self._writer.dispose()
        self._reader.dispose()

    def clock_apart_s(self, now: Callable[[], datetime]) -> float:
        """How far the clock of a server is from `now`, to within the time that asking takes; 0 for a file."""
        if self.is_sqlite:
            return 0.0
        before = now()
        there = self.server_time()
        return max(0.0, (before - there).total_seconds(), (there - now()).total_seconds())

    def server_time(self) -> datetime:
        """What the clock of a server says; a file has none."""
        with self.read() as connection:
            found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            return found

    # -- damage -------------------------------------------------------------------------------------------------------

    def condemn(self, why: str) -> None:
        """Believe nothing of this store any more: whatever is asked of it from now on raises StoreDamaged. What half of
        a store answers can be wrong, and a wrong answer is worse than none."""
        if self.damage is None:
            self.damage = why
            log.critical("the store is given up until it is restored", extra={"why": why})

    def examine(self) -> str | None:
        """Whether the file is still the one that was opened, and condemn it if not; what is wrong."""
        if self.damage is None and self._inode != self._inode_now():
            self.condemn(
                f"store {self.shown_url}: its file was removed or replaced while it was in use; what is written to it "
                "is lost at the next start. Stop Watchtower and restore a backup"
            )
        return self.damage

    def quick_check(self) -> str | None:
        """Read the structure of a whole SQLite file, and condemn it if it is damaged; what is wrong."""
        if not self.is_sqlite or self.damage is not None:
            return self.damage
        with self.read() as connection:
            said = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check(5)"))]
        if said != ["ok"]:
            self.condemn(
                f"store {self.shown_url} is damaged ({'; '.join(said)}); run `watchtower doctor`, then restore"
            )
        return self.damage

    def _inode_now(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    # -- the writer thread ----------------------------------------------------------------------------------------

    def _write_loop(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            stop = self._gather_all(group)
            self._commit_group(group)
            if stop:
                return

    def _gather_all(self, group: list[Work]) -> bool:
        """Add to group what is queued, and what comes while more keep coming; whether there will be no more."""
        before, stop = 0, self._gather(group)
        for _ in range(GATHERINGS):
            if stop or len(group) - before < SIBLINGS or len(group) == MAX_GROUP:
                break
            before = len(group)
            self._pause.wait(GATHERING_S)
            stop = self._gather(group)
        return stop

    def _gather(self, group: list[Work]) -> bool:
        """Add what is queued to group; whether there will be no more."""
        while len(group) < MAX_GROUP:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return False
            if work is None:
                return True
            group.append(work)
        return False

    def _commit_group(self, group: list[Work]) -> None:
        results: list[Result] = []
        lanes: set[str] = set()
        calls: list[Callable[[], None]] = []
        is_guarded, attempt = False, 1
        while True:
            try:
                transaction = self._scratch.unit() if self._scratch else self._writer.begin()
                with translated(self.url), transaction as connection:
                    lanes = connection.info[DUE_LANES] = set[str]()
                    calls = connection.info[AFTER_COMMIT] = []
                    results = run_guarded(connection, group) if is_guarded else run_together(connection, group)
            except OfOne:
                is_guarded = True
                continue
            except Exception as error:
                if attempt < RETRIES and is_repeatable(error):
                    attempt += 1
                    continue
                if isinstance(error, StoreDamaged):
                    self.condemn(str(error))
                for work in group:
                    work.future.set_exception(error)
                return
            break
        for call in calls:
            call()
        answer(results)
        for listener, concerns in self._listeners:
            if concerns is None or any(map(concerns, lanes)):
                listener()

    # -- engines --------------------------------------------------------------------------------------------------

    def _engine(self, *, writing: bool) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                pool_size=1 if writing else 8,
                max_overflow=0 if writing else 8,
                pool_pre_ping=True,
                connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
                isolation_level="READ COMMITTED" if writing else "REPEATABLE READ",
                execution_options={} if writing else {"postgresql_readonly": True},
            )
        engine = create_engine(
            self.url,
            connect_args={
                "check_same_thread": False,
                "timeout": BUSY_TIMEOUT_MS / 1000,
                "cached_statements": driver.STATEMENTS,
            },
            pool_size=8,
            pool_use_lifo=True,  # a few connections are used again and again, and their caches are warm
        )

        @event.listens_for(engine, "connect")
        def on_connect(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # transactions are begun below, not by the driver
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            if writing:
                _use_wal(cursor)
                cursor.execute("PRAGMA synchronous=FULL")
                cursor.execute(f"PRAGMA wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}")
                cursor.execute("PRAGMA cache_size=-65536")
            else:
                cursor.execute("PRAGMA query_only=ON")
                cursor.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def on_begin(connection: Connection) -> None:
            driver.control(connection, "BEGIN IMMEDIATE" if writing else "BEGIN")

        _ = (on_connect, on_begin)
        return engine

    def _check(self) -> None:
        """Open once, and refuse a server that would confirm commits it has not made durable."""
        if self.is_sqlite:
            file = self.url.database
            if file and file != ":memory:" and not Path(file).parent.is_dir():
                raise StoreError(f"store {file}: the folder {Path(file).parent} does not exist; create it first")
        if self._scratch is not None:
            return
        with self._writer.connect() as connection:
            if self.is_sqlite:
                return
            setting = connection.execute(text("SHOW synchronous_commit")).scalar_one()
            if setting in ("off", "local"):
                raise StoreError(
                    f"PostgreSQL has synchronous_commit={setting}: an acknowledged event could be lost. "
                    "Set it to on for this database (ALTER DATABASE … SET synchronous_commit = on)"
                )


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Changing the journal mode needs the file alone and does not heed busy_timeout (sqlite.org/pragma.html)."""
    for attempt in range(BUSY_TIMEOUT_MS // 100, -1, -1):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not attempt or "locked" not in str(error):
                raise
            threading.Event().wait(0.1)
        else:
            return


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ConfigError([Fault("store", f"{url!r} is not a database URL", "e.g. sqlite:///watchtower.db")]) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError([Fault("store", f"unknown engine {backend!r}", "known: sqlite, postgresql")])
    return parsed


def file_of(url: str) -> Path | None:
    """The file of an SQLite store; None of one that is on a server or in memory."""
    parsed = _parse(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if is_file else None
