"""Snapshots of series: the newest samples of each, or those that are worked out from the newest runs of its job."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, select

from watchtower.model.derived import DERIVED, RECORDS_PER_SECOND, UNITS, derived_id, derived_samples, is_derived
from watchtower.model.derived import parse_derived as parse
from watchtower.model.past import PastRun
from watchtower.model.rule import SeriesSnapshot, Snapshot, SubjectKey
from watchtower.model.run import Job
from watchtower.model.series import Sample, Series, SeriesKind, SeriesRef
from watchtower.store import changes, dialect, jobs, runs
from watchtower.store import series as rows_of
from watchtower.store.schema.observed import jobs as jobs_table
from watchtower.store.schema.series import series as table
from watchtower.store.snapshots.loader import open_alerts

HISTORY = 500  # samples of one series


def _none() -> frozenset[str]:
    return frozenset()


class SeriesLoader:
    """derived: names of those derived series that rules watch, asked each time."""

    def __init__(self, derived: Callable[[], frozenset[str]] = _none, history: int = HISTORY) -> None:
        self._derived = derived
        self._history = history

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        told = rows_of.by_id(connection, [ident for ident in ids if not is_derived(ident)])
        of_jobs = [ident for ident in ids if is_derived(ident)]
        job_ids = {one.ref.job.id for one in told.values() if one.ref.job} | {parse(ident)[1] for ident in of_jobs}
        known = jobs.by_id(connection, sorted(job_ids))
        samples = {ident: rows_of.newest(connection, ident, self._history) for ident in told}
        for one, its in self._worked_out(connection, of_jobs, known):
            told[one.id], samples[one.id] = one, its
        oldest = min((its[-1].at for its in samples.values() if its), default=None)
        changed = changes.newest(connection) if known and oldest else []
        keys = {ident: SubjectKey("series", ident) for ident in told}
        alerts = open_alerts(connection, list(keys.values()))
        found: dict[SubjectKey, Snapshot] = {}
        for ident, one in told.items():
            job = known.get(one.ref.job.id) if one.ref.job else None
            found[keys[ident]] = SeriesSnapshot(
                key=keys[ident],
                series=one,
                samples=samples[ident],
                job=job,
                alerts=alerts[keys[ident]],
                changes=tuple(each for each in changed if job and oldest and each.at >= oldest and each.concerns(job)),
            )
        return found

    def _worked_out(
        self, connection: Connection, ids: Sequence[str], known: Mapping[str, Job]
    ) -> list[tuple[Series, tuple[Sample, ...]]]:
        wanted = [(name, job_id) for name, job_id in map(parse, ids) if name in DERIVED and job_id in known]
        if not wanted:
            return []
        told = _told_by_jobs(connection, sorted({job_id for _, job_id in wanted}))
        past = {job_id: runs.past(connection, job_id, self._history) for _, job_id in wanted}
        written = _rows_written(
            connection, [run for name, job_id in wanted if name == RECORDS_PER_SECOND for run in past[job_id]]
        )
        return [
            (
                _derived_series(name, known[job_id], past[job_id]),
                () if (name, job_id) in told else derived_samples(name, past[job_id], written),
            )
            for name, job_id in wanted
        ]

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        """By the name of a series or of its pipeline."""
        query = select(table.c.id).order_by(table.c.name, table.c.id)
        found = list(
            connection.scalars(
                query if name is None else query.where((table.c.name == name) | (table.c.pipeline == name))
            )
        )
        names = self._derived()
        if names and (name is None or name not in names):
            of = select(jobs_table.c.id).order_by(jobs_table.c.pipeline, jobs_table.c.task)
            job_ids = list(connection.scalars(of if name is None else of.where(jobs_table.c.pipeline == name)))
        else:
            names &= {name or ""}
            job_ids = list(connection.scalars(select(jobs_table.c.id))) if names else []
        return found + [derived_id(each, job_id) for each in sorted(names) for job_id in job_ids]

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        """A derived series belongs to whoever its job belongs to."""
        rows_of.set_team(connection, {ident: team for ident, team in teams.items() if not is_derived(ident)})


def _derived_series(name: str, job: Job, past: Sequence[PastRun]) -> Series:
    ends = [run.ended_at for run in past if run.ended_at]
    return Series(
        id=derived_id(name, job.id),
        ref=SeriesRef(name, job.ref),
        source=job.ref.source,
        kind=SeriesKind.GAUGE,
        unit=UNITS[name],
        is_delta=False,
        owner=job.owner,
        team=job.team,
        first_seen=min(ends, default=None),
        last_at=max(ends, default=None),
        derived=True,
    )


_TOLD = "SELECT name, job_id FROM series WHERE job_id {among}"
_WRITTEN = (
    "SELECT run_id, sum(row_count) FROM dataset_updates WHERE row_count IS NOT NULL AND at IS NOT NULL "
    "AND run_id {among} GROUP BY run_id"
)
_WRITTEN_BY_TASKS = (
    "SELECT runs.parent_run_id, sum(made.row_count) FROM runs JOIN dataset_updates AS made ON made.run_id = runs.id "
    "WHERE made.row_count IS NOT NULL AND made.at IS NOT NULL AND runs.parent_run_id {among} "
    "GROUP BY runs.parent_run_id"
)


def _told_by_jobs(connection: Connection, job_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(name, job id) of the series that jobs tell themselves."""
    return {(name, job_id) for name, job_id in dialect.rows_among(connection, _TOLD, job_ids)}


def _rows_written(connection: Connection, past: Sequence[PastRun]) -> dict[str, int]:
    """Rows that each run wrote, those of its tasks with it; only of runs that told of any."""
    succeeded = {run.id for run in past if run.has_succeeded}
    written: dict[str, int] = {}
    for sql in (_WRITTEN, _WRITTEN_BY_TASKS):
        for run_id, count in dialect.rows_among(connection, sql, succeeded):
            written[run_id] = written.get(run_id, 0) + int(count)
    return written
