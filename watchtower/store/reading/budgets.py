"""How budgets stand: what each has spent, by the bills in force, and how far those reach."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, select

from watchtower.model.cost import BillState, DayCost
from watchtower.model.rule import BudgetSnapshot, SubjectKey
from watchtower.model.spending import BudgetStatus, status, window
from watchtower.store import budgets, costs
from watchtower.store.budgets import Known
from watchtower.store.schema.costs import bill_imports


def snapshots(
    connection: Connection, names: Collection[str] | None = None, team: str | None = None
) -> list[BudgetSnapshot]:
    """What budgets are judged by, by name, without alerts: the days of the month in which the newest bill came, and of
    the month before it. A handful of queries for each, by index, whatever the length of the history."""
    known = budgets.by_name(connection, names, team).values()
    loaded_at = connection.execute(select(func.max(bill_imports.c.loaded_at))).scalar_one()
    return [_snapshot(connection, each, loaded_at) for each in known]


def budget_status(
    connection: Connection, now: datetime, *, names: Collection[str] | None = None, team: str | None = None
) -> list[BudgetStatus]:
    """How each budget stands, by name: what was spent of which limit, its share and state, how far the bill reaches and
    whether it is late. For pages, the API and metrics. team: only budgets of that team."""
    return [status(snapshot, now) for snapshot in snapshots(connection, names, team)]


def _snapshot(connection: Connection, known: Known, loaded_at: datetime | None) -> BudgetSnapshot:
    budget, key = known.budget, SubjectKey("budget", known.budget.name)
    if loaded_at is None:
        return BudgetSnapshot(key, budget, (), BillState(None, None), (), known.declared_at)
    start, end = window(loaded_at)
    bill = costs.bill_state(connection, budget.scope, budget.metric)
    found = costs.day_costs(connection, budget.scope, budget.metric, start, end)
    others = sorted({currency for _, currency, _, _ in found} - {budget.limit.currency})
    if others and bill.problem is None:
        problem = f"the bill is in {others[0]} and the limit in {budget.limit.currency}, which are never converted"
        bill = BillState(bill.covered_until, bill.loaded_at, bill.sources, problem)
    days = tuple(DayCost(day, amount, provisional) for day, _, amount, provisional in found)
    told = costs.told(connection, budget.scope, start, end)
    return BudgetSnapshot(key, budget, () if bill.problem else days, bill, (), known.declared_at, told)
