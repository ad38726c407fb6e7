"""Triggers each task every so often, late rather than never, once among replicas, and counts how it went."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from watchtower.ports import Clock
from watchtower.pulse import Pulse
from watchtower.store import claims
from watchtower.store.database import Database

log = logging.getLogger(__name__)

LEASE_S = 300.0
MISFIRE_GRACE_S = 3_600
HANGS_S = 120.0  # without a sign of life: longer than any request may take
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """work gets `now` (aware UTC). shared: one replica does it for all; else every process does its own. at_once: the
    first time is now, not after every_s. looks_s: how often it is looked whether it is time, for work that is rarer
    than starts are. beats: the work gives signs of life (watchtower.pulse), so that it is known when it hangs."""

    name: str
    every_s: float
    work: Callable[[datetime], object]
    shared: bool = True
    at_once: bool = False
    looks_s: float | None = None
    beats: bool = False


class Periodic:
    """Runs tasks in threads of its own. observe(name, ok) is called after each."""

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        database: Database,
        clock: Clock,
        holder: str,
        observe: Callable[[str, bool], None] = lambda name, ok: None,
        threads: int = 4,
        pulse: Pulse | None = None,
    ) -> None:
        self._pulse = pulse or Pulse(clock)
        self._database = database
        self._clock = clock
        self._holder = holder
        self._observe = observe
        self._under_way: set[str] = set()
        self._stopped = False
        self._changed = threading.Condition()
        self._scheduler: Any = BackgroundScheduler(  # the library is not typed
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_GRACE_S},
        )
        for task in tasks:
            # Jitter keeps replicas that start together from asking for the same claim at the same moment.
            first = {"next_run_time": clock.now()} if task.at_once else {}
            looks_s = task.looks_s or task.every_s
            jitter = min(looks_s / 10, 30)
            self._scheduler.add_job(
                self.run, "interval", args=[task], id=task.name, seconds=looks_s, jitter=jitter, **first
            )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Let running work finish. What hangs is left behind, since nothing ends it: the others need not stand still
        for it while the configuration is loaded anew."""
        if not self._scheduler.running:
            return
        with self._changed:
            self._stopped = True
        self._scheduler.shutdown(wait=False)
        with self._changed:
            while self._under_way.difference(self._pulse.still(HANGS_S)):
                self._changed.wait(_LOOK_S)
            hanging = sorted(self._under_way)
        if hanging:
            log.error("work hangs, and is left behind", extra={"work": hanging})

    def run(self, task: Task) -> bool:
        """Do task now if it is its turn here; whether it was done. A failure is counted and logged, not raised."""
        with self._changed:
            if self._stopped:
                return False
            self._under_way.add(task.name)
        try:
            return self._done(task)
        finally:
            with self._changed:
                self._under_way.discard(task.name)
                self._changed.notify_all()

    def _done(self, task: Task) -> bool:
        now = self._clock.now()
        try:
            if task.shared and not self._claimed(task, now):
                return False
            with self._pulse.of(task.name) if task.beats else nullcontext():
                task.work(now)
            if task.shared:
                self._database.write(lambda connection: claims.done(connection, task.name, self._holder, now))
        except Exception:
            log.exception("periodic task failed", extra={"task": task.name})
            self._observe(task.name, False)
            return False
        self._observe(task.name, True)
        return True

    def _claimed(self, task: Task, now: datetime) -> bool:
        return self._database.write(
            lambda connection: claims.claim(
                connection, task.name, self._holder, now, lease_s=LEASE_S, every_s=task.every_s
            )
        )
