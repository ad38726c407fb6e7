"""Builders of what budget rules see. Friday 2026-11-20 is the day in question; amounts are texts, never floats."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from rules.kinds.bill import Bill
from rules.kinds.budget import BudgetExceeded
from watchtower.model.alert import Alert, AlertState, Severity
from watchtower.model.cost import BillState, Budget, BudgetPeriod, CostScope, DayCost, Money
from watchtower.model.labels import fingerprint
from watchtower.model.rule import BudgetSnapshot, Rule, SubjectKey, Violation
from watchtower.model.spending import DAY, midnight

THE_DAY = date(2026, 11, 20)
SCOPE = CostScope({"Environment": "prod-data-pipeline"})
BUDGET, BILL = BudgetExceeded(), Bill()


def at(day: date, hours: float = 0) -> datetime:
    return midnight(day) + timedelta(hours=hours)


def budget(**said: Any) -> Budget:
    made: dict[str, Any] = {
        "name": "prod-daily", "scope": SCOPE, "period": BudgetPeriod.DAY, "limit": Money(Decimal(100), "USD"),
        "thresholds": (Decimal(1),),
    }  # fmt: skip
    return Budget(**(made | said))


def monthly(**said: Any) -> Budget:
    return budget(**({"name": "prod-monthly", "period": BudgetPeriod.MONTH} | said))


def of_budget(
    days: Mapping[date, str],
    covered_until: datetime | None,
    *,
    budget: Budget | None = None,
    alerts: Sequence[Alert] = (),
    problem: str | None = None,
    provisional: Sequence[date] = (),
    told: Mapping[date, datetime] | None = None,
    declared_at: datetime = datetime(2026, 11, 1, tzinfo=UTC),
) -> BudgetSnapshot:
    """days: amounts of days, any order. told: default six hours after the end of each day that the bill reaches."""
    of = budget or globals()["budget"]()
    if told is None:
        first = min([*days, THE_DAY])
        count = max(0, (covered_until.date() - first).days) if covered_until else 0
        told = {day: at(day, 30) for day in (first + DAY * index for index in range(count))}
    costs = tuple(
        DayCost(
            day, Decimal(amount), day in provisional or covered_until is None or covered_until < midnight(day + DAY)
        )
        for day, amount in sorted(days.items())
    )
    loaded_at = covered_until + timedelta(hours=6) if covered_until else None
    bill = BillState(covered_until, loaded_at, ("aws-main",) if covered_until else (), problem)
    return BudgetSnapshot(SubjectKey("budget", of.name), of, costs, bill, tuple(alerts), declared_at, told)


def rule(*thresholds: Any, severity: Severity = Severity.TICKET) -> Rule:
    """As an entry of `budgets` makes it; without thresholds those of the budget."""
    options = BUDGET.Config.model_validate({"thresholds": list(thresholds) or None})
    return Rule("BudgetExceeded", "budget", options, severity=severity, declared=True)


def alert_of(violation: Violation, state: AlertState = AlertState.FIRING) -> Alert:
    """The alert that fires because of violation."""
    labels = {"alertname": "BudgetExceeded", "kind": "budget", "budget": "prod-daily", **violation.labels}
    since = violation.since
    return Alert(
        "a1", fingerprint(labels), "BudgetExceeded", "budget:prod-daily", labels, {}, state, since, starts_at=since
    )
