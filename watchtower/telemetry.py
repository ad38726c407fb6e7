"""Watchtower's own telemetry: every metric and label name, JSON logs, and traces when they are configured.

Names are `watchtower_<noun>_<unit>_total`; labels come from bounded sets. Dashboards, shipped meta-alerts and
docs/operations.md are compared with this module, so a name exists here or nowhere.
"""

import contextlib
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import IO, Any, Final

import msgspec
import prometheus_client
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, exposition
from prometheus_client import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from watchtower.model.run import RunState

REGISTRY = CollectorRegistry(auto_describe=True)
_EOF = b"# EOF\n"

# From a commit in a fraction of a millisecond to the 9.2 s after which an OpenLineage client gives up.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_RUN_BUCKETS = (10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
_RESPONSE_BUCKETS = (60.0, 300.0, 600.0, 3600.0, 14400.0, 86400.0)  # the first four are Grafana OnCall's


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as it is scraped; kind: counter, gauge or histogram. stored: read from the store at a scrape, so that
    replicas show the same value; others are of the process that is scraped."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    stored: bool = False


_METRICS: list[Metric] = []


def _counter(name: str, text: str, *labels: str) -> Counter:
    _METRICS.append(Metric(name, "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    _METRICS.append(Metric(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    _METRICS.append(Metric(name, "histogram", text, labels))
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


class Tally:
    """What one thread counts for a counter with its labels set, as a plain number: added to the counter at each scrape.
    A counter of prometheus-client takes a lock and costs as much as parsing a header, and each request has several."""

    __slots__ = ("_counter", "_told", "_total")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = self._told = 0
        _TALLIES.append(self)

    def inc(self, amount: int = 1) -> None:
        self._total += amount

    def tell(self) -> None:
        """In the thread of a scrape."""
        with _TELLING:
            total = self._total
            self._counter.inc(total - self._told)
            self._told = total


_TALLIES: list[Tally] = []
_TELLING = threading.Lock()


class _Teller(Collector):
    """Has no metrics of its own. Registered before all that have: a scrape asks collectors in that order."""

    def collect(self) -> Iterable[PrometheusMetric]:
        for tally in _TALLIES:
            tally.tell()
        return ()


@cache
def tally(counter: Counter, *labels: str) -> Tally:
    """The one tally of counter with these labels, in the order of its label names."""
    return Tally(counter.labels(*labels))


REGISTRY.register(_Teller())
ProcessCollector(registry=REGISTRY)  # process_cpu_seconds_total, process_resident_memory_bytes, …
prometheus_client.disable_created_metrics()  # they double the series and nobody asks for them


def _stored(name: str, text: str, *labels: str, kind: str = "gauge") -> Metric:
    _METRICS.append(Metric(name, kind, text, labels, stored=True))
    return _METRICS[-1]


# -- ingest -------------------------------------------------------------------------------------------------------

INGEST_REQUESTS = _counter(
    "watchtower_ingest_requests_total", "Requests on ingest routes, by collector and answer.", "collector", "code"
)
INGEST_EVENTS = _counter(
    "watchtower_ingest_events_total",
    "Events received, by what became of them: accepted, quarantined, refused.",
    "collector",
    "result",
)
INGEST_DROPS = _counter(
    "watchtower_ingest_refusals_total",
    "Requests and events not folded, by collector and reason.",
    "collector",
    "reason",
)
INGEST_SKIPPED = _counter(
    "watchtower_ingest_skipped_fields_total",
    "Fields that were there, could not be read and were left out, by their path.",
    "collector",
    "field",
)
INGEST_BYTES = _counter("watchtower_ingest_body_bytes_total", "Bytes of bodies received, inflated.", "collector")
INGEST_SECONDS = _histogram(
    "watchtower_ingest_request_seconds", "Time from the whole body to the answer.", _REQUEST_BUCKETS, "collector"
)
INGEST_INFLIGHT = _gauge("watchtower_ingest_inflight_bytes", "Bytes of bodies that are being received or stored.")
INGEST_LAST = _gauge("watchtower_ingest_last_event_timestamp_seconds", "When the last event was accepted.", "collector")

# -- spans --------------------------------------------------------------------------------------------------------

SPANS = _counter(
    "watchtower_spans_walked_total", "Spans taken from stored batches: new, or repeated by their exporter.", "result"
)
SPANS_WAITING = _gauge("watchtower_spans_waiting", "Spans that are stored and not yet in any figure.")
SPANS_LAG = _gauge("watchtower_spans_lag_seconds", "How long the oldest of them waits.")
TRACE_JOINS = _counter(
    "watchtower_trace_lookups_total",
    "Looks for the run of a trace: joined, ambiguous (more than one pipeline has such a run), unknown.",
    "result",
)

# -- spool --------------------------------------------------------------------------------------------------------

SPOOL_BYTES = _gauge("watchtower_spool_bytes", "Bytes of events that wait on the disk for the store.")
SPOOL_RECORDS = _counter(
    "watchtower_spool_records_total",
    "Requests written to the spool (in), and from there to the store (out).",
    "direction",
)
SPOOL_DAMAGED = _counter("watchtower_spool_damaged_bytes_total", "Bytes of spool segments that could not be read.")
STORE_BYPASSED = _gauge(
    "watchtower_store_bypassed", "1 while events go to the spool because the store is slow or away."
)

# -- HTTP ---------------------------------------------------------------------------------------------------------

HTTP_REQUESTS = _counter(
    "watchtower_http_requests_total", "Requests on all other routes, by route and answer.", "route", "method", "code"
)
HTTP_SECONDS = _histogram("watchtower_http_request_seconds", "Time to answer them.", _REQUEST_BUCKETS, "route")
HTTP_FAULTS = _counter("watchtower_http_faults_total", "Requests that met a fault of ours, by route.", "route")
AUTH_FAILURES = _counter("watchtower_auth_failures_total", "Requests refused by access control, by reason.", "reason")

# -- rules and alerts ---------------------------------------------------------------------------------------------

RULE_EVALUATIONS = _counter(
    "watchtower_rule_evaluations_total", "Evaluations of a rule on a subject, by kind and result.", "kind", "result"
)
RULE_SECONDS = _histogram("watchtower_rule_evaluation_seconds", "Time of one pass over due subjects.", _REQUEST_BUCKETS)
DUE_LAG = _histogram("watchtower_due_lag_seconds", "How late due rows were taken up, by lane.", _WAIT_BUCKETS, "lane")
ALERT_TRANSITIONS = _counter(
    "watchtower_alert_transitions_total",
    "Alerts that began to fire or were resolved, by rule kind.",
    "kind",
    "transition",
)

# -- polls --------------------------------------------------------------------------------------------------------

SOURCE_POLLS = _counter(
    "watchtower_source_polls_total",
    "Polls of a source, by what became of them: ok, or why they ended early.",
    "source",
    "collector",
    "result",
)
SOURCE_SECONDS = _histogram(
    "watchtower_source_poll_seconds", "Time that a whole poll of a source took.", _WAIT_BUCKETS, "source"
)
SOURCE_RECORDS = _counter(
    "watchtower_source_records_total",
    "Records that polls brought: new, known (stored before, as they are), quarantined.",
    "source",
    "result",
)

# -- bills --------------------------------------------------------------------------------------------------------

BILL_IMPORTS = _counter(
    "watchtower_bill_imports_total",
    "Bills that feeds brought, by what became of them: changed, known, refused, failed.",
    "result",
)
BILL_LAST = _gauge(
    "watchtower_bill_last_look_timestamp_seconds", "When a source of bills was last looked at with success.", "source"
)

# -- delivery -----------------------------------------------------------------------------------------------------

DELIVERY_ATTEMPTS = _counter(
    "watchtower_delivery_attempts_total",
    "Attempts to deliver a notice, by channel, result and reason.",
    "channel",
    "result",
    "reason",
)
DELIVERY_SECONDS = _histogram(
    "watchtower_delivery_attempt_seconds", "Time of one attempt, by channel.", _REQUEST_BUCKETS, "channel"
)
DEAD_LETTERS = _counter(
    "watchtower_dead_letters_total", "Obligations given up, by channel and reason.", "channel", "reason"
)
DUPLICATES = _counter(
    "watchtower_delivery_duplicates_total", "Visible effects beyond the first, by channel.", "channel"
)

HOOKS = _counter(
    "watchtower_hook_requests_total",
    "Callbacks of providers, by hook and by what came of them or why they were refused.",
    "hook",
    "result",
)

# -- the whole ----------------------------------------------------------------------------------------------------

HEARTBEATS = _counter("watchtower_heartbeats_total", "Heartbeats to outside, by result.", "result")
ROUND_TRIPS = _counter(
    "watchtower_round_trips_total", "Watchtower's own events, by the stage that they came to in time.", "stage"
)
ROUND_TRIP_LAST = _gauge(
    "watchtower_round_trip_last_timestamp_seconds", "When the last of them had gone through the whole path."
)
ROUND_TRIP_SECONDS = _gauge("watchtower_round_trip_seconds", "How long that one took.")
STAGE_LAST = _gauge("watchtower_stage_last_progress_timestamp_seconds", "When each stage last advanced.", "stage")
DISK_FREE = _gauge("watchtower_disk_free_bytes", "Room on the disk of an SQLite store.")
DISK_REFUSING = _gauge(
    "watchtower_disk_low", "1 while events are refused because the disk of the store is nearly full."
)
BACKUP_LAST = _gauge("watchtower_backup_last_timestamp_seconds", "When this process last made a backup by itself.")
EMERGENCIES = _counter(
    "watchtower_emergencies_total", "Messages that Watchtower itself does not work, by result.", "result"
)
CONFIG_RELOADS = _counter("watchtower_config_reloads_total", "Reloads of the configuration, by result.", "result")
CONFIG_OK = _gauge("watchtower_config_last_reload_successful", "1 if the last reload was accepted.")
BUILD = _gauge("watchtower_build_info", "1, with the version that runs.", "version")
CLOCK = _gauge("watchtower_clock_timestamp_seconds", "What Watchtower's clock says at the scrape.")

# -- runs and people, as they end and answer ----------------------------------------------------------------------

RUN_SECONDS = _histogram(
    "watchtower_run_seconds",
    "Time from the start to the end of pipelines' runs that ended, by source and state.",
    _RUN_BUCKETS,
    "source",
    "state",
)
ACK_SECONDS = _histogram(
    "watchtower_incident_acknowledge_seconds",
    "From the beginning of an incident to its first acknowledgement.",
    _RESPONSE_BUCKETS,
    "severity",
    "team",
)
RESOLVE_SECONDS = _histogram(
    "watchtower_incident_resolve_seconds",
    "From the beginning of an incident to its end.",
    _RESPONSE_BUCKETS,
    "severity",
    "team",
)

# -- what the store holds, read at a scrape -----------------------------------------------------------------------

STATE_OK = _stored(
    "watchtower_state_scrape_ok", "1 if the metrics that are read from the store are in this answer, else 0."
)
STATE_SECONDS = _stored("watchtower_state_scrape_seconds", "Time that reading them from the store took.")
STATE_LEFT_OUT = _stored(
    "watchtower_state_left_out", "Pipelines, datasets, … beyond the limit of a scrape, which have no series.", "what"
)

_PIPELINE = ("source", "namespace", "pipeline", "team")
PIPELINES = _stored("watchtower_pipelines", "Pipelines that are known, by team.", "team")
PIPELINE_STATE = _stored(
    "watchtower_pipeline_last_run_state", "State of the newest run as a number, see below.", *_PIPELINE
)
PIPELINE_END_STATE = _stored(
    "watchtower_pipeline_last_end_state", "State of the newest run that has ended, as a number, see below.", *_PIPELINE
)
PIPELINE_START = _stored("watchtower_pipeline_last_start_timestamp_seconds", "When the newest run began.", *_PIPELINE)
PIPELINE_SUCCESS = _stored(
    "watchtower_pipeline_last_success_timestamp_seconds", "When the newest run that succeeded ended.", *_PIPELINE
)
PIPELINE_DURATION = _stored(
    "watchtower_pipeline_last_duration_seconds", "How long the newest run that has ended took.", *_PIPELINE
)
PIPELINE_OPEN = _stored("watchtower_pipeline_open_runs", "Runs that have not ended.", *_PIPELINE)
PIPELINE_RUNS = _stored(
    "watchtower_pipeline_runs_total",
    "Runs that ended since this process started, by state; backfills and replays are not counted.",
    *_PIPELINE,
    "state",
    kind="counter",
)
PIPELINE_RUN_SECONDS = _stored(
    "watchtower_pipeline_run_seconds_total",
    "Seconds that the runs counted in watchtower_pipeline_runs_total took.",
    *_PIPELINE,
    "state",
    kind="counter",
)
PIPELINE_ALERTS = _stored(
    "watchtower_pipeline_alerts", "Alerts of a pipeline and its tasks that fire.", *_PIPELINE, "severity"
)
DATASET_UPDATED = _stored(
    "watchtower_dataset_updated_timestamp_seconds",
    "When a dataset was last made new by a run that ended well.",
    *("namespace", "dataset", "team"),
)
ALERTS = _stored(
    "watchtower_alerts",
    "Alerts that are not over, by state (firing, unknown), severity, rule kind and team.",
    *("state", "severity", "kind", "team"),
)
ALERTS_OLDEST = _stored(
    "watchtower_alert_oldest_timestamp_seconds", "When the alert that fires longest began to.", "severity"
)
INCIDENTS = _stored("watchtower_incidents", "Incidents that are not resolved.", *("status", "severity", "team"))
SILENCES = _stored("watchtower_silences", "Silences that hold at present.")
OBLIGATIONS = _stored(
    "watchtower_obligations",
    "Obligations in the ledger that were not met, by state (due, sending, dead_letter) and destination.",
    *("state", "destination"),
)
OBLIGATION_OLDEST = _stored(
    "watchtower_obligation_oldest_timestamp_seconds", "Since when the oldest open obligation stands.", "destination"
)
DUE_OVERDUE = _stored(
    "watchtower_due_overdue_seconds", "How long the oldest row of a lane of the due queue is overdue.", "lane"
)
QUARANTINED = _stored("watchtower_quarantine_items", "Input that could not be understood and waits in quarantine.")

_SOURCE = ("source", "collector", "team")
SOURCE_LAG = _stored("watchtower_source_lag_seconds", "How long ago the last whole poll of a source began.", *_SOURCE)
SOURCE_SUCCESS = _stored(
    "watchtower_source_last_success_timestamp_seconds", "When the last whole poll of a source began.", *_SOURCE
)
SOURCE_EVENT = _stored(
    "watchtower_source_last_event_timestamp_seconds", "The newest thing that a source has told of.", *_SOURCE
)
SOURCE_FAILURES = _stored("watchtower_source_failures", "Polls of a source in a row that failed.", *_SOURCE)
SOURCE_PROBLEMS = _stored("watchtower_source_problems", "Things that a source says are wrong with it.", *_SOURCE)

COST_DAY = _stored(
    "watchtower_cost_day_amount",
    "Billed cost of each of the last 31 days (UTC), by the ten dearest services of a source and all others together.",
    *("day", "source", "service", "currency"),
)
BILL_COVERED = _stored(
    "watchtower_bill_covered_until_timestamp_seconds", "The end of what the bills of a source tell of.", "source"
)
BILL_LOADED = _stored(
    "watchtower_bill_loaded_timestamp_seconds", "When the newest bill of a source was loaded.", "source"
)
_BUDGET = ("budget", "team", "period", "currency")
BUDGET_LIMIT = _stored("watchtower_budget_limit_amount", "What may be spent in a period.", *_BUDGET)
BUDGET_SPENT = _stored(
    "watchtower_budget_spent_amount",
    "What was spent in the newest period that the bill tells of; missing while the bill is late or cannot be used.",
    *_BUDGET,
)
BUDGET_SHARE = _stored("watchtower_budget_share_ratio", "The same as a share of the limit, 1 is all of it.", *_BUDGET)
BUDGET_COVERED = _stored(
    "watchtower_budget_covered_until_timestamp_seconds", "How far the bills of a budget reach.", "budget", "team"
)
BUDGET_LATE = _stored(
    "watchtower_budget_late_seconds", "How long the bill of a budget is late, 0 while it is not.", "budget", "team"
)

_SLO = ("slo", "team")
SLO_TARGET = _stored("watchtower_slo_objective_ratio", "The share of events that must be good.", *_SLO, "objective")
SLO_EVENTS = _stored(
    "watchtower_slo_events",
    "Events (or slices) of the period so far, by verdict: good or bad.",
    *(*_SLO, "objective", "verdict"),
)
SLO_LEFT = _stored(
    "watchtower_slo_error_budget_remaining_ratio",
    "What is left of the error budget, 1 is all of it; below 0 more is used than there was; missing while unknown.",
    *_SLO,
)
SLO_BURN = _stored(
    "watchtower_slo_burn_rate",
    "How many times faster than allowed the budget goes, over each long window of its alerts.",
    *(*_SLO, "window"),
)
SLO_EXHAUSTION = _stored(
    "watchtower_slo_exhaustion_seconds",
    "Until nothing is left of the budget at the pace of the newest day; missing where it lasts.",
    *_SLO,
)

# A state that did not do its work is 7 or more: `>= 7` finds what is broken.
RUN_STATE_CODES: Final[Mapping[RunState, int]] = {
    RunState.QUEUED: 1,
    RunState.RUNNING: 2,
    RunState.RETRY_WAIT: 3,
    RunState.SUCCEEDED: 4,
    RunState.SKIPPED: 5,
    RunState.CANCELLED: 6,
    RunState.FAILED: 7,
    RunState.UPSTREAM_FAILED: 8,
    RunState.TIMED_OUT: 9,
    RunState.CRASHED: 10,
    RunState.LOST: 11,
}


def metrics() -> list[Metric]:
    """Every metric there is, by name."""
    return sorted(_METRICS, key=lambda metric: metric.name)


class Samples:
    """Values of stored metrics, each as it was read."""

    def __init__(self) -> None:
        self._values: dict[Metric, list[tuple[tuple[str, ...], float]]] = {}

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """labels: values, in the order of the metric's labels."""
        self._values.setdefault(metric, []).append((labels, value))

    def items(self) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
        for metric, values in self._values.items():
            for labels, value in values:
                yield metric, labels, value

    def of_team(self, team: str) -> "Samples":
        """Only what belongs to team; what belongs to none is left out."""
        own = Samples()
        for metric, values in self._values.items():
            if metric is STATE_OK or metric is STATE_SECONDS:
                own._values[metric] = values
            if "team" in metric.labels:
                place = metric.labels.index("team")
                own._values[metric] = [(labels, value) for labels, value in values if labels[place] == team]
        return own

    def text(self, *, openmetrics: bool) -> str:
        """The client's own encoder takes ten times as long, and holds up whoever is waiting for an answer meanwhile."""
        shown: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}  # of one pipeline for all of its metrics
        lines: list[str] = []
        for metric, values in self._values.items():
            name = metric.name.removesuffix("_total") if openmetrics else metric.name
            lines.append(f"# HELP {name} {_escaped(metric.text)}\n# TYPE {name} {metric.kind}\n")
            for labels, value in values:
                pairs = shown.get((metric.labels, labels))
                if pairs is None:
                    pairs = shown[metric.labels, labels] = _pairs(metric.labels, labels)
                lines.append(f"{metric.name}{pairs} {float(value)!r}\n")
        return "".join(lines)


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def render_metrics(accept: str, more: Samples | None = None) -> tuple[bytes, str]:
    """(body, content type): OpenMetrics with exemplars where accept asks for it, else the Prometheus text format.
    more: what was read from the store."""
    encode, content_type = exposition.choose_encoder(accept)
    own = encode(REGISTRY)
    if more is None:
        return own, content_type
    openmetrics = content_type.startswith("application/openmetrics-text")
    stored = more.text(openmetrics=openmetrics).encode("utf-8", "replace")
    if openmetrics:
        return own.removesuffix(_EOF) + stored + _EOF, content_type
    return own + stored, content_type


# -- logs ---------------------------------------------------------------------------------------------------------

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
# Anything that looks like one of our secrets, as a second net behind types that never show theirs.
_SECRET = re.compile(r"\bwt_[a-z]+_\w{6,}|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}|(?<=[?&]code=)[\w-]{16,}")
# The encoder escapes C0; these too move a terminal's cursor, end a line or turn the reading direction.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: time, level, logger, message, the facts given as `extra`, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            fields["trace_id"] = f"{context.trace_id:032x}"
        if record.exc_info and record.exc_info[0] is not None:
            # A filter may have made the text already, without what must not be logged.
            fields["exception"] = record.exc_text or "".join(traceback.format_exception(*record.exc_info))
        return to_line(fields)


def to_line(fields: Mapping[str, Any]) -> str:
    """JSON on one line, control characters escaped, secrets of ours replaced."""
    text = msgspec.json.encode(fields, enc_hook=str).decode()
    text = _SECRET.sub("***", text)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def configure_logging(stream: IO[str] | None = None, *, level: int = logging.INFO) -> None:
    """Send all logs to stream (standard error by default) as JSON lines; replaces what was configured before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # What uvicorn tells of each connection is a metric here, not a line.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)


# -- traces -------------------------------------------------------------------------------------------------------

_tracer: trace.Tracer | None = None


def configure_tracing(endpoint: str, *, version: str, headers: Mapping[str, str] | None = None) -> TracerProvider:
    """Send our own traces to endpoint (OTLP over HTTP, e.g. `http://127.0.0.1:4318/v1/traces`). The caller shuts the
    provider down. Until this is called, spans cost nothing."""
    global _tracer  # noqa: PLW0603 - one per process, as the SDK's own
    provider = TracerProvider(resource=Resource.create({"service.name": "watchtower", "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}))))
    _tracer = provider.get_tracer("watchtower")
    return provider


_NO_SPAN = contextlib.nullcontext()


def span(
    name: str, attributes: Mapping[str, str | int | float | bool] | None = None
) -> contextlib.AbstractContextManager[object]:
    """A span of our own work around the block; nothing while traces are not configured."""
    return _NO_SPAN if _tracer is None else _tracer.start_as_current_span(name, attributes=attributes)


def observe(histogram: Histogram, seconds: float, exemplar: Mapping[str, str] | None = None) -> None:
    """Record seconds, tied to exemplar, else to the current trace if there is one. histogram: with its labels set."""
    if exemplar is None and _tracer is not None:
        context = trace.get_current_span().get_span_context()
        exemplar = {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else None
    histogram.observe(max(0.0, seconds), dict(exemplar) if exemplar else None)
