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
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from watchtower.errors import ConfigError, Fault, StoreDamaged, StoreError, StoreUnavailable
from watchtower.store import driver
from watchtower.store.answers import Answer
from watchtower.store.scratch import Scratch

log = logging.getLogger(__name__)

T = TypeVar("T")
Unit = Callable[[Connection], T]
# Works on many payloads at once and answers one result each, in order.
BatchHandler = Callable[[Connection, Sequence[Any]], Sequence[Any]]

MAX_GROUP = 512  # units of work per commit
# A commit costs as much as storing a dozen events. Where so many are queued at once, others are about to be, and are
# waited for: PostgreSQL's commit_siblings and commit_delay. A few alone are committed at once.
SIBLINGS = 4
GATHERING_S = 0.002
BUSY_TIMEOUT_MS = 5_000
CONNECT_TIMEOUT_S = 10
WAL_AUTOCHECKPOINT_PAGES = 4_000  # 16 MiB of 4 KiB pages
READER_CACHE_KIB = 8_192  # of each reading connection: there are up to 18, and the kernel caches the file, too
AFTER_COMMIT = "after commit"  # in a writing connection's `info`: what to call once its transaction is committed
DUE_LANES = "due lanes"  # in a writing connection's `info`: where its transaction made something due
RETRIES = 5  # of a whole group after a deadlock or serialization failure (PostgreSQL)


class _Work:
    __slots__ = ("future", "handler", "payload")

    def __init__(self, handler: BatchHandler, payload: Any) -> None:
        self.handler = handler
        self.payload = payload
        self.future: Answer[Any] = Answer()


_Result = tuple[_Work, Any, BaseException | None]


def _run_units(connection: Connection, units: Sequence[Any]) -> Sequence[Any]:
    return [unit(connection) for unit in units]


class Database:
    """Opens `url` (`sqlite:///file.db` or `postgresql://…`). Raises StoreError with a remedy when it cannot. scratch:
    of an SQLite store that is thrown away: it writes in the thread that asks for it, and waits for no disk."""

    def __init__(self, url: str, *, scratch: bool = False) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._scratch = Scratch(self.url) if scratch else None
        self._writer = self._scratch.writing if self._scratch else self._engine(writing=True)
        self._reader = self._engine(writing=False)
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
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
        return _shown(self.url)

    # -- use ------------------------------------------------------------------------------------------------------

    def submit(self, handler: BatchHandler, payload: Any) -> "Future[Any]":
        """Queue payload for handler; neighbours with the same handler are handled in one call. The future is done
        only after the commit. It must be repeatable: a group that failed is run again, one payload at a time."""
        work = _Work(handler, payload)
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
        return cast("Future[T]", self.submit(_run_units, unit))

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
            group: list[_Work] = []
            stop = first is None
            if first is not None:
                group.append(first)
                stop = self._gather(group)
                if not stop and len(group) >= SIBLINGS:
                    self._pause.wait(GATHERING_S)
                    stop = self._gather(group)
            if group:
                self._commit_group(group)
            if stop:
                return

    def _gather(self, group: list[_Work]) -> bool:
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

    def _commit_group(self, group: list[_Work]) -> None:
        results: list[_Result] = []
        lanes: set[str] = set()
        calls: list[Callable[[], None]] = []
        is_guarded, attempt = False, 1
        while True:
            try:
                transaction = self._scratch.unit() if self._scratch else self._writer.begin()
                with translated(self.url), transaction as connection:
                    lanes = connection.info[DUE_LANES] = set[str]()
                    calls = connection.info[AFTER_COMMIT] = []
                    results = _run_guarded(connection, group) if is_guarded else _run_together(connection, group)
            except _OfOne:
                is_guarded = True
                continue
            except Exception as error:
                if attempt < RETRIES and _is_repeatable(error):
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
        _answer(results)
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


def _adjacent(group: Sequence[_Work]) -> list[list[_Work]]:
    batches: list[list[_Work]] = []
    for work in group:
        if batches and batches[-1][0].handler is work.handler and work.handler is not _run_units:
            batches[-1].append(work)
        else:
            batches.append([work])
    return batches


def _answer(results: Sequence[_Result]) -> None:
    for work, value, error in results:
        if error is not None:
            work.future.set_exception(error)
        else:
            work.future.set_result(value)


def _run_together(connection: Connection, group: Sequence[_Work]) -> list[_Result]:
    """Without savepoints, since nearly always nothing fails: SQLite keeps a copy of each page that is touched behind
    one, and writes it to a file of its own from 64 KiB on. Raises _OfOne if one failed, which must cost no other."""
    try:
        return [result for batch in _adjacent(group) for result in _handled(connection, batch)]
    except Exception as error:
        if len(group) == 1 or (isinstance(error, DBAPIError) and _ends_transaction(error)):
            raise
        raise _OfOne from error


class _OfOne(Exception):
    """A piece of work failed among others, for a reason of its own."""


def _handled(connection: Connection, batch: Sequence[_Work]) -> list[_Result]:
    values = batch[0].handler(connection, [work.payload for work in batch])
    return [(work, value, None) for work, value in zip(batch, values, strict=True)]


def _run_guarded(connection: Connection, group: Sequence[_Work]) -> list[_Result]:
    """After a failure: each batch by itself, so that it costs the others nothing."""
    return [result for batch in _adjacent(group) for result in _run_batch(connection, batch)]


def _run_batch(connection: Connection, batch: Sequence[_Work]) -> list[_Result]:
    """Run a batch inside a savepoint; if it fails, each of its payloads alone, so that one cannot cost the others."""
    try:
        with _savepoint(connection, "one_batch"):
            return _handled(connection, batch)
    except _Undone as undone:
        failure = undone.why
    if len(batch) == 1:
        return [(batch[0], None, failure)]
    return [result for work in batch for result in _run_batch(connection, [work])]


def ventured(connection: Connection, work: Callable[[], T]) -> T | None:
    """What work makes, or None if it fails: then nothing of it is written, and the transaction goes on."""
    try:
        with _savepoint(connection, "ventured"):
            return work()
    except _Undone as undone:
        log.error("left for later, since it failed", exc_info=undone.why)
        return None


class _Undone(Exception):
    """What was done since a savepoint is taken back."""

    def __init__(self, why: Exception) -> None:
        super().__init__(why)
        self.why = why


@contextmanager
def _savepoint(connection: Connection, name: str) -> Generator[None]:
    """Raises _Undone if the block fails; an error that ends the whole transaction is raised as it is."""
    calls: list[Callable[[], None]] = connection.info.setdefault(AFTER_COMMIT, [])
    before = len(calls)
    try:
        driver.control(connection, f"SAVEPOINT {name}")
        yield
        driver.control(connection, f"RELEASE SAVEPOINT {name}")
    except DBAPIError as error:
        if _ends_transaction(error):
            raise
        failure: Exception = error
    except Exception as error:
        failure = error
    else:
        return
    driver.control(connection, f"ROLLBACK TO SAVEPOINT {name}")
    driver.control(connection, f"RELEASE SAVEPOINT {name}")
    del calls[before:]
    raise _Undone(failure)


def after_commit(connection: Connection, call: Callable[[], None]) -> None:
    """Call once the transaction of this unit of work is committed, and not at all if it is not. From the writer thread,
    before anybody is answered: it must return at once and never raise."""
    calls: list[Callable[[], None]] = connection.info.setdefault(AFTER_COMMIT, [])
    calls.append(call)


def _ends_transaction(error: DBAPIError) -> bool:
    """The engine cannot go on with this transaction: locked, full, I/O error, connection gone, deadlock."""
    return isinstance(error, OperationalError) or error.connection_invalidated


_REPEATABLE_SQLSTATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected


def _is_repeatable(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if getattr(getattr(seen, "orig", None), "sqlstate", None) in _REPEATABLE_SQLSTATES:
            return True
        seen = seen.__cause__
    return False


@contextmanager
def translated(url: URL) -> Generator[None]:
    """Turn the engine's errors into ours, each with a remedy."""
    try:
        yield
    except OperationalError as error:
        raise _translate(url, error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable(f"store {_shown(url)}: the connection was lost: {error.orig}") from error
        if isinstance(error, DatabaseError) and _is_damage(str(error.orig)):
            raise _translate(url, error) from error
        raise


def _is_damage(why: str) -> bool:
    return "not a database" in why or "malformed" in why


def _translate(url: URL, error: DatabaseError) -> StoreError:
    where, why = _shown(url), " ".join(str(error.orig).split())
    if "readonly" in why or "read-only" in why:
        return StoreError(f"store {where} is read-only; give this user write permission on the file and its folder")
    if "unable to open" in why:
        return StoreError(f"store {where} cannot be opened; check that the folder exists and this user may write there")
    if _is_damage(why):
        return StoreDamaged(
            f"store {where} is damaged or not a database ({why}); run `watchtower doctor`, then restore"
        )
    if "locked" in why or "busy" in why:
        return StoreUnavailable(f"store {where} is locked by another process; stop it, or wait until it lets go")
    if "full" in why:
        return StoreUnavailable(f"store {where}: no space left on the device; free some, nothing was lost")
    return StoreUnavailable(f"store {where} does not answer: {why}")


def _shown(url: URL) -> str:
    """As it was written in the configuration, without the password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
