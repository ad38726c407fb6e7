"""What it costs to ask a Prefect, a Dagster or a Databricks of 2,000 pipelines (200 without --full) whose runs did not
change, and what a poll of a long history holds: 100,000 runs of Databricks (10,000 without --full).

The servers answer in a process of their own, as the APIs do; what is measured is the whole poll: HTTP, decoding, and
the durable store. Each pipeline ran once, or ten times as often, within the day that the first poll reads back.
"""

import json
import multiprocessing
import os
import tempfile
import threading
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.figures import Figure, Options, Skipped
from benchmarks.machine import rss_bytes
from benchmarks.polling import BOUND_MIB, MIB, MINUTE_S, START, Polls

DAY = timedelta(hours=24)
TOOK = timedelta(minutes=1)
KINDS = ("prefect", "dagster", "databricks")
CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors: {{{kind}: {{sources: [{{name: bench, base_url: "http://127.0.0.1:{port}", lookback: 1d{more}}}]}}}}
"""


def polling_history(options: Options) -> Sequence[Figure | Skipped]:
    pipelines = 2_000 if options.full else 200
    figures = [figure for kind in KINDS for figure in _unchanged(kind, pipelines)]
    return [*figures, *_long(100_000 if options.full else 10_000)]


def _unchanged(kind: str, pipelines: int) -> list[Figure | Skipped]:
    once, often = (_poll(kind, pipelines, times) for times in (1, 10))
    note = f"{pipelines:,} pipelines that ran once each, then 10 times"
    name = f"a poll of {kind}, nothing changed"
    return [
        Figure(f"{name}: CPU / its interval", once["again"], MINUTE_S, "s", "lower", 0.1, note=note),
        Figure(f"{name}: ten times the history / once", often["again"], once["again"], "s", "lower", 1.5, note=note),
        Figure(f"{name} / a sixtieth ran", once["again"], once["some"], "s", "lower", note=note),
        Figure(f"a poll of {kind}, a sixtieth ran / all new", once["some"], once["new"], "s", "lower", 0.2, note=note),
    ]


def _long(runs: int) -> list[Figure | Skipped]:
    short, long = (_poll("databricks", 100, count // 100) for count in (runs // 10, runs))
    note = f"{runs // 10:,} and {runs:,} runs of Databricks in the first poll; {long['new']:.0f} s CPU"
    return [
        Figure("a long history, memory / bound", long["rss"], BOUND_MIB, "MiB", "lower", 1.0, note=note),
        Figure("a long history, memory / a tenth of it", long["rss"], short["rss"], "MiB", "lower", 1.5, note=note),
    ]


def _poll(kind: str, pipelines: int, times: int) -> Mapping[str, float]:
    """In a process of its own, so that no other poll's memory is counted."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, kind, pipelines, times))
    process.start()
    try:
        return ours.recv()
    finally:
        process.join()


def _measure(told: Connection, kind: str, pipelines: int, times: int) -> None:
    """CPU seconds of the first poll (new), one an interval later (again), and one after some ran (some); rss: MiB."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, kind, pipelines, times), daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            more = ", token: right" if kind == "databricks" else ""
            polls = Polls(Path(folder), CONFIG.format(kind=kind, port=int(ours.recv()), more=more))
            shown = f"{kind}, {pipelines * times:,} runs"
            new = polls.poll_s(f"{shown}, all new")
            resident = rss_bytes(os.getpid()) / MIB
            polls.advance(MINUTE_S)
            polls.poll_s(f"{shown}, once more")  # the first of them sets up what is kept from poll to poll
            polls.advance(MINUTE_S)
            again = polls.poll_s(f"{shown}, nothing changed")
            ours.send(polls.now)
            ours.recv()
            polls.advance(MINUTE_S)
            some = polls.poll_s(f"{shown}, a sixtieth of the pipelines ran")
            polls.close()
        told.send({"new": new, "again": again, "some": some, "rss": resident})
    finally:
        server.terminate()
        server.join()


# -- the servers ---------------------------------------------------------------------------------------------------


def serve(control: Connection, kind: str, pipelines: int, times: int) -> None:
    """Answers until it is ended. control: the moment by which a sixtieth of the pipelines ran once more."""
    state = State(pipelines, times)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HANDLERS[kind],), {"state": state}))
    control.send(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        state.run_some(control.recv())
        control.send(None)


class State:
    """Runs in the order of their ends, which are spread over a day and over half an hour ago."""

    def __init__(self, pipelines: int, times: int) -> None:
        count = pipelines * times
        first = START - DAY + timedelta(minutes=90)
        step = (DAY - timedelta(hours=2)) / count
        self.pipelines = pipelines
        self.ends = [first + number * step for number in range(count)]
        self.now = START

    def run_some(self, now: datetime) -> None:
        self.ends += [now] * max(1, self.pipelines // 60)
        self.now = now

    def between(self, since: datetime, until: datetime | None) -> range:
        """Numbers of the runs that ended then."""
        end = len(self.ends) if until is None else bisect_right(self.ends, until)
        return range(bisect_left(self.ends, since), end)


class Handler(ABC, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    @abstractmethod
    def answer(self, path: str, query: Mapping[str, str], asked: Any) -> Any:
        """The JSON of an answer."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        asked: Any = json.loads(self.rfile.read(length) or b"{}")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = json.dumps(self.answer(parts.path, query, asked)).encode()
        self.send_response_only(200)
        self.send_header("Date", f"{self.state.now:%a, %d %b %Y %H:%M:%S GMT}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Prefect(Handler):
    def answer(self, path: str, query: Mapping[str, str], asked: Any) -> Any:
        if path.endswith("/flow_runs/filter"):
            return self._runs(asked)
        if path.endswith("/flows/filter"):
            return [{"id": ident, "name": ident} for ident in asked["flows"]["id"]["any_"]]
        return {"events": []} if path.endswith("/events/filter") else []

    def _runs(self, asked: Any) -> list[dict[str, Any]]:
        spans = asked["flow_runs"].get("end_time")
        if spans is None:
            return []
        before = spans.get("before_")
        found = self.state.between(_at(spans["after_"]), _at(before) if before else None)
        return [self._run(number) for number in reversed(found[-asked["limit"] :])]

    def _run(self, number: int) -> dict[str, Any]:
        ended = self.state.ends[number]
        state = {"id": f"s{number}", "type": "COMPLETED", "name": "Completed", "timestamp": ended.isoformat()}
        times = {"start_time": (ended - TOOK).isoformat(), "end_time": ended.isoformat()}
        flow = f"flow-{number % self.state.pipelines:05}"
        said = {"state": state, "state_type": "COMPLETED", "state_name": "Completed", "state_id": state["id"]}
        return {"id": f"r{number:08}", "name": f"run-{number}", "flow_id": flow, "run_count": 1, **times, **said}


NOTHING: dict[str, Any] = {  # is defined, was due or is wrong
    "repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": []},
    "assetNodes": [],
    "instance": {},
    "workspaceOrError": {"__typename": "Workspace", "locationEntries": []},
}


class Dagster(Handler):
    def answer(self, path: str, query: Mapping[str, str], asked: Any) -> Any:
        sent, variables = asked["query"], asked["variables"]
        if "query Runs" in sent:
            return {"data": {"runsOrError": {"__typename": "Runs", "results": self._runs(variables)}}}
        return {"data": NOTHING}

    def _runs(self, variables: Any) -> list[dict[str, Any]]:
        wanted = variables["filter"]
        if "updatedAfter" not in wanted:
            return []
        ends = self.state.ends
        until = wanted.get("updatedBefore")
        found = self.state.between(_stamp(wanted["updatedAfter"]), None if until is None else _stamp(until))
        if variables["cursor"]:
            found = range(found.start, min(found.stop, int(variables["cursor"])))
        return [self._run(number, ends[number].timestamp()) for number in reversed(found[-variables["limit"] :])]

    def _run(self, number: int, ended: float) -> dict[str, Any]:
        began = ended - TOOK.total_seconds()
        times = {"creationTime": began, "startTime": began, "endTime": ended, "updateTime": ended}
        tried = {"startTime": began, "endTime": ended}
        step: dict[str, Any] = {"stepKey": "load", "status": "SUCCESS", "materializations": [], **tried}
        steps: list[dict[str, Any]] = [{**step, "attempts": [tried]}]
        name = f"job_{number % self.state.pipelines:05}"
        said: dict[str, Any] = {"status": "SUCCESS", "tags": [], "assetChecks": [], "stepStats": steps}
        return {"runId": str(number), "pipelineName": name, **times, **said}


class Databricks(Handler):
    def answer(self, path: str, query: Mapping[str, str], asked: Any) -> Any:
        if not path.endswith("/runs/list"):
            return {}
        until = query.get("start_time_to")
        since = _stamp(int(query["start_time_from"]) / 1000)
        found = self.state.between(since, None if until is None else _stamp(int(until) / 1000))
        stop = int(query.get("page_token", found.stop))
        begin = max(found.start, stop - int(query["limit"]))
        more = {"next_page_token": str(begin)} if begin > found.start else {}
        return {"runs": [self._run(number) for number in reversed(range(begin, stop))], **more}

    def _run(self, number: int) -> dict[str, Any]:
        at = int(self.state.ends[number].timestamp() * 1000)
        over = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
        times = {"start_time": at, "end_time": at + 60_000, "state": over}
        tasks = [{"run_id": 10**9 + number, "task_key": "load", "attempt_number": 0, **times}]
        name = f"job_{number % self.state.pipelines:05}"
        return {"run_id": number + 1, "run_name": name, "trigger": "PERIODIC", "tasks": tasks, **times}


HANDLERS: Mapping[str, type[Handler]] = {"prefect": Prefect, "dagster": Dagster, "databricks": Databricks}


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _stamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, START.tzinfo)
