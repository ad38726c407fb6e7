"""What the "Now" page needs, in a handful of set-based queries whose cost does not grow with history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, and_, case, func, literal, select

from watchtower.model.alert import Alert, Incident, IncidentStatus, Severity
from watchtower.model.run import Job, Run, RunState
from watchtower.store import alert_rows, shown
from watchtower.store import incidents as incident_rows
from watchtower.store import jobs as job_rows
from watchtower.store import runs as run_rows
from watchtower.store.schema.alerting import alerts, group_alerts, groups, incidents, obligations
from watchtower.store.schema.observed import jobs, quarantine, runs


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline with its newest runs, oldest first. completed: its completed runs, counted up to enough to learn."""

    job: Job
    runs: tuple[Run, ...]
    completed: int
    broken: bool  # an alert of it fires, or nothing can be said of it


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts for the line that says what is well. last_seen: of the newest event of any pipeline."""

    pipelines: int
    broken: int
    learning: int
    last_seen: datetime | None
    quarantined: int
    dead_letters: int


def open_incidents(connection: Connection, team: str | None, limit: int = 100) -> list[Incident]:
    """What nobody has yet, the worst, the oldest: first."""
    is_acknowledged = case((incidents.c.status == IncidentStatus.ACKNOWLEDGED.value, 1), else_=0)
    rank = case({Severity.PAGE.value: 0, Severity.TICKET.value: 1}, value=incidents.c.severity, else_=2)
    query = select(incidents).where(_is_open(team))
    query = query.order_by(is_acknowledged, rank, incidents.c.started_at, incidents.c.id).limit(limit)
    return [incident_rows.to_incident(row) for row in connection.execute(query)]


def count_open(connection: Connection, team: str | None) -> int:
    return connection.execute(select(func.count()).select_from(incidents).where(_is_open(team))).scalar_one()


def _is_open(team: str | None) -> ColumnElement[bool]:
    is_open = incidents.c.status != IncidentStatus.RESOLVED.value
    return is_open if team is None else and_(is_open, incidents.c.team == team)


def resolved_since(connection: Connection, since: datetime, team: str | None, limit: int = 10) -> list[Incident]:
    """The newest first."""
    query = select(incidents).where(incidents.c.resolved_at >= since)
    if team is not None:
        query = query.where(incidents.c.team == team)
    query = query.order_by(incidents.c.resolved_at.desc(), incidents.c.id).limit(limit)
    return [incident_rows.to_incident(row) for row in connection.execute(query)]


def first_alerts(connection: Connection, incident_ids: Sequence[str], each: int = 3) -> dict[str, list[Alert]]:
    """Of each incident its first alerts that are not over, the oldest first."""
    ranked = (
        select(
            alerts.c.id,
            groups.c.incident_id,
            func.row_number()
            .over(partition_by=groups.c.incident_id, order_by=(alerts.c.active_since, alerts.c.id))
            .label("place"),
        )
        .join_from(groups, group_alerts, group_alerts.c.group_id == groups.c.id)
        .join(alerts, alerts.c.id == group_alerts.c.alert_id)
        .where(groups.c.incident_id.in_(list(incident_ids)), alerts.c.state.in_(alert_rows.OPEN))
        .group_by(alerts.c.id, groups.c.incident_id, alerts.c.active_since)
        .subquery()
    )
    query = (
        select(alerts, ranked.c.incident_id)
        .join_from(ranked, alerts, alerts.c.id == ranked.c.id)
        .where(ranked.c.place <= each)
        .order_by(alerts.c.active_since, alerts.c.id)
    )
    found: dict[str, list[Alert]] = {}
    for row in connection.execute(query):
        found.setdefault(row.incident_id, []).append(alert_rows.to_alert(row))
    return found


def firing_outside_incidents(connection: Connection, team: str | None, limit: int = 50) -> list[Alert]:
    """Alerts that fire but that no open incident holds: nothing is configured to be told of them."""
    held = (
        select(group_alerts.c.alert_id)
        .join(groups, groups.c.id == group_alerts.c.group_id)
        .join(incidents, incidents.c.id == groups.c.incident_id)
        .where(incidents.c.resolved_at.is_(None))
    )
    query = select(alerts).where(
        alerts.c.state.in_(alert_rows.OPEN), alerts.c.historical.is_(False), alerts.c.id.not_in(held), shown.ALERTS
    )
    if team is not None:
        query = query.where(alerts.c.team == team)
    rows = connection.execute(query.order_by(alerts.c.active_since, alerts.c.id).limit(limit))
    return [alert_rows.to_alert(row) for row in rows]


def pipelines(
    connection: Connection, team: str | None, *, limit: int = 100, bars: int = 24, enough: int = 10
) -> list[Pipeline]:
    """Those heard of last, first. enough: completed runs from which on a pipeline is learned."""
    query = select(jobs, completed(enough).label("completed"), broken().label("broken")).where(jobs.c.task.is_(None))
    if team is not None:
        query = query.where(jobs.c.team == team)
    rows = connection.execute(query.order_by(jobs.c.last_seen.desc().nulls_last(), jobs.c.id).limit(limit)).all()
    return with_runs(connection, rows, bars)


def with_runs(connection: Connection, rows: Sequence[Row[Any]], bars: int) -> list[Pipeline]:
    """rows: of jobs, with what `completed` and `broken` say of each."""
    newest = run_rows.newest(connection, [row.id for row in rows], bars)
    return [Pipeline(job_rows.to_job(row), newest[row.id][::-1], row.completed, row.broken > 0) for row in rows]


def bars_of(connection: Connection, job_ids: Sequence[str], bars: int = 24) -> dict[str, tuple[Run, ...]]:
    """The newest runs of each job, oldest first."""
    return {job_id: some[::-1] for job_id, some in run_rows.newest(connection, list(job_ids), bars).items()}


def totals(connection: Connection, team: str | None, *, enough: int = 10) -> Totals:
    per_job = select(jobs.c.last_seen, completed(enough).label("completed"), broken().label("broken")).where(
        jobs.c.task.is_(None)
    )
    if team is not None:
        per_job = per_job.where(jobs.c.team == team)
    counted = per_job.subquery()
    row = connection.execute(
        select(
            func.count().label("pipelines"),
            func.count().filter(counted.c.broken > 0).label("broken"),
            func.count().filter(counted.c.completed < enough).label("learning"),
            func.max(counted.c.last_seen).label("last_seen"),
        ).select_from(counted)
    ).one()
    quarantined = connection.execute(select(func.count()).select_from(quarantine)).scalar_one() if team is None else 0
    dead = select(func.count()).select_from(obligations).where(obligations.c.state == "dead_letter", shown.OBLIGATIONS)
    if team is not None:
        dead = dead.join(alerts, alerts.c.id == obligations.c.alert_id).where(alerts.c.team == team)
    return Totals(
        row.pipelines, row.broken, row.learning, row.last_seen, quarantined, connection.execute(dead).scalar_one()
    )


def completed(enough: int) -> ScalarSelect[int]:
    """Completed runs of the job in hand, counted no further than enough: a few index entries a job."""
    some = (
        select(literal(1).label("one"))
        .where(runs.c.job_id == jobs.c.id, runs.c.state == RunState.SUCCEEDED.value)
        .correlate(jobs)
        .limit(enough)
        .subquery()
    )
    return select(func.count()).select_from(some).scalar_subquery()


def broken() -> ScalarSelect[int]:
    """Open alerts of the job in hand."""
    return (
        select(func.count())
        .select_from(alerts)
        .where(
            alerts.c.subject == literal("job:") + jobs.c.id,
            alerts.c.state.in_(alert_rows.OPEN),
            alerts.c.historical.is_(False),
        )
        .correlate(jobs)
        .scalar_subquery()
    )
