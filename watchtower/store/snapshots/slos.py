"""Snapshots of SLOs: what was counted of each lately."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from watchtower.model.rule import Snapshot, SubjectKey
from watchtower.store import slos
from watchtower.store.reading.slos import snapshots
from watchtower.store.snapshots.loader import open_alerts


class SloLoader:
    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        found = snapshots(connection, ids)
        alerts = open_alerts(connection, [snapshot.key for snapshot in found])
        return {snapshot.key: replace(snapshot, alerts=alerts[snapshot.key]) for snapshot in found}

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        return list(slos.by_name(connection, None if name is None else [name]))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        slos.set_team(connection, teams)
