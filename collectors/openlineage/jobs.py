"""Which job an event is about: pipeline and task, and what it says of the job itself."""

import re

from collectors.identity import identifier
from collectors.openlineage import airflow
from collectors.openlineage.texts import NAME_CHARS, cut, label_all, labels, owners, said
from collectors.openlineage.wire import JobFacets, Parent, RunFacets
from watchtower.model.run import JobPatch, JobRef

_MAPPED = re.compile(r"(.+)\[([^\[\]]{1,100})\]")
_SQL_STEP = re.compile(r".+\.sql\.\d+")


def job_ref(source: str, namespace: str, job: str, facets: RunFacets, *, dagster: bool) -> JobRef:
    """The job as pipeline and task.

    Airflow names both. Elsewhere a run with a parent is a task: of its root if that is in the same namespace, else of
    its parent if that is; `<pipeline>.` in front of its name is left away. A parent in another namespace is another
    system that started this one (Airflow a dbt run): the job stays a pipeline of its own, joined by the parent run.
    """
    named = facets.airflow.dag if facets.airflow else facets.airflow_dag_run.dag if facets.airflow_dag_run else None
    if named and named.dag_id:
        task = facets.airflow.task.task_id if facets.airflow and facets.airflow.task else None
        if facets.airflow is None or task:
            return _ref(source, namespace, named.dag_id, task)
    pipeline = _pipeline_of(namespace, job, facets.parent)
    if pipeline is None:
        return _ref(source, namespace, job, None)
    task = job.removeprefix(f"{pipeline}.") or job
    return _ref(source, namespace, pipeline, unmapped(task) if dagster else task)


def unmapped(step: str) -> str:
    """Dagster's `load[3]` is an instance of the mapped step `load`."""
    found = _MAPPED.fullmatch(step)
    return found[1] if found else step


def mapped_index(step: str) -> int | None:
    """3 of `load[3]`; None for other steps, and where the key is no number."""
    found = _MAPPED.fullmatch(step)
    return int(found[2]) if found and found[2].isascii() and found[2].isdigit() and len(found[2]) < 10 else None


def is_sql_step(job: str, facets: JobFacets) -> bool:
    """One statement inside of a dbt node (`model.shop.orders.sql.4`): kept as a fact, but no run of its own. There
    are many to each node, and the node's own end says all that they say."""
    kind = facets.job_type
    return bool(kind and kind.job_type == "SQL" and kind.integration == "DBT" and _SQL_STEP.fullmatch(job))


def job_patches(ref: JobRef, event_type: str, facets: RunFacets, own: JobFacets) -> tuple[JobPatch, ...]:
    """What the event says of its job, and, at the start of an Airflow task, of the DAG too: its address is only known
    from its tasks' log links, and its own events may have been lost."""
    if facets.airflow_dag_run and ref.task is None:
        return (_merged(airflow.dag_patch(ref, facets.airflow_dag_run.dag), own),)
    if facets.airflow:
        task = facets.airflow.task
        patch = _patch(
            ref, own, facets, owner=task.owner if task else None, upstream=airflow.upstream_tasks(facets.airflow)
        )
        if event_type != "START":
            return (patch,)
        instance = facets.airflow.task_instance
        return patch, airflow.dag_patch(ref, facets.airflow.dag, instance.log_url if instance else None)
    return (_patch(ref, own, facets),)


def event_job(ref: JobRef, own: JobFacets) -> JobPatch:
    """The job of a JobEvent."""
    return _patch(ref, own, RunFacets())


def _patch(
    ref: JobRef,
    own: JobFacets,
    facets: RunFacets,
    owner: str | None = None,
    upstream: tuple[str, ...] | None = None,
) -> JobPatch:
    kind = own.job_type
    dbt = facets.dbt_run is not None
    return JobPatch(
        ref,
        owner=owners(own.ownership, owner) or (_dbt_owner(facets) if dbt else None),
        tags=labels(own.tags) or (_dbt_tags(facets) if dbt else None),
        description=said(own.documentation.description) if own.documentation else None,
        job_type=said(kind.job_type, NAME_CHARS) if kind else None,
        integration=said(kind.integration, NAME_CHARS) if kind else None,
        upstream_tasks=upstream,
    )


def _merged(patch: JobPatch, own: JobFacets) -> JobPatch:
    """A DAG's patch, the standard's facets before Airflow's own."""
    return JobPatch(
        patch.ref,
        owner=owners(own.ownership) or patch.owner,
        tags=labels(own.tags) or patch.tags,
        description=(said(own.documentation.description) if own.documentation else None) or patch.description,
        job_type=patch.job_type,
        integration=patch.integration,
        schedule=patch.schedule,
        timezone=patch.timezone,
        external_url=patch.external_url,
    )


def _dbt_owner(facets: RunFacets) -> str | None:
    """dbt sends a node's `meta.owner` as a tag of the run."""
    tags = facets.tags.tags if facets.tags else None
    named = next((tag.value for tag in tags or () if tag.source == "DBT_META" and tag.key == "owner"), None)
    return cut(named, NAME_CHARS) if isinstance(named, str) and named else None


def _dbt_tags(facets: RunFacets) -> dict[str, str] | None:
    tags = facets.tags.tags if facets.tags else None
    return label_all(tag for tag in tags or () if tag.source and tag.source.startswith("DBT"))


def _pipeline_of(namespace: str, job: str, parent: Parent | None) -> str | None:
    if parent is None:
        return None
    for pointer in (parent.root, parent):
        named = pointer.job if pointer else None
        if named and named.namespace == namespace and named.name and named.name != job:
            return named.name
    return None


def _ref(source: str, namespace: str, pipeline: str, task: str | None) -> JobRef:
    return JobRef(source, identifier(namespace), identifier(pipeline), identifier(task) if task else None)
