"""Snapshots of round trips: all there is to know of one is its name."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from watchtower.model.round_trip import SUBJECT
from watchtower.model.rule import RoundTripSnapshot, Snapshot, SubjectKey
from watchtower.store.snapshots.loader import open_alerts


class RoundTripLoader:
    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        keys = [SubjectKey(SUBJECT, ident) for ident in ids]
        alerts = open_alerts(connection, keys)
        return {key: RoundTripSnapshot(key, alerts[key]) for key in keys}

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        """Nobody names one, and a change of the rules concerns none."""
        return []

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        """They are nobody's."""
