"""The collector of OTLP metrics: gauges, sums, histograms and summaries → samples of series.

Which job a series tells of is said by the attributes `watchtower.job`, `watchtower.task` and `watchtower.namespace`, or
by Airflow's `dag_id` and `task_id`, of the point or of its resource. What says who the process was (its id, its
version) is no label: each run of a task is a process of its own, and would be a series of its own. Follows
opentelemetry-proto 1.x (metrics/v1); answers are those of OTLP: what was rejected is told by `partial_success`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, ClassVar, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)
from pydantic import BaseModel, ConfigDict, Field

from collectors.identity import identifier
from collectors.otlp import distributions
from collectors.otlp.airflow_metrics import legacy_names
from collectors.otlp.wire import parse
from watchtower.errors import BadInput
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import JobRef
from watchtower.model.series import (
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    MAX_UNIT,
    NAME,
    RESERVED_LABELS,
    Sample,
    SeriesKind,
    SeriesPatch,
    SeriesRef,
)
from watchtower.ports import Decoded, Received, Refused, Reject

MAX_POINTS: Final = 50_000  # of one request: what takes the store about two seconds
SOURCE: Final = "otlp"  # of a token that may write for any source
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(hours=1)
# The first of these that a point or its resource has.
JOB: Final = ("watchtower.job", "airflow.dag_id", "dag_id")
TASK: Final = ("watchtower.task", "airflow.task_id", "task_id")
NAMESPACE: Final = ("watchtower.namespace",)
RUN: Final = ("watchtower.run", "airflow.dag_run.run_id", "run_id")
RESOURCE_LABELS: Final = ("service.name", "service.namespace", "deployment.environment.name", "deployment.environment")

_NAMED: Final = frozenset((*JOB, *TASK, *NAMESPACE, *RUN))
_NOT_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]")
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_NO_VALUE: Final = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class RefusedReason(StrEnum):
    """Why a data point was rejected. Closed: it is also a metric label."""

    NAME = "name"
    NO_TIME = "no_time"
    FAR_TIME = "far_time"
    NOT_FINITE = "not_finite"
    TOO_MANY_LABELS = "too_many_labels"
    BUCKETS = "buckets"
    TOO_MANY_POINTS = "too_many_points"


_MESSAGES: Final = {
    RefusedReason.NAME: "the metric's name is no instrument name of OpenTelemetry",
    RefusedReason.NO_TIME: "time_unix_nano is missing",
    RefusedReason.FAR_TIME: "the point's time is before 2000 or more than 1h ahead of our clock",
    RefusedReason.NOT_FINITE: "the value is NaN or infinite",
    RefusedReason.TOO_MANY_LABELS: f"the point has more than {MAX_LABELS} attributes",
    RefusedReason.BUCKETS: "the buckets of the histogram contradict one another",
    RefusedReason.TOO_MANY_POINTS: f"a request may bring {MAX_POINTS:,} points; export in smaller batches",
}


class OtlpMetricsConfig(BaseModel):
    """`collectors: {otlp_metrics: …}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resource_labels: tuple[str, ...] = Field(
        default=RESOURCE_LABELS,
        description="attributes of the resource that become labels of its series; those that name a job do so anyway",
    )


class _Refusal(Exception):
    def __init__(self, reason: RefusedReason) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(slots=True)
class _Told:
    """What was told of one series so far."""

    ref: SeriesRef
    kind: SeriesKind
    is_delta: bool
    unit: str | None
    samples: list[Sample] = field(default_factory=list[Sample])


class OtlpMetrics:
    kind: ClassVar[str] = "otlp_metrics"
    Config: ClassVar[type[Any]] = OtlpMetricsConfig
    of_token: ClassVar[bool] = True

    def __init__(self, config: OtlpMetricsConfig | None = None) -> None:
        self._config = config or OtlpMetricsConfig()

    def decode(self, body: bytes, received: Received) -> Decoded:
        """One fact with all points that can be taken. Never raises for what body holds."""
        try:
            request = parse(ExportMetricsServiceRequest, body, received.content_type)
        except BadInput as error:
            return Decoded((), (Reject("not_otlp", str(error), body, permanent=True),))
        reading = _Reading(self._config, received)
        for resource_metrics in request.resource_metrics:
            reading.read(resource_metrics)
        refused = tuple(Refused(why, _MESSAGES[why], count) for why, count in sorted(reading.refused.items()))
        patches = reading.patches()
        if not patches:
            return Decoded((), refused=refused)
        is_json = received.content_type.startswith("application/json")
        fact = _fact(patches, request.SerializeToString() if is_json else body, received)
        return Decoded((fact,), refused=refused)


def _fact(patches: tuple[SeriesPatch, ...], body: bytes, received: Received) -> Fact:
    newest = max(sample.at for patch in patches for sample in patch.samples)
    source = received.source or SOURCE
    return Fact(
        key=fact_key(newest, source, sha256(body).digest()),
        source=source,
        kind=OtlpMetrics.kind,
        event_time=newest,
        received_at=received.received_at,
        body=body,
        historical=received.replay,
        series=patches,
    )


class _Reading:
    """One request: its points by series, and how many were rejected why."""

    def __init__(self, config: OtlpMetricsConfig, received: Received) -> None:
        self._config = config
        self._received = received
        self._source = received.source or SOURCE
        self._told: dict[tuple[Any, ...], _Told] = {}
        self._points = 0
        self.refused: Counter[RefusedReason] = Counter()

    def read(self, resource_metrics: ResourceMetrics) -> None:
        resource = _attributes(resource_metrics.resource.attributes)
        labels = _labels({name: resource[name] for name in self._config.resource_labels if name in resource})
        metrics = [metric for scope in resource_metrics.scope_metrics for metric in scope.metrics]
        legacy = legacy_names(_values(metrics))
        for metric in metrics:
            if metric.name not in legacy:
                self._read_metric(metric, resource, labels)

    def patches(self) -> tuple[SeriesPatch, ...]:
        return tuple(
            SeriesPatch(told.ref, self._source, tuple(told.samples), told.kind, told.unit, told.is_delta)
            for told in self._told.values()
        )

    def _read_metric(self, metric: Metric, resource: Mapping[str, str], labels: Mapping[str, str]) -> None:
        kind, is_delta = _kind_of(metric)
        for point in _points(metric):
            if point.flags & _NO_VALUE:
                continue
            try:
                if self._points >= MAX_POINTS:
                    raise _Refusal(RefusedReason.TOO_MANY_POINTS)
                if not NAME.fullmatch(metric.name):
                    raise _Refusal(RefusedReason.NAME)
                attributes = _attributes(point.attributes)
                sample = self._sample(metric, point, {**resource, **attributes}, is_delta=is_delta)
                if sample is None:
                    continue
                ref = self._ref(metric.name, {**resource, **attributes}, {**labels, **_labels(attributes)})
            except _Refusal as refusal:
                self.refused[refusal.reason] += 1
                continue
            key = (ref.name, ref.job, *sorted(ref.labels.items()))
            unit = metric.unit[:MAX_UNIT] if metric.unit and not _UNSTORABLE.search(metric.unit) else None
            self._told.setdefault(key, _Told(ref, kind, is_delta, unit)).samples.append(sample)
            self._points += 1

    def _ref(self, name: str, said: Mapping[str, str], labels: dict[str, str]) -> SeriesRef:
        if len(labels) > MAX_LABELS:
            raise _Refusal(RefusedReason.TOO_MANY_LABELS)
        job = _first(said, JOB)
        if job is None:
            return SeriesRef(name, None, labels)
        namespace = _first(said, NAMESPACE) or ""
        return SeriesRef(name, JobRef(self._received.source or "", namespace, job, _first(said, TASK)), labels)

    def _sample(self, metric: Metric, point: Any, said: Mapping[str, str], *, is_delta: bool) -> Sample | None:
        """None: nothing was recorded."""
        at = self._moment(point.time_unix_nano)
        value, stats = _value(metric, point)
        if value is None:
            return None
        if not math.isfinite(value):
            raise _Refusal(RefusedReason.NOT_FINITE)
        begun = point.start_time_unix_nano if not is_delta and metric.WhichOneof("data") != "gauge" else 0
        age = (self._received.received_at - at).total_seconds()
        return Sample(
            at=at,
            value=value,
            run=_first(said, RUN),
            stats=stats,
            start=_instant(begun) if 0 < begun <= point.time_unix_nano else None,
            historical=self._received.replay or age > self._received.max_age_s,
        )

    def _moment(self, nanoseconds: int) -> datetime:
        if not nanoseconds:
            raise _Refusal(RefusedReason.NO_TIME)
        at = _instant(nanoseconds)
        if at is None or not EARLIEST <= at <= self._received.received_at + AHEAD:
            raise _Refusal(RefusedReason.FAR_TIME)
        return at


def _instant(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC) + timedelta(
            microseconds=nanoseconds % 1_000_000_000 // 1_000
        )
    except (OverflowError, ValueError, OSError):
        return None


# -- metrics ------------------------------------------------------------------------------------------------------


def _kind_of(metric: Metric) -> tuple[SeriesKind, bool]:
    """A sum that also falls, told as it stands, is a gauge by another name."""
    match metric.WhichOneof("data"):
        case "sum":
            is_delta = metric.sum.aggregation_temporality == _DELTA
            return (SeriesKind.SUM if is_delta or metric.sum.is_monotonic else SeriesKind.GAUGE), is_delta
        case "histogram":
            return SeriesKind.HISTOGRAM, metric.histogram.aggregation_temporality == _DELTA
        case "exponential_histogram":
            return SeriesKind.HISTOGRAM, metric.exponential_histogram.aggregation_temporality == _DELTA
        case "summary":
            return SeriesKind.HISTOGRAM, False
        case _:
            return SeriesKind.GAUGE, False


def _points(metric: Metric) -> Iterator[Any]:
    """The data points of whichever kind it is; none of a kind that this release does not know."""
    kind = metric.WhichOneof("data")
    return iter(getattr(metric, kind).data_points if kind else ())


def _value(metric: Metric, point: Any) -> tuple[float | None, dict[str, float] | None]:
    if isinstance(point, NumberDataPoint):
        kind = point.WhichOneof("value")
        return (float(getattr(point, kind)) if kind else None), None
    read = {
        "histogram": distributions.explicit,
        "exponential_histogram": distributions.exponential,
        "summary": distributions.summary,
    }[str(metric.WhichOneof("data"))]
    try:
        stats: dict[str, float] = read(point)  # type: ignore[operator] # each of its own kind of point
    except ValueError as error:
        raise _Refusal(RefusedReason.BUCKETS) from error
    return (distributions.mean_of(stats) if stats else None), stats


def _values(metrics: Iterable[Metric]) -> dict[str, list[list[str]]]:
    """The values of the attributes of each point, by metric."""
    found: dict[str, list[list[str]]] = {}
    for metric in metrics:
        rows = found.setdefault(metric.name, [])
        if metric.name.startswith("airflow."):
            rows.extend(list(_attributes(point.attributes).values()) for point in _points(metric))
    return found


# -- attributes ---------------------------------------------------------------------------------------------------


def _attributes(told: Iterable[KeyValue]) -> dict[str, str]:
    """As texts; what is empty says nothing. Of two with one name the first counts."""
    found: dict[str, str] = {}
    for each in told:
        text = _text(each.value)
        if text:
            found.setdefault(each.key, text)
    return found


def _text(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "string_value":
            text = value.string_value
        case "bool_value":
            text = "true" if value.bool_value else "false"
        case "int_value":
            text = str(value.int_value)
        case "double_value":
            text = f"{value.double_value:.12g}"
        case "array_value":
            text = ",".join(_text(item) for item in value.array_value.values[:16])
        case _:
            text = ""
    return identifier(_UNSTORABLE.sub("\ufffd", text), MAX_LABEL_VALUE)


def _labels(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes as labels: dots become `_`, as in Prometheus, and names that Watchtower makes get the prefix that
    Prometheus gives them. Those that name a job are no labels. Of two that fall together the first one counts."""
    found: dict[str, str] = {}
    for name in sorted(attributes):
        if name in _NAMED:
            continue
        label = _NOT_LABEL.sub("_", name)[:MAX_LABEL_NAME] or "_"
        if label[0].isdigit():
            label = f"_{label}"[:MAX_LABEL_NAME]
        if label in RESERVED_LABELS:
            label = f"exported_{label}"
        found.setdefault(label, attributes[name])
    return found


def _first(said: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((said[name] for name in names if said.get(name)), None)
