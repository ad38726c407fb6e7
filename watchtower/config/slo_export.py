"""An SLO as a document of OpenSLO v1: what `config.slos` reads is what this writes. Pure."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from watchtower.config.indicators import TYPE
from watchtower.config.openslo import API_VERSION
from watchtower.model.cost import CostMetric
from watchtower.model.labels import Matcher
from watchtower.model.slo import Budgeting, Condition, Indicator, Objective, Period, Slo
from watchtower.model.spent import Asked

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60))


def document(slo: Slo) -> dict[str, Any]:
    """Of kind SLO, with all that it needs inline."""
    owned = {name: value for name, value in (("owner", slo.owner), ("team", slo.team)) if value}
    labels = {**owned, **slo.labels}
    metadata = _said({"name": slo.name, "displayName": slo.title, "labels": labels})
    spec: dict[str, Any] = _said({"description": slo.description})
    spec["service"] = slo.service or slo.name
    if not slo.is_composite:
        spec["indicator"] = _indicator(slo.objectives[0].indicator)
    spec["timeWindow"] = [_window(slo.period)]
    spec["budgetingMethod"] = slo.budgeting.value
    spec["objectives"] = [_objective(each, slo) for each in slo.objectives]
    if slo.conditions is not None:
        spec["alertPolicies"] = [_policy(each) for each in slo.conditions]
    return {"apiVersion": API_VERSION, "kind": "SLO", "metadata": metadata, "spec": spec}


def _said(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value}


def _window(period: Period) -> dict[str, Any]:
    if period.is_rolling or period.starts is None:
        return {"duration": str(period), "isRolling": True}
    calendar = {"startTime": _moment(period.starts), "timeZone": period.zone}
    return {"duration": str(period), "calendar": calendar, "isRolling": False}


def _moment(starts: datetime) -> str:
    return f"{starts:%Y-%m-%d %H:%M:%S}"


def _objective(objective: Objective, slo: Slo) -> dict[str, Any]:
    found: dict[str, Any] = _said({"displayName": objective.name})
    if objective.indicator.value is not None:
        found |= {"op": objective.indicator.op, "value": _number(Decimal(repr(objective.indicator.value)))}
    found["target"] = _number(objective.target)
    if slo.budgeting is not Budgeting.OCCURRENCES:
        found["timeSliceWindow"] = _shorthand(objective.slice_minutes * 60)
    if slo.budgeting is Budgeting.TIMESLICES:
        found["timeSliceTarget"] = _number(objective.slice_target)
    if slo.is_composite:
        found |= {"indicator": _indicator(objective.indicator), "compositeWeight": _number(objective.weight)}
    return found


def _indicator(indicator: Indicator) -> dict[str, Any]:
    spec: dict[str, Any] = {"sli": indicator.sli.value}
    spec |= _said({name: value for name, value in _match(indicator.matchers).items() if name == "series"})
    spec |= _said({"match": {name: value for name, value in _match(indicator.matchers).items() if name != "series"}})
    if indicator.finish_by:
        spec |= {"finish_by": indicator.finish_by, "timezone": indicator.zone}
    spec |= _of_cost(indicator.asked) if indicator.asked else {}
    source = {"metricSource": {"type": TYPE, "spec": spec}}
    is_ratio = indicator.value is None and not indicator.finish_by
    metric = {"ratioMetric": {"rawType": "success", "raw": source}} if is_ratio else {"thresholdMetric": source}
    return {"metadata": {"name": indicator.name}, "spec": metric}


def _of_cost(asked: Asked) -> dict[str, Any]:
    scope = asked.scope
    named = {"tag": dict(scope.tags), "service": scope.service, "account": scope.account, "source": scope.source}
    metric = {} if asked.metric is CostMetric.BILLED else {"metric": asked.metric.value}
    return {"per": asked.per.value, "scope": _said(named), **metric}


def _match(matchers: Sequence[Matcher]) -> dict[str, str]:
    return {each.name: f"~{each.value}" if each.op == "=~" else each.value for each in matchers}


def _policy(condition: Condition) -> dict[str, Any]:
    burn = {
        "kind": "burnrate",
        "op": "gt",
        "threshold": _number(condition.factor),
        "lookbackWindow": _shorthand(condition.long_s),
        "alertAfter": _shorthand(condition.short_s),
    }
    spec = _said({"description": condition.consequence})
    spec |= {"severity": condition.severity.value, "condition": burn}
    inline = {"kind": "AlertCondition", "metadata": {"name": condition.name}, "spec": spec}
    told = {"alertWhenNoData": False, "alertWhenResolved": False, "alertWhenBreaching": True, "conditions": [inline]}
    return {
        "kind": "AlertPolicy",
        "metadata": {"name": condition.name},
        "spec": {**told, "notificationTargets": []},
    }


def _shorthand(seconds: float) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0 or unit == "m")
    return f"{max(1, round(seconds / size))}{unit}"


def _number(value: Decimal) -> int | float:
    """As short as it was written: the shortest decimal of a float is read back exactly."""
    return int(value) if value == int(value) else float(value)
