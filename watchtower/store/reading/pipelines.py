"""What the page of one pipeline shows: its tasks, what it reads and writes, what is wrong with it; and the list of all
pipelines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from watchtower.model.alert import Alert, Incident
from watchtower.model.run import Dataset, Job
from watchtower.store import alert_rows
from watchtower.store import datasets as dataset_rows
from watchtower.store import incidents as incident_rows
from watchtower.store import jobs as job_rows
from watchtower.store.reading.now_page import Pipeline, broken, completed, with_runs
from watchtower.store.reading.paging import Page, Window, holding, paged
from watchtower.store.schema.alerting import alerts, group_alerts, groups, incidents
from watchtower.store.schema.observed import datasets, job_datasets, jobs

_TASKS = 200  # of one pipeline; a graph has fewer


@dataclass(frozen=True, slots=True)
class PipelineFilter:
    """text: a part of its name, its namespace or its owner, in any case. broken: only those of which an alert fires."""

    text: str = ""
    broken: bool = False


def list_pipelines(
    connection: Connection, wanted: PipelineFilter, window: Window, *, bars: int = 24, enough: int = 10
) -> Page[Pipeline]:
    """By name. enough: completed runs from which on a pipeline is learned."""
    query = select(jobs, completed(enough).label("completed"), broken().label("broken")).where(jobs.c.task.is_(None))
    if window.team is not None:
        query = query.where(jobs.c.team == window.team)
    if wanted.text:
        query = query.where(holding(wanted.text, jobs.c.pipeline, jobs.c.namespace, jobs.c.owner))
    if wanted.broken:
        query = query.where(broken() > 0)
    order = [jobs.c.pipeline, jobs.c.namespace, jobs.c.id]
    page = paged(connection, query, order, window, lambda row: row, descending=False)
    return Page(with_runs(connection, page.items, bars), page.next)


def tasks_of(connection: Connection, pipeline: Job) -> list[Job]:
    """Its tasks by name."""
    ref = pipeline.ref
    query = select(jobs).where(
        jobs.c.source == ref.source,
        jobs.c.namespace == ref.namespace,
        jobs.c.pipeline == ref.pipeline,
        jobs.c.task.is_not(None),
    )
    return [job_rows.to_job(row) for row in connection.execute(query.order_by(jobs.c.task, jobs.c.id).limit(_TASKS))]


@dataclass(frozen=True, slots=True)
class Touched:
    """A dataset that a pipeline, by itself or by its tasks, reads (`in`) or writes (`out`), and when it last did.
    others: who writes what it reads, or reads what it writes."""

    dataset: Dataset
    direction: str
    last_at: datetime
    others: tuple[str, ...]


def touched(connection: Connection, own: Sequence[str], limit: int = 100) -> list[Touched]:
    """What these jobs read, then what they write, each by name. own: ids of a pipeline and its tasks."""
    query = (
        select(datasets, job_datasets.c.direction, func.max(job_datasets.c.last_at).label("last_at"))
        .join_from(job_datasets, datasets, datasets.c.id == job_datasets.c.dataset_id)
        .where(job_datasets.c.job_id.in_(list(own)))
        .group_by(*datasets.c, job_datasets.c.direction)
        .order_by(job_datasets.c.direction, datasets.c.name, datasets.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    others = _others(connection, {row.id for row in rows}, own)
    back = {"in": "out", "out": "in"}
    return [
        Touched(dataset_rows.to_dataset(row), row.direction, row.last_at, others.get((row.id, back[row.direction]), ()))
        for row in rows
    ]


def _others(
    connection: Connection, dataset_ids: set[str], own: Sequence[str], limit: int = 1_000
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Names of the pipelines beyond own that read or write these datasets, by dataset and direction."""
    query = (
        select(job_datasets.c.dataset_id, job_datasets.c.direction, jobs.c.pipeline)
        .join_from(job_datasets, jobs, jobs.c.id == job_datasets.c.job_id)
        .where(job_datasets.c.dataset_id.in_(sorted(dataset_ids)), jobs.c.id.not_in(list(own)))
        .distinct()
        .order_by(jobs.c.pipeline)
        .limit(limit)
    )
    found: dict[tuple[str, str], list[str]] = {}
    for row in connection.execute(query):
        found.setdefault((row.dataset_id, row.direction), []).append(row.pipeline)
    return {key: tuple(names) for key, names in found.items()}


def open_alerts(connection: Connection, subjects: Sequence[str], limit: int = 50) -> list[Alert]:
    """What fires of these subjects, or of which nothing can be said; the oldest first."""
    query = select(alerts).where(
        alerts.c.subject.in_(list(subjects)), alerts.c.state.in_(alert_rows.OPEN), alerts.c.historical.is_(False)
    )
    rows = connection.execute(query.order_by(alerts.c.active_since, alerts.c.id).limit(limit))
    return [alert_rows.to_alert(row) for row in rows]


def incidents_of(connection: Connection, subjects: Sequence[str], limit: int = 20) -> list[Incident]:
    """Incidents in which an alert of these subjects takes part, over or not; the newest first."""
    held = (
        select(groups.c.incident_id)
        .join_from(group_alerts, groups, groups.c.id == group_alerts.c.group_id)
        .join(alerts, alerts.c.id == group_alerts.c.alert_id)
        .where(alerts.c.subject.in_(list(subjects)))
    )
    query = select(incidents).where(incidents.c.id.in_(held))
    rows = connection.execute(query.order_by(incidents.c.started_at.desc(), incidents.c.id).limit(limit))
    return [incident_rows.to_incident(row) for row in rows]
