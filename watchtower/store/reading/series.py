"""Lists of series and of their samples."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from watchtower.model.derived import is_derived
from watchtower.model.rule import SeriesSnapshot, SubjectKey
from watchtower.model.series import Sample, Series
from watchtower.store import series as series_rows
from watchtower.store.reading.paging import Page, Window, matching, paged, within
from watchtower.store.schema.observed import jobs
from watchtower.store.schema.series import samples, series
from watchtower.store.snapshots.series import SeriesLoader


@dataclass(frozen=True, slots=True)
class SeriesFilter:
    name: str | None = None
    job_id: str | None = None
    namespace: str | None = None
    pipeline: str | None = None
    task: str | None = None
    team: str | None = None


_PIPELINE: ColumnElement[str] = func.coalesce(series.c.pipeline, "").label("pipeline_key")


def list_series(connection: Connection, wanted: SeriesFilter, window: Window) -> Page[Series]:
    """By name, then by pipeline. The window's time is that of their last sample."""
    query = matching(
        select(series, _PIPELINE),
        {
            series.c.name: wanted.name,
            series.c.job_id: wanted.job_id,
            series.c.namespace: wanted.namespace,
            series.c.pipeline: wanted.pipeline,
            series.c.task: wanted.task,
        },
    )
    for team in (window.team, wanted.team):
        if team is not None:
            query = query.where(_is_of(team))
    query = within(query, series.c.last_at, window)
    order = [series.c.name, _PIPELINE, series.c.id]
    return paged(connection, query, order, window, series_rows.to_series, descending=False)


def get_series(connection: Connection, ident: str, team: str | None) -> Series | None:
    """A stored series, or a derived one of a job that is known; None also if it is not this team's."""
    if is_derived(ident):
        found = _derived(connection, ident)
        return found.series if found and team in (None, found.series.team) else None
    query = select(series).where(series.c.id == ident)
    row = connection.execute(query if team is None else query.where(_is_of(team))).first()
    return series_rows.to_series(row) if row else None


def list_samples(connection: Connection, one: Series, window: Window) -> list[Sample]:
    """Newest first."""
    if one.derived:
        found = _derived(connection, one.id)
        return [sample for sample in found.samples if _lies_within(sample, window)][: window.limit] if found else []
    query = within(select(samples).where(samples.c.series_id == one.id), samples.c.at, window)
    return [_to_sample(row) for row in connection.execute(query.order_by(samples.c.at.desc()).limit(window.limit))]


def _is_of(team: str) -> Any:
    """Its own team, as rules found it, or that of its job."""
    of_job = select(jobs.c.id).where(jobs.c.id == series.c.job_id, jobs.c.team == team).exists()
    return or_(series.c.team == team, (series.c.team.is_(None)) & of_job)


def _derived(connection: Connection, ident: str) -> SeriesSnapshot | None:
    found = SeriesLoader().load(connection, [ident]).get(SubjectKey("series", ident))
    return found if isinstance(found, SeriesSnapshot) else None


def _lies_within(sample: Sample, window: Window) -> bool:
    return (window.start is None or sample.at >= window.start) and (window.end is None or sample.at < window.end)


def _to_sample(row: Row[Any]) -> Sample:
    return Sample(row.at, row.value, row.run, row.stats, row.start, row.historical)
