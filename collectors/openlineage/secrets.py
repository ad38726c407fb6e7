"""Whether an event may hold a secret: a look at the few places where producers put what users wrote.

Looking everywhere would cost more than reading the event. These places are: source code, a run's `conf`, an operator's
free arguments, assets' extras, environment and parameter facets, error texts, and passwords inside addresses. If one
of them is there and not empty, the *whole* event is scrubbed (`collectors.scrub`), not that place alone.
"""

from msgspec import Raw

from collectors.openlineage import airflow
from collectors.openlineage.wire import Event, Job, Run, RunFacets, Task
from collectors.scrub import has_userinfo, may_hold_secret
from collectors.scrub_own import own

_EMPTY = frozenset({b"", b"{}", b"[]", b"null", b'""', b'"{}"', b'"[]"', b'"()"'})


def may_need_scrubbing(event: Event, body: bytes) -> bool:
    if own() is not None or (b"@" in body and has_userinfo(body)):
        return True
    job = event.job
    if isinstance(job, Job) and job.facets and _is_filled(job.facets.source_code):
        return True
    run = event.run
    return isinstance(run, Run) and run.facets is not None and _in_run(run.facets)


def _in_run(facets: RunFacets) -> bool:
    given = (
        facets.environment_variables,
        facets.execution_parameters,
        facets.spark_properties,
        facets.environment_properties,
    )
    if any(given) and any(map(_is_filled, given)):
        return True
    dag_run = airflow.dag_run_of(facets.airflow, facets.airflow_dag_run)
    if dag_run is not None and _is_filled(dag_run.conf):
        return True
    if facets.airflow and facets.airflow.task and _in_task(facets.airflow.task):
        return True
    error = facets.error_message
    return error is not None and may_hold_secret(f"{error.message} {error.stack_trace}")


def _in_task(task: Task) -> bool:
    """Most of these are only sent with `[openlineage] include_full_task_info`."""
    if _is_filled(task.executor_config):
        return True
    free = (task.env, task.params, task.op_kwargs, task.op_args, task.templates_dict, task.parameters, task.headers)
    if any(free) and any(map(_is_filled, free)):
        return True
    return any(text is not None and text != "[]" and may_hold_secret(text) for text in (task.inlets, task.outlets))


def _is_filled(raw: Raw) -> bool:
    return bytes(raw) not in _EMPTY
