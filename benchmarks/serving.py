"""A Watchtower in a process of its own, as `watchtower serve` runs it; the benchmarks talk to it over HTTP.

`python -m benchmarks.serving STATE [--config FILE] [--patience S] [--store-nothing]` prints one line of JSON (url,
token) when it serves. --patience: how long a request waits for the store before it goes to the spool. With
--store-nothing a decoded request is answered at once: the floor under everything that is not the store.
"""

import argparse
import json
import logging
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import Unavailable
from benchmarks.machine import ROOT, end, on_core, python
from watchtower import allocator
from watchtower.app import Instance, Options
from watchtower.clock import SystemClock
from watchtower.config import Config, load
from watchtower.garbage import settled
from watchtower.model.access import Scope
from watchtower.model.fact import Fact
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.span_batches import BatchRow
from watchtower.telemetry import logs


@dataclass(frozen=True, slots=True)
class Serving:
    """A server under test. pid: of the process whose CPU and memory count."""

    pid: int
    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}


@contextmanager
def watchtower(
    state: Path, core: int, *, config: str = "", store: bool = True, patience_s: float | None = None
) -> Generator[Serving]:
    """A Watchtower pinned to core, its store in state. config: YAML. store False: it stores nothing. patience_s: None
    is what it has as shipped."""
    state.mkdir(parents=True, exist_ok=True)
    arguments = [str(state)]
    if config:
        file = state / "watchtower.yaml"
        file.write_text(config)
        arguments += ["--config", str(file)]
    if patience_s is not None:
        arguments += ["--patience", str(patience_s)]
    if not store:
        arguments.append("--store-nothing")
    command = on_core(core, python("benchmarks.serving", *arguments))
    with (state / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT)
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line:
                raise Unavailable(f"the server did not start: {(state / 'log').read_text()[-1000:]}")
            yield Serving(child.pid, **json.loads(line))
        finally:
            end(child)


def metric(server: Serving, name: str) -> float:
    """What a server's own metrics say under name (with its labels); 0 for what is not there."""
    request = urllib.request.Request(f"{server.url}/metrics", headers=server.headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.removeprefix(f"{name} ")) for line in lines if line.startswith(f"{name} ")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--patience", type=float)
    parser.add_argument("--store-nothing", action="store_true")
    given = parser.parse_args()
    allocator.share_heaps()
    logs.configure(level=logging.WARNING)
    config = load(given.config) if given.config else Config()
    instance = Instance(config, Options(given.state, listen=("127.0.0.1", 0)), SystemClock())
    if given.patience is not None:
        instance.services.settings = replace(instance.services.settings, patience_s=given.patience)
    if given.store_nothing:
        instance.services.append = _nothing
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    instance.start()
    token = instance.first_access.new_token("bench", [Scope.INGEST, Scope.READ])
    print(json.dumps({"url": instance.url, "token": token}), flush=True)
    with settled():
        stopped.wait()
    instance.stop()


def _nothing(
    facts: Sequence[Fact], quarantined: Sequence[Quarantined] = (), _batches: Sequence[BatchRow] = (), /
) -> "Future[Appended]":
    done: Future[Appended] = Future()
    done.set_result(Appended(len(facts), len(quarantined)))
    return done


if __name__ == "__main__":
    main()
