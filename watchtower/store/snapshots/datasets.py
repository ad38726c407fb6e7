"""Snapshots of datasets: the newest updates of each, and who wrote them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from watchtower.model.rule import DatasetSnapshot, Snapshot, SubjectKey
from watchtower.store import datasets, troubles
from watchtower.store.schema.observed import datasets as table
from watchtower.store.snapshots.loader import open_alerts

HISTORY = 200  # updates of a dataset


class DatasetLoader:
    def __init__(self, history: int = HISTORY) -> None:
        self._history = history

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        known = datasets.by_id(connection, ids)
        writers = datasets.writers_of(connection, list(known))
        keys = {dataset_id: SubjectKey("dataset", dataset_id) for dataset_id in known}
        alerts = open_alerts(connection, list(keys.values()))
        troubled = troubles.newest(connection)
        return {
            keys[dataset_id]: DatasetSnapshot(
                key=keys[dataset_id],
                dataset=dataset,
                updates=datasets.updates_of(connection, dataset_id, self._history),
                writers=writers.get(dataset_id, ()),
                alerts=alerts[keys[dataset_id]],
                troubles=tuple(trouble for trouble in troubled if trouble.concerns_dataset(dataset_id)),
            )
            for dataset_id, dataset in known.items()
        }

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        query = select(table.c.id).order_by(table.c.name)
        return list(connection.scalars(query if name is None else query.where(table.c.name == name)))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        datasets.set_team(connection, teams)
