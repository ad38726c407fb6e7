"""Executions of Step Functions as moto's interpreter runs them, and events as AWS documents them."""

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.aws.step_functions import PolledStepFunctions, StepFunctionsConfig, decode
from tests.collectors.aws.asked import REGION, client, context, decoded, runs, setting, window
from tests.collectors.folding import folded
from watchtower.errors import ConfigError, Permanent
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.ports import Received

ROLE = "arn:aws:iam::123456789012:role/machine"


def polled(url: str, **options: Any) -> PolledStepFunctions:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = StepFunctionsConfig.model_validate({"sources": [given]}).sources
    return PolledStepFunctions(source, context())


def execute(url: str, name: str, states: dict[str, Any], **more: Any) -> str:
    """The ARN of an execution that has ended."""
    machines = client("stepfunctions", url)
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    tags = [{"key": "owner", "value": "team-shop"}, {"key": "tier", "value": "1"}]
    machine = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE, tags=tags)
    arn: str = machines.start_execution(stateMachineArn=machine["stateMachineArn"], name=f"{name}-1", **more)[
        "executionArn"
    ]
    wait_for(lambda: machines.describe_execution(executionArn=arn)["status"] != "RUNNING")
    return arn


def wait_for(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def machines(aws: str) -> str:
    setting(aws, stepfunctions={"execute_state_machine": True})
    return aws


def send(queue: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": queue, "MessageBody": "x"},
        "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1.0}],
    }


def test_retries_of_a_task_are_attempts_and_the_error_has_its_cause(machines: str) -> None:
    execute(machines, "orders", {"Send": {**send(f"{machines}/123456789012/nowhere"), "End": True}})
    source = polled(machines)
    facts = decoded(source, list(source.read(window())))
    (run,) = runs(facts, "orders")
    assert run.state is RunState.FAILED
    assert run.error
    assert run.error.type
    assert run.external_url
    tries = [(each.attempt, each.state, each.final) for each in runs(facts, "orders.Send")]
    assert tries == [(1, RunState.FAILED, False), (2, RunState.FAILED, True)]
    (job,) = [job for fact in facts for job in fact.jobs]
    assert (job.owner, job.tags) == ("team-shop", {"owner": "team-shop", "tier": "1"})


def test_instances_of_a_map_and_branches_are_told_apart(machines: str) -> None:
    wait = {"Type": "Wait", "Seconds": 0, "End": True}
    states = {
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {"StartAt": "Pause", "States": {"Pause": wait}},
            "ResultPath": None,
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Left", "States": {"Left": wait}},
                {"StartAt": "Right", "States": {"Right": wait}},
            ],
            "End": True,
        },
    }
    execute(machines, "fan", states, input=json.dumps({"items": [1, 2, 3]}))
    source = polled(machines)
    facts = decoded(source, list(source.read(window())))
    assert [run.state for run in runs(facts, "fan")] == [RunState.SUCCEEDED]
    assert sorted(run.map_index or 0 for run in runs(facts, "fan.Pause")) == [0, 1, 2]
    assert {run.state for run in runs(facts, "fan.Pause")} == {RunState.SUCCEEDED}
    for name in ("fan.Each", "fan.Both", "fan.Left", "fan.Right"):
        assert [run.state for run in runs(facts, name)] == [RunState.SUCCEEDED], name


def test_a_failure_that_was_caught_is_no_end(machines: str) -> None:
    caught: dict[str, Any] = {**send(f"{machines}/123456789012/nowhere"), "Retry": [], "End": True}
    caught["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "Mend"}]
    execute(machines, "mended", {"Send": caught, "Mend": {"Type": "Wait", "Seconds": 0, "End": True}})
    source = polled(machines)
    facts = decoded(source, list(source.read(window())))
    assert [run.state for run in runs(facts, "mended")] == [RunState.SUCCEEDED]
    assert [(run.state, run.final) for run in runs(facts, "mended.Send")] == [(RunState.FAILED, False)]


def test_what_runs_is_remembered_by_the_cursor_and_what_ended_is_read_once(machines: str) -> None:
    arn = execute(machines, "quick", {"Pause": {"Type": "Wait", "Seconds": 0, "End": True}})
    sfn = client("stepfunctions", machines)
    definition = json.dumps({"StartAt": "Long", "States": {"Long": {"Type": "Wait", "Seconds": 3600, "End": True}}})
    machine = sfn.create_state_machine(name="long", definition=definition, roleArn=ROLE)["stateMachineArn"]
    running = sfn.start_execution(stateMachineArn=machine, name="slow")["executionArn"]
    first = list(polled(machines).read(window()))
    cursor = first[-1].cursor
    assert cursor
    assert running in cursor
    assert arn not in cursor

    # Another process, whose window begins after the start: the cursor alone leads to it.
    sfn.stop_execution(executionArn=running, error="Mistake", cause="a person stopped it")
    source = polled(machines)
    later = window(cursor, deep=False)
    later = type(later)(datetime.now(UTC), later.until, cursor=cursor, deep=False)
    facts = decoded(source, list(source.read(later)))
    assert [run.state for run in runs(facts, "long")] == [RunState.CANCELLED]
    assert not [page for page in source.read(later) if page.records and b"slow" in page.records[0]]


def test_an_event_and_the_poll_of_the_same_end_are_one_fact(machines: str) -> None:
    arn = execute(machines, "orders", {"Pause": {"Type": "Wait", "Seconds": 0, "End": True}})
    source = polled(machines)
    asked = [fact for fact in decoded(source, list(source.read(window()))) if fact.run and not fact.run.job.task]
    execution = client("stepfunctions", machines).describe_execution(executionArn=arn)
    detail = {
        "executionArn": arn,
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": "SUCCEEDED",
        "startDate": int(execution["startDate"].timestamp() * 1000),
        "stopDate": int(execution["stopDate"].timestamp() * 1000),
        "inputDetails": {"included": True},
    }
    told = decode(json.dumps(event(detail)).encode(), Received(datetime.now(UTC), "shop"), namespace="shop").facts
    (fact,) = told
    assert fact.run
    assert asked[0].run
    assert fact.run.aliases == asked[0].run.aliases
    assert fact.key == asked[0].key
    assert folded([*asked, fact]) == folded([fact, *asked])


def event(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2026-11-30T09:00:00Z",
        "region": REGION,
        "resources": [detail["executionArn"]],
        "detail": detail,
    }


def test_a_queue_is_emptied_once_its_events_are_stored(machines: str) -> None:
    sqs = client("sqs", machines)
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = f"arn:aws:states:{REGION}:123456789012:execution:orders:run-1"
    for number, status in enumerate(("RUNNING", "FAILED")):
        detail = {"executionArn": arn, "status": status, "startDate": 1796031000000, "stopDate": 1796031000000 + number}
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event(detail)))
    source = polled(machines, queue=queue)
    pages = source.read(window(deep=False))
    page = next(page for page in pages if page.records)
    states = {fact.run.state for fact in decoded(source, [page]) if fact.run}
    assert states == {RunState.RUNNING, RunState.FAILED}
    depth = {"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessagesNotVisible"]}
    assert sqs.get_queue_attributes(**depth)["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "2"
    list(pages)
    assert sqs.get_queue_attributes(**depth)["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_redriven_execution_is_a_new_generation_and_keeps_its_first_end() -> None:
    arn = f"arn:aws:states:{REGION}:123456789012:execution:orders:run-1"
    events = [
        history(1, 0, "ExecutionStarted"),
        history(2, 0, "TaskStateEntered", stateEnteredEventDetails={"name": "Load"}),
        history(3, 2, "TaskScheduled"),
        history(4, 3, "TaskStarted"),
        history(5, 4, "TaskFailed", taskFailedEventDetails={"error": "Glue.Busy", "cause": "no room"}),
        history(6, 5, "ExecutionFailed", executionFailedEventDetails={"error": "Glue.Busy", "cause": "no room"}),
        history(7, 6, "ExecutionRedriven"),
        history(8, 7, "TaskStateEntered", stateEnteredEventDetails={"name": "Load"}),
        history(9, 8, "TaskScheduled"),
        history(10, 9, "TaskStarted"),
        history(11, 10, "TaskSucceeded"),
        history(12, 11, "TaskStateExited", stateExitedEventDetails={"name": "Load"}),
        history(13, 12, "ExecutionSucceeded"),
    ]
    execution = {
        "executionArn": arn,
        "status": "SUCCEEDED",
        "startDate": at(1),
        "stopDate": at(13),
        "redriveCount": 1,
        "redriveDate": at(7),
    }
    facts = read({"execution": execution, "events": events})
    first, second = runs(facts, "orders")
    assert (first.generation, first.state, second.generation, second.state) == (
        0,
        RunState.FAILED,
        1,
        RunState.SUCCEEDED,
    )
    assert [(run.generation, run.state, run.final, run.parent_alias) for run in runs(facts, "orders.Load")] == [
        (0, RunState.FAILED, True, first.aliases[1]),
        (1, RunState.SUCCEEDED, True, second.aliases[1]),
    ]
    whole = folded(facts)
    chosen = random.Random(7)
    for _ in range(20):
        shuffled = [*facts, *facts]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole


def history(number: int, previous: int, kind: str, **details: Any) -> dict[str, Any]:
    return {"id": number, "previousEventId": previous, "type": kind, "timestamp": at(number), **details}


def at(second: int) -> str:
    return f"2026-11-30T09:00:{second:02}+00:00"


def read(document: dict[str, Any]) -> list[Fact]:
    received = Received(datetime(2026, 11, 30, 9, 1, tzinfo=UTC), "shop")
    found = decode(json.dumps(document).encode(), received, namespace="shop")
    assert found.rejects == ()
    return list(found.facts)


def test_what_is_no_execution_is_kept_and_says_why() -> None:
    found = decode(b'{"detail-type": "Scheduled Event"}', Received(datetime.now(UTC), "shop"), namespace="shop")
    (reject,) = found.rejects
    assert "an execution of Step Functions" in reject.message
    assert not reject.permanent


def test_refused_credentials_name_the_source_and_the_page_with_the_permissions(
    machines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(Permanent, match=r"step_functions source 'shop'.*credentials"):
        list(polled(machines).read(window()))


def test_an_endpoint_that_the_guard_refuses_is_a_fault_of_the_configuration() -> None:
    from collectors.aws.step_functions import StepFunctions

    given = {"sources": [{"name": "shop", "endpoint_url": "http://169.254.169.254"}]}
    poller = StepFunctions(StepFunctionsConfig.model_validate(given))
    with pytest.raises(ConfigError, match=r"collectors\.step_functions\.sources\[0\]\.endpoint_url"):
        poller.sources(context())
