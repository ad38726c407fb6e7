"""Functions of Lambda with figures and logs in moto, in the lines that AWS documents; no function was run."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

from collectors.aws.lambda_functions import LambdaConfig, PolledLambda
from tests.collectors.aws.asked import REGION, client, context, decoded, runs, window
from tests.collectors.folding import assert_orderless
from watchtower.model.fact import Fact
from watchtower.model.run import RunState

START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)


def polled(url: str, **options: Any) -> PolledLambda:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = LambdaConfig.model_validate({"sources": [given]}).sources
    return PolledLambda(source, context())


def make_function(url: str, name: str) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam = client("iam", url)
    if not iam.list_roles()["Roles"]:
        iam.create_role(RoleName="functions", AssumeRolePolicyDocument=trust)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", "def handler(event, context): ...")
    client("lambda", url).create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role="arn:aws:iam::123456789012:role/functions",
        Handler="main.handler",
        Code={"ZipFile": packed.getvalue()},
        Description="The shop's orders",
        Tags={"team": "shop"},
    )


def count(url: str, name: str, metric: str, minute: int, *values: float) -> None:
    data = [
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "FunctionName", "Value": name}],
            "Timestamp": START + timedelta(minutes=minute),
            "Value": value,
        }
        for value in values
    ]
    client("cloudwatch", url).put_metric_data(Namespace="AWS/Lambda", MetricData=data)


def log(url: str, name: str, *lines: str, stream: str = "s1") -> None:
    """A second apart."""
    logs, group = client("logs", url), f"/aws/lambda/{name}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    begin = int(START.timestamp() * 1000)
    events = [{"timestamp": begin + at * 1000, "message": text} for at, text in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def report(ident: str, more: str = "") -> str:
    figures = "Duration: 1500.50 ms\tBilled Duration: 1501 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB"
    return f"REPORT RequestId: {ident}\t{figures}\t{more}\n"


def read(source: PolledLambda, cursor: str | None = None) -> list[Fact]:
    return decoded(source, list(source.read(window(cursor))))


def test_figures_of_a_function_are_series_of_its_job(aws: str) -> None:
    make_function(aws, "orders")
    count(aws, "orders", "Invocations", 1, 1, 1, 1)
    count(aws, "orders", "Errors", 1, 1)
    count(aws, "orders", "Throttles", 2, 4)
    count(aws, "orders", "Duration", 1, 120, 900.5)
    facts = read(polled(aws))
    (job,) = [job for fact in facts for job in fact.jobs]
    assert (job.ref.name, job.owner, job.description, job.job_type) == (
        "orders",
        "shop",
        "The shop's orders",
        "FUNCTION",
    )
    told = {
        (patch.ref.name, (sample.at - START) // timedelta(minutes=1)): sample.value
        for fact in facts
        for patch in fact.series
        for sample in patch.samples
    }
    assert {key: value for key, value in told.items() if value} == {
        ("lambda_invocations", 1): 3,
        ("lambda_errors", 1): 1,
        ("lambda_duration_ms", 1): 900.5,
        ("lambda_throttles", 2): 4,
    }
    assert {patch.ref.job for fact in facts for patch in fact.series} == {job.ref}


def test_invocations_of_functions_that_are_named_are_runs(aws: str) -> None:
    for name in ("orders", "busy"):
        make_function(aws, name)
        log(aws, name, report(f"{name}-1"))
    log(
        aws,
        "orders",
        "START RequestId: r-1 Version: $LATEST\n",
        "[ERROR]\t2026-11-30T09:00:00.000Z\tr-1\tno such file, trying the next one",
        report("r-1"),
        "[ERROR] ValueError: no such column: amount\nTraceback (most recent call last): …",
        report("r-2"),
        "2026-11-30T09:00:05.000Z\tr-3\tERROR\tInvoke Error \t"
        '{"errorType":"TypeError","errorMessage":"x is not a function","stack":["…"]}',
        report("r-3"),
        "2026-11-30T09:00:07.000Z r-4 Task timed out after 3.00 seconds",
        report("r-4"),
        report("r-5", "Status: error\tError Type: Runtime.ExitError"),
        report("r-6", "Init Duration: 210.75 ms"),
        stream="s2",
    )
    source = polled(aws, runs=["ord*"])
    facts = read(source)
    found = {run.native_run_id: run for run in runs(facts, "orders")}
    assert {ident: run.state for ident, run in found.items()} == {
        "orders-1": RunState.SUCCEEDED,
        "r-1": RunState.SUCCEEDED,
        "r-2": RunState.FAILED,
        "r-3": RunState.FAILED,
        "r-4": RunState.TIMED_OUT,
        "r-5": RunState.FAILED,
        "r-6": RunState.SUCCEEDED,
    }
    errors = {ident: (run.error.type, run.error.message) for ident, run in found.items() if run.error}
    assert errors == {
        "r-2": ("ValueError", "no such column: amount"),
        "r-3": ("TypeError", "x is not a function"),
        "r-4": ("", "Task timed out after 3.00 seconds"),
        "r-5": ("Runtime.ExitError", "Runtime.ExitError"),
    }
    first = found["r-6"]
    assert first.started_at and first.ended_at
    assert first.ended_at - first.started_at == timedelta(milliseconds=1500.5)
    assert first.tags == {"billed_ms": "1501", "max_memory_mb": "70", "init_ms": "210.75"}
    assert not runs(facts, "busy")
    assert_orderless(facts)
    assert {fact.key for fact in read(source)} >= {fact.key for fact in facts if fact.run}


def test_a_function_that_logs_json_says_itself_how_it_ended(aws: str) -> None:
    make_function(aws, "orders")

    def told(ident: str, status: str, **more: Any) -> str:
        metrics = {"durationMs": 20.5, "billedDurationMs": 21, "memorySizeMB": 128, "maxMemoryUsedMB": 60}
        line = {"requestId": ident, "metrics": metrics, "status": status, **more}
        return json.dumps({"time": "2026-11-30T09:00:00.000Z", "type": "platform.report", "record": line})

    lines = [told("r-1", "success"), told("r-2", "error", errorType="Unhandled"), told("r-3", "timeout")]
    log(aws, "orders", *lines, '{"level": "INFO", "message": "password hunter2"}', '{"cut')
    found = runs(read(polled(aws, runs=["*"])), "orders")
    assert [(run.native_run_id, run.state) for run in found] == [
        ("r-1", RunState.SUCCEEDED),
        ("r-2", RunState.FAILED),
        ("r-3", RunState.TIMED_OUT),
    ]
    assert found[1].error and found[1].error.type == "Unhandled"


def test_a_try_of_lambdas_own_under_the_same_request_decides_what_the_run_came_to(aws: str) -> None:
    make_function(aws, "orders")
    log(aws, "orders", "[ERROR] OSError: no route", report("r-1"), "-", "-", report("r-1"))
    facts = read(polled(aws, runs=["*"]))
    assert [run.state for run in runs(facts, "orders")] == [RunState.FAILED, RunState.SUCCEEDED]
    whole = assert_orderless(facts)
    assert [run["state"] for run in whole.values() if "state" in run] == ["succeeded"]


def test_a_function_that_never_ran_has_no_log_and_is_no_failure(aws: str) -> None:
    make_function(aws, "orders")
    source = polled(aws, runs=["*"])
    pages = list(source.read(window()))
    assert pages[0].coverage == {"functions": 1}
    assert pages[-1].mark


def test_lines_of_another_shape_are_no_invocation(aws: str) -> None:
    make_function(aws, "orders")
    log(aws, "orders", "REPORT", "REPORT RequestId: ", '{"type": "platform.report"}', "[ERROR]", " ")
    assert not runs(read(polled(aws, runs=["*"])), "orders")
