"""The state directory: what one process owns on this machine, and the lock that says so."""

import fcntl
import os
from pathlib import Path
from typing import IO

from watchtower.config.places import SOCKET
from watchtower.errors import UsageError

KEYS = "keys"
SPOOL = "spool"
LOCK = "lock"


class StateDir:
    """Opens path, making it if need be, and holds its lock until `close`. Raises UsageError with a remedy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
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

    def close(self) -> None:
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    file = (path / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise UsageError(
            f"state directory {path} is in use by process {holder}; stop it, or give another one with --state"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
