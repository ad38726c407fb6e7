"""The state directory and the store's file: what one process owns on this machine, and the locks that say so."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from watchtower.config.places import SOCKET
from watchtower.durable import make_folder
from watchtower.errors import UsageError

KEYS = "keys"
SPOOL = "spool"
LOCK = "lock"
ATTEMPTS = "attempts"  # what is under way, so that the next life knows of what this one died
STORE = "store"  # names the store that was served last


class StateDir:
    """Opens path, making it if need be, and holds its lock until `close`. Raises UsageError with a remedy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            make_folder(path)
            self._lock = _lock(path)
        except OSError as error:
            raise UsageError(
                f"state directory {path} cannot be used ({error.strerror}); give another one with --state"
            ) from error

    @property
    def keys(self) -> Path:
        return self.path / KEYS

    @property
    def spool(self) -> Path:
        return self.path / SPOOL

    @property
    def socket(self) -> Path:
        """Where commands of this user reach the running server."""
        return self.path / SOCKET

    def knows_store(self, shown_url: str) -> bool:
        """Whether this state has had the store at that address before."""
        try:
            return (self.path / STORE).read_text().strip() == shown_url
        except OSError:
            return False

    def remember_store(self, shown_url: str) -> None:
        """So that a store that is gone is not taken for one that never was."""
        if not self.knows_store(shown_url):
            with suppress(OSError):
                (self.path / STORE).write_text(f"{shown_url}\n")

    def close(self) -> None:
        self._lock.close()


class StoreFile:
    """Holds the lock of an SQLite store until `close`: one process writes it, also where two state directories name the
    same file. file: None for a store on a server, which needs none. Raises UsageError with a remedy."""

    def __init__(self, file: Path | None) -> None:
        self._lock = None
        if file is None or not file.parent.is_dir():
            return  # a folder that is not there is told of by whoever opens the store
        beside = file.with_name(f"{file.name}.lock")
        with suppress(OSError):  # where nothing may be written, whoever opens the store says so better
            self._lock = _locked(beside, f"store {file}", "stop it, or name another store in the configuration")

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()


def _lock(path: Path) -> IO[str]:
    return _locked(path / LOCK, f"state directory {path}", "stop it, or give another one with --state")


def _locked(lock: Path, what: str, remedy: str) -> IO[str]:
    file = lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UsageError(f"{what} is in use by process {holder}; {remedy}") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
