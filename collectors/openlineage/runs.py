"""One run event → what it says of the run: identity, state, times, error.

The standard's words first, then what Airflow, dbt, Dagster and Spark are known to mean by them (docs/openlineage.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from collectors.identity import identifier, openlineage_alias
from collectors.openlineage import airflow
from collectors.openlineage.airflow import RunWords
from collectors.openlineage.datasets import Told
from collectors.openlineage.errors import failed_assertions, is_timeout, run_error
from collectors.openlineage.instants import utc
from collectors.openlineage.jobs import mapped_index
from collectors.openlineage.texts import NAME_CHARS, cut, labels, said, web_url
from collectors.openlineage.wire import JobFacets, JobName, RunFacets, RunName
from watchtower.model.run import ENGINE_TAG, Authority, JobRef, RunError, RunPatch, RunState, Trigger

STATES: Final[Mapping[str, RunState]] = {
    "START": RunState.RUNNING,
    "RUNNING": RunState.RUNNING,
    "COMPLETE": RunState.SUCCEEDED,
    "FAIL": RunState.FAILED,
    "ABORT": RunState.CANCELLED,
}
_ENDS = frozenset({"COMPLETE", "FAIL", "ABORT"})


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A run event with what it must have. namespace and job: as sent; latest: no instant may lie behind it, set where
    the sender's clock is ahead."""

    ref: JobRef
    namespace: str
    job: str
    run_id: str
    event_type: str
    event_time: datetime
    facets: RunFacets
    job_facets: JobFacets
    told: Told
    dagster: bool
    environment: str | None
    latest: datetime | None


def run_patch(event: RunEvent) -> RunPatch:
    facets, ref = event.facets, event.ref
    error = _error(event)
    aliases = _aliases(event)
    parent = facets.parent
    root = parent.root if parent else None
    parent_alias = _alias(parent.job, parent.run, aliases) if parent else None
    root_alias = _alias(root.job, root.run, aliases) if root else None
    dag = facets.airflow_dag_run.dag_run if facets.airflow_dag_run and ref.task is None else None
    started, ended, wall_s = _times(event)
    nominal_start, nominal_end = _nominal(event)
    states = airflow.task_states(facets.airflow_state)
    instance = facets.airflow.task_instance if facets.airflow else None
    return RunPatch(
        aliases=aliases,
        job=ref,
        event_type=event.event_type,
        authority=Authority.OPERATOR if airflow.is_by_hand(error) else Authority.STREAM,
        state=_state(event, error),
        final=_final(event, error) if ref.task else None,
        parent_alias=parent_alias,
        root_alias=root_alias,
        environment=event.environment,
        nominal_start=nominal_start,
        nominal_end=nominal_end,
        queued_at=_bounded(instance.queued_dttm, event.latest) if instance else None,
        started_at=started,
        ended_at=ended,
        wall_s=wall_s,
        error=airflow.with_failed_tasks(error, states) if dag else error,
        external_url=_external_url(facets),
        ol_run_id=identifier(event.run_id),
        tags=_tags(facets),
        task_states=states,
        datasets=tuple(event.told.ios),
        origins=airflow.origins(facets.job_dependencies, event.namespace),
        **_words(event),
    )


def is_backfill(facets: RunFacets) -> bool:
    """Runs for a past that was chosen by a person: history, whenever they run."""
    run = airflow.dag_run_of(facets.airflow, facets.airflow_dag_run)
    return run is not None and airflow.trigger(run.run_type, run.triggered_by) is Trigger.BACKFILL


def _aliases(event: RunEvent) -> tuple[str, ...]:
    """The canonical identity first: namespace, job and runId (Dagster gives one runId to several jobs).

    Dagster's sensor gives START and FAIL of one step different runIds when the run's failure overtakes the step's:
    a step is known by its parent's runId, and by its own for those below it. An Airflow try is known by its own.
    """
    own = openlineage_alias(event.namespace, event.job, event.run_id)
    facets = event.facets
    if event.dagster and event.ref.task:
        run = facets.parent.run if facets.parent else None
        if run and run.run_id:
            return openlineage_alias(event.namespace, event.job, run.run_id), own
    dag_run = airflow.dag_run_of(facets.airflow, facets.airflow_dag_run)
    native = airflow.native_alias(event.ref, dag_run, facets.airflow)
    return (own, native) if native else (own,)


def _alias(job: JobName | None, run: RunName | None, own: tuple[str, ...]) -> str | None:
    """Another run's identity; None if it is not wholly named, or names the run itself."""
    if job is None or run is None or not (job.namespace and job.name and run.run_id):
        return None
    alias = openlineage_alias(job.namespace, job.name, run.run_id)
    return None if alias in own else alias


def _error(event: RunEvent) -> RunError | None:
    """Why it went wrong. On other events the facet tells of the extraction, not of the run."""
    if event.event_type not in ("FAIL", "ABORT"):
        return None
    return run_error(event.facets.error_message) or failed_assertions(event.told.checks)


def _state(event: RunEvent, error: RunError | None) -> RunState | None:
    """OTHER, and what is no event type, says nothing of the state. dbt's ABORT of a node is a skip: only the whole
    command is ever aborted."""
    state = STATES.get(event.event_type)
    if state is RunState.FAILED and is_timeout(error):
        return RunState.TIMED_OUT
    if state is RunState.CANCELLED and _is_dbt(event) and event.ref.task:
        return RunState.SKIPPED
    return state


def _final(event: RunEvent, error: RunError | None) -> bool | None:
    """Whether a further attempt of this task follows. dbt never retries; Dagster reports a step's failure only when
    its retries are over; of other producers nothing is known."""
    if event.facets.airflow or airflow.is_by_hand(error):
        return airflow.is_final(event.event_type, event.facets.airflow, error)
    if event.event_type in _ENDS and (event.dagster or _is_dbt(event)):
        return True
    return True if event.event_type == "COMPLETE" else None


def _is_dbt(event: RunEvent) -> bool:
    kind = event.job_facets.job_type
    return event.facets.dbt_run is not None or (kind is not None and kind.integration == "DBT")


def _times(event: RunEvent) -> tuple[datetime | None, datetime | None, float | None]:
    """Start, end, and the orchestrator's own duration. A DAG run's events all carry its start, so it is known although
    its START was lost; a task's own START is the only word on when it began."""
    facets, ends = event.facets, event.event_type in _ENDS
    at = event.event_time
    if facets.airflow_dag_run and facets.airflow_dag_run.dag_run and event.ref.task is None:
        run = facets.airflow_dag_run.dag_run
        start = utc(run.start_date) or (at if event.event_type == "START" else None)
        end = (utc(run.end_date) or at) if ends else None
        return _bounded(start, event.latest), _bounded(end, event.latest), run.duration if ends else None
    start = at if event.event_type == "START" else None
    end = at if ends else None
    instance = facets.airflow.task_instance if facets.airflow and ends else None
    return _bounded(start, event.latest), _bounded(end, event.latest), instance.duration if instance else None


def _bounded(instant: datetime | None, latest: datetime | None) -> datetime | None:
    known = utc(instant)
    return min(known, latest) if known and latest else known


def _nominal(event: RunEvent) -> tuple[datetime | None, datetime | None]:
    """The time the run stands for. A scheduled DAG run without a logical date stands for the moment it was due; one
    that an asset or a person triggered stands for none."""
    nominal = event.facets.nominal_time
    if nominal and nominal.nominal_start_time:
        return utc(nominal.nominal_start_time), utc(nominal.nominal_end_time)
    run = airflow.dag_run_of(event.facets.airflow, event.facets.airflow_dag_run)
    return (utc(run.run_after), None) if run and run.run_type == "scheduled" else (None, None)


def _words(event: RunEvent) -> RunWords:
    facets = event.facets
    if facets.airflow and event.ref.task:
        return airflow.task_words(facets.airflow)
    if facets.airflow_dag_run and facets.airflow_dag_run.dag_run:
        return airflow.run_words(facets.airflow_dag_run.dag_run)
    location = event.job_facets.source_code_location
    words: RunWords = {"code_version": said(location.version, NAME_CHARS) if location else None}
    if facets.dbt_run and facets.dbt_run.invocation_id:
        words["native_run_id"] = identifier(facets.dbt_run.invocation_id)
    elif facets.spark_application and facets.spark_application.application_id:
        words["native_run_id"] = identifier(facets.spark_application.application_id)
        words["actor"] = said(facets.spark_application.user_name, NAME_CHARS)
    elif event.dagster and event.ref.task:
        words["map_index"] = mapped_index(event.job)
        words["native_run_id"] = (
            identifier(facets.parent.run.run_id or "") if facets.parent and facets.parent.run else None
        )
    elif event.dagster:
        words["native_run_id"] = identifier(event.run_id)
    return words


def _tags(facets: RunFacets) -> Mapping[str, str] | None:
    """With what it ran on: that another version of it came is what people ask for first."""
    tags, engine = labels(facets.tags), facets.processing_engine
    if engine is None or not engine.name or not engine.version:
        return tags
    return {ENGINE_TAG: cut(f"{engine.name} {engine.version}", NAME_CHARS), **(tags or {})}


def _external_url(facets: RunFacets) -> str | None:
    if facets.airflow and facets.airflow.task_instance:
        return web_url(facets.airflow.task_instance.log_url)
    spark = facets.spark_application
    if spark:
        return web_url(spark.history_url) or web_url(spark.proxy_url) or web_url(spark.ui_web_url)
    return None
