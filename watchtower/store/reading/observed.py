"""Lists of what was observed: runs, jobs, datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, func, select

from watchtower.model.origin import DATASET, EVENT, Origin
from watchtower.model.run import Dataset, DatasetIO, DatasetRef, Job, Run, RunState
from watchtower.store import datasets as dataset_rows
from watchtower.store import jobs as job_rows
from watchtower.store import runs as run_rows
from watchtower.store.reading.paging import Page, Window, holding, matching, paged, within
from watchtower.store.schema.observed import NOT_SUCCEEDED, dataset_updates, datasets, job_datasets, jobs, runs


@dataclass(frozen=True, slots=True)
class RunFilter:
    """None and () mean: any. top_level: runs of pipelines (True), or attempts of tasks (False)."""

    states: Sequence[str] = ()
    job_id: str | None = None
    parent_run_id: str | None = None
    source: str | None = None
    namespace: str | None = None
    pipeline: str | None = None
    task: str | None = None
    trigger: str | None = None
    environment: str | None = None
    top_level: bool | None = None


def list_runs(connection: Connection, wanted: RunFilter, window: Window) -> Page[Run]:
    """Newest first, by nominal start, else start, else first event."""
    query = matching(
        select(runs),
        {
            runs.c.state: tuple(wanted.states),
            runs.c.job_id: wanted.job_id,
            runs.c.parent_run_id: wanted.parent_run_id,
            runs.c.source: wanted.source,
            runs.c.namespace: wanted.namespace,
            runs.c.pipeline: wanted.pipeline,
            runs.c.task: wanted.task,
            runs.c.trigger: wanted.trigger,
            runs.c.environment: wanted.environment,
        },
    )
    if wanted.states and RunState.SUCCEEDED.value not in wanted.states:
        query = query.where(NOT_SUCCEEDED)
    if wanted.top_level is not None:
        query = query.where(runs.c.task.is_(None) if wanted.top_level else runs.c.task.is_not(None))
    if window.team is not None:
        query = query.where(runs.c.job_id.in_(select(jobs.c.id).where(jobs.c.team == window.team)))
    return paged(
        connection, within(query, runs.c.position, window), [runs.c.position, runs.c.id], window, run_rows.to_run
    )


def get_run(connection: Connection, run_id: str, team: str | None) -> Run | None:
    """The run of this id, or the one into which it was merged; None if there is none, or it is not this team's."""
    run = run_rows.get(connection, run_id)
    if run is None or team is None:
        return run
    job = get_job(connection, run.job.id, team)
    return run if job else None


def attempts_of_run(connection: Connection, run_id: str, limit: int = 1_000) -> list[Run]:
    """Attempts of its tasks, oldest first."""
    query = select(runs).where(runs.c.parent_run_id == run_id).order_by(runs.c.position, runs.c.id).limit(limit)
    return [run_rows.to_run(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Read:
    """A dataset that a run read, as it was then: by its last writing before the run began. Times aware UTC; None where
    no writing is known. version: as the source that wrote it calls it."""

    ref: DatasetRef
    written_at: datetime | None = None
    run_id: str | None = None
    row_count: int | None = None
    partition: str | None = None
    version: str | None = None


def read_by(connection: Connection, run: Run, limit: int = 50) -> list[Read]:
    """What its job is known to read, of a pipeline with its tasks; by name."""
    ref = run.job
    of = (jobs.c.source == ref.source, jobs.c.namespace == ref.namespace, jobs.c.pipeline == ref.pipeline)
    own = select(jobs.c.id).where(*of, *((jobs.c.task == ref.task,) if ref.task else ()))
    inputs = select(job_datasets.c.dataset_id).where(job_datasets.c.job_id.in_(own), job_datasets.c.direction == "in")
    rows = connection.execute(
        select(datasets).where(datasets.c.id.in_(inputs)).order_by(datasets.c.name, datasets.c.id).limit(limit)
    )
    return [_as_it_was(connection, row, run.started_at or run.first_seen) for row in rows.all()]


def _as_it_was(connection: Connection, dataset: Any, moment: datetime) -> Read:
    ref = DatasetRef(dataset.namespace, dataset.name)
    query = select(dataset_updates).where(dataset_updates.c.dataset_id == dataset.id, dataset_updates.c.at <= moment)
    row = connection.execute(query.order_by(dataset_updates.c.at.desc()).limit(1)).first()
    if row is None:
        return Read(ref)
    return Read(ref, row.at, dataset_rows.to_told(row), row.row_count, row.partition or None, _version(row.facets))


def _version(facets: Mapping[str, Any] | None) -> str | None:
    """Of OpenLineage's facet `version`, as it was sent."""
    facet: Any = (facets or {}).get("version")
    found = cast("Mapping[str, Any]", facet).get("datasetVersion") if isinstance(facet, dict) else None
    return str(found) if found else None


def origin_runs(connection: Connection, run: Run) -> list[Run]:
    """The runs that set this one off: which they are themselves, or which wrote what did. Runs of pipelines, once each,
    as far as they are known."""
    named = {origin.run: origin for origin in run.origins if origin.run and origin.kind != EVENT}
    query = select(runs).where(runs.c.native_run_id.in_(named), runs.c.task.is_(None))
    found = [run_rows.to_run(row) for row in connection.execute(query.order_by(runs.c.position, runs.c.id))]
    return [each for each in found if _is_named(each, named[each.native_run_id or ""], run)]


def _is_named(found: Run, origin: Origin, run: Run) -> bool:
    """A dataset's writer is of the same place as the run."""
    name = origin.job if origin.kind == DATASET else origin.name
    place = run.job.namespace if origin.kind == DATASET else origin.namespace or run.job.namespace
    pipeline = found.job.pipeline
    return found.job.namespace == place and (name == pipeline or (name or "").startswith(f"{pipeline}."))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """tasks: tasks (True) or pipelines (False) only."""

    source: str | None = None
    namespace: str | None = None
    pipeline: str | None = None
    task: str | None = None
    owner: str | None = None
    team: str | None = None
    tasks: bool | None = None


_TASK: ColumnElement[str] = func.coalesce(jobs.c.task, "").label("task_key")


def list_jobs(connection: Connection, wanted: JobFilter, window: Window) -> Page[Job]:
    """By name: namespace, pipeline, task. The window's time is that of the last event heard of them."""
    query = matching(
        select(jobs, _TASK),
        {
            jobs.c.source: wanted.source,
            jobs.c.namespace: wanted.namespace,
            jobs.c.pipeline: wanted.pipeline,
            jobs.c.task: wanted.task,
            jobs.c.owner: wanted.owner,
            jobs.c.team: window.team if window.team is not None else wanted.team,
        },
    )
    if window.team is not None and wanted.team is not None:
        query = query.where(jobs.c.team == wanted.team)
    if wanted.tasks is not None:
        query = query.where(jobs.c.task.is_not(None) if wanted.tasks else jobs.c.task.is_(None))
    order = [jobs.c.namespace, jobs.c.pipeline, _TASK, jobs.c.id]
    query = within(query, jobs.c.last_seen, window)
    return paged(connection, query, order, window, job_rows.to_job, descending=False)


def get_job(connection: Connection, job_id: str, team: str | None) -> Job | None:
    job = job_rows.by_id(connection, [job_id]).get(job_id)
    return job if job is not None and team in (None, job.team) else None


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """text: a part of the name, the namespace or the owner, in any case."""

    namespace: str | None = None
    name: str | None = None
    owner: str | None = None
    team: str | None = None
    text: str = ""


def list_datasets(connection: Connection, wanted: DatasetFilter, window: Window) -> Page[Dataset]:
    """By name. The window's time is that of their last update."""
    query = matching(
        select(datasets),
        {datasets.c.namespace: wanted.namespace, datasets.c.name: wanted.name, datasets.c.owner: wanted.owner},
    )
    for team in (window.team, wanted.team):
        query = matching(query, {datasets.c.team: team})
    if wanted.text:
        query = query.where(holding(wanted.text, datasets.c.name, datasets.c.namespace, datasets.c.owner))
    query = within(query, datasets.c.updated_at, window)
    order = [datasets.c.namespace, datasets.c.name, datasets.c.id]
    return paged(connection, query, order, window, dataset_rows.to_dataset, descending=False)


def get_dataset(connection: Connection, dataset_id: str, team: str | None) -> Dataset | None:
    dataset = dataset_rows.by_id(connection, [dataset_id]).get(dataset_id)
    return dataset if dataset is not None and team in (None, dataset.team) else None


def written_by(connection: Connection, run_id: str) -> list[DatasetIO]:
    """What a run wrote, by name."""
    query = (
        select(dataset_updates, datasets.c.namespace, datasets.c.name)
        .join_from(dataset_updates, datasets, datasets.c.id == dataset_updates.c.dataset_id)
        .where(dataset_updates.c.run_id == run_id)
        .order_by(datasets.c.namespace, datasets.c.name, dataset_updates.c.partition)
    )
    return [
        DatasetIO(
            DatasetRef(row.namespace, row.name),
            "out",
            row_count=row.row_count,
            size_bytes=row.size_bytes,
            file_count=row.file_count,
            checksum=row.checksum,
            partition=row.partition or None,
        )
        for row in connection.execute(query)
    ]
