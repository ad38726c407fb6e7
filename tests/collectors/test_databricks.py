"""Runs of Databricks' jobs, after its published reference; the service itself was never reached."""

import random
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from collectors.databricks import DatabricksConfig, PolledDatabricks, quartz
from tests.collectors.folding import folded
from tests.simulators.faults import Fault
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.outbound import Outbound
from watchtower.ports import PollContext, Received

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)


def ms(minute: float) -> int:
    return int((datetime(2026, 11, 30, 9, tzinfo=UTC) + timedelta(minutes=minute)).timestamp() * 1000)


def state(life: str, result: str | None = None, message: str = "") -> dict[str, Any]:
    return {"life_cycle_state": life, "result_state": result, "state_message": message}


def run(run_id: int, life: str = "TERMINATED", result: str | None = "SUCCESS", **more: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "job_id": 7,
        "run_name": "orders",
        "creator_user_name": "ada@example.com",
        "trigger": "PERIODIC",
        "start_time": ms(0),
        "end_time": ms(9) if life == "TERMINATED" else 0,
        "run_page_url": f"https://dbc.example/#job/7/run/{run_id}",
        "overriding_parameters": {"notebook_params": {"password": "hunter2"}},
        "state": state(life, result, "" if result != "FAILED" else "Task load failed with message: no such column"),
        **more,
    }


def task(run_id: int, key: str, attempt: int, result: str) -> dict[str, Any]:
    message = "no such column: amount" if result == "FAILED" else ""
    times = {"start_time": ms(attempt * 4), "end_time": ms(attempt * 4 + 3)}
    said = state("TERMINATED", result, message)
    return {"run_id": run_id, "task_key": key, "attempt_number": attempt, "state": said, **times}


class Workspace(HttpSimulator):
    """One row a page."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        schedule = {"quartz_cron_expression": "0 30 7 ? * 2-6", "timezone_id": "Europe/Berlin"}
        self.jobs: list[dict[str, Any]] = [
            {"job_id": 7, "settings": {"name": "orders", "tags": {"team": "shop"}, "schedule": schedule}},
            {"job_id": 8, "settings": {"name": "old", "schedule": {**schedule, "pause_status": "PAUSED"}}},
        ]
        super().__init__(NOW)

    def changes_something(self, request: Recorded) -> bool:
        return True

    def answer(self, request: Recorded) -> Reply:
        if request.headers.get("authorization") != "Bearer right":
            return Reply.of_json({"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}, 403)
        path, query = request.path.removeprefix("/api/2.2/"), request.query
        if path == "jobs/runs/get":
            found = [each for each in self.runs if each["run_id"] == int(query["run_id"])]
            missing = {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Run {query['run_id']} does not exist."}
            return Reply.of_json(found[0]) if found else Reply.of_json(missing, 400)
        rows, name = (self.jobs, "jobs") if path == "jobs/list" else (self.runs, "runs")
        since = int(query.get("start_time_from", 0))
        until = int(query.get("start_time_to", 1 << 60))
        fit = [row for row in rows if since <= row.get("start_time", since) <= until]
        start = int(query.get("page_token", 0))
        more = {"next_page_token": str(start + 1)} if start + 1 < len(fit) else {}
        return Reply.of_json({name: fit[start : start + 1], **more})


@pytest.fixture
def workspace() -> Generator[Workspace]:
    with Workspace() as simulator:
        yield simulator


def polled(workspace: Workspace, token: str = "right") -> PolledDatabricks:
    given = {"name": "shop", "base_url": workspace.url, "token": token}
    (source,) = DatabricksConfig.model_validate({"sources": [given]}).sources
    clock = ManualClock(NOW)
    http = Outbound(clock, [ip_network("127.0.0.0/8")])

    def no_runs(source: str, namespace: str, native_run_ids: Any) -> dict[Any, Any]:
        return {}

    return PolledDatabricks(source, PollContext(clock, http, http.check, str, no_runs, Path()))


def window(cursor: str | None = None, minutes: float = 60.0) -> Window:
    return Window(NOW - timedelta(minutes=minutes), NOW, cursor=cursor)


def decoded(source: PolledDatabricks, pages: list[Page]) -> list[Fact]:
    facts: list[Fact] = []
    for record in (record for page in pages for record in page.records):
        assert b"hunter2" not in record
        found = source.decode(record, Received(NOW, "shop"))
        assert (found.rejects, found.skipped) == ((), ()), record
        facts += found.facts
    return facts


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_runs_tasks_and_schedules(workspace: Workspace) -> None:
    tasks = [task(11, "load", 0, "FAILED"), task(12, "load", 1, "FAILED"), task(13, "report", 0, "UPSTREAM_FAILED")]
    workspace.runs = [run(1, result="FAILED", tasks=tasks), run(2)]
    source = polled(workspace)
    facts = decoded(source, list(source.read(window())))
    failed, good = runs(facts, "orders")
    assert (failed.state, failed.trigger, failed.actor) == (RunState.FAILED, Trigger.SCHEDULE, "ada@example.com")
    assert failed.error and "no such column" in failed.error.message
    assert failed.external_url == "https://dbc.example/#job/7/run/1"
    assert good.state is RunState.SUCCEEDED
    assert [(each.attempt, each.final) for each in runs(facts, "orders.load")] == [(1, False), (2, True)]
    assert [each.state for each in runs(facts, "orders.report")] == [RunState.UPSTREAM_FAILED]
    jobs = {job.ref.name: (job.schedule, job.timezone, job.owner) for fact in facts for job in fact.jobs}
    assert {job.ref.name: job.paused for fact in facts for job in fact.jobs} == {"orders": False, "old": True}
    assert jobs == {"orders": ("30 7 * * MON-FRI", "Europe/Berlin", "shop"), "old": ("", None, None)}
    whole = folded(facts)
    chosen = random.Random(9)
    for _ in range(20):
        shuffled = [*facts, *facts[:5]]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole


def test_a_run_that_had_not_ended_is_asked_for_until_it_has(workspace: Workspace) -> None:
    workspace.runs = [run(1, "RUNNING", None)]
    source = polled(workspace)
    pages = list(source.read(window()))
    assert [each.state for each in runs(decoded(source, pages), "orders")] == [RunState.RUNNING]
    cursor = pages[-1].cursor
    assert cursor == '["1"]'
    workspace.runs = [run(1, result="TIMEDOUT")]
    pages = list(source.read(window(cursor, minutes=1)))
    assert [each.state for each in runs(decoded(source, pages), "orders")] == [RunState.TIMED_OUT]
    assert pages[-1].cursor == "[]"
    workspace.runs = []  # deleted meanwhile
    assert list(source.read(window(cursor, minutes=1)))[-1].cursor == "[]"


def test_a_repair_is_a_new_generation_of_its_run(workspace: Workspace) -> None:
    source = polled(workspace)
    workspace.runs = [run(1, result="FAILED")]
    facts = decoded(source, list(source.read(window())))
    workspace.runs = [run(1, repair_history=[{"type": "ORIGINAL"}, {"type": "REPAIR"}])]
    facts += decoded(source, list(source.read(window())))
    found = [(each.generation, each.state, each.native_run_id) for each in runs(facts, "orders")]
    assert found == [(0, RunState.FAILED, "1"), (1, RunState.SUCCEEDED, "1")]


@pytest.mark.parametrize(
    ("life", "result", "expected"),
    [
        ("QUEUED", None, RunState.QUEUED),
        ("TERMINATING", None, RunState.RUNNING),
        ("SKIPPED", None, RunState.SKIPPED),
        ("INTERNAL_ERROR", "FAILED", RunState.CRASHED),
        ("TERMINATED", "CANCELED", RunState.CANCELLED),
        ("TERMINATED", "SUCCESS_WITH_FAILURES", RunState.SUCCEEDED),
        ("A_NEW_ONE", None, RunState.RUNNING),
    ],
)
def test_states(workspace: Workspace, life: str, result: str | None, expected: RunState) -> None:
    workspace.runs = [run(1, life, result)]
    source = polled(workspace)
    assert [each.state for each in runs(decoded(source, list(source.read(window()))), "orders")] == [expected]


@pytest.mark.parametrize(
    ("expression", "cron"),
    [
        ("0 30 7 ? * MON-FRI", "30 7 * * MON-FRI"),
        ("0 0/15 * * * ?", "0-59/15 * * * *"),
        ("0 0 6 1 * ? *", "0 6 1 * *"),
        ("30 0 6 * * ?", None),
        ("0 0 6 ? * 2#1", None),
        ("", None),
    ],
)
def test_schedules_of_quartz_as_crontab_says_them(expression: str, cron: str | None) -> None:
    assert quartz(expression) == cron


def test_a_wrong_token_and_a_busy_server_name_the_source(workspace: Workspace) -> None:
    with pytest.raises(Permanent, match=r"databricks source 'shop'.*renew `token`"):
        list(polled(workspace, token="wrong").read(window()))
    workspace.fail_next(Fault.RATE_LIMITED_SECONDS)
    with pytest.raises(Transient, match="databricks source 'shop'") as raised:
        list(polled(workspace).read(window()))
    assert raised.value.retry_after_s == 7
