"""Runs of Data Factory, asked and told, after Microsoft's published schema; the service itself was never reached."""

import json
import random
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from collectors.azure.data_factory import DataFactory, DataFactoryConfig, PolledDataFactory
from collectors.azure.recurrence import cron_of
from tests.collectors.folding import folded
from tests.simulators.data_factory import FACTORY, TENANT, DataFactorySimulator
from tests.simulators.faults import Fault
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.outbound import Outbound
from watchtower.ports import PollContext, Received

NOW = datetime(2026, 11, 21, 2, 10, tzinfo=UTC)
RECEIVED = Received(NOW, "shop")
FIRST, SECOND = "2f7fdb90-0000-4000-8000-000000000010", "2f7fdb90-0000-4000-8000-000000000020"


def run(run_id: str, **more: Any) -> dict[str, Any]:
    return {
        "runId": run_id,
        "runGroupId": run_id,
        "pipelineName": "orders_daily",
        "parameters": {"password": "hunter2"},
        "invokedBy": {"id": "08584629", "name": "trg_daily", "invokedByType": "ScheduleTrigger"},
        "runStart": "2026-11-21T02:00:00.3345758Z",
        "runEnd": "2026-11-21T02:04:33.5105093Z",
        "status": "Succeeded",
        "message": "",
        "lastUpdated": "2026-11-21T02:04:33.5105093Z",
        "annotations": ["team:shop"],
        "runDimension": {"market": "eu"},
        "isLatest": True,
        **more,
    }


def activity(name: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "activityRunId": f"a96678c8-0000-4000-8000-{number:012}",
        "activityName": name,
        "activityType": "Copy",
        "pipelineRunId": FIRST,
        "status": "Succeeded",
        "activityRunStart": f"2026-11-21T02:00:{number:02}.5345758Z",
        "activityRunEnd": f"2026-11-21T02:01:{number:02}.0105093Z",
        "retryAttempt": None,
        "iterationHash": "",
        "input": {"source": {"type": "SqlSource", "password": "hunter2"}},
        "output": {},
        "error": {"errorCode": "", "message": "", "failureType": ""},
        **more,
    }


FAULT = {"errorCode": "2200", "message": "column amount is missing", "failureType": "UserError", "target": "Copy"}
MOVED = {
    "rowsRead": 1234,
    "rowsCopied": 1200,
    "billingReference": {"billableDuration": [{"meterType": "AzureIR", "duration": 0.3, "unit": "DIUHours"}]},
}
MESSAGE = "Operation on target Copy failed: column amount is missing"


@pytest.fixture
def factory() -> Generator[DataFactorySimulator]:
    failed = run(FIRST, status="Failed", message=MESSAGE)
    again = run(SECOND, runGroupId=FIRST, invokedBy={"name": "Manual", "invokedByType": "Manual"})
    activities = [
        activity("Copy", 1, status="Failed", retryAttempt=0, error=FAULT, output=MOVED),
        activity("Copy", 2, status="Failed", retryAttempt=1, error=FAULT),
        activity("Load", 3, iterationHash="b"),
        activity("Load", 4, iterationHash="a"),
        activity("Notify", 5, status="Skipped"),
    ]
    triggers = [
        trigger("trg_daily", "orders_daily", {"frequency": "Day", "schedule": {"hours": [2], "minutes": [0, 30]}}),
        trigger("trg_off", "reports", {"frequency": "Day"}, state="Stopped"),
    ]
    with DataFactorySimulator(NOW, [failed, again], {FIRST: activities}, triggers) as simulator:
        yield simulator


def trigger(name: str, pipeline: str, recurrence: dict[str, Any], state: str = "Started") -> dict[str, Any]:
    known = {"interval": 1, "startTime": "2026-01-01T06:15:00Z", "timeZone": "UTC", **recurrence}
    return {
        "name": name,
        "properties": {
            "type": "ScheduleTrigger",
            "runtimeState": state,
            "pipelines": [{"pipelineReference": {"referenceName": pipeline, "type": "PipelineReference"}}],
            "typeProperties": {"recurrence": known},
        },
    }


def polled(factory: DataFactorySimulator, clock: ManualClock | None = None, secret: str = "right") -> PolledDataFactory:
    _, subscription, _, group, *_, name = FACTORY.split("/")
    given = {
        "name": "shop",
        "base_url": factory.url,
        "login_url": factory.url,
        "tenant": TENANT,
        "client_id": "app",
        "client_secret": secret,
        "subscription": subscription,
        "resource_group": group,
        "factory": name,
    }
    (source,) = DataFactoryConfig.model_validate({"sources": [given]}).sources
    clock = clock or ManualClock(NOW)
    http = Outbound(clock, [ip_network("127.0.0.0/8")])

    def no_runs(source: str, namespace: str, native_run_ids: Any) -> dict[Any, Any]:
        return {}

    return PolledDataFactory(source, PollContext(clock, http, http.check, str, no_runs, Path()))


def window(cursor: str | None = None, minutes: float = 60.0) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor)


def decoded(source: PolledDataFactory, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, RECEIVED)
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_runs_reruns_and_attempts(factory: DataFactorySimulator) -> None:
    source = polled(factory)
    facts = decoded(source, list(source.read(window())))
    failed, again = runs(facts, "orders_daily")
    assert (failed.state, failed.trigger, failed.generation) == (RunState.FAILED, Trigger.SCHEDULE, 0)
    assert failed.error and (failed.error.message, failed.error.type) == (MESSAGE, "UserError 2200")
    assert failed.tags == {"team": "shop", "market": "eu", "invoked_by": "trg_daily"}
    assert (again.state, again.trigger, again.generation) == (RunState.SUCCEEDED, Trigger.MANUAL, 1)
    assert again.native_run_id == failed.native_run_id == FIRST
    copied = runs(facts, "orders_daily.Copy")
    assert [(each.attempt, each.final) for each in copied] == [(1, False), (2, True)]
    assert (copied[0].tags or {})["rowsCopied"] == "1200"
    assert (copied[0].tags or {})["billed_DIUHours"] == "0.3"
    assert [each.map_index for each in runs(facts, "orders_daily.Load")] == [0, 1]
    assert [each.state for each in runs(facts, "orders_daily.Notify")] == [RunState.SKIPPED]
    schedules = {job.ref.name: (job.schedule, job.timezone) for fact in facts for job in fact.jobs}
    assert schedules == {"orders_daily": ("0,30 2 * * *", "UTC")}


def test_a_run_that_had_not_ended_is_asked_for_until_it_has(factory: DataFactorySimulator) -> None:
    factory.runs[:] = [run(FIRST, status="InProgress", runEnd=None)]
    source = polled(factory)
    pages = list(source.read(window()))
    assert [each.state for each in runs(decoded(source, pages), "orders_daily")] == [RunState.RUNNING]
    cursor = pages[-1].cursor
    assert cursor == f'["{FIRST}"]'
    factory.runs[:] = [run(FIRST)]
    pages = list(source.read(window(cursor, minutes=1)))
    assert [each.state for each in runs(decoded(source, pages), "orders_daily")] == [RunState.SUCCEEDED]
    assert pages[-1].cursor == "[]"
    factory.runs.clear()  # forgotten, as Data Factory does after 45 days
    assert list(source.read(window(cursor, minutes=1)))[-1].cursor == "[]"


def test_a_diagnostic_log_and_the_poll_of_the_same_end_are_one_fact(factory: DataFactorySimulator) -> None:
    source = polled(factory)
    asked = decoded(source, list(source.read(window())))
    common = {"start": "2026-11-21T02:00:00.3345758Z", "end": "2026-11-21T02:04:33.5105093Z", "status": "Failed"}
    by = {"Predecessors": [{"Name": "trg_daily", "InvokedByType": "ScheduleTrigger"}], "Parameters": {"token": "x"}}
    of_run = {"category": "PipelineRuns", "runId": FIRST, "pipelineName": "orders_daily", "properties": by, **common}
    tried = {"start": "2026-11-21T02:00:02.5345758Z", "end": "2026-11-21T02:01:02.0105093Z", "status": "Failed"}
    of_activity = {
        "category": "ActivityRuns",
        "pipelineRunId": FIRST,
        "pipelineName": "orders_daily",
        "activityName": "Copy",
        "activityRunId": "a96678c8-0000-4000-8000-000000000002",
        "properties": {"Error": json.dumps(FAULT)},
        **tried,
    }
    body = json.dumps({"records": [of_run, of_activity]}).encode()
    told = list(DataFactory().decode(body, RECEIVED).facts)
    assert len(told) == 2
    assert {fact.key for fact in told} <= {fact.key for fact in asked}
    assert b'"token":"x"' not in told[0].body
    whole = folded([*asked, *told])
    chosen = random.Random(5)
    for _ in range(30):
        shuffled = [*asked, *told, *told]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole


def test_a_token_is_kept_and_renewed_before_it_ends(factory: DataFactorySimulator) -> None:
    clock = ManualClock(NOW)
    source = polled(factory, clock)
    for _ in range(2):
        list(source.read(window()))
    assert factory.ledger == [f"{factory.url}/.default"]
    clock.advance(3301)
    list(source.read(window()))
    assert len(factory.ledger) == 2


def test_a_wrong_secret_names_the_source_and_what_to_renew(factory: DataFactorySimulator) -> None:
    with pytest.raises(Permanent, match=r"data_factory source 'shop': log in.*renew `client_secret`") as raised:
        list(polled(factory, secret="wrong").read(window()))
    assert raised.value.reason is Reason.AUTH


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RATE_LIMITED_SECONDS, Transient),
        (Fault.BAD_GATEWAY, Transient),
        (Fault.INVALID_JSON, Transient),
        (Fault.FORBIDDEN, Permanent),
    ],
)
def test_a_bad_answer_names_the_source(factory: DataFactorySimulator, fault: Fault, error: type[Exception]) -> None:
    source = polled(factory)
    factory.fail_next(None, fault)  # the log-in goes well
    with pytest.raises(error, match="data_factory source 'shop'"):
        list(source.read(window()))


@pytest.mark.parametrize(
    ("recurrence", "cron"),
    [
        ({"frequency": "Day"}, "15 6 * * *"),
        ({"frequency": "Week", "schedule": {"weekDays": ["Monday", "Friday"], "hours": [7]}}, "15 7 * * 1,5"),
        ({"frequency": "Month", "schedule": {"monthDays": [1, 15]}}, "15 6 1,15 * *"),
        ({"frequency": "Hour", "interval": 6}, "15 0-23/6 * * *"),
        ({"frequency": "Minute", "interval": 10}, "5-59/10 * * * *"),
        ({"frequency": "Minute", "interval": 7}, None),
        ({"frequency": "Day", "interval": 2}, None),
        ({"frequency": "Month", "schedule": {"monthDays": [-1]}}, None),
        ({"frequency": "Day", "timeZone": "Middle-earth Standard Time"}, None),
    ],
)
def test_recurrences_as_crontab_says_them(recurrence: dict[str, Any], cron: str | None) -> None:
    known = {"interval": 1, "startTime": "2026-01-01T06:15:00Z", "timeZone": "UTC", **recurrence}
    found = cron_of(known)
    assert (found[0] if found else None) == cron


def test_a_zone_of_windows_is_known_by_its_iana_name() -> None:
    started = {"frequency": "Day", "interval": 1, "startTime": "2026-01-01T06:15:00"}
    assert cron_of({**started, "timeZone": "W. Europe Standard Time"}) == ("15 6 * * *", "Europe/Berlin")
    assert cron_of({**started, "timeZone": "Asia/Kolkata"}) == ("15 6 * * *", "Asia/Kolkata")
