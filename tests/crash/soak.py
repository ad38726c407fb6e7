"""`make soak`: a real Watchtower under a steady load, killed once a minute, then asked for far more than it can do.

One process on SQLite tells a webhook that folds by key and Slack that can be looked up. It is sampled from outside:
memory, descriptors, threads, the size of its WAL. One line of figures at the end; status 1 if anything was lost, was
seen twice, or grew beyond its bound. `ARGS="--minutes 60 --rate 1000"` soaks it longer and harder.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tests.app.house import event
from tests.cli.process import Served
from tests.crash.desks import KINDS, Desk, configured
from tests.crash.outside import Outside, blind_minutes
from tests.crash.verdict import kept_in, missing, twice

MIB = 1 << 20
TICK_S = 0.1
PIPELINES = 50
SAMPLE_S = 2.0
DRAIN_S = 150.0
MOST_RSS, MOST_WAL, MOST_FDS = 512 * MIB, 64 * MIB, 256
MOST_SLOPE = 1.0  # MiB an hour
SLOPE_NEEDS_S = 600.0  # of one life, after a minute of warming up


@dataclass
class Sample:
    at: float
    rss: int
    fds: int
    threads: int
    wal: int


@dataclass
class Told:
    """acknowledged: run ids that were answered 2xx; refused: other answers than 2xx and 503."""

    acknowledged: set[str] = field(default_factory=set[str])
    events: int = 0
    failing: int = 0
    refused: list[tuple[int, Any]] = field(default_factory=list[tuple[int, Any]])


class Soak:
    def __init__(self, folder: Path, desks: Sequence[Desk], outside: Outside, rate: int) -> None:
        self._folder, self._desks, self._outside, self._rate = folder, desks, outside, rate
        receivers = {key: value for desk in desks for key, value in desk.config.items()}
        (folder / "watchtower.yaml").write_text(configured(receivers, heartbeat=outside.url))
        self.told = Told()
        self.samples: list[Sample] = []
        self.lives: list[float] = []
        self.kills = 0
        self.server = self._start()
        self._token = self.server.token
        self._stopping = threading.Event()

    def _start(self) -> Served:
        self.lives.append(time.monotonic())
        return Served(self._folder, "--listen", "127.0.0.1:0")

    def run(self, seconds: float, kill_every: float) -> None:
        """Load, samples and kills."""
        load = threading.Thread(target=self._load)
        load.start()
        ends, kill_at = time.monotonic() + seconds, time.monotonic() + kill_every
        while (now := time.monotonic()) < ends:
            if now >= kill_at:
                self.server.end(signal.SIGKILL)
                self.kills += 1
                self.server = self._start()
                kill_at += kill_every
            self.sample()
            self._stopping.wait(SAMPLE_S)
        self._stopping.set()
        load.join()

    def sample(self) -> None:
        pid, wal = self.server.process.pid, self.server.state / "watchtower.db-wal"
        with contextlib.suppress(OSError, StopIteration):
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
            )
            self.samples.append(
                Sample(
                    time.monotonic(),
                    int(status["VmRSS"].split()[0]) * 1024,
                    len(list(Path(f"/proc/{pid}/fd").iterdir())),
                    int(status["Threads"]),
                    wal.stat().st_size if wal.exists() else 0,
                )
            )

    def overload(self, seconds: float, senders: int) -> tuple[float, float]:
        """As many senders as never wait; p99 of what was taken, and how long it took to be itself again, in seconds."""
        taken: list[float] = []
        ends = time.monotonic() + seconds

        def send() -> None:
            while time.monotonic() < ends:
                began = time.monotonic()
                if self._post(_runs(20)) in (200, 202):
                    taken.append(time.monotonic() - began)

        threads = [threading.Thread(target=send) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                self.sample()
                thread.join(1.0)
        over = time.monotonic()
        while time.monotonic() - over < DRAIN_S:
            began = time.monotonic()
            if self._post(_runs(1)) == 200 and time.monotonic() - began < 1.0:
                break
        taken.sort()
        return (taken[int(len(taken) * 0.99)] if taken else float("inf")), time.monotonic() - over

    def drained(self) -> bool:
        """Whether all that is owed was told within a while."""
        ends = time.monotonic() + DRAIN_S
        while time.monotonic() < ends:
            self._tell_the_time()
            kept = kept_in(self.store)
            if not kept.unfinished and not missing(self.told.acknowledged, kept.runs):
                return True
            threading.Event().wait(1.0)
        return False

    @property
    def store(self) -> str:
        return f"sqlite:///{self.server.state / 'watchtower.db'}"

    def _load(self) -> None:
        number = 0
        while not self._stopping.wait(TICK_S):
            number += 1
            events = _runs(max(1, int(self._rate * TICK_S / 2)))
            if number % 10 == 0:
                run, now = str(uuid.uuid4()), datetime.now(UTC)
                events += [event(now, kind, f"orders_{number}", run) for kind in ("START", "FAIL")]
                self.told.failing += 1
                self._tell_the_time()
            while self._post(events) not in (200, 202) and not self._stopping.wait(TICK_S):
                pass

    def _tell_the_time(self) -> None:
        for desk in self._desks:
            desk.at(datetime.now(UTC))

    def _post(self, events: list[dict[str, Any]]) -> int | None:
        try:
            status, answer = self.server.post(self._token, *events)
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return None
        if status in (200, 202):
            self.told.acknowledged.update(str(one["run"]["runId"]) for one in events)
            self.told.events += len(events)
        elif status != 503:
            self.told.refused.append((status, answer))
        return status


@dataclass(frozen=True)
class Verdict:
    """Bytes, and minutes. slope: MiB an hour, None where no life was long enough."""

    lost: int
    duplicates: int
    blind: float
    rss: int
    wal: int
    fds: int
    threads: int
    slope: float | None

    @property
    def holds(self) -> bool:
        grew = self.rss > MOST_RSS or self.wal > MOST_WAL or self.fds > MOST_FDS or (self.slope or 0.0) > MOST_SLOPE
        return not (self.lost or self.duplicates or self.blind or grew)

    def __str__(self) -> str:
        slope = "n/a" if self.slope is None else f"{self.slope:.1f} MiB/h"
        return (
            f"lost {self.lost}, duplicates {self.duplicates}, blind minutes {self.blind:.1f}, "
            f"RSS {self.rss / MIB:.0f} MiB (slope {slope}), fds {self.fds}, threads {self.threads}, "
            f"WAL {self.wal / MIB:.1f} MiB"
        )


def _runs(count: int) -> list[dict[str, Any]]:
    """Runs that end well, of as many pipelines as there are."""
    now = datetime.now(UTC)
    runs = [(f"steady_{number % PIPELINES}", str(uuid.uuid4())) for number in range(count)]
    return [event(now, kind, pipeline, run) for pipeline, run in runs for kind in ("START", "COMPLETE")]


def slope_mib_per_hour(samples: Sequence[Sample], lives: Sequence[float]) -> float | None:
    """Of the resident memory in the longest life, by least squares; None: it was too short to say."""
    ends = [*lives[1:], samples[-1].at if samples else 0.0]
    length, began = max((end - start, start) for start, end in zip(lives, ends, strict=True))
    if length < SLOPE_NEEDS_S + 60:
        return None
    some = [one for one in samples if began + 60 <= one.at < began + length]
    middle = sum(one.at for one in some) / len(some)
    spread = sum((one.at - middle) ** 2 for one in some)
    return sum((one.at - middle) * one.rss for one in some) / spread * 3600 / MIB


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--kill-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--rate", type=int, default=200, metavar="EVENTS", help="a second")
    parser.add_argument("--overload", type=float, default=20.0, metavar="SECONDS", help="at the end; 0: none")
    parser.add_argument("--senders", type=int, default=8, help="of the overload; none of them waits")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wt-soak-") as scratch, contextlib.ExitStack() as opened:
        desks = [opened.enter_context(KINDS[name].open(datetime.now(UTC))) for name in ("webhook", "slack")]
        outside = opened.enter_context(Outside(datetime.now(UTC)))
        soak = Soak(Path(scratch), desks, outside, given.rate)
        try:
            soak.run(given.minutes * 60, given.kill_every)
            p99, again = soak.overload(given.overload, given.senders) if given.overload else (0.0, 0.0)
            done = soak.drained()
            ended = time.monotonic()
        finally:
            if soak.server.process.poll() is None:
                soak.server.end()
        kept = kept_in(soak.store)
        seen = [text for desk in desks for text in desk.seen()]
    verdict = Verdict(
        lost=len(missing(soak.told.acknowledged, kept.runs)) + len(kept.unfinished),
        duplicates=len(twice(seen)),
        blind=blind_minutes(outside.ledger, ended),
        rss=max(one.rss for one in soak.samples),
        wal=max(one.wal for one in soak.samples),
        fds=max(one.fds for one in soak.samples),
        threads=max(one.threads for one in soak.samples),
        slope=slope_mib_per_hour(soak.samples, soak.lives),
    )
    print(
        f"soak: kills {soak.kills}, events acknowledged {soak.told.events}, obligations {kept.obligations}, {verdict}"
    )
    if given.overload:
        print(f"overload: p99 of what was taken {p99:.2f} s, itself again after {again:.1f} s")
    if soak.told.refused:
        print("refused:", soak.told.refused[:3])
    return int(not (verdict.holds and done) or bool(soak.told.refused))


if __name__ == "__main__":
    sys.exit(main())
