"""`budgets`: exact amounts, every fault with its line, and a rule for each entry."""

from decimal import Decimal

import msgspec
import pytest

from watchtower.config import examine, load_text
from watchtower.model.alert import Severity
from watchtower.model.cost import Budget, BudgetPeriod, CostMetric, CostScope, Money
from watchtower.model.labels import all_match
from watchtower.store.schema.base import dump_json

WHOLE = """
budgets:
  - name: prod-daily
    scope: {tag: {Environment: prod-data-pipeline, Team: ml}, service: AmazonS3, account: "123", source: aws-main}
    period: day
    limit: {amount: "100.000000000000000000000001", currency: USD}
    thresholds: [50%, 0.8, {at: 1, severity: critical}, 1.5]
    metric: effective
    late_after: 3d
    owner: finops-lead
    team: ml
    severity: ticket
    runbook_url: https://wiki.example.com/budgets
    description: all of production
"""


def test_an_entry_is_a_budget_to_the_last_digit() -> None:
    (found,) = load_text(WHOLE).budgets
    assert found == Budget(
        name="prod-daily",
        scope=CostScope({"Environment": "prod-data-pipeline", "Team": "ml"}, "AmazonS3", "123", "aws-main"),
        period=BudgetPeriod.DAY,
        limit=Money(Decimal("100.000000000000000000000001"), "USD"),
        thresholds=(Decimal("0.5"), Decimal("0.8"), Decimal(1), Decimal("1.5")),
        metric=CostMetric.EFFECTIVE,
        late_after_s=259_200.0,
        owner="finops-lead",
        team="ml",
        description="all of production",
    )
    assert msgspec.convert(msgspec.json.decode(dump_json(found)), Budget) == found, "as the store keeps it"


def test_an_entry_is_a_rule_that_watches_it_alone() -> None:
    (rule,) = load_text(WHOLE).declared_rules
    assert (rule.name, rule.kind, rule.declared) == ("BudgetExceeded", "budget", True)
    assert rule.runbook_url == "https://wiki.example.com/budgets"
    assert all_match(rule.matchers, {"budget": "prod-daily"})
    assert not all_match(rule.matchers, {"budget": "other"})
    severities = {str(each.at): each.severity for each in rule.options.thresholds}
    assert severities == {"0.5": "info", "0.8": "info", "1": Severity.PAGE, "1.5": "ticket"}


def test_what_is_not_said_has_a_default() -> None:
    (found,) = load_text("budgets: [{name: all, limit: {amount: 5, currency: EUR}}]").budgets
    assert (found.scope, found.period, found.metric) == (CostScope(), BudgetPeriod.MONTH, CostMetric.BILLED)
    assert (found.limit, found.late_after_s) == (Money(Decimal(5), "EUR"), 172_800.0)
    assert found.thresholds == (Decimal("0.8"), Decimal(1))


def test_the_name_that_cost_explorer_has_for_a_metric_is_understood() -> None:
    config = load_text("budgets: [{name: a, metric: UnblendedCost, limit: {amount: 5, currency: USD}}]")
    assert config.budgets[0].metric is CostMetric.BILLED
    assert [(warning.path, warning.remedy) for warning in config.warnings] == [("budgets[0].metric", "write billed")]


@pytest.mark.parametrize(
    ("entry", "path", "says"),
    [
        ("limit: {amount: 100.5, currency: USD}", "limit.amount", 'put it in quotes: "100.5"'),
        ('limit: {amount: "1,5", currency: USD}', "limit.amount", "is no amount"),
        ('limit: {amount: "-1", currency: USD}', "limit.amount", "is no amount"),
        ("limit: {amount: true, currency: USD}", "limit.amount", "is no amount"),
        ('limit: {amount: "0.00", currency: USD}', "limit.amount", "a limit of 0 has no shares"),
        ('limit: {amount: "1", currency: usd}', "limit.currency", "did you mean 'USD'"),
        ('limit: {amount: "1", currency: QQQ}', "limit.currency", "is no currency of ISO 4217"),
        ('limit: {amount: "1"}', "limit.currency", "is required"),
        ("period: week", "period", "known: day, month"),
        ("thresholds: []", "thresholds", "needs at least one share"),
        ("thresholds: [1, 0.8]", "thresholds", "1, 0.8 do not ascend"),
        ("thresholds: [80%, 0.8]", "thresholds", "do not ascend"),
        ("thresholds: [80]", "thresholds[0].at", "80 is 80 times the limit; for a percentage write 80% or 0.8"),
        ("thresholds: [0]", "thresholds[0].at", "is no share of a limit"),
        ("thresholds: [-1]", "thresholds[0].at", "is no share of a limit"),
        ("thresholds: [{at: 1, severity: loud}]", "thresholds[0].severity", "unknown severity 'loud'"),
        ("severity: loud", "severity", "unknown severity 'loud'"),
        ("metric: BlendedCost", "metric", "did you mean 'UnblendedCost'?"),
        ("late_after: 0", "late_after", "must be more than 0"),
        ("scope: {tags: {a: b}}", "scope.tags", "did you mean 'tag'?"),
        ("scope: {tag: {a: 1}}", "scope.tag.a", "must be a text"),
        ('name: " x"', "name", "is no name"),
    ],
)
def test_a_fault_is_named_with_its_line_and_its_remedy(entry: str, path: str, says: str) -> None:
    key = entry.partition(":")[0]
    rest = {"name": "a", "limit": '{amount: "1", currency: USD}'} | {key: entry.partition(":")[2]}
    text = "budgets:\n  -\n" + "".join(f"    {name}: {value}\n" for name, value in rest.items())
    (fault,) = examine(text).faults
    assert fault.path == f"budgets[0].{path}"
    assert says in str(fault)
    assert fault.line == 3 + list(rest).index(key)


def test_all_faults_are_named_at_once() -> None:
    text = """
budgets:
  - {name: a, limit: {amount: 1.5, currency: usd}, thresholds: [1, 0.8], metric: x}
  - {name: a, limit: {amount: 1, currency: EUR}}
  - {}
"""
    found = [(fault.line, fault.path) for fault in examine(text).faults]
    assert found == [
        (3, "budgets[0].limit.amount"),
        (3, "budgets[0].limit.currency"),
        (3, "budgets[0].thresholds"),
        (3, "budgets[0].metric"),
        (4, "budgets[1].name"),
        (5, "budgets[2].name"),
        (5, "budgets[2].limit"),
    ]
