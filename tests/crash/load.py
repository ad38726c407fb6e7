"""`make load`: single events and batches of points at a steady rate, then ten times as many senders that never wait.

One process on SQLite; each sender is a process of its own, so that its work is not the server's, and speaks HTTP over a
bare socket with bodies that are nearly made, so that it leaves the cores to the server. At the end: the rates that were
reached, how long answers took, the CPU of the server and of the senders, memory, and whether anything that was
acknowledged is missing. Status 1 if something is, or if a bound of promise P4 does not hold on this machine.
`ARGS="--seconds 300"` takes longer.
"""

import argparse
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
ANSWER_S = 30.0
LINES, PRESSED_LINES = 8, 4  # connections of one sender of events: at a rate, and of ten times as many senders
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    token: str


class Line:
    """One connection of a sender, made anew where it broke."""

    def __init__(self, target: Target, path: str, kind: str) -> None:
        where = urlsplit(target.url)
        self._address = (where.hostname or "", where.port or 80)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {target.token}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: "
        ).encode()
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> int | None:
        """The status; None: there was no answer."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, ANSWER_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
            return self._answer(self._socket)
        except (OSError, ValueError):
            self.close()
            return None

    def _answer(self, line: socket.socket) -> int:
        """Raises OSError or ValueError where it is none, or is not of a known length."""
        read = b""
        while (ends := read.find(b"\r\n\r\n")) < 0:
            read += self._more(line)
        head = read[:ends].lower()
        _, _, length = head.partition(b"content-length:")
        left = int(length.split(b"\r\n", 1)[0]) - (len(read) - ends - 4)
        while left > 0:
            left -= len(self._more(line))
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def _more(self, line: socket.socket) -> bytes:
        block = line.recv(65_536)
        if not block:
            raise ConnectionError("closed in the midst of an answer")
        return block

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@dataclass
class Sent:
    """Of one sender. runs: ids of those that were acknowledged; points: how many were; took: seconds until each 2xx."""

    runs: list[str] = field(default_factory=list[str])
    points: int = 0
    took: list[float] = field(default_factory=list[float])
    refused: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Phase:
    events: list[Sent]
    points: list[Sent]

    @property
    def all(self) -> list[Sent]:
        return [*self.events, *self.points]


class Events:
    """Bodies of single events, of which only the run, the pipeline and the time differ."""

    path, kind = "/api/v1/lineage", "application/json"

    def __init__(self, sender: int) -> None:
        made = json.dumps(event(datetime(2000, 1, 1, tzinfo=UTC), "COMPLETE", "PIPELINE", "RUN"))
        self._made = made.replace("2000-01-01T00:00:00+00:00", "TIME")
        self._prefix = f"{uuid.uuid4()}"[:24]  # of ids that nobody else makes
        assert all(mark in self._made for mark in ("TIME", "PIPELINE", "RUN"))

    def body(self, number: int) -> tuple[str, bytes]:
        run = f"{self._prefix}{number:012x}"
        text = self._made.replace("RUN", run).replace("PIPELINE", f"steady_{number % PIPELINES}")
        return run, text.replace("TIME", datetime.now(UTC).isoformat()).encode()


class Points:
    """Bodies of batches. No two points of a run of this command are of one series and moment."""

    path, kind = "/v1/metrics", "application/x-protobuf"

    def __init__(self, sender: int) -> None:
        self._made = [self._batch(sender, turn) for turn in range(7)]

    def body(self, number: int) -> tuple[str, bytes]:
        batch, first = self._made[number % len(self._made)], time.time_ns()
        points = batch.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
        for index, point in enumerate(points):
            point.time_unix_nano = first + 1_000_000 * (index // SHARDS)
        return "", batch.SerializeToString()

    @staticmethod
    def _batch(sender: int, turn: int) -> Any:
        points = [number(1.0, at=0, shard=str(n % SHARDS), sender=f"{sender}.{turn}") for n in range(BATCH)]
        return request(gauge(*points, name="load.points"))


def send(target: Target, sender: int, rate: float | None, seconds: float, *, points: bool) -> Sent:
    """rate: requests a second; None: as many as there can be. Over one connection."""
    bodies = Points(sender) if points else Events(sender)
    line, sent, count = Line(target, bodies.path, bodies.kind), Sent(), 0
    began, worked = time.monotonic(), time.thread_time()
    while (now := time.monotonic()) - began < seconds:
        if rate is not None and (early := began + count / rate - now) > 0:
            time.sleep(early)
        run, body = bodies.body(count)
        asked = time.monotonic()
        status = line.post(body)
        count += 1
        if status in (200, 202):
            sent.took.append(time.monotonic() - asked)
            sent.points += BATCH if points else 0
            sent.runs += [] if points else [run]
        else:
            sent.refused += 1
    line.close()
    sent.cpu_s = time.thread_time() - worked
    return sent


def send_over_many(target: Target, sender: int, rate: float | None, seconds: float) -> Sent:
    """Events over many connections at once, in a process of its own: over one, none is sent while one is answered."""
    count = PRESSED_LINES if rate is None else LINES
    with ThreadPoolExecutor(count) as lines:
        each = None if rate is None else rate / count
        begun = [lines.submit(send, target, sender, each, seconds, points=False) for _ in range(count)]
    whole = Sent()
    for sent in (one.result() for one in begun):
        whole.runs += sent.runs
        whole.took += sent.took
        whole.refused += sent.refused
        whole.cpu_s += sent.cpu_s
    return whole


def phase(target: Target, events: tuple[int, float | None], points: tuple[int, float | None], seconds: float) -> Phase:
    """events, points: how many senders, and how many requests each sends a second."""
    with multiprocessing.get_context("spawn").Pool(events[0] + points[0]) as pool:
        running = [pool.apply_async(send_over_many, (target, n, events[1], seconds)) for n in range(events[0])]
        running += [pool.apply_async(send, (target, n, points[1], seconds), {"points": True}) for n in range(points[0])]
        ended = [answer.get(seconds + ENDS_S) for answer in running]
    return Phase(ended[: events[0]], ended[events[0] :])


def p99(sent: Sequence[Sent]) -> float:
    took = sorted(seconds for one in sent for seconds in one.took)
    return took[int(len(took) * 0.99)] if took else float("inf")


def itself_again(target: Target) -> float:
    """Seconds until ten events in a row are answered as quickly as they should be."""
    began, good, bodies = time.monotonic(), 0, Events(0)
    line = Line(target, bodies.path, bodies.kind)
    while good < 10 and time.monotonic() - began < DRAIN_S:
        asked = time.monotonic()
        _, body = bodies.body(0)
        ok = line.post(body) == 200 and time.monotonic() - asked < MOST_P99_S
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


def cpu_of(pid: int) -> float:
    """Seconds that a process has worked so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


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
    """seconds: of the steady phase; cpu_s: of the server in it; lost: runs and points; rss: in bytes."""

    steady: Phase
    pressed: Phase | None
    seconds: float
    cpu_s: float
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
            f"points; CPU {self.cpu_s:.1f} s of the server, {sum(one.cpu_s for one in self.steady.all):.1f} s of the "
            f"senders; RSS at most {self.rss / (1 << 20):.0f} MiB"
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
            idle_s = cpu_of(server.process.pid)
            steady = phase(target, (given.senders, rates[0]), (few, rates[1]), given.seconds)
            cpu_s = cpu_of(server.process.pid) - idle_s
            pressed = phase(target, (many, None), (10 * few, None), given.overload) if given.overload else None
            again_s = itself_again(target)
            sent = [*steady.all, *(pressed.all if pressed else ())]
            runs, points = {run for one in sent for run in one.runs}, sum(one.points for one in sent)
            lost = missing_after(f"sqlite:///{server.state / 'watchtower.db'}", runs, points)
            rss = memory.stop()
        finally:
            if server.process.poll() is None:
                server.end()
    measured = Measured(steady, pressed, given.seconds, cpu_s, again_s, lost, rss)
    print(measured)
    return int(not measured.holds)


if __name__ == "__main__":
    sys.exit(main())
