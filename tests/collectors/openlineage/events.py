"""OpenLineage events in the shape of real ones, made by hand: `airflow_task`, `airflow_dag`, `dbt_node`, `plain` …

Every builder gives a dict that may be changed before it is sent; `send` decodes it as if received a moment later.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.openlineage import OpenLineage, OpenLineageConfig
from watchtower.model.fact import Fact
from watchtower.model.run import JobPatch, RunPatch
from watchtower.ports import Decoded, Received

NAMESPACE = "prod-airflow"
AT = datetime(2026, 3, 2, 8, 0, 5, 250_000, tzinfo=UTC)
DAG_RUN_ID = "scheduled__2026-03-02T08:00:00+00:00"
DAG_UUID = "0199aa10-0000-7000-8000-00000000000d"
TASK_UUID = "0199aa10-0000-7000-8000-0000000000a1"
AIRFLOW = "https://github.com/apache/airflow/tree/providers-openlineage/2.20.3"
DBT = "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/integration/dbt"
DAGSTER = "https://github.com/OpenLineage/OpenLineage/tree/0.2.1/integration/dagster"
FACET = {"_producer": AIRFLOW, "_schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"}

TRACEBACK = """Traceback (most recent call last):
  File "/srv/airflow/task_runner.py", line 1579, in _run_task_and_map_outcome
    result = _execute_task(context=context, ti=ti, log=log)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/airflow/dags/orders.py", line 46, in load
    raise ValueError("amount is missing")
ValueError: amount is missing
"""

Json = dict[str, Any]


def received(after_s: float = 0.1, **changes: Any) -> Received:
    return Received(AT + timedelta(seconds=after_s), **changes)


def send(event: Any, *, config: OpenLineageConfig | None = None, **changes: Any) -> Decoded:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return OpenLineage(config).decode(body, received(**changes))


def fact_of(event: Any, **changes: Any) -> Fact:
    decoded = send(event, **changes)
    assert decoded.rejects == ()
    (fact,) = decoded.facts
    return fact


def run_of(event: Any, **changes: Any) -> RunPatch:
    run = fact_of(event, **changes).run
    assert run is not None
    return run


def job_of(event: Any, **changes: Any) -> JobPatch:
    return fact_of(event, **changes).jobs[0]


def plain(event_type: str = "START", job: str = "orders.load", run_id: str = TASK_UUID, **changes: Any) -> Json:
    """The least that a run event is made of."""
    return {
        "eventTime": AT.isoformat(),
        "eventType": event_type,
        "producer": "https://example.com/producer/1.0",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id, "facets": {}},
        "job": {"namespace": "shop", "name": job, "facets": {}},
        "inputs": [],
        "outputs": [],
        **changes,
    }


def parent(namespace: str, job: str, run_id: str, root: tuple[str, str, str] | None = None) -> Json:
    facet: Json = {"job": {"namespace": namespace, "name": job}, "run": {"runId": run_id}}
    if root:
        facet["root"] = {"job": {"namespace": root[0], "name": root[1]}, "run": {"runId": root[2]}}
    return facet


def dag_run(**changes: Any) -> Json:
    return {
        "clear_number": 0,
        "conf": {},
        "dag_id": "orders",
        "logical_date": "2026-03-02T08:00:00+00:00",
        "run_after": "2026-03-02T08:00:00+00:00",
        "run_id": DAG_RUN_ID,
        "run_type": "scheduled",
        "start_date": "2026-03-02T08:00:04.500000+00:00",
        **changes,
    }


def dag(**changes: Any) -> Json:
    return {
        "dag_id": "orders",
        "description": "orders every hour",
        "fileloc": "/srv/airflow/dags/orders.py",
        "owner": "data-platform",
        "owner_links": {},
        "start_date": "2026-01-01T00:00:00+00:00",
        "tags": "['tier:1', 'finance']",
        "timetable": {"expression": "0 * * * *", "interval": 0.0, "run_immediately": False, "timezone": "UTC"},
        "timetable_summary": "0 * * * *",
        **changes,
    }


def airflow_task(
    event_type: str = "START",
    task: str = "load",
    *,
    attempt: int = 1,
    retries: int = 0,
    task_changes: Json | None = None,
    instance_changes: Json | None = None,
    run_changes: Json | None = None,
    **changes: Any,
) -> Json:
    """An event of one try of `orders.<task>`, as provider 2.20 sends it from Airflow 3.3."""
    operator: Json = {
        "depends_on_past": False,
        "downstream_task_ids": "['report']",
        "executor_config": {},
        "ignore_first_depends_on_past": False,
        "inlets": "[]",
        "mapped": False,
        "multiple_outputs": False,
        "operator_class": "_PythonDecoratedOperator",
        "operator_class_path": "airflow.providers.standard.decorators.python._PythonDecoratedOperator",
        "operator_provider_version": "1.21.0",
        "outlets": "[]",
        "owner": "data-platform",
        "priority_weight": 1,
        "queue": "default",
        "retries": retries,
        "retry_exponential_backoff": 0,
        "task_id": task,
        "trigger_rule": "all_success",
        "upstream_task_ids": "['extract']",
        "wait_for_downstream": False,
        "wait_for_past_depends_before_skipping": False,
        **(task_changes or {}),
    }
    log_url = (
        f"http://airflow.example.com:8080/dags/orders/runs/scheduled__2026-03-02T08%3A00%3A00%2B00%3A00/tasks/{task}"
    )
    instance = {"dag_bundle_name": "dags", "log_url": f"{log_url}?try_number={attempt}", "try_number": attempt}
    facets: Json = {
        "airflow": {
            **FACET,
            "dag": dag(),
            "dagRun": dag_run(**(run_changes or {})),
            "task": operator,
            "taskInstance": {**instance, **(instance_changes or {})},
            "taskUuid": TASK_UUID,
        },
        "parent": {
            **FACET,
            **parent(NAMESPACE, "orders", DAG_UUID, (NAMESPACE, "orders", DAG_UUID)),
        },
        "nominalTime": {**FACET, "nominalStartTime": "2026-03-02T08:00:00+00:00"},
        "processing_engine": {**FACET, "name": "Airflow", "version": "3.3.2", "openlineageAdapterVersion": "2.20.3"},
        "tags": {"tags": [{"key": "openlineage_client_version", "source": "OPENLINEAGE_CLIENT", "value": "1.54.0"}]},
        "unknownSourceAttribute": {
            **FACET,
            "unknownItems": [{"name": "Op", "properties": operator, "type": "operator"}],
        },
    }
    if event_type == "FAIL":
        facets["errorMessage"] = error("amount is missing", TRACEBACK)
    job = {"namespace": NAMESPACE, "name": f"orders.{task}", "facets": _job_facets("TASK")}
    event = {**plain(event_type), "producer": AIRFLOW, "job": job, "run": {"runId": TASK_UUID, "facets": facets}}
    return {**event, **changes}


def airflow_dag(event_type: str = "START", *, states: Json | None = None, **changes: Any) -> Json:
    """An event of the DAG run; changes go into dagRun."""
    ends = event_type != "START"
    times = {"end_date": "2026-03-02T08:00:05.250000+00:00", "duration": 0.75} if ends else {}
    facets: Json = {
        "airflowDagRun": {
            **FACET,
            "dag": dag(),
            "dagRun": dag_run(**{"triggered_by": "timetable", "dag_version_number": 3, **times, **changes}),
        },
        "nominalTime": {**FACET, "nominalStartTime": "2026-03-02T08:00:00+00:00"},
    }
    if ends:
        word = "success" if event_type == "COMPLETE" else "failed"
        facets["airflowState"] = {**FACET, "dagRunState": word, "tasksState": states or {"load": word}}
    if event_type == "FAIL":
        facets["errorMessage"] = {**FACET, "message": "task_failure", "programmingLanguage": "python"}
    job = {"namespace": NAMESPACE, "name": "orders", "facets": _job_facets("DAG")}
    return {**plain(event_type), "producer": AIRFLOW, "job": job, "run": {"runId": DAG_UUID, "facets": facets}}


def error(message: str, stack: str = "") -> Json:
    return {**FACET, "message": message, "programmingLanguage": "python", "stackTrace": stack}


def dbt_node(event_type: str, node: str = "model.shop.stg_orders", kind: str = "MODEL", **changes: Any) -> Json:
    """A dbt node as `dbt-ol --consume-structured-logs` sends it."""
    command = ("prod-dbt", "dbt-run-shop", DAG_UUID)
    facets: Json = {
        "dbt_run": {"dbt_runtime": "core", "invocation_id": "inv-1", "project_name": "shop"},
        "parent": parent(*command, command),
    }
    job_type = {"integration": "DBT", "jobType": kind, "processingType": "BATCH"}
    job = {"namespace": "prod-dbt", "name": node, "facets": {"jobType": job_type}}
    event = {**plain(event_type), "producer": DBT, "job": job, "run": {"runId": TASK_UUID, "facets": facets}}
    return {**event, **changes}


def dagster_step(event_type: str, step: str = "load", run_id: str = TASK_UUID, **changes: Any) -> Json:
    facets = {"parent": parent("__repository__", "orders", DAG_UUID)}
    job: Json = {"namespace": "__repository__", "name": f"orders.{step}", "facets": {}}
    event: Json = {**plain(event_type), "producer": DAGSTER, "job": job, "run": {"runId": run_id, "facets": facets}}
    return {**event, **changes}


def dataset(namespace: str, name: str, **facets: Any) -> Json:
    """facets: by the standard's names; statistics go where the specification puts them."""
    own = {key: facet for key, facet in facets.items() if "Statistics" not in key}
    made: Json = {"namespace": namespace, "name": name, "facets": own}
    if "outputStatistics" in facets:
        made["outputFacets"] = {"outputStatistics": facets["outputStatistics"]}
    if "inputStatistics" in facets:
        made["inputFacets"] = {"inputStatistics": facets["inputStatistics"]}
    return made


def _job_facets(kind: str) -> Json:
    return {
        "jobType": {**FACET, "integration": "AIRFLOW", "jobType": kind, "processingType": "BATCH"},
        "ownership": {**FACET, "owners": [{"name": "data-platform"}]},
        "tags": {
            **FACET,
            "tags": [
                {"key": "finance", "source": "AIRFLOW", "value": "finance"},
                {"key": "tier:1", "source": "AIRFLOW", "value": "tier:1"},
            ],
        },
    }
