"""A whole Watchtower in a process of its own, forked so that it costs a tenth of a start, and killed at a point."""

import gc
import json
import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from tests.app.house import event
from tests.crash.points import Passed, Point, Trap
from watchtower.app import Instance, Options, instance
from watchtower.clock import ManualClock, SteadyClock, SystemClock
from watchtower.config import load
from watchtower.ports import Clock
from watchtower.registry import Registries

STATE = "state"
_HTTP = urllib3.PoolManager(retries=False, timeout=20.0)


class Died(Exception):
    """The process ended before it answered."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong in the other process."""

    trace: str


class Life:
    """From fork to `end`, or to its death. at: where its hand-moved clock stands, None for the system's clock and live
    threads. point: where it dies, at its start if at_start, else from the first `post` or `step` on. held: it waits for
    `go` before it opens anything. stops: at its point it is suspended, until somebody sends SIGCONT. ahead_s: its
    machine's clock is so far ahead, and it reads it as `watchtower serve` does.

    Access control is off, so that nothing but the story is written."""

    def __init__(
        self,
        folder: Path,
        *,
        at: datetime | None = None,
        point: Point | None = None,
        at_start: bool = False,
        held: bool = False,
        stops: bool = False,
        ahead_s: float | None = None,
    ) -> None:
        self._pipe, child_end = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._pipe.close()
            if held:
                child_end.recv()
            clock = _clock(at, ahead_s)
            _live(folder, child_end, clock, point, at_start=at_start, stops=stops)
        child_end.close()
        self.status: int | None = None
        self.seen: Passed = Counter()
        self.unnamed: set[str] = set()
        self.url = ""

    def started(self) -> Self:
        """Once it serves. Raises Died."""
        self.url = self._hear()
        return self

    def go(self) -> None:
        self._pipe.send("go")

    def step(self, at: datetime) -> bool:
        """Let it do what is due at that moment; whether it has planned anything for later."""
        return bool(self._ask(["step", at.isoformat()]))

    def post(self, *events: dict[str, Any]) -> int | None:
        """The status of the answer; None: there was none, or half of one. The sender does not know then."""
        self._ask(["arm"])
        try:
            answer = _HTTP.request(
                "POST",
                f"{self.url}/api/v1/lineage/batch",
                body=json.dumps(events).encode(),
                headers={"Content-Type": "application/json"},
            )
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        return answer.status

    def arm(self, point: Point | None) -> None:
        """Set the trap anew: from now on it dies at point."""
        self._ask(["set", point])

    def end(self) -> int:
        """Let it stop in order, or find it dead; its exit status."""
        try:
            said = self._ask(["end"])
            self.seen = Counter({(where, when): count for where, when, count in said["seen"]})
            self.unnamed = set(said["unnamed"])
        except Died:
            pass
        return self._wait()

    def is_dead(self) -> bool:
        """Whether it has ended by now, which also leaves no zombie of it."""
        if self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
                self._pipe.close()
        return self.status is not None

    def kill(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()

    def _wait(self) -> int:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._pipe.close()
        return self.status

    def _ask(self, what: list[Any]) -> Any:
        try:
            self._pipe.send(what)
        except OSError as error:
            raise Died from error
        return self._hear()

    def _hear(self) -> Any:
        try:
            assert self._pipe.poll(60), f"process {self.pid} does not answer"
            said: Any = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Died from error
        if isinstance(said, Fault):
            raise AssertionError(said.trace)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def warm(folder: Path) -> None:
    """Import what an instance imports, once, in the process that forks."""
    folder.mkdir()
    (folder / "watchtower.yaml").write_text("rules: []\n")
    options = Options(folder / STATE, ("127.0.0.1", 0), access=False, otlp=False, live=False)
    made = Instance(load(folder / "watchtower.yaml"), options, SystemClock())
    made.start()
    made.stop()
    registries = Registries()
    for plugins in (registries.collectors, registries.rule_kinds, registries.channels):
        for name in plugins:
            plugins.get(name)
    gc.collect()
    gc.freeze()  # so that a child copies fewer pages


def _clock(at: datetime | None, ahead_s: float | None) -> Clock:
    if at is not None:
        return ManualClock(at)
    return SystemClock() if ahead_s is None else SteadyClock(lambda: time.time() + ahead_s)


def _live(folder: Path, pipe: Connection, clock: Clock, point: Point | None, *, at_start: bool, stops: bool) -> None:
    """Never returns."""
    status = 1
    try:
        gc.disable()
        logging.disable(logging.CRITICAL)
        _serve(folder, pipe, clock, point, at_start=at_start, stops=stops)
        status = 0
    except BaseException:
        pipe.send(Fault(traceback.format_exc()))
    finally:
        os._exit(status)


def _serve(folder: Path, pipe: Connection, clock: Clock, point: Point | None, *, at_start: bool, stops: bool) -> None:
    instance.check_names = lambda: None  # reads every installed distribution: half of a start, and no part of this
    live = not isinstance(clock, ManualClock)
    file = folder / "watchtower.yaml"
    options = Options(folder / STATE, ("127.0.0.1", 0), access=False, otlp=False, live=live)
    trap = Trap(lambda: os.kill(os.getpid(), signal.SIGSTOP)) if stops else Trap()
    if at_start:
        trap.set(point)
    made = Instance(load(file), options, clock, load=lambda: load(file))
    made.start()
    if not live and made.database.is_sqlite:
        made.alerting.free_leases(clock.now())  # as `go_live` does
    pipe.send(made.url)
    armed = at_start
    while True:
        what, *rest = pipe.recv()
        if what in ("arm", "step") and not armed:
            armed = True
            trap.set(point)
        if what == "set":
            trap.set(rest[0])
        if what == "step" and isinstance(clock, ManualClock):
            clock.set(datetime.fromisoformat(rest[0]))
            while made.step():
                pass
        if what == "end":
            seen = [(where, when, count) for (where, when), count in trap.seen.items()]
            pipe.send({"seen": seen, "unnamed": sorted(trap.unnamed)})
            if live:
                made.stop()
            return
        pipe.send(made.next_due() is not None)


def run_of(pipeline: str, run: str, at: datetime, *kinds: str) -> list[dict[str, Any]]:
    return [event(at, kind, pipeline, run) for kind in kinds]
