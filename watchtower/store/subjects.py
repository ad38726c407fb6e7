"""What the rules engine asks of the store: due subjects, one snapshot each, and one transaction for what came of it.

Snapshots are made of bounded reads (the newest runs of one job by index), so an evaluation costs the same whatever
the length of the history.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from watchtower.model.alert import Alert
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, Snapshot, SubjectKey
from watchtower.model.run import Run
from watchtower.ports import DueSubject, Outcome
from watchtower.store import alerts, datasets, due, jobs, runs
from watchtower.store.database import Database
from watchtower.store.schema.observed import datasets as datasets_table
from watchtower.store.schema.observed import jobs as jobs_table

HISTORY = 200  # runs of a job, or updates of a dataset, in a snapshot
WITH_ATTEMPTS = 10  # newest runs of a pipeline whose task attempts are read; open runs always are


class Subjects:
    """ports.RuleStore on a Database. holder: names this process among replicas; owned: gives a snapshot the owner and
    team that the configuration in force names."""

    def __init__(
        self,
        database: Database,
        holder: str,
        *,
        owned: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
        history: int = HISTORY,
    ) -> None:
        self._database = database
        self._holder = holder
        self._owned = owned
        self._history = history
        self._teams: dict[SubjectKey, str | None] = {}

    def claim_due_subjects(self, now: datetime, limit: int) -> list[DueSubject]:
        """On SQLite this process is the only one (it holds the lock of the state directory): no lease is written."""
        if self._database.is_sqlite:
            with self._database.read() as connection:
                claimed = due.peek(connection, due.RULES, now, limit)
        else:
            claimed = self._database.write(
                lambda connection: due.claim(connection, due.RULES, now, limit, self._holder)
            )
        return [DueSubject(SubjectKey.parse(row.subject), row.version, row.at) for row in claimed]

    def snapshots(self, keys: Sequence[SubjectKey]) -> Mapping[SubjectKey, Snapshot]:
        """One snapshot per key that exists, all read from one consistent state."""
        with self._database.read() as connection:
            found = {**self._jobs(connection, keys), **self._datasets(connection, keys)}
        return {key: self._with_owner(key, snapshot) for key, snapshot in found.items()}

    def commit_outcomes(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Write all outcomes in one transaction. One whose subject was marked meanwhile keeps its subject due."""

        teams = {outcome.key: self._teams.pop(outcome.key) for outcome in outcomes if outcome.key in self._teams}

        def unit(connection: Connection) -> None:
            jobs.set_team(connection, {key.id: team for key, team in teams.items() if key.kind == "job"})
            datasets.set_team(connection, {key.id: team for key, team in teams.items() if key.kind == "dataset"})
            alerts.write_outcomes(connection, outcomes, now)
            due.settle(
                connection, due.RULES, [(str(outcome.key), outcome.version, outcome.next_at) for outcome in outcomes]
            )

        if outcomes:
            self._database.write(unit)

    def named(self, name: str | None) -> list[SubjectKey]:
        """Jobs (with their tasks) and datasets called name; all there are for None."""
        job_ids = select(jobs_table.c.id).order_by(jobs_table.c.pipeline, jobs_table.c.task)
        dataset_ids = select(datasets_table.c.id).order_by(datasets_table.c.name)
        if name is not None:
            job_ids = job_ids.where(jobs_table.c.pipeline == name)
            dataset_ids = dataset_ids.where(datasets_table.c.name == name)
        with self._database.read() as connection:
            found = [SubjectKey("job", ident) for ident in connection.scalars(job_ids)]
            return found + [SubjectKey("dataset", ident) for ident in connection.scalars(dataset_ids)]

    def mark_all(self, now: datetime) -> int:
        """Make every subject due now: after a change of the rules. The number of subjects."""

        def unit(connection: Connection) -> int:
            subjects = [f"job:{ident}" for ident in connection.scalars(select(jobs_table.c.id))]
            subjects += [f"dataset:{ident}" for ident in connection.scalars(select(datasets_table.c.id))]
            due.mark(connection, due.RULES, subjects, now)
            return len(subjects)

        return self._database.write(unit)

    def _with_owner(self, key: SubjectKey, snapshot: Snapshot) -> Snapshot:
        """The team is a scope of access too, so a new one is written down with the outcome of the evaluation."""
        owned = self._owned(snapshot)
        if _team(owned) != _team(snapshot):
            self._teams[key] = _team(owned)
        return owned

    def _jobs(self, connection: Connection, keys: Sequence[SubjectKey]) -> dict[SubjectKey, Snapshot]:
        ids = [key.id for key in keys if key.kind == "job"]
        if not ids:
            return {}
        known = jobs.by_id(connection, ids)
        newest = runs.newest(connection, list(known), self._history)
        wanted = [run.id for job_id, some in newest.items() if not known[job_id].ref.task for run in _watched(some)]
        attempts = runs.attempts_of(connection, wanted)
        open_alerts = alerts.of_subjects(connection, [f"job:{job_id}" for job_id in known])
        return {
            SubjectKey("job", job_id): JobSnapshot(
                key=SubjectKey("job", job_id),
                job=job,
                runs=newest[job_id],
                attempts={run.id: attempts[run.id] for run in newest[job_id] if run.id in attempts},
                alerts=_of(open_alerts, f"job:{job_id}"),
            )
            for job_id, job in known.items()
        }

    def _datasets(self, connection: Connection, keys: Sequence[SubjectKey]) -> dict[SubjectKey, Snapshot]:
        ids = [key.id for key in keys if key.kind == "dataset"]
        if not ids:
            return {}
        known = datasets.by_id(connection, ids)
        writers = datasets.writers_of(connection, list(known))
        open_alerts = alerts.of_subjects(connection, [f"dataset:{dataset_id}" for dataset_id in known])
        return {
            SubjectKey("dataset", dataset_id): DatasetSnapshot(
                key=SubjectKey("dataset", dataset_id),
                dataset=dataset,
                updates=datasets.updates_of(connection, dataset_id, self._history),
                writers=writers.get(dataset_id, ()),
                alerts=_of(open_alerts, f"dataset:{dataset_id}"),
            )
            for dataset_id, dataset in known.items()
        }


def _team(snapshot: Snapshot) -> str | None:
    return snapshot.job.team if isinstance(snapshot, JobSnapshot) else snapshot.dataset.team


def _watched(some: Sequence[Run]) -> list[Run]:
    """Runs whose attempts matter: the newest ones, and all that are still open."""
    return [run for index, run in enumerate(some) if index < WITH_ATTEMPTS or not run.state.is_terminal]


def _of(found: Mapping[str, Sequence[Alert]], subject: str) -> tuple[Alert, ...]:
    return tuple(found.get(subject, ()))
