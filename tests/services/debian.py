"""Debian's packages for the tests that need a real service: installed when they are missing, as root."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

STARTS_S = 120.0  # on a machine that is busy with other things; one that has ended is noticed at once
_LOOKS_EVERY_S = 0.1


class Unavailable(RuntimeError):
    """A service is not here and could not be fetched; the message has the line to type."""


def ensure(what: str, packages: Sequence[str], is_there: Callable[[], bool]) -> None:
    """Install packages unless is_there. Raises Unavailable. Nothing of them is started: policy belongs to the test."""
    if is_there():
        return
    line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Unavailable(f"{what} is not installed; on Debian, as root: {line}")
    with (Path(tempfile.gettempdir()) / "watchtower-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt refuses a second of its kind
        if is_there():
            return
        print(f"installing {', '.join(packages)} (about a minute) …", file=sys.stderr)
        for command in ("apt-get update -q", line):
            _run(command)
    if not is_there():
        raise Unavailable(f"{what} is not in {', '.join(packages)}")


def program(name: str, package: str) -> str:
    """Where it is, installed if it is not there. Raises Unavailable with the line to type."""
    ensure(name, [package], lambda: shutil.which(name) is not None)
    found = shutil.which(name)
    assert found is not None
    return found


@contextmanager
def running(command: Sequence[str], ready_at: str) -> Generator[None]:
    """A process of its own, once ready_at answers; ended behind the block. Raises Unavailable."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    try:
        _wait_until_ready(process, Path(command[0]).name, ready_at)
        yield
    finally:
        process.terminate()
        process.wait(STARTS_S)


def _wait_until_ready(process: "subprocess.Popen[bytes]", name: str, url: str) -> None:
    pause = threading.Event()
    for _ in range(round(STARTS_S / _LOOKS_EVERY_S)):
        if process.poll() is not None:
            raise Unavailable(f"{name} ended with status {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            pause.wait(_LOOKS_EVERY_S)
    raise Unavailable(f"{name} was not ready after {STARTS_S:g} s")


def _run(command: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command.split(), env=quiet, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"`{command}` failed ({done.returncode}): {done.stderr.strip()[-500:]}")
