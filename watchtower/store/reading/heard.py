"""The names of all jobs, datasets and series of which events told."""

from sqlalchemy import Connection, or_, select

from watchtower.model.heard import Heard
from watchtower.store.schema.observed import datasets, jobs
from watchtower.store.schema.series import series


def heard(connection: Connection) -> Heard:
    named = select(jobs.c.pipeline, jobs.c.task, jobs.c.namespace, jobs.c.source).where(jobs.c.last_seen.is_not(None))
    written = select(datasets.c.name, datasets.c.namespace).where(
        or_(datasets.c.declared.is_(False), datasets.c.updated_at.is_not(None))
    )
    return Heard(
        frozenset((row.pipeline, row.task or "", row.namespace, row.source) for row in connection.execute(named)),
        frozenset((row.name, row.namespace) for row in connection.execute(written)),
        frozenset(connection.scalars(select(series.c.name).distinct())),
    )
