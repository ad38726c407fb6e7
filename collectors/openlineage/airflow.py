"""What Airflow's own facets say beyond the standard: identity, tries, triggers, states, links.

Sources: apache-airflow-providers-openlineage 2.7 (Airflow 2.11) and 2.20 (Airflow 3.3): plugins/facets.py,
utils/utils.py. An event of a task names its DAG run, its try and its retries; the end of a DAG run names the state of
every task, also of those that were skipped, killed or never ran, and is the only word on them.
"""

from collections.abc import Mapping
from typing import TypedDict

from collectors.airflow.terms import STATES, trigger
from collectors.identity import identifier, run_alias, task_alias
from collectors.openlineage.datasets import asset_origin
from collectors.openlineage.literals import strings
from collectors.openlineage.schedules import schedule_of
from collectors.openlineage.texts import NAME_CHARS, cut, label, owners, said, web_url
from collectors.openlineage.wire import AirflowDagRun, AirflowState, AirflowTask, Dag, DagRun, JobDependencies
from watchtower.model.origin import MOST, Origin
from watchtower.model.run import JobPatch, JobRef, RunError, RunState, Trigger

MAX_TASKS = 10_000

# Raised by a task, these end it at once (sdk/execution_time/task_runner.py, models/taskinstance.py).
_NO_RETRY = frozenset({"AirflowFailException", "AirflowSensorTimeout"})
_BY_HAND = "state was manually set to"


class RunWords(TypedDict, total=False):
    """Fields of a RunPatch that the facets fill."""

    native_run_id: str | None
    generation: int | None
    attempt: int | None
    max_attempts: int | None
    map_index: int | None
    trigger: Trigger | None
    actor: str | None
    code_version: str | None


def is_by_hand(error: RunError | None) -> bool:
    """A person set the state. Such an event of a task has no `airflow` facet: it is joined by its runId alone."""
    return error is not None and _BY_HAND in error.message


def run_words(run: DagRun) -> RunWords:
    """What the DAG run says, for itself and for its tasks."""
    version = run.dag_bundle_version or (str(run.dag_version_number) if run.dag_version_number else None)
    return {
        "native_run_id": identifier(run.run_id) if run.run_id else None,
        "generation": run.clear_number,
        "trigger": trigger(run.run_type, run.triggered_by),
        "actor": said(run.triggering_user_name, NAME_CHARS),
        "code_version": said(version, NAME_CHARS),
    }


def task_words(facet: AirflowTask) -> RunWords:
    """What an event of one try of a task says. Tries go on counting when a task is cleared, retries begin anew: how
    many tries there can be is then not known."""
    run, task, instance = facet.dag_run, facet.task, facet.task_instance
    words = run_words(run) if run else RunWords()
    if instance:
        words["attempt"] = instance.try_number or None
        words["map_index"] = map_index(facet)
    if task and task.retries is not None and not (run and run.clear_number):
        words["max_attempts"] = task.retries + 1
    return words


def map_index(facet: AirflowTask) -> int | None:
    """Which instance of a mapped task, from 0; None for a task that is not mapped."""
    index = facet.task_instance.map_index if facet.task_instance else None
    return index if index is not None and 0 <= index < 2**31 else None


def is_final(event_type: str, facet: AirflowTask | None, error: RunError | None) -> bool | None:
    """Whether no further try follows this one; None where the event cannot know.

    A FAIL is final iff try_number > retries. After a clear the retries are counted from the tries so far, which the
    event does not say: then only a try within the retries is certain not to be the last. The DAG run's own FAIL is
    the authority on the run.
    """
    if event_type == "COMPLETE":
        return True
    if event_type != "FAIL":
        return None
    if is_by_hand(error) or (error and error.type.rpartition(".")[2] in _NO_RETRY):
        return True
    attempt = facet.task_instance.try_number if facet and facet.task_instance else None
    retries = facet.task.retries if facet and facet.task else None
    if attempt is None or retries is None:
        return None
    if attempt <= retries:
        return False
    cleared = bool(facet and facet.dag_run and facet.dag_run.clear_number)
    return None if cleared and retries else True


def native_alias(ref: JobRef, run: DagRun | None, facet: AirflowTask | None) -> str | None:
    """The run's or the try's identity as a poller of Airflow's own API knows it."""
    if run is None or not run.run_id:
        return None
    if ref.task is None:
        return run_alias(ref.source, ref.namespace, ref.pipeline, run.run_id, run.clear_number or 0)
    if facet is None or facet.task_instance is None or not facet.task_instance.try_number:
        return None
    return task_alias(
        ref.source,
        ref.namespace,
        ref.pipeline,
        run.run_id,
        task=ref.task,
        map_index=map_index(facet),
        attempt=facet.task_instance.try_number,
    )


def task_states(facet: AirflowState | None) -> Mapping[str, RunState] | None:
    """The state of every task at the end of the run. A mapped task is one entry, and may say success although one of
    its instances failed. A task without a state was never scheduled."""
    if facet is None or not facet.tasks_state:
        return None
    known = ((task, STATES.get(state)) for task, state in list(facet.tasks_state.items())[:MAX_TASKS] if state)
    return {identifier(task): state for task, state in known if state is not None} or None


def with_failed_tasks(error: RunError | None, states: Mapping[str, RunState] | None) -> RunError | None:
    """Airflow's word for why a DAG run failed is `task_failure`: say which."""
    if error is None or error.message != "task_failure" or not states:
        return error
    failed = sorted(task for task, state in states.items() if state is RunState.FAILED)
    if not failed:
        return error
    more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
    return RunError(cut(f"task_failure: {', '.join(failed[:10])}{more}", 4_096), error.type, error.stack)


def origins(facet: JobDependencies | None, namespace: str) -> tuple[Origin, ...]:
    """The assets whose events set a run off, with the task that wrote each and its run. namespace: of this Airflow."""
    found: list[Origin] = []
    for upstream in (facet.upstream or ())[:MOST] if facet else ():
        events = upstream.airflow.asset_events if upstream.airflow else None
        job = upstream.job.name if upstream.job else None
        found += [
            asset_origin(event.asset_uri, namespace, job, event.dag_run_id)
            for event in (events or ())[:MOST]
            if event.asset_uri
        ]
    return tuple(found)


def dag_patch(ref: JobRef, dag: Dag | None, log_url: str | None = None) -> JobPatch:
    """The pipeline as the DAG facet tells it. log_url: of any of its tasks; it begins with the DAG's own address."""
    schedule = schedule_of(dag) if dag else None
    return JobPatch(
        ref.pipeline_ref,
        owner=owners(None, dag.owner) if dag else None,
        tags=dict(label(tag) for tag in strings(dag.tags)) or None if dag and dag.tags else None,
        description=said(dag.description) if dag else None,
        job_type="DAG",
        integration="AIRFLOW",
        schedule=schedule[0] if schedule else None,
        timezone=schedule[1] if schedule else None,
        external_url=_dag_url(log_url),
    )


def upstream_tasks(facet: AirflowTask) -> tuple[str, ...] | None:
    """Ids of the tasks this one waits for; () if it waits for none."""
    if facet.task is None or facet.task.upstream_task_ids is None:
        return None
    return tuple(identifier(task) for task in strings(facet.task.upstream_task_ids))


def _dag_url(log_url: str | None) -> str | None:
    """`https://airflow/dags/orders/runs/…` → `https://airflow/dags/orders` (the same form in Airflow 2 and 3)."""
    url = web_url(log_url)
    if url is None or "/dags/" not in url:
        return None
    base, _, rest = url.partition("/dags/")
    return f"{base}/dags/{rest.split('/', 1)[0]}"


def dag_run_of(task: AirflowTask | None, dag: AirflowDagRun | None) -> DagRun | None:
    return task.dag_run if task else dag.dag_run if dag else None
