"""The state of the whole fleet for `/metrics`: a handful of set-based queries, whose cost does not grow with history.

Each reads the newest of something by an index, or only what is open. What is beyond a limit is counted, not listed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ScalarSelect, func, select

from watchtower.model.alert import AlertState, IncidentStatus, ObligationState
from watchtower.model.instants import from_micros
from watchtower.model.run import RunState
from watchtower.store import alert_rows, dialect, due, shown
from watchtower.store.schema.alerting import alerts, incidents, obligations, silences
from watchtower.store.schema.observed import NOT_SUCCEEDED, dataset_updates, datasets, jobs, quarantine, runs

_OPEN_RUNS = tuple(state.value for state in RunState if not state.is_terminal)
_OPEN_OBLIGATIONS = (ObligationState.DUE.value, ObligationState.SENDING.value)
MAX_OPEN = 50  # runs of one pipeline that are looked past to find one that has ended
LANES = (due.RULES, due.GROUP, due.DELIVER, due.SILENCE, due.ACK, due.FLAP)


@dataclass(frozen=True, slots=True)
class NewestRun:
    state: RunState
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def duration_s(self) -> float | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class PipelineState:
    """newest: of any state; ended, succeeded: the newest of those that did. alerts: that fire, by severity."""

    job_id: str
    source: str
    namespace: str
    pipeline: str
    team: str
    newest: NewestRun | None
    ended: NewestRun | None
    succeeded: NewestRun | None
    open_runs: int
    alerts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DatasetState:
    namespace: str
    name: str
    team: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are with these values, in the order that the field of Fleet names."""

    values: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """alerts: state, severity, kind, team; incidents: status, severity, team; obligations: state, destination.
    oldest_alerts: by severity; oldest_obligations: by destination; overdue: by lane, the moment that has passed."""

    pipelines: tuple[PipelineState, ...]
    pipelines_by_team: Mapping[str, int]
    datasets: tuple[DatasetState, ...]
    datasets_left_out: int
    alerts: tuple[Counted, ...]
    oldest_alerts: Mapping[str, datetime]
    incidents: tuple[Counted, ...]
    silences: int
    obligations: tuple[Counted, ...]
    oldest_obligations: Mapping[str, datetime]
    overdue: Mapping[str, datetime]
    quarantined: int


def read(connection: Connection, now: datetime, *, pipelines: int, of_datasets: int) -> Fleet:
    """pipelines, of_datasets: at most so many, by name."""
    known = connection.execute(select(func.count()).select_from(datasets)).scalar_one()
    return Fleet(
        pipelines=_pipelines(connection, pipelines),
        pipelines_by_team=_by_team(connection),
        datasets=_datasets(connection, of_datasets),
        datasets_left_out=max(0, known - of_datasets),
        alerts=_alerts(connection),
        oldest_alerts=_oldest_alerts(connection),
        incidents=_incidents(connection),
        silences=_silences(connection, now),
        obligations=_obligations(connection),
        oldest_obligations=_oldest_obligations(connection),
        overdue=_overdue(connection, now),
        quarantined=connection.execute(select(func.count()).select_from(quarantine)).scalar_one(),
    )


# -- pipelines ----------------------------------------------------------------------------------------------------


def _pipelines(connection: Connection, limit: int) -> tuple[PipelineState, ...]:
    """Three seeks in an index for each pipeline, then the runs that were found, all at once."""
    query = (
        select(
            *(jobs.c.id, jobs.c.source, jobs.c.namespace, jobs.c.pipeline, jobs.c.team),
            _newest().label("newest"),
            _newest_ended().label("ended"),
            _newest_succeeded().label("succeeded"),
        )
        .where(jobs.c.task.is_(None))
        .order_by(jobs.c.namespace, jobs.c.pipeline, jobs.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    found = _runs(connection, {run_id for row in rows for run_id in (row.newest, row.ended, row.succeeded) if run_id})
    still_open, firing = _open_runs(connection), _firing_by_pipeline(connection)
    return tuple(
        PipelineState(
            job_id=row.id,
            source=row.source,
            namespace=row.namespace,
            pipeline=row.pipeline,
            team=row.team or "",
            newest=found.get(row.newest),
            ended=found.get(row.ended),
            succeeded=found.get(row.succeeded),
            open_runs=still_open.get(row.id, 0),
            alerts=firing.get((row.source, row.namespace, row.pipeline), {}),
        )
        for row in rows
    )


def _newest() -> ScalarSelect[Any]:
    query = select(runs.c.id).where(runs.c.job_id == jobs.c.id).correlate(jobs)
    return query.order_by(runs.c.position.desc(), runs.c.id.desc()).limit(1).scalar_subquery()


def _newest_ended() -> ScalarSelect[Any]:
    """Looks past at most MAX_OPEN runs: a pipeline whose runs never end must not cost more with each of them."""
    some = (
        select(runs.c.id, runs.c.state, runs.c.position)
        .where(runs.c.job_id == jobs.c.id)
        .correlate(jobs)
        .order_by(runs.c.position.desc(), runs.c.id.desc())
        .limit(MAX_OPEN)
        .subquery()
    )
    query = select(some.c.id).where(some.c.state.not_in(_OPEN_RUNS))
    return query.order_by(some.c.position.desc(), some.c.id.desc()).limit(1).scalar_subquery()


def _newest_succeeded() -> ScalarSelect[Any]:
    """Looks past what came since in the index of the job's runs alone: a thousand failures are a few dozen pages."""
    query = select(runs.c.id).where(runs.c.state == RunState.SUCCEEDED.value, runs.c.job_id == jobs.c.id)
    return query.correlate(jobs).order_by(runs.c.position.desc()).limit(1).scalar_subquery()


_RUNS = "SELECT id, state, started_at, ended_at FROM runs WHERE id {among}"


def _runs(connection: Connection, ids: Iterable[str]) -> dict[str, NewestRun]:
    return {
        run_id: NewestRun(RunState(state), _instant(started), _instant(ended))
        for run_id, state, started, ended in dialect.rows_among(connection, _RUNS, set(ids))
    }


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _open_runs(connection: Connection) -> dict[str, int]:
    query = select(runs.c.job_id, func.count()).where(NOT_SUCCEEDED, runs.c.state.in_(_OPEN_RUNS))
    query = query.group_by(runs.c.job_id)
    return dict(connection.execute(query).all())


_PLACES = "SELECT id, source, namespace, pipeline FROM jobs WHERE id {among}"


def _firing_by_pipeline(connection: Connection) -> dict[tuple[str, str, str], dict[str, int]]:
    """Alerts of a pipeline and of its tasks."""
    query = (
        select(alerts.c.subject, alerts.c.severity, func.count())
        .where(alerts.c.state == AlertState.FIRING.value, alerts.c.historical.is_(False))
        .group_by(alerts.c.subject, alerts.c.severity)
    )
    rows = [
        (subject.removeprefix("job:"), severity, count)
        for subject, severity, count in connection.execute(query)
        if subject.startswith("job:")
    ]
    placed = {
        job_id: (source, namespace, pipeline)
        for job_id, source, namespace, pipeline in dialect.rows_among(connection, _PLACES, {row[0] for row in rows})
    }
    found: dict[tuple[str, str, str], dict[str, int]] = {}
    for job_id, severity, count in rows:
        if job_id in placed:
            counts = found.setdefault(placed[job_id], {})
            counts[severity] = counts.get(severity, 0) + count
    return found


def _by_team(connection: Connection) -> dict[str, int]:
    query = select(jobs.c.team, func.count()).where(jobs.c.task.is_(None)).group_by(jobs.c.team)
    return _summed((team or "", count) for team, count in connection.execute(query))


# -- datasets -----------------------------------------------------------------------------------------------------


def _datasets(connection: Connection, limit: int) -> tuple[DatasetState, ...]:
    """Those that were ever made new."""
    every = select(func.max(dataset_updates.c.at)).where(dataset_updates.c.dataset_id == datasets.c.id)
    measured = every.where(dataset_updates.c.measured).correlate(datasets).scalar_subquery()
    newest = func.coalesce(measured, every.correlate(datasets).scalar_subquery())
    query = (
        select(datasets.c.namespace, datasets.c.name, datasets.c.team, newest.label("newest"))
        .order_by(datasets.c.namespace, datasets.c.name)
        .limit(limit)
    )
    return tuple(
        DatasetState(row.namespace, row.name, row.team or "", row.newest)
        for row in connection.execute(query)
        if row.newest is not None
    )


# -- alerts and what came of them ---------------------------------------------------------------------------------


def _alerts(connection: Connection) -> tuple[Counted, ...]:
    """All alerts of a rule are of one kind, so one of them says which."""
    query = (
        select(
            *(alerts.c.state, alerts.c.severity, alerts.c.rule, alerts.c.team),
            func.count().label("alerts"),
            func.min(alerts.c.id).label("one"),
        )
        .where(alerts.c.state.in_(alert_rows.OPEN), alerts.c.historical.is_(False), shown.ALERTS)
        .group_by(alerts.c.state, alerts.c.severity, alerts.c.rule, alerts.c.team)
    )
    rows = connection.execute(query).all()
    known = alert_rows.load(connection, {row.one for row in rows})
    kinds = {row.rule: known[row.one].labels.get("kind", "") for row in rows}
    counts = _summed(((row.state, row.severity, kinds[row.rule], row.team or ""), row.alerts) for row in rows)
    return tuple(Counted(values, count) for values, count in counts.items())


def _oldest_alerts(connection: Connection) -> dict[str, datetime]:
    query = (
        select(alerts.c.severity, func.min(alerts.c.starts_at))
        .where(alerts.c.state == AlertState.FIRING.value, alerts.c.historical.is_(False), shown.ALERTS)
        .group_by(alerts.c.severity)
    )
    return {severity: at for severity, at in connection.execute(query) if at is not None}


def _incidents(connection: Connection) -> tuple[Counted, ...]:
    query = (
        select(incidents.c.status, incidents.c.severity, incidents.c.team, func.count())
        .where(incidents.c.resolved_at.is_(None), incidents.c.status != IncidentStatus.RESOLVED.value)
        .group_by(incidents.c.status, incidents.c.severity, incidents.c.team)
    )
    return tuple(
        Counted((status, severity, team or ""), count) for status, severity, team, count in connection.execute(query)
    )


def _silences(connection: Connection, now: datetime) -> int:
    query = select(func.count()).where(silences.c.ends_at > now, silences.c.starts_at <= now)
    return connection.execute(query).scalar_one()


def _obligations(connection: Connection) -> tuple[Counted, ...]:
    unmet = (*_OPEN_OBLIGATIONS, ObligationState.DEAD_LETTER.value)
    query = (
        select(obligations.c.state, obligations.c.destination, func.count())
        .where(obligations.c.state.in_(unmet), shown.OBLIGATIONS)
        .group_by(obligations.c.state, obligations.c.destination)
    )
    return tuple(Counted((state, destination), count) for state, destination, count in connection.execute(query))


def _oldest_obligations(connection: Connection) -> dict[str, datetime]:
    query = (
        select(obligations.c.destination, func.min(obligations.c.created_at))
        .where(obligations.c.state.in_(_OPEN_OBLIGATIONS), shown.OBLIGATIONS)
        .group_by(obligations.c.destination)
    )
    return dict(connection.execute(query).all())


def _overdue(connection: Connection, now: datetime) -> dict[str, datetime]:
    found = {lane: due.next_at(connection, (lane,)) for lane in LANES}
    return {lane: at for lane, at in found.items() if at is not None and at < now}


def _summed(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for key, count in pairs:
        found[key] = found.get(key, 0) + count
    return found
