"""Runs of Glue jobs as moto keeps them, and as AWS documents retries and events."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors.aws.glue import GlueConfig, PolledGlue, decode
from collectors.aws.schedules import cron_of
from tests.collectors.aws.asked import REGION, client, context, decoded, runs, window
from tests.collectors.folding import folded
from watchtower.model.fact import Fact
from watchtower.model.run import RunState, Trigger
from watchtower.ports import Received

ROLE = "arn:aws:iam::123456789012:role/glue"


def polled(url: str, **options: Any) -> PolledGlue:
    given = {"name": "shop", "region": REGION, "endpoint_url": url, **options}
    (source,) = GlueConfig.model_validate({"sources": [given]}).sources
    return PolledGlue(source, context())


def make_job(url: str, name: str) -> Any:
    glue = client("glue", url)
    command = {"Name": "glueetl", "ScriptLocation": "s3://scripts/orders.py"}
    glue.create_job(Name=name, Role=ROLE, Command=command, MaxRetries=1, Description="The shop's orders")
    return glue


def test_runs_of_a_job_are_read_with_its_schedule(aws: str) -> None:
    glue = make_job(aws, "orders")
    trigger = {"Name": "each-morning", "Type": "SCHEDULED", "Schedule": "cron(0 6 ? * MON-FRI *)"}
    glue.create_trigger(**trigger, Actions=[{"JobName": "orders"}], StartOnCreation=True)
    run_id = glue.start_job_run(JobName="orders")["JobRunId"]
    source = polled(aws)
    pages = list(source.read(window()))
    facts = decoded(source, pages)
    (job,) = [job for fact in facts for job in fact.jobs]
    assert (job.schedule, job.timezone, job.description) == ("0 6 * * MON-FRI", "UTC", "The shop's orders")
    known = runs(facts, "orders")
    assert {run.native_run_id for run in known} == {run_id}
    assert known[0].max_attempts == 2
    assert pages[-1].mark


def test_only_the_jobs_that_are_wanted_are_asked_for(aws: str) -> None:
    for name in ("orders", "scratch"):
        make_job(aws, name).start_job_run(JobName=name)
    source = polled(aws, jobs=["ord*"])
    facts = decoded(source, list(source.read(window())))
    assert runs(facts, "orders")
    assert not runs(facts, "scratch")


def test_a_chain_of_retries_is_one_run_that_fails_at_its_end() -> None:
    first = {"Id": "jr_1", "JobName": "orders", "JobRunState": "FAILED", "StartedOn": at(0), "CompletedOn": at(5)}
    second = {**first, "Id": "jr_1_attempt_1", "Attempt": 1, "StartedOn": at(6), "CompletedOn": at(9)}
    second["ErrorMessage"] = "ValueError: no such column: amount"
    facts = [*read({"run": first, "retries": 1}), *read({"run": second, "retries": 1, "trigger": "SCHEDULED"})]
    waiting, failed = (fact.run for fact in facts)
    assert waiting and failed
    assert waiting.aliases == failed.aliases
    assert (waiting.state, waiting.attempt, waiting.ended_at) == (RunState.RUNNING, 1, None)
    assert (failed.state, failed.attempt, failed.trigger) == (RunState.FAILED, 2, Trigger.SCHEDULE)
    assert failed.error and failed.error.type == "ValueError"
    whole = folded(facts)
    assert whole == folded(reversed(facts))
    (run,) = whole.values()
    assert run["state"] == "failed"
    assert run["started_at"] == datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp() * 1e6


def test_what_a_run_held_is_kept_once_it_is_over() -> None:
    """While it is under way that grows with each answer, and nothing else of it is new."""
    told = {"Id": "jr_1", "JobName": "orders", "StartedOn": at(0), "WorkerType": "G.1X", "ExecutionTime": 41}
    (under_way,) = (fact.run for fact in read({"run": {**told, "JobRunState": "RUNNING"}, "retries": 0}))
    over = {**told, "JobRunState": "SUCCEEDED", "CompletedOn": at(5), "ExecutionTime": 0, "DPUSeconds": 0.0}
    (ended,) = (fact.run for fact in read({"run": over, "retries": 0}))
    assert under_way and ended
    assert under_way.tags == {"worker_type": "G.1X"}
    assert ended.tags == {"worker_type": "G.1X", "dpu_seconds": "0.0", "execution_seconds": "0"}


def test_an_event_and_the_poll_of_the_same_end_are_one_fact() -> None:
    run = {"Id": "jr_1", "JobName": "orders", "JobRunState": "SUCCEEDED", "StartedOn": at(0), "CompletedOn": at(5)}
    detail = {"jobName": "orders", "severity": "INFO", "state": "SUCCEEDED", "jobRunId": "jr_1", "message": ""}
    event = {"detail-type": "Glue Job State Change", "source": "aws.glue", "time": at(5), "detail": detail}
    facts = [*read({"run": run, "retries": 0}), *read(event)]
    assert facts[0].key == facts[1].key
    chosen = random.Random(3)
    whole = folded(facts)
    for _ in range(10):
        shuffled = [*facts, *facts]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole


@pytest.mark.parametrize(
    ("written", "cron"),
    [
        ("cron(0 6 ? * MON-FRI *)", "0 6 * * MON-FRI"),
        ("cron(15 12 * * ? *)", "15 12 * * *"),
        ("cron(0 8 1 * ? *)", "0 8 1 * *"),
        ("cron(0/10 * ? * 2-6 *)", "0-59/10 * * * MON-FRI"),
        ("rate(5 minutes)", "0:05:00"),
        ("rate(1 day)", "1 day, 0:00:00"),
        ("cron(0 9 ? * 2#1 *)", None),
        ("cron(0 17 L * ? *)", "0 17 L * *"),
        ("cron(0 17 15W * ? *)", None),
        ("cron(0 6 ? * MON 2027)", None),
        ("at(2026-11-30T06:00:00)", None),
    ],
)
def test_schedules_of_aws_as_crontab_says_them(written: str, cron: str | None) -> None:
    assert cron_of(written) == cron


def at(minute: int) -> str:
    return f"2026-11-30T09:{minute:02}:00+00:00"


def read(document: dict[str, Any]) -> list[Fact]:
    received = Received(datetime(2026, 11, 30, 9, 30, tzinfo=UTC), "shop")
    found = decode(json.dumps(document).encode(), received, namespace="shop", region=REGION)
    assert found.rejects == ()
    return list(found.facts)
