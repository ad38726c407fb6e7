"""Snapshots of jobs: the newest runs of each, and the attempts of those runs that may still matter."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from watchtower.model.rule import JobSnapshot, Snapshot, SubjectKey
from watchtower.model.run import Run
from watchtower.store import jobs, runs
from watchtower.store.schema.observed import jobs as table
from watchtower.store.snapshots.loader import open_alerts

HISTORY = 200  # runs of a job
WITH_ATTEMPTS = 10  # newest runs of a pipeline whose task attempts are read; open runs always are


class JobLoader:
    def __init__(self, history: int = HISTORY) -> None:
        self._history = history

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        known = jobs.by_id(connection, ids)
        newest = runs.newest(connection, list(known), self._history)
        wanted = [run.id for job_id, some in newest.items() if not known[job_id].ref.task for run in _watched(some)]
        attempts = runs.attempts_of(connection, wanted)
        keys = {job_id: SubjectKey("job", job_id) for job_id in known}
        alerts = open_alerts(connection, list(keys.values()))
        return {
            keys[job_id]: JobSnapshot(
                key=keys[job_id],
                job=job,
                runs=newest[job_id],
                attempts={run.id: attempts[run.id] for run in newest[job_id] if run.id in attempts},
                alerts=alerts[keys[job_id]],
            )
            for job_id, job in known.items()
        }

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        """A pipeline with its tasks."""
        query = select(table.c.id).order_by(table.c.pipeline, table.c.task)
        return list(connection.scalars(query if name is None else query.where(table.c.pipeline == name)))

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        jobs.set_team(connection, teams)


def _watched(some: Sequence[Run]) -> list[Run]:
    """Runs whose attempts matter: the newest ones, and all that are still open."""
    return [run for index, run in enumerate(some) if index < WITH_ATTEMPTS or not run.state.is_terminal]
