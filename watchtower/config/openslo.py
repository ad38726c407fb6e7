"""OpenSLO v1 as it is written: the shape of each kind of document, without what it means (config.slos).

Source: the specification, https://github.com/OpenSLO/OpenSLO. What stands in `metricSource` is ours (`type:
watchtower`). What may be written inline or by its name stays a mapping here, and is read where it is needed.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from watchtower.config.budgets import ScopeDocument
from watchtower.config.types import Section, Zone
from watchtower.model.cost import CostMetric
from watchtower.model.spent import Per

API_VERSION = "openslo/v1"
KINDS = ("SLO", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service", "DataSource")
DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdwMQY])")
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_STARTS = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2})?")


def _number(value: Any) -> Any:
    """As it is written: 99.95 is not the nearest binary float."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if not re.fullmatch(r"[-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,2})?", text):
        raise ValueError(f"{value!r} is no number; write it with a point, e.g. 99.95")
    return Decimal(text)


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name; write up to 63 of a-z, 0-9 and -, e.g. orders-daily-success")
    return value


def _shorthand(value: Any) -> Any:
    if not isinstance(value, str) or not DURATION.fullmatch(value):
        raise ValueError(f"{value!r} is no duration; write one number and one of m h d w M Q Y, e.g. 30d or 1M")
    return value


def _slice(value: Any) -> Any:
    """A number alone means minutes."""
    return _shorthand(f"{value}m" if isinstance(value, int) and not isinstance(value, bool) else value)


def _starts(value: Any) -> Any:
    if not isinstance(value, str) or not _STARTS.fullmatch(value):
        raise ValueError(f'{value!r} is no moment without a zone; write e.g. "2026-01-01 00:00:00"')
    return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")


_NUMBER_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
Number = Annotated[Decimal, BeforeValidator(_number), _NUMBER_SCHEMA]
Name = Annotated[str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
Shorthand = Annotated[
    str, BeforeValidator(_shorthand), WithJsonSchema({"type": "string", "pattern": f"^{DURATION.pattern}$"})
]
Slice = Annotated[str, BeforeValidator(_slice), WithJsonSchema({"type": ["string", "integer"]})]
Starts = Annotated[str, BeforeValidator(_starts), WithJsonSchema({"type": "string"})]
Text = Annotated[str, Field(max_length=1050)]
Operator = Literal["lte", "lt", "gte", "gt"]


class Metadata(Section):
    name: Name
    displayName: str = ""
    labels: dict[str, str | tuple[str, ...]] = Field(default={})
    annotations: dict[str, str] = Field(default={})


class Source(Section):
    """`metricSource`: where the numbers come from."""

    metricSourceRef: str | None = None
    type: str | None = None
    spec: dict[str, Any] = Field(default={})


class Metric(Section):
    metricSource: Source


class RatioMetric(Section):
    counter: bool = True
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    rawType: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class SliSpec(Section):
    description: Text = ""
    thresholdMetric: Metric | None = None
    ratioMetric: RatioMetric | None = None


class SourceSpec(Section):
    """`spec` of a `metricSource` of `type: watchtower`."""

    sli: str = Field(description="what is counted")
    match: Any = Field(default=None, description="of which pipelines or datasets, as in a rule")
    series: str | None = Field(default=None, description="series: the name of it")
    finish_by: str | None = Field(default=None, description="latency: the time of day by which a run must have ended")
    timezone: Zone = Field(default="UTC", description="zone of finish_by")
    per: Per | None = Field(default=None, description="unit_cost: gb, million_rows or run")
    scope: ScopeDocument | None = Field(default=None, description="unit_cost: which charges, as of a budget")
    metric: CostMetric | None = Field(default=None, description="unit_cost: billed (the default), effective or list")


class SliDocument(Section):
    """Inline or by itself."""

    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["SLI"] = "SLI"
    metadata: Metadata
    spec: SliSpec


class Calendar(Section):
    startTime: Starts
    timeZone: str


class TimeWindow(Section):
    duration: Shorthand
    isRolling: bool | None = None
    calendar: Calendar | None = None


class ObjectiveSpec(Section):
    displayName: str = ""
    op: Operator | None = None
    value: Number | None = None
    target: Number | None = None
    targetPercent: Number | None = None
    timeSliceTarget: Number | None = None
    timeSliceWindow: Slice | None = None
    indicator: SliDocument | None = None
    indicatorRef: str | None = None
    compositeWeight: Number | None = None


class ConditionSpec(Section):
    kind: Literal["burnrate"] = "burnrate"
    op: Operator
    threshold: Number
    lookbackWindow: Shorthand
    alertAfter: str = "0m"


class AlertConditionSpec(Section):
    description: Text = ""
    severity: str
    condition: ConditionSpec


class AlertConditionDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertCondition"] = "AlertCondition"
    metadata: Metadata
    spec: AlertConditionSpec


class TargetSpec(Section):
    target: str
    description: Text = ""


class TargetDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertNotificationTarget"] = "AlertNotificationTarget"
    metadata: Metadata
    spec: TargetSpec


class AlertPolicySpec(Section):
    description: Text = ""
    alertWhenNoData: bool = False
    alertWhenResolved: bool = False
    alertWhenBreaching: bool = False
    conditions: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=1)
    notificationTargets: tuple[dict[str, Any], ...] = ()


class AlertPolicyDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertPolicy"] = "AlertPolicy"
    metadata: Metadata
    spec: AlertPolicySpec


class SloSpec(Section):
    description: Text = ""
    service: str = ""
    indicator: SliDocument | None = None
    indicatorRef: str | None = None
    timeWindow: tuple[TimeWindow, ...] = Field(min_length=1, max_length=1)
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    objectives: tuple[ObjectiveSpec, ...] = Field(min_length=1)
    alertPolicies: tuple[str | dict[str, Any], ...] | None = None


class SloDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["SLO"] = "SLO"
    metadata: Metadata
    spec: SloSpec


class ServiceSpec(Section):
    description: Text = ""


class ServiceDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["Service"] = "Service"
    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class DataSourceSpec(Section):
    """What it connects to is not ours to read."""

    description: Text = ""
    type: str
    connectionDetails: Any = None


class DataSourceDocument(Section):
    apiVersion: Literal["openslo/v1"] = API_VERSION
    kind: Literal["DataSource"] = "DataSource"
    metadata: Metadata
    spec: DataSourceSpec


DOCUMENTS: dict[str, type[Section]] = {
    "SLO": SloDocument,
    "SLI": SliDocument,
    "AlertPolicy": AlertPolicyDocument,
    "AlertCondition": AlertConditionDocument,
    "AlertNotificationTarget": TargetDocument,
    "Service": ServiceDocument,
    "DataSource": DataSourceDocument,
}
