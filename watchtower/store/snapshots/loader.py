"""What a loader of snapshots is asked for."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from watchtower.model.alert import Alert
from watchtower.model.rule import Snapshot, SubjectKey
from watchtower.store import alerts


class Loader(Protocol):
    """Of one kind of subject."""

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        """One snapshot per id that exists."""
        ...

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        """Of the subjects that people call name; all there are for None."""
        ...

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        """Write down whom subjects belong to, by id: the team is a scope of access too."""
        ...


def open_alerts(connection: Connection, keys: Sequence[SubjectKey]) -> dict[SubjectKey, tuple[Alert, ...]]:
    """Alerts of each subject that are not resolved."""
    found = alerts.of_subjects(connection, [str(key) for key in keys])
    return {key: tuple(found.get(str(key), ())) for key in keys}
