"""`watchtower serve` in a process of its own, ended by its process id."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from tests.app.house import event, until
from watchtower.clock import SystemClock

STARTS_S = 120.0  # on a machine that is busy with other things; one that has ended is noticed at once
HTTP = urllib3.PoolManager(retries=False, timeout=20.0)


class Served:
    """log: its JSON lines on standard error, as far as they have come."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.state = folder / "state"
        self._log = folder / "log"
        command = [sys.executable, "-m", "watchtower", "serve", "--state", str(self.state), *options]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder)
        self.welcome: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = until(self._announced, "it listens", STARTS_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.welcome.append(line)

    def _announced(self) -> str | None:
        assert self.process.poll() is None, self._log.read_text()
        found = re.search(r"listens on (\S+)", "".join(self.welcome))
        return found and found[1]

    @property
    def token(self) -> str:
        """An ingest token that was printed at the first start."""
        return until(lambda: re.search(r"wt_ingest_\w+", "".join(self.welcome)), "a token is printed")[0]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def says(self, message: str) -> dict[str, Any]:
        """The newest line of the log with message in it, once it has come."""
        return until(lambda: [line for line in self.log if message in line["message"]], f"the log says {message!r}")[-1]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(20)

    def post(self, token: str, *events: dict[str, Any]) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps(events).encode()
        answer = HTTP.request("POST", f"{self.url}/api/v1/lineage/batch", body=body, headers=headers)
        return answer.status, answer.json()


@contextmanager
def served(folder: Path, *options: str) -> Generator[Served]:
    running = Served(folder, *options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(20)


def story(pipeline: str, run: str, *kinds: str) -> list[dict[str, Any]]:
    """Events of one run, of this moment."""
    return [event(SystemClock().now(), kind, pipeline, run) for kind in kinds]
