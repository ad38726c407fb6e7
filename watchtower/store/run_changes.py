"""Changes that nobody announced: what the newest runs of a pipeline and the columns of what it reads tell.

Another version of the code or of the engine than in the run before, another environment, a start by hand, other columns
of an input. They are read from the state whenever they are asked for, so they do not depend on the order in which
events came, and cost nothing until something fails.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from watchtower.model.change import BY_HAND, CODE, COLUMNS, ENGINE, ENVIRONMENT, Change
from watchtower.model.columns import difference, steps
from watchtower.model.run import ENGINE_TAG, Dataset, Job, Trigger
from watchtower.store import datasets as dataset_rows
from watchtower.store.schema.observed import datasets, job_datasets, jobs, runs
from watchtower.store.statements import Row, given, prepared

NEWEST: Final = 30  # runs that are compared, each with the one before
MOST_INPUTS: Final = 50  # datasets of a pipeline

_RUNS = prepared(
    select(
        runs.c.position,
        runs.c.started_at,
        runs.c.native_run_id,
        runs.c.trigger,
        runs.c.actor,
        runs.c.environment,
        runs.c.code_version,
        runs.c.tags,
    )
    .where(runs.c.job_id == given("job_id"))
    .order_by(runs.c.position.desc(), runs.c.id.desc())
    .limit(NEWEST)
)
_INPUTS = prepared(
    select(datasets)
    .where(
        datasets.c.versions.is_not(None),
        datasets.c.id.in_(
            select(job_datasets.c.dataset_id)
            .join(jobs, jobs.c.id == job_datasets.c.job_id)
            .where(
                jobs.c.namespace == given("namespace"),
                jobs.c.pipeline == given("pipeline"),
                jobs.c.source == given("source"),
                job_datasets.c.direction == "in",
            )
        ),
    )
    .order_by(datasets.c.name)
    .limit(MOST_INPUTS)
)


def of_job(connection: Connection, job: Job) -> list[Change]:
    """Of a pipeline with its tasks, newest first."""
    ref = job.ref.pipeline_ref
    named = {"namespace": ref.namespace, "pipeline": ref.pipeline, "source": ref.source}
    found = [*_of_runs(job, _RUNS.all(connection, {"job_id": ref.id}))]
    for row in _INPUTS.all(connection, named):
        found += of_columns(dataset_rows.to_dataset(row))
    return sorted(found, key=lambda change: (change.at, change.id), reverse=True)


def of_columns(dataset: Dataset) -> list[Change]:
    """Each time that its columns were others than before."""
    return [
        Change(step.at, dataset.ref.namespace, COLUMNS, f"{dataset.ref.name}: {words}")
        for step in steps(dataset)
        if (words := difference(step.before, step.after).words)
    ]


def _of_runs(job: Job, newest_first: Sequence[Row]) -> Iterator[Change]:
    before: dict[str, str] = {}
    trigger: str | None = None
    for row in reversed(newest_first):
        said = _said(row)
        for kind, value in said.items():
            if before.get(kind, value) != value:
                yield _change(job, row, kind, f"{before[kind]} → {value}")
        if row.trigger == Trigger.MANUAL and trigger not in (None, Trigger.MANUAL):
            yield _change(job, row, BY_HAND, row.native_run_id or "", row.actor)
        before |= said
        trigger = row.trigger or trigger


def _said(row: Row) -> Mapping[str, str]:
    tags: Mapping[str, Any] = row.tags or {}
    said = {CODE: row.code_version, ENGINE: tags.get(ENGINE_TAG), ENVIRONMENT: row.environment}
    return {kind: str(value) for kind, value in said.items() if value}


def _change(job: Job, row: Row, kind: str, title: str, actor: str | None = None) -> Change:
    """In effect since the run that told it began."""
    at, ref = row.started_at or row.position, job.ref
    return Change(at, ref.source, kind, title, actor=actor, environment=row.environment, pipelines=(ref.pipeline,))
