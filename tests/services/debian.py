"""Debian's packages for the tests that need a real service: installed when they are missing, as root."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path


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


def _run(command: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command.split(), env=quiet, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"`{command}` failed ({done.returncode}): {done.stderr.strip()[-500:]}")
