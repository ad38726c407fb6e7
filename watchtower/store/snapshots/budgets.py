"""Snapshots of budgets: what their scopes cost lately, and how far the bills reach."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from watchtower.model.rule import Snapshot, SubjectKey
from watchtower.store import budgets
from watchtower.store.reading.budgets import snapshots
from watchtower.store.snapshots.loader import open_alerts


class BudgetLoader:
    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        found = snapshots(connection, ids)
        alerts = open_alerts(connection, [each.key for each in found])
        return {each.key: replace(each, alerts=alerts[each.key]) for each in found}

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        return list(budgets.by_name(connection, None if name is None else [name]))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        budgets.set_team(connection, teams)
