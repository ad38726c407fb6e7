"""A trace to a cause, whole: a small pipeline instrumented with OpenTelemetry's own SDK exports its spans to a real
Watchtower, tells its runs by OpenLineage, and what people read is compared word for word. Spans have the times of a
real run; they are given, so that nobody waits for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from tests.app.house import House, event, running, until
from tests.simulators.webhook import WebhookSimulator

PIPELINE = "orders_daily"
GOOD_RUNS = 6
CONFIG = """
store: {store!r}
rules:
  - {{alert: OrdersFailed, kind: run_failure, match: {{pipeline: orders_daily}}}}
  - {{alert: OrdersSlow, kind: duration, match: {{pipeline: orders_daily}}, max: 90s}}
outbound: {{allow: [127.0.0.0/8]}}
route: {{receiver: team, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
  - {{name: team, webhook_configs: [{{url: {url!r}}}]}}
"""

GOLDEN = "failed at validate: GET /orders took 3,000 ms at p95 against 200 ms, 15 % of calls"


@dataclass(frozen=True, slots=True)
class Work:
    """What one run does, task by task: each call with its seconds. failing: how many of the last calls of an operation
    fail, and with what. error: with which the task `fails_at` fails, "" for none."""

    extract: Sequence[tuple[str, float]] = (("SELECT customers", 0.06),) * 50
    validate: Sequence[tuple[str, float]] = (("GET /orders", 0.2),) * 40
    load: Sequence[tuple[str, float]] = (("INSERT warehouse.orders", 0.05),) * 40
    failing: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    fails_at: str = ""
    error: str = ""

    @property
    def tasks(self) -> list[tuple[str, Sequence[tuple[str, float]]]]:
        return [("extract", self.extract), ("validate", self.validate), ("load", self.load)]


USUAL = Work()
SIX_WAIT = Work(
    validate=[("GET /orders", 0.2)] * 34 + [("GET /orders", 3.0)] * 6,
    fails_at="validate",
    error="6 orders came too late",
)


class Clockwork:
    """Spans one after the other, from `begin` on."""

    def __init__(self, tracer: Tracer, begin: datetime) -> None:
        self._tracer = tracer
        self.now_ns = int(begin.timestamp() * 1e9)

    def open(self, name: str, parent: Span | None, **attributes: str) -> Span:
        context = set_span_in_context(parent) if parent else None
        return self._tracer.start_span(name, context, attributes=attributes, start_time=self.now_ns)

    def call(self, name: str, parent: Span, seconds: float, error: str) -> None:
        context = set_span_in_context(parent)
        span = self._tracer.start_span(name, context, kind=SpanKind.CLIENT, start_time=self.now_ns)
        self.now_ns += round(seconds * 1e9)
        self.close(span, error)

    def close(self, span: Span, error: str) -> None:
        if error:
            span.record_exception(RuntimeError(error), timestamp=self.now_ns)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(self.now_ns)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ns / 1e9, UTC)


class Shop:
    """The pipeline and its exporter. Each run is one trace; its spans say which run they are of."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.begun = house.instance.clock.now() - timedelta(minutes=45)

    def run(self, number: int, work: Work = USUAL, *, told: bool = True) -> TracerProvider:
        """told: its spans are exported at once, before its events; else by `shutdown` of what is returned."""
        run = str(uuid4())
        said = {"openlineage.run_id": run, "openlineage.job.namespace": "prod", "openlineage.job.name": PIPELINE}
        provider = TracerProvider(resource=Resource.create({"service.name": "orders", **said}))
        address = self.house.instance.server.address_of("otlp_http")
        headers = {"authorization": f"Bearer {self.house.ingest}"}
        exporter = OTLPSpanExporter(f"http://{address}/v1/traces", headers=headers)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
        events = self._work(provider.get_tracer("shop"), run, self.begun + timedelta(minutes=4 * number), work)
        if told:
            provider.shutdown()
        self.house.store(*events)
        return provider

    def _work(self, tracer: Tracer, run: str, begin: datetime, work: Work) -> list[dict[str, Any]]:
        spans = Clockwork(tracer, begin)
        events = [event(begin, "START", PIPELINE, run)]
        root = spans.open(PIPELINE, None)
        for task, calls in work.tasks:
            ident = str(uuid4())
            events.append(_task_event(spans.now, "START", run, task=task, ident=ident))
            span = spans.open(f"task {task}", root, **{"watchtower.task": task})
            before: dict[str, int] = {}
            for name, seconds in calls:
                before[name] = before.get(name, 0) + 1
                count, error = work.failing.get(name, (0, ""))
                fails = before[name] > sum(one == name for one, _ in calls) - count
                spans.call(name, span, seconds, error if fails else "")
            failed = work.error if task == work.fails_at else ""
            spans.close(span, failed)
            events.append(
                _task_event(spans.now, "FAIL" if failed else "COMPLETE", run, task=task, ident=ident, error=failed)
            )
            if failed:
                break
        spans.close(root, work.error)
        events.append(event(spans.now, "FAIL" if work.error else "COMPLETE", PIPELINE, run))
        return events


def _task_event(when: datetime, event_type: str, run: str, *, task: str, ident: str, error: str = "") -> dict[str, Any]:
    about = {"_producer": "https://example.org/producer", "_schemaURL": "https://example.org/facet.json"}
    facets: dict[str, Any] = {
        "parent": {**about, "run": {"runId": run}, "job": {"namespace": "prod", "name": PIPELINE}},
    }
    if error:
        facets["errorMessage"] = {**about, "message": error, "programmingLanguage": "PYTHON"}
    return {**event(when, event_type, f"{PIPELINE}.{task}", ident), "run": {"runId": ident, "facets": facets}}


@pytest.fixture
def hook() -> Any:
    with WebhookSimulator(datetime.now(UTC)) as simulator:
        yield simulator


def told(hook: WebhookSimulator) -> list[dict[str, Any]]:
    return [request.json for request in hook.requests]


def reasons(hook: WebhookSimulator) -> list[str]:
    return [message["notification_reason"] for message in told(hook)]


def known(house: House, runs: int) -> bool:
    """So many runs have a trace whose spans are all counted."""
    found = [house.items(f"/api/v1/traces?run_id={run['id']}") for run in house.items("/api/v1/runs?top_level=true")]
    return [len(some) for some in found if all(one["complete"] for one in some)] == [1] * runs


def test_who_was_told_of_a_failure_reads_which_call_was_slow(
    database_url: str, tmp_path: Path, hook: WebhookSimulator
) -> None:
    with running(tmp_path, CONFIG.format(store=database_url, url=hook.url)) as house:
        shop = Shop(house)
        for number in range(GOOD_RUNS):
            shop.run(number)
        until(lambda: known(house, GOOD_RUNS), "the good runs are known")
        spans = shop.run(GOOD_RUNS, SIX_WAIT, told=False)
        until(lambda: reasons(hook) == ["first notification"], "the failure is told")
        [alert] = told(hook)[0]["alerts"]
        assert "at task validate" in alert["annotations"]["summary"]
        assert "6 orders came too late" in alert["annotations"]["summary"]
        assert "cause" not in alert["annotations"]

        spans.shutdown()  # the exporter sends what it has
        until(lambda: reasons(hook) == ["first notification", "cause found"], "the cause is told")
        [alert] = told(hook)[1]["alerts"]
        assert alert["annotations"]["cause"] == GOLDEN
        [alert] = house.items("/api/v1/alerts?state=firing")
        assert (alert["evidence"]["cause"], alert["annotations"]["cause"]) == (GOLDEN, GOLDEN)
        figures = alert["evidence"]["cause_evidence"]
        assert (figures["operation"], figures["service"], figures["task"]) == ("GET /orders", "orders", "validate")
        assert (figures["calls"], figures["share"], figures["usual_calls"]) == (40, 0.15, 40.0)
        [trace] = house.items(f"/api/v1/traces?run_id={alert['evidence']['run_id']}")
        assert figures["trace_id"] == trace["trace_id"]
        whole = house.get(f"/api/v1/traces/{trace['trace_id']}")
        slowest = next(span for span in whole["spans"] if span["span_id"] == figures["span_id"])
        assert (slowest["name"], slowest["duration_s"]) == ("GET /orders", 3.0)

        [incident] = house.items("/api/v1/incidents")
        assert incident["summary"].endswith(f"\nCause: {GOLDEN}")
        found = house.get(f"/api/v1/incidents/{incident['id']}")
        assert found["cause"]["sentence"] == GOLDEN
        assert [line["text"] for line in found["timeline"] if line["kind"] == "cause_found"] == [
            f"The cause is known: {GOLDEN}"
        ]


def test_an_error_is_told_where_it_began_and_a_slow_run_by_what_took_longer(
    database_url: str, tmp_path: Path, hook: WebhookSimulator
) -> None:
    deadlocks = {"INSERT warehouse.orders": (12, "deadlock detected")}
    broken = Work(failing=deadlocks, fails_at="load", error="OperationalError: deadlock detected")
    slow = Work(extract=[("SELECT customers", 0.06)] * 5 + [("SELECT customers", 2.0)] * 45)
    with running(tmp_path, CONFIG.format(store=database_url, url=hook.url)) as house:
        shop = Shop(house)
        for number in range(GOOD_RUNS):
            shop.run(number)
        until(lambda: known(house, GOOD_RUNS), "the good runs are known")
        shop.run(GOOD_RUNS, broken)
        assert until(lambda: causes(house), "the failure has a cause") == {
            "OrdersFailed": "failed at load: INSERT warehouse.orders failed in 12 of 40 calls (usually none): "
            "deadlock detected"
        }
        shop.run(GOOD_RUNS + 1, slow)
        assert until(lambda: causes(house).get("OrdersSlow"), "the slowness has a cause") == (
            "slow at extract: SELECT customers took 90 s of own time against 3 s, "
            "p95 2,000 ms against 60 ms, 90 % of calls"
        )


def causes(house: House) -> dict[str, str]:
    """Of the alerts that fire, where there is one."""
    alerts = house.items("/api/v1/alerts?state=firing")
    return {one["labels"]["alertname"]: one["evidence"]["cause"] for one in alerts if "cause" in one["evidence"]}
