"""Job runs of EMR Serverless as moto keeps them, and their ends as AWS documents them; an event is a reason to ask."""

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.aws.emr_serverless import EmrServerlessConfig, PolledEmrServerless
from tests.collectors.aws.asked import REGION, client, context, decoded, window
from tests.collectors.folding import assert_orderless, line
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.model.source import Window

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=40)


def polled(url: str, **options: Any) -> PolledEmrServerless:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = EmrServerlessConfig.model_validate({"sources": [given]}).sources
    return PolledEmrServerless(source, context())


def started(url: str, application: str, name: str) -> str:
    """`APPLICATION/RUN` of a run that moto has begun."""
    emr = client("emr-serverless", url)
    made = emr.create_application(name=application, releaseLabel="emr-7.3.0", type="SPARK")
    driver = {"sparkSubmit": {"entryPoint": "s3://code/load.py", "entryPointArguments": ["hunter2"]}}
    run = emr.start_job_run(
        applicationId=made["applicationId"],
        executionRoleArn="arn:aws:iam::123456789012:role/etl",
        jobDriver=driver,
        name=name,
        tags={"team": "shop"},
    )
    return f"{made['applicationId']}/{run['jobRunId']}"


def test_runs_of_the_applications_that_are_wanted_are_asked_for(aws: str) -> None:
    reference = started(aws, "shop", "load")
    started(aws, "scratch", "try")
    source = polled(aws, applications=["sho*"])
    since = datetime.now(UTC) - timedelta(days=2)  # moto has all of them begin at midnight
    pages = list(source.read(Window(since, datetime.now(UTC))))
    assert not any(b"hunter2" in record for page in pages for record in page.records)
    facts = decoded(source, pages)
    (load,) = [fact.run for fact in facts if fact.run]
    assert (load.job.name, load.native_run_id) == ("load", reference.partition("/")[2])
    assert load.external_url and reference in load.external_url
    assert [job.owner for fact in facts for job in fact.jobs] == ["shop"]


class Serverless(HttpSimulator):
    """The calls that are made, over rows as the API documents them: of one application, `a1`, called shop."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        super().__init__(START)

    def changes_something(self, request: Recorded) -> bool:
        return True

    def answer(self, request: Recorded) -> Reply:
        parts = request.path.strip("/").split("/")
        if parts == ["applications"]:
            return Reply.of_json({"applications": [{"id": "a1", "name": "shop"}]})
        if len(parts) == 3:
            since = datetime.fromisoformat(request.query["createdAtAfter"]).timestamp()
            listed = [{"id": row["jobRunId"], "state": row["state"]} for row in self.rows if row["createdAt"] >= since]
            return Reply.of_json({"jobRuns": listed})
        found = [row for row in self.rows if row["jobRunId"] == parts[3]]
        if not found:
            gone = {"message": f"JobRun {parts[3]} was not found"}
            reply = Reply.of_json(gone, 404)
            return Reply(404, reply.body, {**reply.headers, "x-amzn-errortype": "ResourceNotFoundException"})
        return Reply.of_json({"jobRun": found[0]})


def at(minute: float) -> float:
    return (START + timedelta(minutes=minute)).timestamp()


def row(ident: str, state: str, minutes: tuple[float, ...], **more: Any) -> dict[str, Any]:
    """minutes: created, began, ended."""
    times = dict(zip(("createdAt", "startedAt", "endedAt"), map(at, minutes), strict=False))
    return {
        **{"applicationId": "a1", "jobRunId": ident, "name": "load", "state": state, "updatedAt": at(minutes[-1])},
        **{"createdBy": "arn:aws:sts::123456789012:assumed-role/etl/airflow", "releaseLabel": "emr-7.3.0"},
        **{"jobDriver": {"sparkSubmit": {"entryPoint": "s3://code/load.py"}}, "attempt": 1, **times, **more},
    }


@pytest.fixture
def serverless(monkeypatch: pytest.MonkeyPatch) -> Generator[Serverless]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with Serverless([row("r1", "RUNNING", (0, 2))]) as simulator:
        yield simulator


def test_a_run_is_asked_for_until_it_has_ended_and_no_more(serverless: Serverless) -> None:
    source = polled(serverless.url)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    assert pages[-1].cursor == '["a1/r1"]'
    used = {"vCPUHour": 1.5, "memoryGBHour": 6.0, "storageGBHour": 0.0}
    why = "Job failed. ExitCode: 1. Last few exceptions: no such column"
    said = {"stateDetails": why, "retryPolicy": {"maxAttempts": 2}}
    serverless.rows[0] = row("r1", "FAILED", (0, 2, 9), attempt=2, billedResourceUtilization=used, **said)
    pages = list(source.read(window(pages[-1].cursor)))
    assert pages[-1].cursor == "[]"
    facts += decoded(source, pages)
    shown = [line(fact) for fact in facts]
    assert shown[-1] == (
        f"load FAILED=failed attempt=2/2 actor=etl/airflow queued={START} started={START + timedelta(minutes=2)} "
        f"ended={START + timedelta(minutes=9)} error=: {why} "
        "(0 of stack) tags={'vcpu_hours': '1.5', 'memory_gb_hours': '6.0', 'storage_gb_hours': '0.0', "
        "'engine': 'Spark of emr-7.3.0'}"
    )
    before = len(serverless.requests)
    list(source.read(window("[]")))
    assert [each.path for each in serverless.requests[before:]] == ["/applications", "/applications/a1/jobruns"]
    assert_orderless(facts)


def test_an_event_of_a_run_has_it_asked_for_at_once(aws: str) -> None:
    """Also of one that began before anything was listed."""
    reference = started(aws, "shop", "load")
    application, _, run_id = reference.partition("/")
    sqs = client("sqs", aws)
    queue = sqs.create_queue(QueueName="serverless")["QueueUrl"]
    detail = {"applicationId": application, "jobRunId": run_id, "state": "RUNNING", "previousState": "SCHEDULED"}
    known: dict[str, Any] = {
        "detail-type": "EMR Serverless Job Run State Change",
        "source": "aws.emr-serverless",
        "detail": detail,
    }
    other: dict[str, Any] = {
        "detail-type": "EMR Serverless Application State Change",
        "source": "aws.emr-serverless",
        "detail": {},
    }
    for told in (known, other, {**known, "detail": {**detail, "jobRunId": "../x"}}):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(told))
    source = polled(aws, queue=queue, applications=["none"])
    records = [record for page in source.read(window()) for record in page.records]
    assert [json.loads(record).get("run", {}).get("jobRunId") for record in records] == [run_id, None]
    assert not list(source.beside()), "the queue is empty"


def test_a_run_that_was_forgotten_is_left(serverless: Serverless) -> None:
    pages = list(polled(serverless.url).read(window('["a1/r9"]')))
    assert pages[-1].cursor == '["a1/r1"]'
