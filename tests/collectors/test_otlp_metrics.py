"""OTLP metrics as series: each kind of point, both encodings, Airflow's double names, and what is rejected."""

import gzip
import json
import math
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from collectors.otlp import distributions
from collectors.otlp.airflow_metrics import Tagged, legacy_names
from collectors.otlp.metrics import MAX_POINTS, OtlpMetrics, OtlpMetricsConfig
from tests.otlp import key_values
from watchtower.model.run import JobRef
from watchtower.model.series import Sample, SeriesKind, SeriesPatch
from watchtower.ports import Decoded, Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
NS = int(NOW.timestamp()) * 1_000_000_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
BEGUN = NS - 60 * 1_000_000_000
EXPONENTIAL = ExponentialBucketHistogramAggregation()
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def request(*metrics: Metric, **resource: Any) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    of_resource.resource.attributes.extend(key_values({name.replace("__", "."): v for name, v in resource.items()}))
    of_resource.scope_metrics.add().metrics.extend(metrics)
    return made


def decode(*metrics: Metric, received: Received | None = None, **resource: Any) -> Decoded:
    received = received or Received(NOW, content_type=PROTOBUF)
    return OtlpMetrics().decode(request(*metrics, **resource).SerializeToString(), received)


def patches(*metrics: Metric, **resource: Any) -> tuple[SeriesPatch, ...]:
    decoded = decode(*metrics, **resource)
    assert not (decoded.rejects or decoded.refused), decoded
    return decoded.facts[0].series if decoded.facts else ()


def number(value: float, *, at: int = NS, start: int = 0, flags: int = 0, **attributes: Any) -> NumberDataPoint:
    told = key_values({name.replace("__", "."): said for name, said in attributes.items()})
    point = NumberDataPoint(time_unix_nano=at, start_time_unix_nano=start, attributes=told, flags=flags)
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def crowded() -> NumberDataPoint:
    """A point with one attribute more than a series may have labels."""
    attributes = key_values({f"l{number}": "x" for number in range(65)})
    return NumberDataPoint(time_unix_nano=NS, as_int=1, attributes=attributes)


def gauge(*points: NumberDataPoint, name: str = "queue.length", unit: str = "") -> Metric:
    return Metric(name=name, unit=unit, gauge=Gauge(data_points=points))


# -- kinds --------------------------------------------------------------------------------------------------------


def test_a_gauge_is_its_value() -> None:
    (patch,) = patches(gauge(number(7, host="a"), unit="{item}"))
    assert (patch.ref.name, patch.ref.labels, patch.kind, patch.unit) == (
        "queue.length", {"host": "a"}, SeriesKind.GAUGE, "{item}",
    )  # fmt: skip
    assert patch.samples == (Sample(NOW, 7.0),)


@pytest.mark.parametrize(
    ("temporality", "monotonic", "kind", "is_delta", "start"),
    [
        (CUMULATIVE, True, SeriesKind.SUM, False, NOW - timedelta(minutes=1)),
        (CUMULATIVE, False, SeriesKind.GAUGE, False, NOW - timedelta(minutes=1)),
        (DELTA, True, SeriesKind.SUM, True, None),
        (DELTA, False, SeriesKind.SUM, True, None),
    ],
)
def test_a_sum_is_a_counter_or_increments(
    temporality: AggregationTemporality.ValueType,
    monotonic: bool,
    kind: SeriesKind,
    is_delta: bool,
    start: datetime | None,
) -> None:
    total = Sum(data_points=[number(3.5, start=BEGUN)], aggregation_temporality=temporality, is_monotonic=monotonic)
    (patch,) = patches(Metric(name="rows", sum=total))
    assert (patch.kind, patch.is_delta, patch.samples) == (kind, is_delta, (Sample(NOW, 3.5, start=start),))


def test_a_histogram_is_its_mean_with_percentiles_from_its_buckets() -> None:
    point = HistogramDataPoint(
        time_unix_nano=NS, start_time_unix_nano=BEGUN, count=100, sum=500, min=0.5, max=18,
        explicit_bounds=[5, 10, 20], bucket_counts=[50, 40, 10, 0],
    )  # fmt: skip
    histogram = Histogram(data_points=[point], aggregation_temporality=CUMULATIVE)
    (patch,) = patches(Metric(name="latency", unit="s", histogram=histogram))
    (sample,) = patch.samples
    assert (patch.kind, sample.value, sample.start) == (SeriesKind.HISTOGRAM, 5.0, NOW - timedelta(minutes=1))
    assert sample.stats == {
        "count": 100, "sum": 500, "min": 0.5, "max": 18, "p50": 5.0, "p95": 15.0, "p99": 18.0,
    }  # fmt: skip


def test_a_summary_is_what_its_sender_worked_out() -> None:
    told = [SummaryDataPoint.ValueAtQuantile(quantile=q, value=v) for q, v in ((0.0, 1), (0.5, 2), (0.9, 3), (0.99, 4))]
    point = SummaryDataPoint(time_unix_nano=NS, count=4, sum=10, quantile_values=told)
    (patch,) = patches(Metric(name="latency", summary=Summary(data_points=[point])))
    assert patch.samples[0].stats == {"count": 4, "sum": 10, "min": 1, "p50": 2, "p99": 4}
    assert patch.samples[0].value == 2.5


@pytest.mark.parametrize(
    "aggregation", [None, ExponentialBucketHistogramAggregation()], ids=["explicit", "exponential"]
)
@pytest.mark.parametrize("seed", range(3))
def test_what_an_sdk_aggregates_is_estimated_well(aggregation: Any, seed: int) -> None:
    """Against the values themselves; the error is that of the buckets (explicit ones double, roughly)."""
    reader = InMemoryMetricReader()
    views = [View(instrument_name="latency", aggregation=aggregation)] if aggregation else []
    provider = MeterProvider([reader], views=views, shutdown_on_exit=False)
    values = [random.Random(f"{seed}{n}").lognormvariate(3, 1) for n in range(5_000)]
    histogram = provider.get_meter("test").create_histogram("latency", unit="ms")
    for value in values:
        histogram.record(value, {"peer": "crm"})
    data = reader.get_metrics_data()
    assert data is not None
    body = encode_metrics(data).SerializeToString()
    received = Received(datetime.now(UTC) + timedelta(seconds=5), content_type=PROTOBUF)
    (patch,) = OtlpMetrics().decode(body, received).facts[0].series
    stats = patch.samples[0].stats or {}
    assert patch.ref.labels["peer"] == "crm"
    assert (stats["count"], stats["min"], stats["max"]) == (5_000, min(values), max(values))
    assert patch.samples[0].value == pytest.approx(sum(values) / 5_000)
    for name, share in distributions.PERCENTILES.items():
        exact = sorted(values)[math.ceil(share * 5_000) - 1]
        assert stats[name] == pytest.approx(exact, rel=0.05 if aggregation else 0.3)


POSITIVE = ExponentialHistogramDataPoint.Buckets


def exponential(**said: Any) -> dict[str, float]:
    return distributions.exponential(ExponentialHistogramDataPoint(time_unix_nano=NS, **said))


def test_an_exponential_histogram_has_negative_values_and_zeros_too() -> None:
    stats = exponential(
        count=10, scale=0, zero_count=4, positive=POSITIVE(offset=1, bucket_counts=[3]),
        negative=POSITIVE(offset=1, bucket_counts=[3]),
    )  # fmt: skip
    assert stats["p50"] == 0.0
    assert 2 < stats["p95"] <= 4
    only_negative = exponential(count=2, scale=0, negative=POSITIVE(offset=1, bucket_counts=[2]))
    assert -4 <= only_negative["p50"] < -2


@pytest.mark.parametrize("offset", [-(2**30), 2**30])
def test_bounds_beyond_a_float_are_bounded(offset: int) -> None:
    stats = exponential(count=1, scale=20, positive=POSITIVE(offset=offset, bucket_counts=[1]))
    assert all(math.isfinite(value) for value in stats.values())


@given(
    counts=st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any),
    first=st.floats(-100, 100),
    low=st.none() | st.floats(0, 5),
)
def test_percentiles_ascend_and_stay_within_their_bounds(counts: list[int], first: float, low: float | None) -> None:
    bounds = [first + step * 1.5 for step in range(len(counts) - 1)]
    point = HistogramDataPoint(count=sum(counts), sum=1, explicit_bounds=bounds, bucket_counts=counts)
    if low is not None:
        point.min, point.max = bounds[0] - low, bounds[-1] + 10
    stats = distributions.explicit(point)
    assert stats["p50"] <= stats["p95"] <= stats["p99"]
    if low is not None:
        assert point.min <= stats["p50"]
        assert stats["p99"] <= point.max


# -- labels and jobs ----------------------------------------------------------------------------------------------


def test_attributes_become_labels_and_those_of_the_process_do_not() -> None:
    (patch,) = patches(
        gauge(number(1, http__route="/a", task="x", _9="y", empty="")),
        service__name="shop", service__instance__id="4f", telemetry__sdk__version="1", deployment__environment="prod",
    )  # fmt: skip
    assert patch.ref.labels == {
        "service_name": "shop", "deployment_environment": "prod", "http_route": "/a", "exported_task": "x", "_9": "y",
    }  # fmt: skip


def test_more_of_the_resource_becomes_labels_if_it_is_configured() -> None:
    configured = OtlpMetrics(OtlpMetricsConfig(resource_labels=("host.name",)))
    body = request(gauge(number(1)), host__name="h1", service__name="shop").SerializeToString()
    (patch,) = configured.decode(body, Received(NOW, content_type=PROTOBUF)).facts[0].series
    assert patch.ref.labels == {"host_name": "h1"}


@pytest.mark.parametrize(
    ("attributes", "resource", "job"),
    [
        ({}, {}, None),
        ({"dag_id": "orders", "task_id": "load"}, {}, JobRef("", "", "orders", "load")),
        ({"dag_id": "orders"}, {"watchtower__namespace": "prod"}, JobRef("", "prod", "orders")),
        ({}, {"watchtower__job": "orders", "watchtower__task": "load"}, JobRef("", "", "orders", "load")),
        ({"watchtower__job": "mine", "dag_id": "orders"}, {}, JobRef("", "", "mine")),
        ({"watchtower__job": "mine"}, {"watchtower__job": "theirs"}, JobRef("", "", "mine")),
    ],
)
def test_a_job_is_found_from_attributes(
    attributes: dict[str, Any], resource: dict[str, Any], job: JobRef | None
) -> None:
    (patch,) = patches(gauge(number(1, **attributes)), **resource)
    assert patch.ref.job == job
    assert patch.ref.labels == {}


def test_points_of_one_series_are_one_patch() -> None:
    (patch,) = patches(gauge(number(1, a="x"), number(2, a="x", at=NS - 1_000)))
    assert [sample.value for sample in patch.samples] == [1, 2]


# -- what is not taken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (gauge(number(1), name="no name"), "name"),
        (gauge(number(1), name=""), "name"),
        (gauge(number(1, at=0)), "no_time"),
        (gauge(number(1, at=NS + 3_601 * 10**9)), "far_time"),
        (gauge(number(1, at=2**63)), "far_time"),
        (gauge(number(1, at=NS // 1_000_000)), "far_time"),
        (gauge(number(math.nan)), "not_finite"),
        (gauge(number(-math.inf)), "not_finite"),
        (gauge(crowded()), "too_many_labels"),
        (
            Metric(name="h", histogram=Histogram(data_points=[
                HistogramDataPoint(time_unix_nano=NS, count=1, sum=1, explicit_bounds=[1, 2], bucket_counts=[1])])),
            "buckets",
        ),
        (
            Metric(name="h", exponential_histogram=ExponentialHistogram(data_points=[
                ExponentialHistogramDataPoint(time_unix_nano=NS, count=1, sum=1, scale=99)])),
            "buckets",
        ),
    ],
)  # fmt: skip
def test_a_point_that_cannot_be_taken_is_rejected_and_its_neighbours_are_not(metric: Metric, reason: str) -> None:
    decoded = decode(metric, gauge(number(1), name="good"))
    assert [(some.reason, some.count) for some in decoded.refused] == [(reason, 1)]
    assert [patch.ref.name for patch in decoded.facts[0].series] == ["good"]


def test_points_beyond_a_bound_are_rejected() -> None:
    decoded = decode(gauge(*(number(1, at=NS - step) for step in range(MAX_POINTS + 7))))
    assert [(some.reason, some.count) for some in decoded.refused] == [("too_many_points", 7)]
    assert sum(len(patch.samples) for patch in decoded.facts[0].series) == MAX_POINTS


def test_nothing_recorded_is_nothing() -> None:
    empty = HistogramDataPoint(time_unix_nano=NS, count=0)
    silent = number(1, flags=DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
    decoded = decode(gauge(silent), Metric(name="h", histogram=Histogram(data_points=[empty])), Metric(name="none"))
    assert decoded == Decoded(())


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_what_is_no_otlp_is_refused_as_a_whole(content_type: str) -> None:
    decoded = OtlpMetrics().decode(b"\xff{", Received(NOW, content_type=content_type))
    (reject,) = decoded.rejects
    assert (decoded.facts, reject.permanent) == ((), True)


@given(st.binary(max_size=300))
def test_no_body_makes_it_raise(body: bytes) -> None:
    for content_type in (PROTOBUF, JSON):
        OtlpMetrics().decode(body, Received(NOW, content_type=content_type))


def test_a_repeat_is_the_same_fact_and_both_encodings_say_the_same() -> None:
    metric = gauge(number(2.5, a="x"), unit="s")
    first, second = decode(metric), decode(metric, received=Received(NOW + timedelta(minutes=3), content_type=PROTOBUF))
    assert first.facts[0].key == second.facts[0].key
    document = json.dumps(MessageToDict(request(metric))).encode()
    (as_json,) = OtlpMetrics().decode(document, Received(NOW, content_type=JSON)).facts
    assert as_json.series == first.facts[0].series
    assert ExportMetricsServiceRequest.FromString(as_json.body) == request(metric), "it is kept as protobuf"


def test_what_is_old_or_replayed_is_history() -> None:
    (patch,) = patches(gauge(number(1), number(2, at=NS - 3_601 * 10**9)))
    assert [sample.historical for sample in patch.samples] == [False, True]
    (fact,) = decode(gauge(number(1)), received=Received(NOW, replay=True, content_type=PROTOBUF)).facts
    assert fact.historical


# -- Airflow ------------------------------------------------------------------------------------------------------

TAGGED: Tagged = {
    "airflow.ti.finish": [["wt_sched", "tick", "success"]],
    "airflow.task.duration": [["wt_sched", "tick"]],
    "airflow.dagrun.first_task_scheduling_delay": [["wt_sched", "scheduled"]],
    "airflow.operator_successes": [["wt_sched", "tick", "_PythonDecoratedOperator"]],
    "airflow.pool.open_slots": [["default_pool"]],
    "airflow.executor.open_slots": [["LocalExecutor", "open"]],
    "airflow.triggers.running": [["127.0.0.1"]],
    "airflow.scheduler_heartbeat": [[]],
}
TWINS: Tagged = {
    "airflow.ti.finish.wt_sched.tick.success": [[]],
    "airflow.dag.wt_sched.tick.duration": [[]],
    "airflow.dagrun.wt_sched.first_task_scheduling_delay": [["scheduled"]],
    "airflow.operator_successes__pythondecoratedoperator": [["wt_sched", "tick"]],
    "airflow.pool.open_slots.default_pool": [[]],
    "airflow.executor.open_slots.localexecutor": [["open"]],
    "airflow.triggers.running.127__0__0__1": [[]],
}


def test_names_with_values_in_them_are_known_by_their_tagged_twins() -> None:
    assert legacy_names({**TAGGED, **TWINS}) == set(TWINS)


def test_a_name_without_its_tagged_twin_stays() -> None:
    assert legacy_names(TWINS) == frozenset()
    other: Tagged = {"airflow.ti.finish.other.tick.success": [[]], "airflow.pool.open_slots.other": [[]]}
    assert legacy_names({**TAGGED, **other}) == frozenset()


def test_a_dag_with_the_name_of_a_metric_does_not_hide_it() -> None:
    named = {"airflow.task.duration": [["duration", "task"]], "airflow.ti.start": [["duration", "task"]]}
    assert legacy_names(named) == frozenset()


def test_names_are_compared_in_bounded_time() -> None:
    """A name may be made of some values in any order: of sixty there would be 200,000 orders for each point."""
    points = [[f"v{number}-{place}" for place in range(60)] for number in range(200)]
    many = [[f"v{number}-{place}" for place in range(8)] for number in range(5_000)]
    began = time.monotonic()
    assert legacy_names({"airflow.wide": points, "airflow.many": many, "airflow.wide.v1-1": [[]]}) == frozenset()
    assert time.monotonic() - began < 5


# -- what real senders sent ---------------------------------------------------------------------------------------


def _captured(folder: str) -> Iterator[tuple[str, bytes, str]]:
    for file in sorted((CAPTURES / folder).glob("*_metrics.json")):
        recorded = json.loads(file.read_text())
        if "body" in recorded and not (file.with_suffix(".bin")).exists():
            yield file.name, json.dumps(recorded["body"]).encode(), JSON
        else:
            raw = file.with_suffix(".bin").read_bytes()
            yield file.name, gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, PROTOBUF


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not beside this checkout")
@pytest.mark.parametrize("folder", ["otel_sdk_http", "otel_sdk_http_json", "otel_sdk_grpc"])
def test_what_an_sdk_sent_is_read(folder: str) -> None:
    found = list(_captured(folder))
    assert found
    for name, body, content_type in found:
        decoded = OtlpMetrics().decode(body, Received(datetime(2026, 11, 22, tzinfo=UTC), content_type=content_type))
        assert not (decoded.rejects or decoded.refused), name
        rows, duration = decoded.facts[0].series
        assert (rows.ref.name, rows.kind, rows.unit, rows.samples[0].value) == (
            "pipeline.rows",
            SeriesKind.SUM,
            "{row}",
            1234,
        )
        assert rows.ref.labels["table"] == "orders"
        assert (duration.ref.name, duration.samples[0].value) == ("pipeline.task.duration", 0.05)


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not beside this checkout")
def test_no_series_of_a_real_airflow_has_values_in_its_name() -> None:
    names: set[str] = set()
    jobs: set[tuple[str, str | None]] = set()
    for name, body, content_type in _captured("airflow3_otlp_http_metrics_gzip"):
        decoded = OtlpMetrics().decode(body, Received(datetime(2026, 11, 22, tzinfo=UTC), content_type=content_type))
        assert not (decoded.rejects or decoded.refused), name
        for patch in decoded.facts[0].series:
            names.add(patch.ref.name)
            if patch.ref.job:
                jobs.add((patch.ref.job.pipeline, patch.ref.job.task))
    assert not [
        name for name in names if any(value in name for value in ("wt_", "default_pool", "localexecutor", "127"))
    ]
    assert {"airflow.ti.finish", "airflow.task.duration", "airflow.pool.open_slots"} <= names
    assert {("wt_sched", "tick"), ("wt_mapped", "work"), ("wt_sched", None)} <= jobs
