"""Snapshots of sources that are asked: how far each has been read, and how it went."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from watchtower.model.rule import Snapshot, SourceSnapshot, SubjectKey
from watchtower.store import sources
from watchtower.store.snapshots.loader import open_alerts


class SourceLoader:
    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        found = {SubjectKey("source", name): known for name, known in sources.by_name(connection, ids).items()}
        alerts = open_alerts(connection, list(found))
        return {key: SourceSnapshot(key, known, alerts[key]) for key, known in found.items()}

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        return list(sources.by_name(connection, None if name is None else [name]))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        sources.set_team(connection, teams)
