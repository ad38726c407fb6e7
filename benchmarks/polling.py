"""What it costs to ask an Airflow of 2,000 DAGs with 10 tasks each (200 DAGs without --full), a poll a minute.

The Airflow is a server in a process of its own that answers as API v2 does; what is measured is the whole poll: HTTP,
decoding, and the durable store. Five polls: everything new, everything changed, a sixtieth changed (DAGs that run once
an hour), the same read again as it was (the overlap of two polls), and the first one after a day in which Watchtower
was away and every DAG ran each hour (promise P6).
"""

import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.figures import Figure, Options, Skipped, now_s, say
from benchmarks.machine import rss_bytes
from watchtower.app.polling import Polling, declared, known_runs_of
from watchtower.clock import ManualClock
from watchtower.config import load_text
from watchtower.config.asked import polled_of
from watchtower.store import claims, migrations, sources
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Intake, append

MIB = 1 << 20
BOUND_MIB = 512.0  # what a small installation is promised
MINUTE_S = 60.0
QUARTER_S = 900.0  # after its start Watchtower has what it missed
AWAY_HOURS = 24
TASKS = 10
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors: {{airflow: {{sources: [{{name: bench, base_url: "http://127.0.0.1:{port}", lookback: 1h}}]}}}}
"""


def polling(options: Options) -> Sequence[Figure | Skipped]:
    dags = 2_000 if options.full else 200
    rows = dags * (TASKS + 1)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, dags), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            polls = Polls(Path(folder), CONFIG.format(port=int(ours.recv())))
            everything, hourly = list(range(dags)), list(range(0, dags, 60))
            new = polls.cpu_s(ours, everything, advance=True)
            changed = polls.cpu_s(ours, everything, advance=True)
            some = polls.cpu_s(ours, hourly, advance=True)
            again = polls.cpu_s(ours, hourly, advance=False)
            missed = polls.cpu_s(ours, everything, advance=False, away_h=AWAY_HOURS)
            resident = rss_bytes(os.getpid()) / MIB
            polls.close()
    finally:
        server.terminate()
        server.join()
    note = f"{dags:,} DAGs × {TASKS} tasks, {rows:,} rows"
    day = f"{AWAY_HOURS} h of {dags:,} DAGs × {TASKS} tasks each hour, {AWAY_HOURS * rows:,} rows"
    share = f"{len(hourly) * (TASKS + 1):,} of {rows:,} rows"
    return [
        Figure("poll, everything new: CPU / interval", new, MINUTE_S, "s", "lower", 1.0, note=note),
        Figure("poll, everything changed: CPU / interval", changed, MINUTE_S, "s", "lower", 1.0, note=note),
        Figure("poll, a sixtieth changed / everything", some, changed, "s", "lower", 0.2, note=share),
        Figure("poll, as it was / changed", again, some, "s", "lower", 1.0, note=share),
        Figure("poll, after a day away: CPU / 15 min", missed, QUARTER_S, "s", "lower", 1.0, note=day),
        Figure("polling, memory / bound", resident, BOUND_MIB, "MiB", "lower", 1.0, note=note),
    ]


class Polls:
    """One Watchtower's polls of the source that is configured, called bench, on SQLite."""

    def __init__(self, folder: Path, text: str) -> None:
        self._clock = ManualClock(START)
        self._database = Database(f"sqlite:///{folder / 'watchtower.db'}")
        migrations.migrate(self._database, self._clock)
        config = load_text(text)
        (self._source,) = polled_of(config, self._clock, known_runs_of(self._database))
        self._polling = Polling(self._database, self._clock, "bench", self._append, config.source_of)
        self._polling.take([self._source])
        self._database.write(lambda c: sources.declare(c, declared([self._source]), START))

    def cpu_s(self, server: Connection, dags: list[int], *, advance: bool, away_h: int = 0) -> float:
        """CPU seconds of this process for one poll in which dags are listed; away_h: of each hour since the last."""
        self._clock.advance(away_h * 3600.0 or MINUTE_S)
        server.send((dags, advance, self._clock.now(), away_h > 0))
        server.recv()
        return self.poll_s(f"{max(1, away_h) * len(dags) * (TASKS + 1):,} rows")

    @property
    def now(self) -> datetime:
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def poll_s(self, what: str) -> float:
        """CPU seconds of this process for a poll now."""
        now = self._clock.now()
        self._database.write(lambda c: claims.claim(c, "poll:bench", "bench", now, lease_s=300, every_s=0))
        began, wall = time.process_time(), now_s()
        assert self._polling.poll(self._source, now)
        spent = time.process_time() - began
        say(f"  {what}: {spent:.2f} s CPU, {now_s() - wall:.2f} s")
        return spent

    def close(self) -> None:
        self._database.close()

    def _append(self, facts: Any, quarantined: Any = (), *, beside: Any = None) -> "Future[Appended]":
        return append(self._database, Intake(facts, quarantined, beside=beside))


# -- the Airflow --------------------------------------------------------------------------------------------------


def serve(control: Connection, dags: int) -> None:
    """Answers until it is ended. control: which DAGs are listed, whether each takes its next step, the time, and
    whether each ran in every hour that is asked for."""
    state = State(dags)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"state": state}))
    control.send(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        listed, advance, now, hourly = control.recv()
        state.listed, state.now, state.hourly = listed, now, hourly
        for dag in listed if advance else ():
            state.steps[dag] += 1
        control.send(None)


class State:
    """steps: of each DAG; a run begins at odd ones and ends at even ones."""

    def __init__(self, dags: int) -> None:
        self.steps = [0] * dags
        self.listed: list[int] = []
        self.now = START
        self.hourly = False

    def run(self, dag: int, since: datetime) -> dict[str, Any]:
        """since: of what is asked for."""
        step = self.steps[dag]
        at = (since + timedelta(minutes=30) if self.hourly else START + timedelta(minutes=(step + 1) // 2)).isoformat()
        return {
            "dag_id": f"dag_{dag:05}", "dag_run_id": f"scheduled__{at}", "logical_date": at, "run_after": at,
            "queued_at": at, "start_date": at, "end_date": at if step % 2 == 0 else None, "run_type": "scheduled",
            "state": "running" if step % 2 else "success", "triggered_by": "timetable", "conf": {}, "note": None,
        }  # fmt: skip

    def task(self, dag: int, number: int, since: datetime) -> dict[str, Any]:
        run = self.run(dag, since)
        return {
            **{name: run[name] for name in ("dag_id", "dag_run_id", "logical_date", "run_after", "end_date", "state")},
            "task_id": f"task_{number}", "map_index": -1, "try_number": 1, "max_tries": 0, "duration": 1.0,
            "queued_when": run["queued_at"], "scheduled_when": run["queued_at"], "start_date": run["start_date"],
            "operator": "PythonOperator", "pool": "default_pool", "queue": "default", "hostname": "worker-1",
            "rendered_fields": {"op_args": [], "op_kwargs": {}}, "executor_config": "{}",
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = json.dumps(self.answer(parts.path.removeprefix("/api/v2"), parse_qs(parts.query))).encode()
        self.send_response_only(200)
        self.send_header("Date", f"{self.state.now:%a, %d %b %Y %H:%M:%S GMT}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        first = int(query.get("offset", ["0"])[0])
        last = first + int(query.get("limit", ["100"])[0])
        state, listed = self.state, self.state.listed
        since = datetime.fromisoformat(query.get("updated_at_gte", [START.isoformat()])[0])
        if path == "/dags/~/dagRuns":
            return {"dag_runs": [state.run(dag, since) for dag in listed[first:last]], "total_entries": len(listed)}
        if path == "/dags/~/dagRuns/~/taskInstances":
            total = len(listed) * TASKS
            some = [state.task(listed[each // TASKS], each % TASKS, since) for each in range(first, min(last, total))]
            return {"task_instances": some, "total_entries": total}
        if path == "/dags":
            named = [{"dag_id": f"dag_{dag:05}", "owners": ["data"], "tags": []} for dag in range(len(state.steps))]
            return {"dags": named[first:last], "total_entries": len(named)}
        if path == "/version":
            return {"version": "3.3.2"}
        if path == "/monitor/health":
            return {"scheduler": {"status": "healthy"}}
        return {"import_errors": [], "pools": []}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
