"""`make load`: single events and batches of points at a steady rate, then ten times as many senders that never wait.

One process on SQLite; each sender is a process of its own, so that its work is not the server's. At the end: the rates
that were reached, how long answers took, memory, and whether anything that was acknowledged is missing. Status 1 if
something is, or if a bound of promise P4 does not hold on this machine. `ARGS="--seconds 300"` takes longer.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from sqlalchemy import text

from tests.app.house import event
from tests.cli.process import Served
from tests.collectors.test_otlp_metrics import gauge, number, request
from watchtower.store.database import Database

PIPELINES = 50
BATCH = 1_000  # points of one request
SHARDS = 100  # series
MOST_RSS = 512 << 20
MOST_P99_S, MOST_OVERLOADED_S, MOST_AGAIN_S = 0.25, 1.0, 10.0
DRAIN_S = 300.0
ENDS_S = 300.0  # for so many processes to start and to end
_HTTP = urllib3.PoolManager(retries=False, timeout=30.0)


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    token: str

    def post(self, path: str, body: bytes, kind: str) -> int | None:
        """The status; None: there was no answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        try:
            return _HTTP.request("POST", f"{self.url}{path}", body=body, headers=headers).status
        except urllib3.exceptions.HTTPError:
            return None


@dataclass
class Sent:
    """Of one sender. runs: ids of those that were acknowledged; points: how many were; took: seconds until each 2xx."""

    runs: list[str] = field(default_factory=list[str])
    points: int = 0
    took: list[float] = field(default_factory=list[float])
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    events: list[Sent]
    points: list[Sent]

    @property
    def all(self) -> list[Sent]:
        return [*self.events, *self.points]


def single_event(number_: int) -> tuple[str, bytes, str]:
    run = str(uuid.uuid4())
    body = json.dumps(event(datetime.now(UTC), "COMPLETE", f"steady_{number_ % PIPELINES}", run)).encode()
    return run, body, "/api/v1/lineage"


def batch_of_points(sender: int, number_: int) -> tuple[str, bytes, str]:
    """No two points of a run of this command are of one series and moment."""
    first = time.time_ns()
    points = [
        number(
            1.0, at=first + 1_000_000 * (index // SHARDS), shard=str(index % SHARDS), sender=f"{sender}.{number_ % 7}"
        )
        for index in range(BATCH)
    ]
    return "", request(gauge(*points, name="load.points")).SerializeToString(), "/v1/metrics"


def send(target: Target, sender: int, rate: float | None, seconds: float, *, points: bool) -> Sent:
    """rate: requests a second; None: as many as there can be. In a process of its own."""
    sent, began, count = Sent(), time.monotonic(), 0
    while (now := time.monotonic()) - began < seconds:
        if rate is not None and (early := began + count / rate - now) > 0:
            time.sleep(early)
        run, body, path = batch_of_points(sender, count) if points else single_event(count)
        asked = time.monotonic()
        status = target.post(path, body, "application/x-protobuf" if points else "application/json")
        count += 1
        if status in (200, 202):
            sent.took.append(time.monotonic() - asked)
            sent.points += BATCH if points else 0
            sent.runs += [] if points else [run]
        else:
            sent.refused += 1
    return sent


def phase(target: Target, events: tuple[int, float | None], points: tuple[int, float | None], seconds: float) -> Phase:
    """events, points: how many senders, and how many requests each sends a second."""
    jobs = [(n, events[1], False) for n in range(events[0])] + [(n, points[1], True) for n in range(points[0])]
    with multiprocessing.get_context("spawn").Pool(len(jobs)) as pool:
        running = [
            pool.apply_async(send, (target, n, rate, seconds), {"points": of_points}) for n, rate, of_points in jobs
        ]
        ended = [answer.get(seconds + ENDS_S) for answer in running]
    return Phase(ended[: events[0]], ended[events[0] :])


def p99(sent: Sequence[Sent]) -> float:
    took = sorted(seconds for one in sent for seconds in one.took)
    return took[int(len(took) * 0.99)] if took else float("inf")


def itself_again(target: Target) -> float:
    """Seconds until ten events in a row are answered as quickly as they should be."""
    began, good = time.monotonic(), 0
    while good < 10 and time.monotonic() - began < DRAIN_S:
        asked = time.monotonic()
        _, body, path = single_event(0)
        ok = target.post(path, body, "application/json") == 200 and time.monotonic() - asked < MOST_P99_S
        good = good + 1 if ok else 0
    return time.monotonic() - began


def missing_after(store: str, runs: set[str], points: int) -> tuple[int, int]:
    """Runs and points that were acknowledged and are not there once the spool has had the time to be replayed."""
    ends = time.monotonic() + DRAIN_S
    database = Database(store)
    try:
        while True:
            with database.read() as connection:
                kept = {str(run) for run in connection.execute(text("SELECT ol_run_id FROM runs")).scalars()}
                held = int(connection.execute(text("SELECT count(*) FROM samples")).scalar_one())
            lost = len(runs - kept), max(0, points - held)
            if lost == (0, 0) or time.monotonic() > ends:
                return lost
            threading.Event().wait(2.0)
    finally:
        database.close()


class Memory:
    """The most that the server's process had, looked at once a second."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._file = Path(f"/proc/{pid}/status")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stopping.wait(1.0):
            line = next(line for line in self._file.read_text().splitlines() if line.startswith("VmRSS"))
            self.most = max(self.most, int(line.split()[1]) * 1024)

    def stop(self) -> int:
        self._stopping.set()
        self._thread.join()
        return self.most


@dataclass(frozen=True, slots=True)
class Measured:
    """seconds: of the steady phase; lost: runs and points; rss: in bytes."""

    steady: Phase
    pressed: Phase | None
    seconds: float
    again_s: float
    lost: tuple[int, int]
    rss: int

    @property
    def holds(self) -> bool:
        """Every bound of P4 on this machine."""
        found = [self.lost == (0, 0), self.rss <= MOST_RSS, p99(self.steady.all) <= MOST_P99_S]
        if self.pressed is not None:
            found += [p99(self.pressed.all) <= MOST_OVERLOADED_S, self.again_s <= MOST_AGAIN_S]
        return all(found)

    def __str__(self) -> str:
        events = sum(len(one.runs) for one in self.steady.events) / self.seconds
        points = sum(one.points for one in self.steady.points) / self.seconds
        said = (
            f"load: {events:,.0f} events/s in single requests (p99 {p99(self.steady.events):.3f} s), {points:,.0f} "
            f"points/s in batches (p99 {p99(self.steady.points):.3f} s); lost {self.lost[0]} runs and {self.lost[1]} "
            f"points; RSS at most {self.rss / (1 << 20):.0f} MiB"
        )
        if self.pressed is None:
            return said
        taken = sum(len(one.took) for one in self.pressed.all)
        refused = sum(one.refused for one in self.pressed.all)
        return (
            f"{said}\noverload: {taken:,} requests taken (p99 {p99(self.pressed.all):.3f} s), {refused:,} refused; "
            f"itself again after {self.again_s:.1f} s"
        )


RULES = "rules: [{alert: Many, kind: threshold, series: load.points, above: 5}]\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make load ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--overload", type=float, default=60.0, metavar="SECONDS", help="0: none")
    parser.add_argument("--events", type=int, default=2_000, help="a second, each in a request of its own")
    parser.add_argument("--points", type=int, default=20_000, help=f"a second, {BATCH} in a request")
    parser.add_argument("--senders", type=int, default=4, help="of events; one of points for each four")
    given = parser.parse_args()
    few, many = max(1, given.senders // 4), 10 * given.senders
    with tempfile.TemporaryDirectory(prefix="wt-load-") as scratch:
        (Path(scratch) / "watchtower.yaml").write_text(RULES)
        server = Served(Path(scratch), "--listen", "127.0.0.1:0")
        try:
            target, memory = Target(server.url, server.token), Memory(server.process.pid)
            rates = given.events / given.senders, given.points / BATCH / few
            steady = phase(target, (given.senders, rates[0]), (few, rates[1]), given.seconds)
            pressed = phase(target, (many, None), (10 * few, None), given.overload) if given.overload else None
            again_s = itself_again(target)
            sent = [*steady.all, *(pressed.all if pressed else ())]
            runs, points = {run for one in sent for run in one.runs}, sum(one.points for one in sent)
            lost = missing_after(f"sqlite:///{server.state / 'watchtower.db'}", runs, points)
            rss = memory.stop()
        finally:
            if server.process.poll() is None:
                server.end()
    measured = Measured(steady, pressed, given.seconds, again_s, lost, rss)
    print(measured)
    return int(not measured.holds)


if __name__ == "__main__":
    sys.exit(main())
