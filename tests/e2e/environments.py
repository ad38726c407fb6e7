"""Environments of their own for what the end-to-end tests speak to: made once, kept below `.cache`.

Orchestrators pin half of the packages Watchtower uses, so each lives apart.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"
T = TypeVar("T")


class ServiceError(Exception):
    """An orchestrator did not do what was asked. The message ends with the tail of its log."""


def ensure(name: str) -> Path:
    """The environment with what `<name>-requirements.txt` asks for, made if it is not there or that changed.

    It lies below $WATCHTOWER_CACHE, which is `.cache` of the repository if unset. Concurrent calls wait for each other.
    """
    requirements = HERE / f"{name}-requirements.txt"
    cache = Path(os.environ.get("WATCHTOWER_CACHE") or CACHE) / name
    cache.mkdir(parents=True, exist_ok=True)
    venv, wanted = cache / "venv", hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = venv / "requirements.sha256"
    with _locked(cache / "lock"):
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(venv, ignore_errors=True)
            _install(venv, requirements)
            stamp.write_text(wanted)
    return venv


class Service:
    """Processes of one orchestrator, each with its log in folder; `end` leaves none of them behind.

    Nothing of the caller's environment reaches them but PATH and the locale, and what environment says.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        passed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        self.environment = {**passed, "HOME": str(folder), "TZ": "UTC", "NO_PROXY": "*", **environment}
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """A process that leads a session of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def run(self, command: Sequence[str], timeout_s: float = 120.0) -> str:
        """What a command printed, whatever it ended with."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return done.stdout

    def kill(self, name: str) -> None:
        """kill -9 for the whole session: it tells nobody."""
        process = self._processes.pop(name)
        while members := _session(process.pid):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def wait_for(self, what: str, probe: Callable[[], T | None], *, timeout_s: float, every_s: float = 0.3) -> T:
        """The first answer of probe that is not None; ServiceError when it takes too long or a process has ended."""
        deadline = time.monotonic() + timeout_s
        while True:
            if (found := probe()) is not None:
                return found
            if time.monotonic() > deadline:
                raise ServiceError(f"waited {timeout_s:g} s in vain for {what}\n{self.log_tails()}")
            time.sleep(every_s)

    def log_tails(self, lines: int = 25) -> str:
        return "\n".join(
            f"--- {path.stem}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            for path in sorted(self.folder.glob("*.log"))
        )


def _session(leader: int) -> set[int]:
    """The processes of the session that leader opened, without zombies."""
    listing = subprocess.run(["ps", "-axo", "pid=,sess=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {int(row[0]) for row in rows if row[1] == str(leader) and not row[2].startswith("Z")}


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(venv: Path, requirements: Path) -> None:
    # Both read which index to ask from the user's own configuration; nothing of it is repeated here.
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else ["uv"] if shutil.which("uv") else None
    python = str(venv / "bin" / "python")
    if uv:
        _run([*uv, "venv", "--python", sys.executable, str(venv)])
        _run([*uv, "pip", "install", "--compile-bytecode", "--python", python, "-r", str(requirements)])
    else:
        _run([sys.executable, "-m", "venv", str(venv)])
        _run([python, "-m", "pip", "install", "--quiet", "-r", str(requirements)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise ServiceError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}")
