"""What is told by an event of another way and what is asked are one run, whichever came first, on both stores."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from collectors.aws import glue, step_functions
from collectors.prefect import Prefect
from tests.collectors.aws.test_step_functions import event
from watchtower.model.fact import Fact
from watchtower.ports import Received
from watchtower.registry import COLLECTORS
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all

ACCOUNT = "123456789012"
RECEIVED = Received(datetime(2026, 11, 30, 9, 31, tzinfo=UTC), ACCOUNT)
ARN = f"arn:aws:states:eu-west-1:{ACCOUNT}:execution:orders:run-1"
MACHINE = f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:orders"
FLOW_RUN = "cd398a3e-1ab4-47ae-8ffd-12d25afacf5b"


def told(document: dict[str, Any]) -> list[Fact]:
    found = COLLECTORS.get("events")().decode(json.dumps(document).encode(), RECEIVED)
    assert found.rejects == ()
    return list(found.facts)


def execution() -> tuple[list[Fact], list[Fact]]:
    detail = {"executionArn": ARN, "stateMachineArn": MACHINE, "status": "FAILED"}
    times = {"startDate": 1796031000000, "stopDate": 1796031005000}
    asked = {"execution": {**detail, "startDate": "2026-11-30T09:30:00Z", "stopDate": "2026-11-30T09:30:05Z"}}
    found = step_functions.decode(json.dumps(asked).encode(), RECEIVED, namespace=ACCOUNT)
    return told(event({**detail, **times})), list(found.facts)


def job_run() -> tuple[list[Fact], list[Fact]]:
    detail = {"jobName": "orders", "severity": "INFO", "state": "SUCCEEDED", "jobRunId": "jr_1", "message": ""}
    sent = {
        **event({"executionArn": ""}),
        "detail-type": "Glue Job State Change",
        "source": "aws.glue",
        "detail": detail,
    }
    run = {"Id": "jr_1", "JobName": "orders", "JobRunState": "SUCCEEDED", "CompletedOn": "2026-11-30T09:30:05Z"}
    found = glue.decode(json.dumps({"run": run}).encode(), RECEIVED, namespace=ACCOUNT, region="eu-west-1")
    return told(sent), list(found.facts)


def flow_run() -> tuple[list[Fact], list[Fact]]:
    sent = {"namespace": ACCOUNT, "job": "orders", "run": FLOW_RUN, "event": "fail", "time": "2026-11-30T09:30:05Z"}
    state = {"id": "1", "type": "FAILED", "name": "Failed", "timestamp": "2026-11-30T09:30:05Z"}
    asked = {"type": "flow_run", "flow": "orders", "flow_run": {"id": FLOW_RUN, "state": state}}
    found = Prefect().decode(json.dumps(asked).encode(), RECEIVED)
    return told(sent), list(found.facts)


@pytest.mark.parametrize("both", [execution, job_run, flow_run])
@pytest.mark.parametrize("event_first", [True, False])
def test_an_event_and_the_poll_meet_in_one_run(database_url: str, both: Any, event_first: bool) -> None:
    sent, asked = both()
    database = Database(database_url)
    try:
        for facts in (sent, asked) if event_first else (asked, sent):
            database.write(lambda connection, facts=facts: append_all(connection, [Intake(facts)]))
        with database.read() as connection:
            rows = connection.execute(text("SELECT pipeline, state FROM runs")).all()
    finally:
        database.close()
    assert len(rows) == 1
