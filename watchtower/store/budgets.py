"""Budgets in the store: declared by the configuration, due whenever a bill came, and what each has spent.

The configuration is the only source of budgets. One that it no longer holds is gone at once, and its alerts end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from watchtower.model.cost import Budget
from watchtower.store import alerts, dialect, due
from watchtower.store.schema.budgets import budgets


@dataclass(frozen=True, slots=True)
class Known:
    """A declared budget. team: whom it belongs to, by its entry or by `ownership`."""

    budget: Budget
    team: str | None
    declared_at: datetime


def declare(connection: Connection, declared: Sequence[Budget], now: datetime) -> None:
    """Take over the budgets of the configuration in force, all due now, and end what is no longer among them."""
    before = by_name(connection)
    rows: list[dict[str, Any]] = [
        {
            "name": budget.name,
            "document": budget,
            "team": budget.team or (before[budget.name].team if budget.name in before else None),
            "declared_at": now,
        }
        for budget in declared
    ]
    dialect.upsert(connection, budgets, rows, keep=("declared_at",))
    _remove(connection, before.keys() - {budget.name for budget in declared}, now)
    due.mark(connection, due.RULES, [_subject(budget.name) for budget in declared], now)


def mark_due(connection: Connection, now: datetime) -> None:
    """Every budget is to be judged now: in the transaction that brings a bill."""
    names = connection.scalars(select(budgets.c.name))
    due.mark(connection, due.RULES, [_subject(name) for name in names], now)


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    for name, team in sorted(teams.items()):
        connection.execute(update(budgets).where(budgets.c.name == name).values(team=team))


def _remove(connection: Connection, names: Collection[str], now: datetime) -> None:
    subjects = [_subject(name) for name in sorted(names)]
    alerts.end(connection, subjects, "the budget was removed", now)
    connection.execute(delete(budgets).where(budgets.c.name.in_(sorted(names))))
    due.forget(connection, due.RULES, subjects)


def _subject(name: str) -> str:
    return f"budget:{name}"


# -- reading ------------------------------------------------------------------------------------------------------


def by_name(connection: Connection, names: Collection[str] | None = None, team: str | None = None) -> dict[str, Known]:
    """By name, in that order; all for None. team: only what belongs to it."""
    query = select(budgets).order_by(budgets.c.name)
    if names is not None:
        query = query.where(budgets.c.name.in_(sorted(names)))
    if team is not None:
        query = query.where(budgets.c.team == team)
    return {
        row.name: Known(msgspec.convert(row.document, Budget), row.team, row.declared_at)
        for row in connection.execute(query)
    }
