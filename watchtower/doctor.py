"""What is wrong with this installation, and what to do about it: `watchtower doctor`.

Each check looks at one thing and answers in one sentence. Reading only: a damaged store is never written to.
"""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from watchtower.app.backups import MANIFEST, PREFIX
from watchtower.app.state import KEYS, SPOOL
from watchtower.clock import SystemClock
from watchtower.config.model import Config
from watchtower.config.names import unheard
from watchtower.errors import StoreError
from watchtower.model.alert import ObligationState
from watchtower.spool import DAMAGED, read_segment, segment_paths
from watchtower.store import shown
from watchtower.store.database import Database
from watchtower.store.keys import KEY_NAMES
from watchtower.store.reading.heard import heard
from watchtower.store.schema.alerting import obligations
from watchtower.store.schema.observed import facts, quarantine

OVERDUE = timedelta(minutes=5)
MOST_SKEW = timedelta(seconds=5)
CLOCK_TOLERANCE = timedelta(minutes=5)
MIN_FREE_BYTES = 512 * 1024 * 1024
MIN_FREE_SHARE = 0.05
# sqlite.org/wal.html: the WAL-reset bug, which needs two connections that write or checkpoint.
WAL_RESET_BUG = ((3, 7, 0), (3, 51, 2))


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """check: what was looked at; text: what was seen; remedy: empty where nothing needs doing."""

    check: str
    status: Status
    text: str
    remedy: str = ""


def environment(state_dir: Path) -> Iterator[Finding]:
    """Interpreter, library versions, the state directory and its disk."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    supported = sys.version_info >= (3, 11)
    yield Finding(
        "python",
        Status.OK if supported else Status.FAIL,
        f"Python {version}",
        "" if supported else "install Python 3.11 or newer",
    )
    yield _sqlite_version()
    yield from _state_dir(state_dir)


def _sqlite_version() -> Finding:
    low, high = WAL_RESET_BUG
    if low <= sqlite3.sqlite_version_info <= high:
        note = "in the range of the WAL-reset bug; safe here, since exactly one connection writes and checkpoints"
        return Finding("sqlite", Status.OK, f"SQLite {sqlite3.sqlite_version}: {note}")
    return Finding("sqlite", Status.OK, f"SQLite {sqlite3.sqlite_version}")


def _state_dir(state_dir: Path) -> Iterator[Finding]:
    if not state_dir.is_dir():
        yield Finding("state", Status.FAIL, f"{state_dir} does not exist", "start `watchtower serve` once, or --state")
        return
    if state_dir.stat().st_mode & 0o077:
        yield Finding("state", Status.WARN, f"{state_dir} can be entered by others", f"chmod 700 {state_dir}")
    yield from _keys(state_dir / KEYS)
    yield from _spool(state_dir / SPOOL)
    usage = shutil.disk_usage(state_dir)
    low = usage.free < max(MIN_FREE_BYTES, int(usage.total * MIN_FREE_SHARE))
    yield Finding(
        "disk",
        Status.WARN if low else Status.OK,
        f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.1f} GiB under {state_dir}",
        "free some space, or shorten `retention`; what no disk can take is refused (503) and sent again" if low else "",
    )


def _keys(folder: Path) -> Iterator[Finding]:
    """Missing ones are made anew at the next start, which the store they belonged to then refuses."""
    if not folder.exists():
        return
    paths = [folder / name for name in KEY_NAMES]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        remedy = "restore them from where they are kept apart; without them every token and session is refused"
        yield Finding("keys", Status.FAIL, f"{', '.join(missing)} missing in {folder}", remedy)
    if any(path.stat().st_mode & 0o077 for path in (folder, *paths) if path.exists()):
        yield Finding("keys", Status.FAIL, f"{folder} can be read by others", f"chmod -R go-rwx {folder}")


def _spool(folder: Path) -> Iterator[Finding]:
    damaged = sorted(path.name for path in folder.glob(f"*{DAMAGED}"))
    if damaged:
        remedy = "what could be read of them is stored; remove them once nobody wants to look at the rest"
        yield Finding("spool", Status.WARN, f"{len(damaged)} damaged segments were kept in {folder}", remedy)
    waiting = [read_segment(path) for path in segment_paths(folder)]
    if any(segment.damaged for segment in waiting):
        names = ", ".join(segment.path.name for segment in waiting if segment.damaged)
        remedy = "start the server: what can be read is stored, and the rest is kept as *.damaged"
        yield Finding("spool", Status.WARN, f"damaged segments wait in {folder}: {names}", remedy)
    events = sum(len(segment.records) for segment in waiting)
    if events:
        remedy = "they are stored once the server runs and its store keeps up; `watchtower ingest --spool` otherwise"
        yield Finding("spool", Status.WARN, f"{events} requests wait in {folder} for the store", remedy)


def configuration(config: Config) -> Iterator[Finding]:
    """Whether anybody would notice that Watchtower itself does not work, and what would be lost."""
    if config.heartbeat is None and not config.emergency:
        remedy = "name a service in `heartbeat`, or somebody in `emergency` (docs/operations.md)"
        yield Finding("watched", Status.WARN, "nobody would be told if Watchtower itself stopped", remedy)
    if config.backup is not None:
        yield from _backup(config.base_dir / config.backup.to, timedelta(seconds=config.backup.every))


def _backup(folder: Path, every: timedelta) -> Iterator[Finding]:
    made = [path / MANIFEST for path in folder.glob(f"{PREFIX}*") if (path / MANIFEST).is_file()]
    remedy = "`watchtower backup` says why; `watchtower_backup_last_timestamp_seconds` shows it to Prometheus"
    if not made:
        yield Finding("backup", Status.WARN, f"there is no backup in {folder} yet", remedy)
        return
    newest = max(path.stat().st_mtime for path in made)
    late = SystemClock().now().timestamp() - newest > 2 * every.total_seconds()
    text = f"{len(made)} in {folder}, the newest of {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M} UTC"
    yield Finding("backup", Status.WARN if late else Status.OK, text, remedy if late else "")


def store(database: Database, now: datetime, *, deep: bool = False) -> Iterator[Finding]:
    """Integrity of the store, and the work that waits in it. deep: check every page and index."""
    for check in (
        lambda: _integrity(database, deep=deep),
        lambda: _contents(database, now),
        lambda: _overdue(database, now),
    ):
        yield from _guarded(check)


def names(config: Config, database: Database) -> Iterator[Finding]:
    """Names in the configuration of which nothing was ever heard."""
    with database.read() as connection:
        known = heard(connection)
    for doubt in unheard(config, known):
        remedy = doubt.remedy or "mend the name, or wait until it runs for the first time"
        yield Finding("names", Status.WARN, f"{doubt.where}: {doubt.text}", remedy)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except StoreError as error:
        yield Finding("store", Status.FAIL, str(error), "restore the last backup, or mend what the message names")


def _integrity(database: Database, *, deep: bool) -> Iterator[Finding]:
    with database.read() as connection:
        if not database.is_sqlite:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            durable = connection.execute(text("SHOW synchronous_commit")).scalar_one()
            yield Finding("store", Status.OK, f"PostgreSQL {version} answers, synchronous_commit={durable}")
            yield from _clocks(connection)
            return
        pragma = "integrity_check" if deep else "quick_check"
        lines = [str(row[0]) for row in connection.execute(text(f"PRAGMA {pragma}(20)"))]
    if lines == ["ok"]:
        yield Finding("store", Status.OK, f"{pragma}: ok")
    else:
        damage = "; ".join(lines)
        yield Finding("store", Status.FAIL, f"{pragma}: {damage}", "stop the server and restore the last backup")


def _clocks(connection: Connection) -> Iterator[Finding]:
    """Replicas keep to the store's clock, so this harms none of them; but it is read beside other machines' logs."""
    there = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    apart = abs(there - SystemClock().now())
    if apart > MOST_SKEW:
        what = f"this machine's clock and that of PostgreSQL are {apart.total_seconds():.0f} s apart"
        yield Finding(
            "clock", Status.WARN, f"{what}; PostgreSQL's is kept to", "synchronise both (`timedatectl` shows it)"
        )


def _contents(database: Database, now: datetime) -> Iterator[Finding]:
    with database.read() as connection:
        newest = connection.execute(select(func.max(facts.c.received_at)).where(shown.FACTS)).scalar()
        waiting = connection.execute(select(func.count()).select_from(quarantine)).scalar_one()
    if newest is not None and newest > now + CLOCK_TOLERANCE:
        text = (
            f"the clock of this machine says {now:%Y-%m-%d %H:%M}, but an event was received at {newest:%Y-%m-%d %H:%M}"
        )
        yield Finding("clock", Status.FAIL, text, "set it right (`timedatectl` shows it), then restart the server")
    yield Finding(
        "events",
        Status.OK if newest else Status.WARN,
        f"newest event received {newest:%Y-%m-%d %H:%M:%S} UTC" if newest else "no event was ever received",
        "" if newest else "point an orchestrator here: `watchtower serve` prints the lines to paste",
    )
    if waiting:
        yield Finding(
            "quarantine",
            Status.WARN,
            f"{waiting} bodies could not be understood and are kept",
            "`watchtower ingest --quarantine` tries them again",
        )


def _overdue(database: Database, now: datetime) -> Iterator[Finding]:
    open_states = [ObligationState.DUE.value, ObligationState.SENDING.value]
    count = select(func.count()).select_from(obligations).where(shown.OBLIGATIONS)
    with database.read() as connection:
        dead = connection.execute(count.where(obligations.c.state == ObligationState.DEAD_LETTER.value)).scalar_one()
        late = connection.execute(
            count.where(obligations.c.state.in_(open_states), obligations.c.updated_at < now - OVERDUE)
        ).scalar_one()
    if dead:
        remedy = "`watchtower deliveries --is dead_letter` says why; `watchtower deliveries replay ID` tries again"
        yield Finding("dead letters", Status.WARN, f"{dead} obligations could not be delivered", remedy)
    yield Finding(
        "deliveries",
        Status.WARN if late else Status.OK,
        f"{late} obligations have waited for more than 5 minutes" if late else "no obligation is overdue",
        "`watchtower deliveries --is due` shows what they wait for" if late else "",
    )
