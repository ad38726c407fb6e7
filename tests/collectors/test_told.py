"""What each source tells of a run: docs/sources.md says it, and what the sources' own tests make of them holds it."""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from collectors.airflow import decode as airflow
from collectors.airflow.names import Place
from collectors.aws import emr, glue, sagemaker, step_functions
from collectors.events import Events
from collectors.openlineage import OpenLineageConfig
from tests.collectors import test_ci, test_databricks, test_snowflake
from tests.collectors.azure import test_data_factory
from tests.collectors.dagster.rows import ROWS as DAGSTER
from tests.collectors.google import test_vertex_ai
from tests.collectors.openlineage import events
from tests.collectors.polled_records import RECEIVED, T0, T1
from tests.collectors.prefect.rows import ROWS as PREFECT
from tests.collectors.test_any_order import FACTS, read
from tests.collectors.test_asked import Poller
from tests.collectors.world import World
from tests.collectors.worlds import CLOUDS, WORLDS
from watchtower.model.fact import Fact

PAGE: Final = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
NO_RUNS: Final = {"series", "otlp_metrics", "dataset_probe", "object_probe", "dependency_probe"}
COLUMNS: Final[Mapping[str, Callable[[Fact], object]]] = {
    "trigger": lambda fact: fact.run and fact.run.trigger,
    "set off by": lambda fact: fact.run and fact.run.origins,
    "actor": lambda fact: fact.run and fact.run.actor,
    "environment": lambda fact: fact.run and fact.run.environment,
    "code": lambda fact: fact.run and fact.run.code_version,
    "inputs": lambda fact: fact.run and [io for io in fact.run.datasets if io.direction == "in"],
    "outputs": lambda fact: fact.run and [io for io in fact.run.datasets if io.direction == "out"],
    "again": lambda fact: fact.run and fact.run.generation,
    "owner": lambda fact: [job for job in fact.jobs if job.owner],
    "tags": lambda fact: (fact.run and fact.run.tags) or [job for job in fact.jobs if job.tags],
}


def asked(kind: str, folder: Path) -> list[Fact]:
    """What a source says of a run that is under way, and once it is over."""
    with WORLDS[kind](folder) as world:
        poller = Poller.of(world)
        poller.poll()
        world.end()
        poller.poll()
        return poller.facts()


# -- what the worlds leave out --------------------------------------------------------------------------------------


def _airflow() -> list[Fact]:
    of = {"dag_id": "orders", "dag_run_id": "r1", "start_date": T0}
    told = [
        {"record": "dag_run", **of, "state": "running", "generation": 1},
        {
            "record": "origins",
            **of,
            "causes": [{"uri": "s3://lake/orders", "dag": "shop", "task": "load", "run": "r0"}],
        },
        {"record": "asset_event", **of, "task_id": "load", "uri": "s3://lake/clean", "at": T1, "rows": 7},
    ]
    place = Place("shop", "shop", "https://airflow.example.com")
    return read(lambda body: airflow.decode(place, body, RECEIVED), *told)


def _prefect() -> list[Fact]:
    rows = deepcopy(PREFECT)
    rows["flow_runs"][0].update(created_by={"type": "AUTOMATION", "display_value": "on new file"}, auto_scheduled=False)
    rows["deployments"][0]["tags"] = ["owner:shop-data"]
    return _world("prefect", {"rows": rows})


def _dagster() -> list[Fact]:
    rows = deepcopy(DAGSTER)
    said = {"user": "ada@example.com", "dagster/sensor_name": "new_file", "dagster/git_commit_hash": "abc12345"}
    rows["runs"][0]["tags"] += [{"key": key, "value": value} for key, value in said.items()]
    return _world("dagster", {"rows": rows})


def _data_factory() -> list[Fact]:
    parent = {"invokedByType": "PipelineActivity", "pipelineName": "all", "pipelineRunId": "p1", "name": "Load"}
    first = test_data_factory.run(test_data_factory.FIRST, invokedBy=parent)
    again = test_data_factory.run(test_data_factory.SECOND, runGroupId=test_data_factory.FIRST)
    return _world("data_factory", {"runs": [first, again]})


def _databricks() -> list[Fact]:
    one = test_databricks
    git = {"git_url": "https://git.example.com/orders", "git_snapshot": {"used_commit": "abc12345"}}
    return _world("databricks", {"runs": [one.run(1, git_source=git, repair_history=[{"type": "REPAIR"}])]})


def _snowflake() -> list[Fact]:
    again = test_snowflake.ran("ROOT", "SUCCEEDED", (-9, -8, -7), ATTEMPT_NUMBER="2", GRAPH_VERSION="3")
    return _world("snowflake", {"rows": [again]})


def _vertex_ai() -> list[Fact]:
    more = {"scheduleName": "nightly", "templateMetadata": {"version": "sha256:abc"}}
    with WORLDS["vertex_ai"](Path(tempfile.mkdtemp())) as world:
        runs: list[Any] = vars(world.server)["lists"][f"{test_vertex_ai.OF}/pipelineJobs"]
        runs[0].update(more)
        return _asked(world)


def _glue() -> list[Fact]:
    run = {"Id": "jr_1", "JobName": "orders", "JobRunState": "RUNNING", "StartedOn": T0, "WorkerType": "G.1X"}
    told = {"run": run, "trigger": "SCHEDULED", "retries": 1}
    return read(lambda body: glue.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), told)


def _emr() -> list[Fact]:
    step = {"Id": "s-1", "Name": "load", "State": "RUNNING", "Timeline": {"CreationDateTime": T0}}
    told = {"step": step, "of": {"Id": "j-1", "Tags": [{"Key": "team", "Value": "shop"}]}}
    return read(lambda body: emr.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), told)


def _step_functions() -> list[Fact]:
    arn = "arn:aws:states:eu-west-1:123456789012:execution:orders:run-1"
    machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:orders"
    told = {"executionArn": arn, "stateMachineArn": machine, "stateMachineVersionArn": f"{machine}:7"}
    execution = {"execution": {**told, "status": "RUNNING", "startDate": T0}}
    return read(lambda body: step_functions.decode(body, RECEIVED, namespace="prod"), execution)


def _events() -> list[Fact]:
    cause = {"type": "purchase_order.created", "source": "shop", "id": "4711"}
    table = {"namespace": "postgres://w:5432", "name": "orders"}
    told = {
        **{"job": "orders", "run": "r1", "event": "start", "at": T0, "generation": 1, "set_off_by": cause},
        **{"actor": "ada", "environment": "prod", "code_version": "1.4", "inputs": [table]},
    }
    return read(lambda body: Events().decode(body, RECEIVED), told)


def _openlineage() -> list[Fact]:
    upstream = {"job": {"namespace": events.NAMESPACE, "name": "shop.load"}}
    asset = {"asset_uri": "s3://lake/orders", "dag_run_id": "r0"}
    start = events.airflow_dag("START", clear_number=1, triggering_user_name="ada")
    start["run"]["facets"]["jobDependencies"] = {"upstream": [{**upstream, "airflow": {"asset_events": [asset]}}]}
    start["inputs"] = start["outputs"] = [{"namespace": "s3://lake", "name": "orders"}]
    config = OpenLineageConfig.model_validate({"environments": {"prod": ["prod*"]}})
    return list(events.send(start, config=config).facts)


def _ci() -> list[Fact]:
    again = test_ci.within(test_ci.WORKFLOW, "workflow_run", run_attempt=2)
    hooks = {"jenkins": {**test_ci.HOOKS["jenkins"], "runs": True}, "all": test_ci.HOOKS["all"]}
    payload = test_ci.within(test_ci.JENKINS, "build", parameters={"ENVIRONMENT": "prod"})
    built = test_ci.facts("jenkins", "", payload, hooks=hooks)
    return [*test_ci.facts("all", "workflow_run", again), *built]


def _sagemaker() -> list[Fact]:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/orders"
    times = {"CreationTime": T0, "LastModifiedTime": T1}
    said = {"PipelineArn": arn, "PipelineExecutionArn": f"{arn}/execution/e1", "PipelineExecutionStatus": "Executing"}
    told: dict[str, Any] = {"execution": {**said, **times, "CreatedBy": "ada"}, "steps": []}
    job: dict[str, Any] = {"TrainingJobName": "churn", "TrainingJobArn": f"{arn}x", "CreationTime": T0}
    job |= {"TrainingJobStatus": "InProgress", "TrainingStartTime": T1, "BillableTimeInSeconds": 60}
    trained = {"kind": "Training", "job": job}
    return read(lambda body: sagemaker.decode(body, RECEIVED, namespace="prod", region="eu-west-1"), told, trained)


def _world(kind: str, rows: Mapping[str, Any]) -> list[Fact]:
    """What a source says whose server has these rows."""
    with WORLDS[kind](Path(tempfile.mkdtemp())) as world:
        for name, value in rows.items():
            setattr(world.server, name, value)
        return _asked(world)


def _asked(world: World) -> list[Fact]:
    poller = Poller.of(world)
    poller.poll()
    return poller.facts()


MORE: Final[Mapping[str, Callable[[], Sequence[Fact]]]] = {
    "airflow": _airflow,
    "prefect": _prefect,
    "dagster": _dagster,
    "data_factory": _data_factory,
    "databricks": _databricks,
    "snowflake": _snowflake,
    "vertex_ai": _vertex_ai,
    "glue": _glue,
    "emr": _emr,
    "step_functions": _step_functions,
    "sagemaker": _sagemaker,
    "events": _events,
    "openlineage": _openlineage,
    "kafka": _openlineage,
    "ci": _ci,
}


def row_of(facts: Iterable[Fact]) -> list[str]:
    some = list(facts)
    return ["yes" if any(read(fact) for fact in some) else "" for read in COLUMNS.values()]


def table() -> dict[str, list[str]]:
    section = PAGE.split("## What each source tells\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    assert rows[0] == ["", *COLUMNS]
    return {kind: cells for name, *cells in rows[1:] for kind in re.findall(r"`(\w+)`", name)}


@pytest.mark.parametrize("kind", sorted({*WORLDS, *FACTS} - {*CLOUDS} - NO_RUNS))
def test_the_table_says_what_a_source_tells_of_a_run(kind: str, tmp_path: Path) -> None:
    facts = [*(asked(kind, tmp_path) if kind in WORLDS else ()), *(FACTS[kind]() if kind in FACTS else ())]
    facts += MORE[kind]() if kind in MORE else ()
    assert table()[kind] == row_of(facts)
