"""What a ping is completed by: the job that its slug means, and the run that is open."""

from sqlalchemy import Connection, select

from watchtower.model.checks import is_uuid, slug_of
from watchtower.model.run import JobRef, RunState
from watchtower.store.schema.observed import NOT_SUCCEEDED, jobs, runs

_OPEN_RUNS = 50


def jobs_called(connection: Connection, source: str, namespace: str, slug: str) -> list[str]:
    """Names of the jobs that slug means: the one that is called so, else those whose names come to it."""
    known = select(jobs.c.pipeline).where(jobs.c.source == source, jobs.c.namespace == namespace, jobs.c.task.is_(None))
    if connection.execute(known.where(jobs.c.pipeline == slug)).first():
        return [slug]
    return sorted(name for name in connection.execute(known).scalars() if slug_of(name) == slug)


def open_run(connection: Connection, job: JobRef) -> str | None:
    """The newest run of job that began without a rid, if it has not ended."""
    query = (
        select(runs.c.native_run_id)
        .where(runs.c.job_id == job.id, NOT_SUCCEEDED, runs.c.state == RunState.RUNNING.value)
        .order_by(runs.c.position.desc())
        .limit(_OPEN_RUNS)
    )
    return next((run for run in connection.execute(query).scalars() if run and not is_uuid(run)), None)
