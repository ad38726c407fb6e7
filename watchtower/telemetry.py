"""Watchtower's own telemetry: every metric and label name, JSON logs, and traces when they are configured.

Names are `watchtower_<noun>_<unit>_total`; labels come from bounded sets. Dashboards, shipped meta-alerts and
docs/operations.md are compared with this module, so a name exists here or nowhere.
"""

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition

REGISTRY = CollectorRegistry(auto_describe=True)

# From a commit in a fraction of a millisecond to the 9.2 s after which an OpenLineage client gives up.
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as it is scraped; kind: counter, gauge or histogram."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]


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
DELIVERY_WAIT = _histogram(
    "watchtower_delivery_wait_seconds",
    "From the transition to its first attempt, by channel.",
    _WAIT_BUCKETS,
    "channel",
)
OBLIGATIONS = _gauge("watchtower_obligations", "Obligations in the ledger that have not ended, by state.", "state")
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
STAGE_LAST = _gauge("watchtower_stage_last_progress_timestamp_seconds", "When each stage last advanced.", "stage")
CONFIG_RELOADS = _counter("watchtower_config_reloads_total", "Reloads of the configuration, by result.", "result")
CONFIG_OK = _gauge("watchtower_config_last_reload_successful", "1 if the last reload was accepted.")


def metrics() -> list[Metric]:
    """Every metric there is, by name."""
    return sorted(_METRICS, key=lambda metric: metric.name)


def render_metrics(accept: str) -> tuple[bytes, str]:
    """(body, content type): OpenMetrics with exemplars where accept asks for it, else the Prometheus text format."""
    encode, content_type = exposition.choose_encoder(accept)
    return encode(REGISTRY), content_type


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


@contextlib.contextmanager
def span(name: str, attributes: Mapping[str, str | int | float | bool] | None = None) -> Generator[None]:
    """A span of our own work around the block; nothing while traces are not configured."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def observe(histogram: Histogram, seconds: float) -> None:
    """Record seconds, tied to the current trace if there is one. histogram: with its labels set."""
    context = trace.get_current_span().get_span_context()
    histogram.observe(seconds, {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else None)
