"""The services of AWS that are asked, as worlds: over HTTP, in the JSON of their API references.

What moto answers is tested beside this; here the answers can be broken. A client asks once, with no pauses of its own.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from tests.collectors.aws import test_emr, test_emr_serverless
from tests.collectors.aws.asked import REGION
from tests.collectors.world import TOOK, World
from tests.simulators.http import HttpSimulator, Recorded, Reply

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=20)
Row = dict[str, Any]


class Missing(Exception):
    """What was asked for is not there; its argument is AWS's word for that."""


class Service(HttpSimulator):
    """A method for each operation that is asked, called as AWS calls it."""

    def __init__(self) -> None:
        super().__init__(NOW)

    def changes_something(self, request: Recorded) -> bool:
        return True

    def answer(self, request: Recorded) -> Reply:
        operation = request.headers.get("x-amz-target", "").partition(".")[2]
        try:
            if operation:
                return Reply.of_json(getattr(self, operation)(request.json))
            return Reply.of_json(self.rest(request))
        except Missing as missing:
            return Reply.of_json({"__type": str(missing), "message": "it is not there"}, 400)

    def rest(self, request: Recorded) -> Row:
        raise AssertionError(request)


class Glue(Service):
    """One run a page, newest first."""

    def __init__(self) -> None:
        self.runs: list[Row] = []
        super().__init__()

    def GetTriggers(self, asked: Row) -> Row:  # noqa: N802 - as AWS calls it
        return {"Triggers": []}

    def GetJobs(self, asked: Row) -> Row:  # noqa: N802
        return {"Jobs": [{"Name": "orders", "MaxRetries": 0}]}

    def GetJobRuns(self, asked: Row) -> Row:  # noqa: N802
        return _page("JobRuns", sorted(self.runs, key=lambda run: -run["StartedOn"]), asked, "NextToken")

    def GetJobRun(self, asked: Row) -> Row:  # noqa: N802
        return {"JobRun": _one(self.runs, "Id", asked["RunId"], "EntityNotFoundException")}


class Machines(Service):
    """Step Functions: one execution a page, newest first."""

    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:ship"

    def __init__(self) -> None:
        self.runs: list[Row] = []
        super().__init__()

    def ListStateMachines(self, asked: Row) -> Row:  # noqa: N802
        return {"stateMachines": [{"name": "ship", "stateMachineArn": self.arn, "type": "STANDARD"}]}

    def ListTagsForResource(self, asked: Row) -> Row:  # noqa: N802
        return {"tags": [{"key": "owner", "value": "shop"}]}

    def ListExecutions(self, asked: Row) -> Row:  # noqa: N802
        return _page("executions", sorted(self.runs, key=lambda run: -run["startDate"]), asked, "nextToken")

    def DescribeExecution(self, asked: Row) -> Row:  # noqa: N802
        return _one(self.runs, "executionArn", asked["executionArn"], "ExecutionDoesNotExist")

    def GetExecutionHistory(self, asked: Row) -> Row:  # noqa: N802
        return {"events": []}


class Pipelines(Service):
    """SageMaker: a training job, and executions of one pipeline, one a page."""

    arn = f"arn:aws:sagemaker:{REGION}:123456789012:pipeline/churn"

    def __init__(self) -> None:
        self.runs: list[Row] = []
        name = {"TrainingJobName": "churn-2026-11-30-09-00-00-123", "TrainingJobStatus": "Completed"}
        name["TrainingJobArn"] = f"arn:aws:sagemaker:{REGION}:123456789012:training-job/churn"
        times = {"CreationTime": _s(BEGAN), "TrainingEndTime": _s(BEGAN + TOOK), "LastModifiedTime": _s(BEGAN + TOOK)}
        self.training: Row = {**name, "TrainingStartTime": _s(BEGAN), **times}
        super().__init__()

    def ListTrainingJobs(self, asked: Row) -> Row:  # noqa: N802
        is_new = self.training["LastModifiedTime"] >= asked["LastModifiedTimeAfter"]
        return {"TrainingJobSummaries": [self.training] if is_new else []}

    def ListProcessingJobs(self, asked: Row) -> Row:  # noqa: N802
        return {"ProcessingJobSummaries": []}

    def ListTransformJobs(self, asked: Row) -> Row:  # noqa: N802
        return {"TransformJobSummaries": []}

    def DescribeTrainingJob(self, asked: Row) -> Row:  # noqa: N802
        return self.training

    def ListPipelines(self, asked: Row) -> Row:  # noqa: N802
        return {"PipelineSummaries": [{"PipelineArn": self.arn, "PipelineName": "churn"}]}

    def ListPipelineExecutions(self, asked: Row) -> Row:  # noqa: N802
        known = [run for run in self.runs if run["CreationTime"] >= asked["CreatedAfter"]]
        return _page("PipelineExecutionSummaries", known, asked, "NextToken")

    def DescribePipelineExecution(self, asked: Row) -> Row:  # noqa: N802
        return _one(self.runs, "PipelineExecutionArn", asked["PipelineExecutionArn"], "ResourceNotFound")

    def ListPipelineExecutionSteps(self, asked: Row) -> Row:  # noqa: N802
        times = {"StartTime": _s(BEGAN), "EndTime": _s(BEGAN + TOOK)}
        return {"PipelineExecutionSteps": [{"StepName": "Train", "StepStatus": "Succeeded", **times}]}


class Functions(Service):
    """Lambda, CloudWatch and its logs in one."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, datetime]] = []
        super().__init__()

    def rest(self, request: Recorded) -> Row:
        if "/tags/" in request.path:
            return {"Tags": {"team": "shop"}}
        arn = f"arn:aws:lambda:{REGION}:123456789012:function:orders"
        return {"Functions": [{"FunctionName": "orders", "FunctionArn": arn}]}

    def GetMetricData(self, asked: Row) -> Row:  # noqa: N802
        whole = [at.replace(second=0) for _, at in self.ended]
        told = [at for at in whole if asked["StartTime"] <= at.timestamp() < asked["EndTime"]]
        values = {"Timestamps": [_s(at) for at in told], "Values": [1.0] * len(told)}
        return {"MetricDataResults": [{"Id": each["Id"], **values} for each in asked["MetricDataQueries"]]}

    def FilterLogEvents(self, asked: Row) -> Row:  # noqa: N802
        """One line a page."""
        rows = [_line(run, at) for run, at in self.ended if _s(at) * 1000 >= asked["startTime"]]
        return _page("events", rows, asked, "nextToken")


def _line(run: str, at: datetime) -> Row:
    figures = "Duration: 1500.50 ms\tBilled Duration: 1501 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\t"
    return {"logStreamName": "s", "timestamp": int(_s(at) * 1000), "message": f"REPORT RequestId: {run}\t{figures}"}


def _page(name: str, rows: list[Row], asked: Row, token: str) -> Row:
    start = int(asked.get(token, "0"))
    more = {token: str(start + 1)} if start + 1 < len(rows) else {}
    return {name: rows[start : start + 1], **more}


def _one(rows: list[Row], field: str, wanted: str, missing: str) -> Row:
    found = [row for row in rows if row[field] == wanted]
    if not found:
        raise Missing(missing)
    return found[0]


def _s(at: datetime) -> float:
    return at.timestamp()


# -- as worlds -----------------------------------------------------------------------------------------------------


@cache
def _models() -> Any:
    """What the SDK reads of its services, once for all tests."""
    return botocore.session.get_session().get_component("data_loader")


@contextmanager
def aws_sdk() -> Generator[None]:
    """With credentials that nobody checks."""
    real = boto3.session.Session

    def session(**given: Any) -> Any:
        core: Any = botocore.session.get_session()
        core.register_component("data_loader", _models())
        return real(botocore_session=core, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("collectors.aws.client.ATTEMPTS", 1)
        patch.setattr("boto3.session.Session", session)
        yield


def aws_place(server: HttpSimulator) -> Row:
    return {"region": REGION, "endpoint_url": server.url}


@contextmanager
def _glue(folder: Path) -> Generator[World]:
    def run(ident: str, state: str, began: datetime, **more: Any) -> Row:
        ended = {"CompletedOn": _s(began + TOOK)} if state != "RUNNING" else {}
        return {"Id": ident, "JobName": "orders", "JobRunState": state, "StartedOn": _s(began), **ended, **more}

    with aws_sdk(), Glue() as server:
        server.runs = [run("jr_1", "SUCCEEDED", BEGAN), run("jr_2", "RUNNING", NOW - timedelta(minutes=9))]

        def end() -> None:
            server.runs[1] = run("jr_2", "FAILED", NOW - timedelta(minutes=9), ErrorMessage="ValueError: no rows")

        def ran(number: int, at: datetime) -> str:
            server.runs.append(run(f"jr_n{number}", "SUCCEEDED", at))
            return f"jr_n{number}"

        yield World("glue", server, aws_place(server), NOW, end, server.runs.pop, ran)


@contextmanager
def _step_functions(folder: Path) -> Generator[World]:
    def run(name: str, status: str, began: datetime) -> Row:
        arn = f"arn:aws:states:{REGION}:123456789012:execution:ship:{name}"
        ended = {"stopDate": _s(began + TOOK)} if status != "RUNNING" else {}
        named = {"executionArn": arn, "stateMachineArn": Machines.arn, "name": name}
        return {**named, "status": status, "startDate": _s(began), **ended}

    with aws_sdk(), Machines() as server:
        server.runs = [run("one", "SUCCEEDED", BEGAN), run("two", "RUNNING", NOW - timedelta(minutes=9))]

        def end() -> None:
            server.runs[1] = run("two", "FAILED", NOW - timedelta(minutes=9))

        def ran(number: int, at: datetime) -> str:
            server.runs.append(run(f"n{number}", "SUCCEEDED", at))
            return str(server.runs[-1]["executionArn"])

        yield World("step_functions", server, aws_place(server), NOW, end, server.runs.pop, ran)


@contextmanager
def _sagemaker(folder: Path) -> Generator[World]:
    def run(name: str, status: str, began: datetime) -> Row:
        named = {"PipelineArn": Pipelines.arn, "PipelineExecutionArn": f"{Pipelines.arn}/execution/{name}"}
        times = {"CreationTime": _s(began), "LastModifiedTime": _s(began + TOOK)}
        return {**named, "PipelineExecutionStatus": status, **times}

    with aws_sdk(), Pipelines() as server:
        server.runs = [run("one", "Succeeded", BEGAN), run("two", "Executing", NOW - timedelta(minutes=9))]

        def end() -> None:
            server.runs[1] = run("two", "Failed", NOW - timedelta(minutes=9))

        def ran(number: int, at: datetime) -> str:
            server.runs.append(run(f"n{number}", "Succeeded", at))
            return str(server.runs[-1]["PipelineExecutionArn"])

        yield World("sagemaker", server, aws_place(server), NOW, end, server.runs.pop, ran)


@contextmanager
def _emr(folder: Path) -> Generator[World]:
    one = test_emr
    now = one.START + timedelta(minutes=40)
    steps = [one.row("s-2", "load", "RUNNING", (31, 32)), one.row("s-1", "load", "COMPLETED", (20, 21, 25))]
    with (
        aws_sdk(),
        one.Emr([one.row("j-1", "shared", "WAITING", (1, 2), AutoTerminate=False)], {"j-1": steps}) as server,
    ):
        server.clusters[0]["AutoTerminate"] = False
        server.now = now

        def end() -> None:
            steps[0] = one.row("s-2", "load", "FAILED", (31, 32, 39))

        def ran(number: int, at: datetime) -> str:
            began = (at - one.START).total_seconds() / 60
            steps.insert(0, one.row(f"s-n{number}", "load", "COMPLETED", (began, began + 1, began + 4)))
            return f"s-n{number}"

        def forget() -> None:
            del steps[0]

        yield World("emr", server, aws_place(server), now, end, forget, ran)


@contextmanager
def _emr_serverless(folder: Path) -> Generator[World]:
    one = test_emr_serverless
    with (
        aws_sdk(),
        one.Serverless([one.row("r1", "SUCCESS", (10, 11, 19)), one.row("r2", "RUNNING", (31, 32))]) as server,
    ):
        server.now = one.START + timedelta(minutes=40)

        def end() -> None:
            server.rows[1] = one.row("r2", "FAILED", (31, 32, 39), stateDetails="ExitCode: 1", tags={"team": "shop"})

        def ran(number: int, at: datetime) -> str:
            began = (at - one.START).total_seconds() / 60
            server.rows.append(one.row(f"n{number}", "SUCCESS", (began, began, began + 4)))
            return f"n{number}"

        yield World("emr_serverless", server, aws_place(server), server.now, end, server.rows.pop, ran)


@contextmanager
def _lambda(folder: Path) -> Generator[World]:
    with aws_sdk(), Functions() as server:
        server.ended = [("r-1", BEGAN), ("r-2", NOW - timedelta(minutes=9))]

        def end() -> None:
            server.ended.append(("r-3", NOW - timedelta(minutes=2)))

        def ran(number: int, at: datetime) -> str:
            server.ended.append((f"n-{number}", at + TOOK))
            return f"n-{number}"

        options = {**aws_place(server), "runs": ["*"]}
        yield World("lambda", server, options, NOW, end, server.ended.pop, ran, tells_starts=False)


AWS_WORLDS: Mapping[str, Callable[[Path], AbstractContextManager[World]]] = {
    "step_functions": _step_functions,
    "glue": _glue,
    "sagemaker": _sagemaker,
    "emr": _emr,
    "emr_serverless": _emr_serverless,
    "lambda": _lambda,
}
