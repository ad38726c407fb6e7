"""Record a day of real Airflow for `make demo`: its events, its spans and a manifest, below watchtower/demo.

    python -m tests.e2e.record_day                 # waits for minute 48 of the hour, then takes 38 minutes
    python -m tests.e2e.record_day --start-now     # the same with all crons moved
    python -m tests.e2e.record_day --summary       # what the recording holds

Seven hourly pipelines (tests/e2e/dags/day) catch up on 23 past slots, two pipelines at a time; then the tick of their
24th slot really comes. One fails, one is slow, one starts late because the scheduler is down, one was paused, one
hangs. Nothing is invented: each line is an event as Airflow sent it, `{"received_at": epoch s, "event": {...}}` in
arrival order, or an export of its spans, `{"received_at": epoch s, "request": base64 of OTLP protobuf}`, scrubbed of
paths, host name and address of the recording machine.
"""

import argparse
import base64
import gzip
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.airflow import DAGS, Airflow, Lineage, ensure_airflow

OUT = Path(__file__).resolve().parents[2] / "watchtower" / "demo"
EVENTS = "airflow_day.jsonl.gz"
SPANS = "airflow_spans.jsonl.gz"
MANIFEST = "airflow_day.json"
NAMESPACE = "shop-airflow"

SLOTS = 24
SLOT = timedelta(hours=1)
LEAD_MIN = 12  # to start Airflow and catch up on 23 slots of seven pipelines, which takes 7 on two idle cores
AT_ONCE = 2  # pipelines that catch up side by side; more would stretch each other's runs on two cores
OUTAGE_BEFORE = timedelta(seconds=30)
OUTAGE_AFTER = timedelta(minutes=6, seconds=40)  # clear of the five minutes from which a run counts as late
HANGING_FOR_S = 75.0
LAST_RUN_TIMEOUT_S = 600.0
SETTLE_S = 3.0  # events arrive within 0.2 s


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline and its part. minute: of its cron, unless all are moved; trouble: slots before the last one."""

    dag_id: str
    minute: int
    scenario: str
    trouble: int | None = None
    missing: int = 0  # how many slots; one less if the next run is quicker than the pause


SCENARIOS = {
    "healthy": "nothing happens",
    "recovered": "in the trouble slot the first try of a task fails and its retry succeeds",
    "failed": "the last run fails after two retries",
    "slow": "the last run takes minutes instead of seconds",
    "late": "the scheduler is down at the last tick: the run starts more than six minutes late",
    "missing": "somebody paused it: the last slots never start",
    "hanging": "the last run is still running when the recording ends",
}
# In the order in which they catch up: what others read comes first.
PIPELINES = (
    Pipeline("orders_hourly", 5, "healthy"),
    Pipeline("customers_sync", 0, "slow", trouble=0),
    Pipeline("payments_hourly", 8, "failed", trouble=0),
    Pipeline("inventory_snapshot", 2, "missing", missing=4),
    Pipeline("shipments_hourly", 10, "recovered", trouble=8),
    Pipeline("finance_report", 15, "late", trouble=0),
    Pipeline("marketing_attribution", 24, "hanging", trouble=0),
)


class Arrival(NamedTuple):
    """One event. received_at: epoch seconds at which its body was complete."""

    received_at: float
    event: dict[str, Any]


class Export(NamedTuple):
    """One export of spans. received_at: epoch seconds at which its body was complete."""

    received_at: float
    request: ExportTraceServiceRequest


@dataclass(slots=True)
class Slots:
    """The slots of one pipeline in this recording. last: aware UTC, still ahead when the recording begins."""

    pipeline: Pipeline
    last: datetime
    unpaused_at: float | None = None
    paused_at: float | None = None
    first_missing: datetime | None = None

    @property
    def dag_id(self) -> str:
        return self.pipeline.dag_id

    @property
    def cron(self) -> str:
        return f"{self.last.minute} * * * *"

    @property
    def first(self) -> datetime:
        return self.last - (SLOTS - 1) * SLOT

    @property
    def trouble(self) -> datetime | None:
        """The slot in which the scenario shows, and for a paused pipeline the first that never starts."""
        return self.first_missing if self.pipeline.trouble is None else self.last - self.pipeline.trouble * SLOT

    @property
    def to_catch_up(self) -> int:
        """How many runs shall be over before the tick of the last slot."""
        return SLOTS - max(1, self.pipeline.missing)


@dataclass(frozen=True, slots=True)
class Outage:
    """When the scheduler was down, epoch seconds."""

    stopped_at: float
    started_at: float


@dataclass(frozen=True, slots=True)
class Recording:
    """What `record` brings home; events and spans are scrubbed. began_at, ended_at: epoch seconds."""

    arrivals: list[Arrival]
    exports: list[Export]
    slots: list[Slots]
    outage: Outage
    versions: dict[str, str]
    began_at: float
    ended_at: float


class Capture:
    """A receiver on a loopback port that keeps every event and every export of spans, and answers 200 at once."""

    def __init__(self) -> None:
        self._arrived: list[tuple[float, str, bytes]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._keep))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def arrivals(self) -> list[Arrival]:
        """All events so far, in arrival order."""
        return [Arrival(at, json.loads(body)) for at, body in self._of("/api/v1/lineage")]

    def exports(self) -> list[Export]:
        """All exports of spans so far, in arrival order."""
        return [Export(at, ExportTraceServiceRequest.FromString(body)) for at, body in self._of("/v1/traces")]

    def _of(self, path: str) -> list[tuple[float, bytes]]:
        with self._lock:
            return [(at, gzip.decompress(body)) for at, where, body in self._arrived if where == path]

    def _keep(self, path: str, body: bytes) -> None:
        with self._lock:
            self._arrived.append((time.time(), path, body))


def _handler(keep: Callable[[str, bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            keep(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Leave the terminal to the progress of the recording."""

    return Handler


@dataclass(frozen=True, slots=True)
class Scrub:
    """Replaces what names the recording machine. paths: wherever they occur; names: only as a whole string."""

    paths: Sequence[tuple[str, str]]
    names: Mapping[str, str]

    @classmethod
    def of(cls, airflow: Airflow, scratch: Path) -> Self:
        """Everything of this machine that Airflow could have seen."""
        paths = {
            str(airflow.dags): "/opt/airflow/dags",
            str(airflow.home): "/opt/airflow",
            str(airflow.venv): "/opt/airflow/venv",
            str(scratch): "/opt/shop",
            sys.base_prefix: "/usr/local",
            str(Path(sys.base_prefix).resolve()): "/usr/local",
            str(Path.home()): "/home/airflow",
        }
        host = socket.gethostname()
        names = dict.fromkeys((host, socket.getfqdn()), "airflow-1")
        # A path inside another one is replaced before that other one.
        return cls(sorted(paths.items(), key=lambda pair: -len(pair[0])), names)

    def __call__(self, value: Any) -> Any:
        """A scrubbed copy of a JSON value; keys stay as they are."""
        match value:
            case str():
                for old, new in self.paths:
                    value = value.replace(f"{old}/", f"{new}/")
                return self.names.get(value, value)
            case list():
                return [self(item) for item in cast("list[Any]", value)]
            case dict():
                return {key: self(item) for key, item in cast("dict[str, Any]", value).items()}
            case _:
                return value

    def spans(self, export: Export) -> Export:
        """A scrubbed copy: every text of it."""
        request = ExportTraceServiceRequest.FromString(export.request.SerializeToString())
        self._scrub_message(request)
        return Export(export.received_at, request)

    def _scrub_message(self, message: Message) -> None:
        for field, value in message.ListFields():
            repeated = field.is_repeated
            if field.message_type is not None:
                for item in value if repeated else [value]:
                    self._scrub_message(item)
            elif field.type == field.TYPE_STRING:
                if repeated:
                    value[:] = [self(item) for item in value]
                else:
                    setattr(message, field.name, self(value))


def record(base: datetime) -> Recording:
    """Record the day. base: the minute at which the cron with minute 0 ticks for its last slot, aware UTC."""
    slots = [Slots(pipeline, last=base + timedelta(minutes=pipeline.minute)) for pipeline in PIPELINES]
    venv = ensure_airflow()
    began_at = time.time()
    with Capture() as capture, tempfile.TemporaryDirectory(prefix="shop-") as folder:
        scratch = Path(folder)
        (scratch / "plan.json").write_text(json.dumps({each.dag_id: _plan(each) for each in slots}))
        environment = {
            "AIRFLOW__API__BASE_URL": "http://airflow.example.com:8080",  # it stands in each log_url
            "AIRFLOW__CORE__PARALLELISM": "8",  # a worker stays busy for 5 s after its task has ended
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            **_tracing(capture.url),
            "SHOP_LAKE": str(scratch / "lake"),
            "SHOP_PLAN": str(scratch / "plan.json"),
        }
        lineage = Lineage(capture.url, token="recording", namespace=NAMESPACE)
        with Airflow(venv, dags=DAGS / "day", lineage=lineage, environment=environment) as airflow:
            _say("Airflow is up")
            scrub = Scrub.of(airflow, scratch)
            versions = airflow.versions()
            catch_up(airflow, slots)
            outage = play_last_slots(airflow, slots)
            # Taken before Airflow ends: how the hanging run ends is no part of the day.
            arrivals = [Arrival(at, scrub(event)) for at, event in capture.arrivals()]
            exports = [scrub.spans(export) for export in capture.exports()]
    return Recording(arrivals, exports, slots, outage, versions, began_at, time.time())


def _tracing(url: str) -> dict[str, str]:
    """What makes Airflow 3 export its spans, and those of its tasks, over HTTP (docs/traces.md)."""
    return {
        "AIRFLOW__TRACES__OTEL_ON": "True",
        "AIRFLOW__TRACES__TASK_RUNNER_FLUSH_TIMEOUT_MILLISECONDS": "3000",
        "OTEL_SERVICE_NAME": "airflow",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "otlp_proto_http",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }


def _plan(each: Slots) -> dict[str, str | None]:
    """What the DAG file of one pipeline has to know (tests/e2e/dags/day/shop/plan.py)."""
    return {
        "cron": each.cron,
        "first_slot": each.first.isoformat(),
        "trouble_slot": each.trouble.isoformat() if each.trouble else None,
    }


def catch_up(airflow: Airflow, slots: Sequence[Slots]) -> None:
    """Let the pipelines run their past slots, AT_ONCE pipelines side by side, and pause the one that goes missing."""
    waiting = list(slots)
    running: list[Slots] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            each = waiting.pop(0)
            each.unpaused_at = time.time()
            airflow.unpause(each.dag_id)
            running.append(each)
        for each in list(running):
            if has_caught_up(airflow, each):
                running.remove(each)
                _say(f"{each.dag_id} has caught up")
        time.sleep(0.2)


def has_caught_up(airflow: Airflow, each: Slots) -> bool:
    """Whether the past runs of a pipeline are over and, if it goes missing, it was paused between two runs."""
    runs = airflow.dag_runs(each.dag_id)
    if len(runs) < each.to_catch_up or not all(run.is_over for run in runs):
        return False
    if not each.pipeline.missing:
        return True
    airflow.pause(each.dag_id)
    each.paused_at = time.time()
    runs = airflow.dag_runs(each.dag_id)
    if all(run.is_over for run in runs):
        each.first_missing = each.first + len(runs) * SLOT
        return True
    airflow.unpause(each.dag_id)  # a run that is caught open by the pause would never end
    return False


def play_last_slots(airflow: Airflow, slots: Sequence[Slots]) -> Outage:
    """Wait for the ticks of the last slots; the scheduler is away around that of the late pipeline."""
    by_scenario = {each.pipeline.scenario: each for each in slots}
    late, hanging = by_scenario["late"], by_scenario["hanging"]
    for each in sorted(slots, key=lambda each: each.last):
        if each.last < late.last and not each.pipeline.missing:
            wait_for_last_run(airflow, each, {"success", "failed"})
    _sleep_until(late.last - OUTAGE_BEFORE)
    stopped_at = time.time()
    airflow.stop_scheduler()
    _say("the scheduler is down")
    _sleep_until(late.last + OUTAGE_AFTER)
    started_at = time.time()
    airflow.start_scheduler()
    _say("the scheduler is up again")
    wait_for_last_run(airflow, late, {"success", "failed"})
    wait_for_last_run(airflow, hanging, {"running"})
    time.sleep(HANGING_FOR_S)
    return Outage(stopped_at, started_at)


def wait_for_last_run(airflow: Airflow, each: Slots, states: set[str]) -> None:
    """Wait until the run of the last slot exists and is in one of `states`."""
    _sleep_until(each.last)

    def probe() -> bool:
        return any(run.run_after == each.last and run.state in states for run in airflow.dag_runs(each.dag_id))

    airflow.wait_for(f"the last run of {each.dag_id} to be {states}", probe, timeout_s=LAST_RUN_TIMEOUT_S)
    time.sleep(SETTLE_S)
    _say(f"{each.dag_id} has played its last slot")


def write(recording: Recording, out: Path) -> None:
    """Write events and manifest below `out`."""
    out.mkdir(parents=True, exist_ok=True)
    _write_lines(out / EVENTS, [arrival._asdict() for arrival in recording.arrivals])
    exports = [
        {"received_at": at, "request": base64.b64encode(request.SerializeToString()).decode()}
        for at, request in recording.exports
    ]
    _write_lines(out / SPANS, exports)
    (out / MANIFEST).write_text(json.dumps(manifest(recording), indent=2) + "\n")


def _write_lines(file: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """No file name and no time in the header: the same items make the same bytes."""
    with file.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        packed.write("".join(f"{json.dumps(item, separators=(',', ':'))}\n" for item in items).encode())


def manifest(recording: Recording) -> dict[str, Any]:
    """What the events alone do not tell. Times are epoch seconds, but recorded_at, which is ISO 8601 in UTC."""
    return {
        "recorded_at": datetime.fromtimestamp(recording.began_at, UTC).isoformat(timespec="seconds"),
        "began_at": recording.began_at,
        "ended_at": recording.ended_at,
        "namespace": NAMESPACE,
        "versions": recording.versions,
        "events": len(recording.arrivals),
        "spans": sum(map(span_count, recording.exports)),
        "scheduler_outages": [
            {"stopped_at": recording.outage.stopped_at, "started_at": recording.outage.started_at},
        ],
        "dags": [
            {
                "dag_id": each.dag_id,
                "cron": each.cron,
                "scenario": each.pipeline.scenario,
                "description": SCENARIOS[each.pipeline.scenario],
                "first_slot": each.first.timestamp(),
                "last_slot": each.last.timestamp(),
                "trouble_slot": each.trouble.timestamp() if each.trouble else None,
                "unpaused_at": each.unpaused_at,
                "paused_at": each.paused_at,
            }
            for each in sorted(recording.slots, key=lambda each: each.last.minute)
        ],
    }


def span_count(export: Export) -> int:
    return sum(len(scope.spans) for resource in export.request.resource_spans for scope in resource.scope_spans)


def read(out: Path) -> tuple[list[Arrival], dict[str, Any]]:
    """The events and the manifest below `out`."""
    with gzip.open(out / EVENTS, "rt") as lines:
        arrivals = [Arrival(**json.loads(line)) for line in lines]
    return arrivals, json.loads((out / MANIFEST).read_text())


@dataclass(slots=True)
class Run:
    """One DAG run as the events tell it. Epoch seconds; state: None while it runs, then its last event type."""

    run_after: float
    started_at: float
    ended_at: float | None = None
    state: str | None = None


def runs_of(arrivals: Sequence[Arrival]) -> dict[str, list[Run]]:
    """The runs of each DAG, sorted by run_after."""
    runs: defaultdict[str, dict[str, Run]] = defaultdict(dict)
    for _, event in arrivals:
        facet: dict[str, Any] | None = event["run"]["facets"].get("airflowDagRun")
        if facet is None:
            continue
        at = datetime.fromisoformat(event["eventTime"]).timestamp()
        run_after = datetime.fromisoformat(facet["dagRun"]["run_after"]).timestamp()
        of_dag, run_id = runs[facet["dag"]["dag_id"]], str(event["run"]["runId"])
        if event["eventType"] == "START":
            of_dag[run_id] = Run(run_after, at)
        else:
            of_dag[run_id].ended_at, of_dag[run_id].state = at, str(event["eventType"])
    return {dag_id: sorted(found.values(), key=lambda run: run.run_after) for dag_id, found in runs.items()}


def delays(runs: Sequence[Run], unpaused_at: float) -> list[float]:
    """Seconds from the moment a run could start, which is its tick, the end of the run before or the unpause."""
    ends = [0.0, *(run.ended_at or run.started_at for run in runs)]
    return [
        run.started_at - max(run.run_after, before, unpaused_at) for run, before in zip(runs, ends[:-1], strict=True)
    ]


def summary(out: Path) -> str:
    """A table of the recording: runs, durations and delays of each pipeline."""
    arrivals, facts = read(out)
    runs = runs_of(arrivals)
    size = (out / EVENTS).stat().st_size
    spans_size = (out / SPANS).stat().st_size
    took = facts["ended_at"] - facts["began_at"]
    lines = [
        f"{len(arrivals)} events, {size:,} bytes, {facts['spans']} spans, {spans_size:,} bytes, "
        f"recorded in {took / 60:.1f} minutes",
        f"{'pipeline':24}{'cron':14}{'scenario':11}{'runs':>5}{'fail':>5}{'open':>5}"
        f"{'median s':>10}{'max s':>8}{'delay med':>11}{'max':>8}{'last':>8}",
    ]
    for dag in facts["dags"]:
        found = runs[dag["dag_id"]]
        durations = [run.ended_at - run.started_at for run in found if run.ended_at]
        waited = delays(found, dag["unpaused_at"])
        failed, still_open = sum(run.state == "FAIL" for run in found), sum(run.state is None for run in found)
        lines.append(
            f"{dag['dag_id']:24}{dag['cron']:14}{dag['scenario']:11}{len(found):5}{failed:5}{still_open:5}"
            f"{statistics.median(durations):10.1f}{max(durations):8.1f}"
            f"{statistics.median(waited):11.1f}{max(waited):8.1f}{waited[-1]:8.1f}"
        )
    return "\n".join(lines)


def base_of_recording(now: datetime, lead: timedelta, *, start_now: bool) -> datetime:
    """The next full hour that leaves time to catch up, or the next such minute. now: aware UTC."""
    step = timedelta(minutes=1) if start_now else SLOT
    epoch = datetime.fromtimestamp(0, UTC)
    return epoch - (epoch - now - lead) // step * step


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, moment.timestamp() - time.time()))


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Record, write and summarise; see the head of this module."""
    parser = argparse.ArgumentParser(description="Record a day of real Airflow for `make demo`.")
    parser.add_argument("--start-now", action="store_true", help="move all crons instead of waiting for the hour")
    parser.add_argument("--lead", type=float, default=LEAD_MIN, help="minutes to catch up in (default %(default)s)")
    parser.add_argument("--summary", action="store_true", help="only say what the recording holds")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the recording")
    options = parser.parse_args(arguments)
    if not options.summary:
        lead = timedelta(minutes=options.lead)
        base = base_of_recording(datetime.now(UTC), lead, start_now=options.start_now)
        _say(f"the last slots tick from {base:%H:%M} on")
        _sleep_until(base - lead)
        write(record(base), options.out)
    print(summary(options.out))


if __name__ == "__main__":
    main()
