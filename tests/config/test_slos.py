"""`slos`: an OpenSLO file is taken as it is, or every fault is named with its line and a remedy."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from watchtower.config import Config, examine, load_text
from watchtower.config.slo_export import document
from watchtower.errors import Fault
from watchtower.model.alert import Severity
from watchtower.model.cost import CostMetric, CostScope
from watchtower.model.labels import Matcher
from watchtower.model.slo import Budgeting, Condition, Indicator, Objective, Period, Sli, Slo
from watchtower.model.spent import Asked, Per
from watchtower.store.schema.base import dump_json

WHOLE = """
slos:
  - apiVersion: openslo/v1
    kind: SLO
    metadata:
      name: orders-daily
      displayName: Orders are there in the morning
      labels: {team: shop, owner: lea, tier: [gold, eu]}
    spec:
      description: what the shop opens with
      service: shop
      indicatorRef: orders-in-time
      timeWindow:
        - duration: 1M
          calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}
      budgetingMethod: Timeslices
      objectives:
        - {op: lte, value: 1800, targetPercent: 99.95, timeSliceTarget: 0.95, timeSliceWindow: 1d}
      alertPolicies: [quick]
  - apiVersion: openslo/v1
    kind: SLI
    metadata: {name: orders-in-time}
    spec:
      thresholdMetric:
        metricSource: {type: watchtower, spec: {sli: latency, match: {pipeline: orders_daily, namespace: ~prod-.*}}}
  - apiVersion: openslo/v1
    kind: AlertPolicy
    metadata: {name: quick}
    spec:
      alertWhenBreaching: true
      conditions: [{conditionRef: burning}]
  - apiVersion: openslo/v1
    kind: AlertCondition
    metadata: {name: burning}
    spec:
      severity: critical
      description: call the warehouse
      condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}
  - {apiVersion: openslo/v1, kind: Service, metadata: {name: shop}, spec: {}}
"""


def slo(**changed: Any) -> dict[str, Any]:
    """A document of kind SLO; changed: keys of its spec."""
    source = {"metricSource": {"type": "watchtower", "spec": {"sli": "success", "match": {"pipeline": "orders"}}}}
    spec: dict[str, Any] = {
        "service": "shop",
        "indicator": {"metadata": {"name": "runs"}, "spec": {"ratioMetric": {"rawType": "success", "raw": source}}},
        "timeWindow": [{"duration": "30d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"target": 0.99}],
    }
    spec |= changed
    kept = {key: value for key, value in spec.items() if value is not None}
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "orders"}, "spec": kept}


def measured(**spec: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "watchtower", "spec": spec}}


def sli(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "runs"}, "spec": spec}


def load(*documents: dict[str, Any]) -> Config:
    return load_text(yaml.safe_dump({"slos": list(documents)}, sort_keys=False))


def faults(*documents: dict[str, Any]) -> tuple[Fault, ...]:
    return examine(yaml.safe_dump({"slos": list(documents)}, sort_keys=False)).faults


def test_documents_that_name_one_another_are_one_slo() -> None:
    (found,) = load_text(WHOLE).slos
    matchers = (Matcher("pipeline", "=", "orders_daily"), Matcher("namespace", "=~", "prod-.*"))
    assert found == Slo(
        name="orders-daily",
        period=Period(1, "M", "Europe/Berlin", datetime(2026, 1, 1)),  # noqa: DTZ001 - OpenSLO's startTime has no zone
        objectives=(
            Objective(
                Decimal("0.9995"),
                Indicator("orders-in-time", Sli.LATENCY, matchers, "lte", 1800.0),
                slice_minutes=1_440,
                slice_target=Decimal("0.95"),
            ),
        ),
        budgeting=Budgeting.TIMESLICES,
        title="Orders are there in the morning",
        description="what the shop opens with",
        service="shop",
        owner="lea",
        team="shop",
        labels={"tier": "gold,eu"},
        conditions=(Condition("burning", Severity.PAGE, Decimal("14.4"), 3_600, 300.0, "call the warehouse"),),
    )
    assert msgspec.convert(msgspec.json.decode(dump_json(found)), Slo) == found, "as the store keeps it"


def test_files_with_many_documents_are_read_by_path_and_pattern(tmp_path: Path) -> None:
    documents = yaml.safe_load(WHOLE)["slos"]
    (tmp_path / "slos").mkdir()
    (tmp_path / "slos" / "a.yaml").write_text(yaml.safe_dump_all(documents[:2], sort_keys=False), encoding="utf-8")
    (tmp_path / "slos" / "b.yaml").write_text(yaml.safe_dump(documents[2:], sort_keys=False), encoding="utf-8")
    (found,) = load_text("slos: [slos/*.yaml]", tmp_path).slos
    assert found == load_text(WHOLE).slos[0]
    assert load_text(f"slos: [{tmp_path}/slos/*.yaml]").slos == (found,)


@pytest.mark.parametrize("path", ["/", ".", "..", "//", "", "***", "[", "~", "/etc/", "a\\0b"])
def test_what_is_no_path_of_a_file_is_one_fault(path: str) -> None:
    (fault,) = examine(f'slos: ["{path}"]').faults
    assert fault.path == "slos[0]"


def test_a_fault_of_a_file_has_the_line_in_that_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    second = yaml.safe_dump(slo(objectives=[{"target": 1}]), sort_keys=False)
    file.write_text(f"# of the shop\n---\n{yaml.safe_dump(slo(), sort_keys=False)}---\n{second}", encoding="utf-8")
    checked = examine("slos: [broken.yaml]", tmp_path)
    line = file.read_text(encoding="utf-8").splitlines().index("  - target: 1") + 1
    assert (str(file), line) in {(fault.file, fault.line) for fault in checked.faults}
    assert examine("slos: [nowhere.yaml]", tmp_path).faults[0].message == "no file is called 'nowhere.yaml'"


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"objectives": [{"target": 1.0}]}, "a target of 100 % leaves no budget"),
    ({"objectives": [{"targetPercent": 100}]}, "a target of 100 % leaves no budget"),
    ({"objectives": [{"target": 99}]}, "99 is no target"),
    ({"objectives": [{"target": -0.5}]}, "-0.5 is no target"),
    ({"objectives": [{}]}, "needs either target or targetPercent"),
    ({"objectives": [{"target": 0.9, "targetPercent": 90}]}, "needs either target or targetPercent"),
    ({"objectives": [{"target": "much"}]}, "'much' is no number; write"),
    ({"objectives": []}, "needs at least 1 items"),
    ({"objectives": [{"target": 0.9}, {"target": 0.99}]}, "one indicator has one objective here"),
    ({"objectives": [{"target": 0.9, "op": "lte", "value": 5}]}, "op and value say nothing here"),
    ({"objectives": [{"target": 0.9, "timeSliceWindow": "1h"}]}, "is not used by this budgetingMethod"),
    ({"objectives": [{"target": 0.9, "goal": 1}]}, "unknown key"),
    ({"budgetingMethod": "Timeslices"}, "Timeslices needs timeSliceWindow"),
    ({"budgetingMethod": "Occurences"}, "'Occurences' is not known"),
    ({"indicator": None}, "needs either indicator or indicatorRef"),
    ({"indicator": None, "indicatorRef": "nowhere"}, "there is no SLI 'nowhere'"),
    ({"timeWindow": None}, "is required"),
    ({"timeWindow": [{"duration": "30 days"}]}, "'30 days' is no duration"),
    ({"timeWindow": [{"duration": "5m", "isRolling": True}]}, "5m is too short"),
    ({"timeWindow": [{"duration": "2Y", "isRolling": True}]}, "2Y is too long"),
    ({"timeWindow": [{"duration": "1M", "isRolling": False}]}, "it either rolls or follows a calendar"),
    (
        {"timeWindow": [{"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00", "timeZone": "Mars/Base"}}]},
        "unknown time zone 'Mars/Base'",
    ),
    ({"alertPolicies": ["nowhere"]}, "there is no AlertPolicy 'nowhere'"),
    ({"indicator": sli()}, "needs either ratioMetric or thresholdMetric"),
    (
        {"indicator": sli(thresholdMetric={"metricSource": {"type": "Prometheus", "spec": {"query": "up"}}})},
        "a source of type 'Prometheus' is not read",
    ),
    ({"indicator": sli(thresholdMetric=measured(sli="succes", match="x"))}, "unknown indicator 'succes'"),
    ({"indicator": sli(thresholdMetric=measured(sli="latency", match="x"))}, "latency needs op and value"),
    ({"indicator": sli(thresholdMetric=measured(sli="success"))}, "does not say of what"),
    (
        {"indicator": sli(thresholdMetric=measured(sli="success", match={"dataset": "x"}))},
        "success is not counted by dataset",
    ),
    (
        {"indicator": sli(ratioMetric={"good": measured(sli="success", match="x")})},
        "needs raw, or total with good or with bad",
    ),
    (
        {
            "indicator": sli(
                ratioMetric={
                    "good": measured(sli="success", match="x"),
                    "total": measured(sli="runs", match="y"),
                }
            )
        },
        "the two sources match different things",
    ),
]


@pytest.mark.parametrize(("changed", "message"), FAULTS)
def test_what_cannot_be_meant_is_named_with_its_line(changed: dict[str, Any], message: str) -> None:
    found = faults(slo(**changed))
    said = next((fault for fault in found if message in fault.message), None)
    assert said is not None, found
    assert said.line is not None and said.line > 1
    assert (
        said.remedy
        or "required" in said.message
        or "must" in said.message
        or "write" in said.message
        or ("needs at least" in said.message)
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kind": "Slo"}, "'Slo' is no kind of OpenSLO"),
        ({"apiVersion": "openslo/v1"}, "has no kind"),
        ({**slo(), "apiVersion": "openslo/v2alpha"}, "apiVersion 'openslo/v2alpha' is not read"),
        ({**slo(), "metadata": {"name": "Orders daily"}}, "'Orders daily' is no name"),
    ],
)
def test_what_is_no_document_of_openslo_is_named(document: dict[str, Any], message: str) -> None:
    assert message in next(fault.message for fault in faults(document)) or any(
        message in fault.message for fault in faults(document)
    )


def test_two_slos_of_one_name_are_a_fault() -> None:
    assert faults(slo(), slo())[0].message == "two SLOs are called 'orders', the other at line 5"


def test_good_and_total_of_the_same_runs_are_a_ratio() -> None:
    both = {"good": measured(sli="success", match="x"), "total": measured(sli="runs", match="x")}
    bad = {"bad": measured(sli="failure", match="x"), "total": measured(sli="runs", match="x")}
    for ratio in (both, bad):
        (found,) = load(slo(indicator=sli(ratioMetric={"counter": True, **ratio}))).slos
        assert found.objectives[0].indicator == Indicator("runs", Sli.SUCCESS, (Matcher("pipeline", "=", "x"),))


@pytest.mark.parametrize(
    ("source", "op", "value", "matchers"),
    [
        ({"sli": "volume", "match": {"dataset": "shop.orders"}}, "gte", 100.0, [("dataset", "shop.orders")]),
        ({"sli": "freshness", "match": {"dataset": "shop.orders"}}, "lte", 86_400.0, [("dataset", "shop.orders")]),
        (
            {"sli": "series", "series": "score", "match": {"pipeline": "train"}},
            "gt",
            0.95,
            [("series", "score"), ("pipeline", "train")],
        ),
    ],
)
def test_datasets_and_series_are_measured_against_a_limit(
    source: dict[str, Any], op: str, value: float, matchers: list[tuple[str, str]]
) -> None:
    changed: dict[str, Any] = {
        "indicator": sli(thresholdMetric=measured(**source)),
        "objectives": [{"op": op, "value": value, "target": 0.99}],
    }
    (found,) = load(slo(**changed)).slos
    expected = Indicator("runs", Sli(source["sli"]), tuple(Matcher(name, "=", of) for name, of in matchers), op, value)
    assert found.objectives[0].indicator == expected
    assert load(document(found)).slos == (found,), "as it is exported"


def test_freshness_counts_minutes() -> None:
    objective = {"op": "lte", "value": 60, "target": 0.9, "timeSliceWindow": "1h"}
    metric = measured(sli="freshness", match={"dataset": "shop.orders"})
    given = slo(indicator=sli(thresholdMetric=metric), objectives=[objective], budgetingMethod="RatioTimeslices")
    assert [fault.message for fault in faults(given)] == ["freshness counts minutes, not slices"]


def test_a_dataset_and_a_series_are_named_exactly() -> None:
    for source, message in (
        (measured(sli="volume", match={"dataset": "~shop.*"}), "volume needs the exact name of a dataset"),
        (measured(sli="series", match={"pipeline": "train"}), "series needs the exact name of a series"),
    ):
        given = slo(indicator=sli(thresholdMetric=source), objectives=[{"op": "gte", "value": 1, "target": 0.9}])
        assert [fault.message for fault in faults(given)] == [message]


def test_a_composite_has_an_indicator_and_a_weight_for_each_objective() -> None:
    one = {"target": 0.99, "compositeWeight": 2, "indicator": slo()["spec"]["indicator"]}
    other = {"target": 0.9, "displayName": "the mart", "indicator": slo()["spec"]["indicator"]}
    config = load(slo(indicator=None, objectives=[one, other]))
    (found,) = config.slos
    assert [each.weight for each in found.objectives] == [2, 1]
    assert found.is_composite
    assert [warning.message for warning in config.warnings] == [
        "objectives without compositeWeight count with weight 1"
    ]


def test_what_of_a_policy_is_done_elsewhere_is_a_warning() -> None:
    condition = {
        "kind": "AlertCondition",
        "metadata": {"name": "burning"},
        "spec": {
            "severity": "page",
            "condition": {"kind": "burnrate", "op": "lte", "threshold": 2, "lookbackWindow": "1h", "alertAfter": "5m"},
        },
    }
    target = {
        "kind": "AlertNotificationTarget", "metadata": {"name": "mail"}, "spec": {"target": "email"},
    }  # fmt: skip
    policy = {
        "kind": "AlertPolicy",
        "metadata": {"name": "inline"},
        "spec": {
            "alertWhenNoData": True,
            "alertWhenBreaching": True,
            "conditions": [condition],
            "notificationTargets": [target],
        },
    }
    config = load(slo(alertPolicies=[policy]))
    assert config.slos[0].conditions == (Condition("burning", Severity.PAGE, Decimal(2), 3_600, 300.0),)
    assert [warning.message for warning in config.warnings] == [
        "an SLO does not tell of runs that do not come",
        "lte would alert while all is well; it is read as gt",
        "who is told is said by route",
    ]


def test_without_policies_the_shipped_windows_alert_and_with_an_empty_list_none_do() -> None:
    assert load(slo()).slos[0].conditions is None
    assert load(slo(alertPolicies=[])).slos[0].conditions == ()


# -- cost ---------------------------------------------------------------------------------------------------------

BUDGET = {"name": "shop", "period": "day", "limit": {"amount": "100", "currency": "EUR"}}


def of_cost(**spec: Any) -> dict[str, Any]:
    source = measured(sli="cost", **(spec or {"match": {"budget": "shop"}}))
    return slo(indicator=sli(ratioMetric={"rawType": "success", "raw": source}))


def with_budgets(*budgets: dict[str, Any]) -> tuple[Fault, ...]:
    return examine(yaml.safe_dump({"budgets": list(budgets), "slos": [of_cost()]}, sort_keys=False)).faults


def test_cost_counts_the_days_of_a_budget_of_this_file() -> None:
    text = yaml.safe_dump({"budgets": [BUDGET], "slos": [of_cost()]}, sort_keys=False)
    (found,) = load_text(text).slos
    assert found.objectives[0].indicator == Indicator("runs", Sli.COST, (Matcher("budget", "=", "shop"),))


def test_a_budget_that_is_not_there_or_not_one_of_a_day_is_named() -> None:
    (fault,) = with_budgets({**BUDGET, "name": "shops"})
    assert (fault.message, fault.remedy) == ("SLO orders: there is no budget 'shop'", "did you mean 'shops'?")
    (fault,) = with_budgets({**BUDGET, "period": "month"})
    assert (fault.message, fault.remedy) == ("SLO orders: budget 'shop' is one of a month", "write period: day")
    (fault,) = faults(of_cost(match={"budget": "~shop.*"}))
    assert "cost needs the exact name of a budget" in fault.message


def of_unit_cost(limit: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    spec = {"sli": "unit_cost", "match": {"pipeline": "orders"}, "per": "gb", "scope": {"tag": {"Pipeline": "orders"}}}
    said = {name: value for name, value in {**spec, **changed}.items() if value is not None}
    indicator = sli(thresholdMetric=measured(**said))
    return slo(indicator=indicator, objectives=[{"target": 0.9, **(limit or {"op": "lte", "value": 0.03})}])


def test_days_are_counted_by_what_a_unit_costs() -> None:
    (found,) = load(of_unit_cost()).slos
    asked = Asked(CostScope({"Pipeline": "orders"}), CostMetric.BILLED, Per.GB)
    matchers = (Matcher("pipeline", "=", "orders"),)
    assert found.objectives[0].indicator == Indicator("runs", Sli.UNIT_COST, matchers, "lte", 0.03, asked=asked)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (of_unit_cost(per=None), "unit_cost needs per"),
        (of_unit_cost(scope=None), "unit_cost needs scope"),
        (of_unit_cost(per="tb"), "'tb' is not known"),
        (of_unit_cost(match={"pipeline": "~orders.*"}), "unit_cost needs the exact name of a pipeline or dataset"),
        (of_unit_cost(match={"dataset": "t"}, per="run"), "a dataset has no runs"),
        (of_unit_cost(match={"dataset": "t", "pipeline": "p"}), "unit_cost is of a pipeline or of a dataset"),
        (of_unit_cost({"op": "gte", "value": 1}), "unit_cost is good on the other side"),
        (
            of_unit_cost({"op": "gte", "value": 1}, sli="volume", match={"dataset": "t"}, scope=None),
            "per says nothing of volume",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cost_per_unit_that_cannot_be_reckoned_is_refused(document: dict[str, Any], message: str) -> None:
    assert message in [fault.message for fault in faults(document)]
