"""Jobs of SageMaker as moto keeps them, and pipelines as AWS documents their answers."""

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.aws.sagemaker import PolledSageMaker, SageMakerConfig, decode, job_name
from tests.collectors.aws.asked import REGION, client, context, decoded, runs, window
from tests.collectors.folding import folded
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.ports import Received

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
PIPELINE = f"arn:aws:sagemaker:{REGION}:123456789012:pipeline/churn"
EXECUTION = f"{PIPELINE}/execution/f00k1e"
START = datetime(2026, 11, 30, 9, tzinfo=UTC)


def polled(url: str, **options: Any) -> PolledSageMaker:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = SageMakerConfig.model_validate({"sources": [given]}).sources
    return PolledSageMaker(source, context())


def test_training_jobs_of_one_name_are_runs_of_one_job(aws: str) -> None:
    sagemaker = client("sagemaker", aws)
    for name in ("churn-2026-11-30-06-00-00-123", "churn-2026-11-29-06-00-00-456", "pipelines-f00k1e-Train-abc"):
        sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": "s3://models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    source = polled(aws, pipelines=False)
    facts = decoded(source, list(source.read(window())))
    found = runs(facts, "churn")
    assert [run.native_run_id for run in found] == ["churn-2026-11-30-06-00-00-123", "churn-2026-11-29-06-00-00-456"]
    assert {run.state for run in found} == {RunState.SUCCEEDED}
    assert (found[0].tags or {})["instance_type"] == "ml.m5.large"
    assert len([fact for fact in facts if fact.run]) == 2


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("churn-2026-11-30-06-00-00-123", "churn"),
        ("churn-2026-11-30-06-00-00", "churn"),
        ("tune-churn-001-0a1b2c3d", "tune-churn"),
        ("churn-1796031000", "churn"),
        ("churn-v2", "churn-v2"),
        ("2026-11-30-06-00-00", "2026-11-30-06-00-00"),
    ],
)
def test_what_makes_a_name_unique_is_no_part_of_the_job(name: str, job: str) -> None:
    assert job_name(name) == job


class Pipelines(HttpSimulator):
    """SageMaker's answers about one execution of one pipeline, after the API reference."""

    def __init__(self) -> None:
        super().__init__(START)
        self.status = "Executing"
        self.created = START

    def answer(self, request: Recorded) -> Reply:
        operation = request.headers["x-amz-target"].partition(".")[2]
        self.ledger.append(operation)
        return Reply.of_json(getattr(self, operation)(request.json) if hasattr(self, operation) else {})

    def ListPipelines(self, asked: Any) -> Any:  # noqa: N802 - as AWS calls it
        return {"PipelineSummaries": [{"PipelineArn": PIPELINE, "PipelineName": "churn"}]}

    def ListPipelineExecutions(self, asked: Any) -> Any:  # noqa: N802
        known = [{"PipelineExecutionArn": EXECUTION, "PipelineExecutionStatus": self.status}]
        return {"PipelineExecutionSummaries": known if asked["CreatedAfter"] <= self.created.timestamp() else []}

    def DescribePipelineExecution(self, asked: Any) -> Any:  # noqa: N802
        return {
            "PipelineArn": PIPELINE,
            "PipelineExecutionArn": EXECUTION,
            "PipelineExecutionStatus": self.status,
            "CreationTime": START.timestamp(),
            "LastModifiedTime": (START + timedelta(minutes=9)).timestamp(),
            "FailureReason": "Step failure: One or multiple steps failed." if self.status == "Failed" else None,
            "CreatedBy": {"UserProfileName": "ada"},
        }

    def ListPipelineExecutionSteps(self, asked: Any) -> Any:  # noqa: N802
        """One step a page."""
        first = {"StepName": "Prepare", "StepStatus": "Succeeded", "AttemptCount": 1, **times(0, 4)}
        second = {"StepName": "Train", "StepStatus": "Failed", "AttemptCount": 2, **times(4, 9)}
        second["FailureReason"] = "AlgorithmError: ValueError: no rows"
        if asked.get("NextToken"):
            return {"PipelineExecutionSteps": [second]}
        return {"PipelineExecutionSteps": [first], "NextToken": "more"}


def times(start: int, end: int) -> dict[str, Any]:
    began, ended = START + timedelta(minutes=start), START + timedelta(minutes=end)
    return {"StartTime": began.timestamp(), "EndTime": ended.timestamp()}


@pytest.fixture
def pipelines(aws: str) -> Generator[Pipelines]:
    with Pipelines() as simulator:
        yield simulator


def asked_at(minute: int, cursor: str | None = None) -> Any:
    return type(window())(START - timedelta(minutes=1), START + timedelta(minutes=minute), cursor=cursor)


def test_steps_of_a_pipeline_are_attempts_of_its_tasks(pipelines: Pipelines) -> None:
    pipelines.status = "Failed"
    source = polled(pipelines.url)
    facts = decoded(source, list(source.read(asked_at(10))))
    (run,) = runs(facts, "churn")
    assert (run.state, run.actor, run.started_at) == (RunState.FAILED, "ada", START)
    (train,) = runs(facts, "churn.Train")
    assert (train.state, train.attempt, train.final, train.parent_alias) == (RunState.FAILED, 2, True, run.aliases[0])
    assert train.error
    assert train.error.type == "AlgorithmError"
    assert runs(facts, "churn.Prepare")


def test_an_execution_that_had_not_ended_is_asked_for_until_it_has(pipelines: Pipelines) -> None:
    source = polled(pipelines.url)
    cursor = list(source.read(asked_at(10)))[-1].cursor
    assert cursor and EXECUTION in cursor
    pipelines.status, pipelines.created = "Succeeded", START - timedelta(days=2)
    pages = list(source.read(asked_at(20, cursor)))
    assert [run.state for run in runs(decoded(source, pages), "churn")] == [RunState.SUCCEEDED]
    assert pages[-1].cursor == "[]"


def test_events_and_polls_of_the_same_state_are_one_fact() -> None:
    arn = f"arn:aws:sagemaker:{REGION}:123456789012:training-job/churn-2026-11-30-06-00-00"
    end = START + timedelta(minutes=5)
    job = {
        "TrainingJobName": "churn-2026-11-30-06-00-00",
        "TrainingJobArn": arn,
        "TrainingJobStatus": "Failed",
        "SecondaryStatus": "MaxRuntimeExceeded",
        "FailureReason": "AlgorithmError: no rows",
        "CreationTime": START.isoformat(),
        "TrainingEndTime": end.isoformat(),
    }
    detail = {**job, "CreationTime": START.timestamp() * 1000, "TrainingEndTime": end.timestamp() * 1000}
    asked = read({"kind": "Training", "job": job})
    told = read({"detail-type": "SageMaker Training Job State Change", "detail": detail})
    assert [fact.key for fact in asked] == [fact.key for fact in told]
    assert [fact.run.state for fact in asked if fact.run] == [RunState.TIMED_OUT]
    assert folded([*asked, *told]) == folded([*told, *asked])


def test_the_event_of_a_pipeline_is_the_run_that_the_poll_finds() -> None:
    detail = {
        "pipelineArn": PIPELINE,
        "pipelineExecutionArn": EXECUTION,
        "currentPipelineExecutionStatus": "Succeeded",
        "executionStartTime": START.isoformat(),
        "executionEndTime": (START + timedelta(minutes=9)).isoformat(),
    }
    (fact,) = read({"detail-type": "SageMaker Model Building Pipeline Execution Status Change", "detail": detail})
    assert fact.run
    assert (fact.run.job.name, fact.run.state) == ("churn", RunState.SUCCEEDED)


def read(document: dict[str, Any]) -> list[Fact]:
    received = Received(START + timedelta(minutes=30), "shop")
    found = decode(json.dumps(document).encode(), received, namespace="shop", region=REGION)
    assert found.rejects == ()
    return list(found.facts)
