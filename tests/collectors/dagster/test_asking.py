"""What is asked of Dagster, what it comes to, and what happens when it answers badly."""

import json
import random
from collections.abc import Generator
from typing import Any

import pytest

from tests.collectors.dagster.rows import HERE, NOW, RECEIVED, ROWS, decoded, polled, window
from tests.collectors.folding import folded, line
from tests.simulators.dagster import DagsterSimulator
from tests.simulators.faults import Fault
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.quality import QUALITY, Verdict
from watchtower.model.run import JobRef, RunPatch, RunState, Trigger


@pytest.fixture
def server() -> Generator[DagsterSimulator]:
    with DagsterSimulator(NOW, ROWS) as simulator:
        yield simulator


@pytest.fixture
def facts(server: DagsterSimulator) -> list[Fact]:
    source = polled(server.url)
    return decoded(source, list(source.read(window())))


def runs(facts: list[Fact], name: str) -> list[RunPatch]:
    return [fact.run for fact in facts if fact.run and fact.run.job.name == name]


def test_everything_comes_to_the_recorded_facts(facts: list[Fact]) -> None:
    assert sorted(set(map(line, facts))) == (HERE / "facts.txt").read_text().splitlines()


def test_a_chain_of_automatic_retries_is_one_run(facts: list[Fact]) -> None:
    newest, first = runs(facts, "invoices")
    assert newest.aliases[0] == first.aliases[0]
    assert newest.native_run_id == first.native_run_id
    assert (first.state, first.attempt, first.max_attempts, first.ended_at) == (RunState.RUNNING, 1, 2, None)
    assert (newest.state, newest.attempt, newest.max_attempts) == (RunState.FAILED, 2, 2)
    state = folded(facts)[newest.aliases[0]]
    assert state["state"] == "failed"
    assert state["started_at"] == min(run.started_at for run in (first, newest) if run.started_at).timestamp() * 1e6


def test_a_failed_step_is_not_final_while_its_run_is_tried_again(facts: list[Fact]) -> None:
    newest, first = runs(facts, "invoices.check_schema")
    assert [(run.generation, run.final) for run in (first, newest)] == [(0, False), (1, True)]
    assert newest.error
    assert newest.error.type == "RuntimeError"
    assert "column amount is missing" in newest.error.message
    assert "dagster_cases.py" in newest.error.stack


def test_attempts_of_a_step_and_instances_of_a_mapped_one_are_told_apart(facts: list[Fact]) -> None:
    manual = next(run for run in runs(facts, "priced") if run.trigger is Trigger.MANUAL)
    fetched = [run for run in runs(facts, "priced.fetch") if run.parent_alias == manual.aliases[0]]
    assert [(run.attempt, run.state, run.final) for run in fetched] == [
        (1, RunState.FAILED, False),
        (2, RunState.FAILED, False),
        (3, RunState.SUCCEEDED, True),
    ]
    priced = [run for run in runs(facts, "priced.price") if run.parent_alias == manual.aliases[0]]
    assert [run.map_index for run in priced] == [0, 1, 2]


def test_a_scheduled_run_knows_the_tick_that_it_was_due_at(facts: list[Fact]) -> None:
    (run,) = [run for run in runs(facts, "priced") if run.trigger is Trigger.SCHEDULE]
    assert run.nominal_start
    assert (run.nominal_start.second, run.nominal_start.microsecond) == (0, 0)


def test_assets_have_rows_partitions_checks_and_what_they_are_made_of(facts: list[Fact]) -> None:
    (clean,) = runs(facts, "shop.clean_orders")
    assert {(io.direction, io.ref.name, io.row_count) for io in clean.datasets} == {
        ("out", "clean_orders", 118),
        ("in", "raw_orders", None),
    }
    (by_day,) = runs(facts, "by_day.orders_by_day")
    assert [(io.partition, io.row_count) for io in by_day.datasets] == [("2026-11-20", 12)]
    (check,) = runs(facts, "shop.clean_orders_no_missing_customer")
    (io,) = check.datasets
    assertion = {"assertion": "no_missing_customer", "success": False, "severity": "warn"}
    assert io.facets == {"dataQualityAssertions": {"assertions": [assertion]}}
    (told,) = [series for fact in facts for series in fact.series]
    assert (told.ref.name, told.ref.job) == (QUALITY, JobRef("shop", "shop", "shop"))
    assert told.ref.labels == {"check": "no_missing_customer", "table": "clean_orders"}
    assert [sample.value for sample in told.samples] == [Verdict.WARN]
    owners = {patch.ref.name: patch.owner for fact in facts for patch in fact.datasets}
    assert owners["raw_orders"] == "shop, data@example.com"


def test_only_a_schedule_that_runs_is_waited_for(facts: list[Fact]) -> None:
    schedules = {job.ref.name: (job.schedule, job.timezone) for fact in facts for job in fact.jobs}
    assert schedules["priced"] == ("* * * * *", "Europe/Berlin")
    assert schedules["shop"] == ("", None)


def test_what_ended_is_read_once_and_what_is_open_each_time(server: DagsterSimulator) -> None:
    source = polled(server.url)
    first = list(source.read(window()))
    logs = server.asked("Events")
    again = [json.loads(record) for page in source.read(window(deep=False)) for record in page.records]
    assert {document["run"]["pipelineName"] for document in again} == {"stuck"}
    assert server.asked("Events") == logs > 0
    assert [page.mark for page in first if page.mark]


def test_a_backfill_and_a_sensor_are_told_from_a_person(server: DagsterSimulator) -> None:
    run = next(run for run in server.rows["runs"] if run["pipelineName"] == "by_day")
    for tag, trigger in (
        ("dagster/backfill", Trigger.BACKFILL),
        ("dagster/sensor_name", Trigger.EVENT),
        ("team", Trigger.MANUAL),
    ):
        body = json.dumps({"run": {**run, "tags": [{"key": tag, "value": "x"}]}}).encode()
        fact, *_ = polled(server.url).decode(body, RECEIVED).facts
        assert fact.run
        assert fact.run.trigger is trigger


def test_a_run_that_was_ended_for_its_length_has_timed_out(server: DagsterSimulator) -> None:
    run = next(run for run in server.rows["runs"] if run["pipelineName"] == "stuck")
    failures = [{"message": "Exceeded maximum runtime of 60 seconds."}, {"stepKey": "sleep", "message": "ended"}]
    body = json.dumps({"run": {**run, "status": "FAILURE"}, "failures": failures}).encode()
    fact, *_ = polled(server.url).decode(body, RECEIVED).facts
    assert fact.run
    assert fact.run.state is RunState.TIMED_OUT


KILLED = (
    "[DagsterApiServer] Run execution process for baa97bf2 was terminated by signal 9 (SIGKILL). This usually indicates"
)
OUTSIDE = "This run has been marked as failed from outside the execution context."


def ended(server: DagsterSimulator, status: str, *events: tuple[str, str]) -> tuple[RunPatch, RunPatch]:
    """The run that is under way, and its step, once the run has ended with these events in its log."""
    run = next(run for run in server.rows["runs"] if run["pipelineName"] == "stuck")
    run.update(status=status, endTime=run["updateTime"] + 60, updateTime=run["updateTime"] + 60)
    told = [{"__typename": kind, "stepKey": None, "timestamp": "0", "message": text} for kind, text in events]
    server.rows["events"][run["runId"]] = told
    source = polled(server.url)
    facts = decoded(source, list(source.read(window())))
    return runs(facts, "stuck")[0], runs(facts, "stuck.sleep")[0]


def test_a_run_whose_process_was_killed_crashed_with_its_steps_and_says_by_what(server: DagsterSimulator) -> None:
    begun = ("EngineEvent", "Executing steps in process (pid: 5915)")
    run, step = ended(server, "FAILURE", begun, ("EngineEvent", KILLED), ("RunFailureEvent", OUTSIDE))
    assert (run.state, step.state, step.final) == (RunState.CRASHED, RunState.CRASHED, True)
    assert run.error
    assert run.error.message == KILLED.removeprefix("[DagsterApiServer] ")
    assert step.ended_at == run.ended_at


@pytest.mark.parametrize(("status", "state"), [("FAILURE", RunState.LOST), ("CANCELED", RunState.CANCELLED)])
def test_a_step_that_was_under_way_as_a_person_ended_its_run_is_over(
    server: DagsterSimulator, status: str, state: RunState
) -> None:
    begun = ("EngineEvent", "Executing steps in process (pid: 5915)")
    run, step = ended(server, status, begun, ("RunFailureEvent", OUTSIDE))
    assert (step.state, step.ended_at) == (state, run.ended_at)
    assert status == "CANCELED" or (run.error and run.error.message == OUTSIDE)


@pytest.mark.parametrize("knows_owners", [True, False])
def test_a_job_has_its_owners_where_the_version_knows_them_else_those_of_its_tags(
    server: DagsterSimulator, knows_owners: bool
) -> None:
    server.knows_owners = knows_owners
    jobs = server.rows["definitions"]["repositoriesOrError"]["nodes"][0]["jobs"]
    for job in jobs:
        job.update({"owners": [{"team": "shop"}, {"email": "data@example.com"}]} if knows_owners else {})
    source = polled(server.url)
    owners = {job.ref.name: job.owner for fact in decoded(source, list(source.read(window()))) for job in fact.jobs}
    both = "shop, data@example.com"
    assert (owners["priced"], owners["shop"]) == ((both, both) if knows_owners else ("shop", None))
    asked = [request.json["query"] for request in server.requests if b"query Definitions" in request.body]
    assert all(("UserDefinitionOwner" in query) is knows_owners for query in asked)
    assert server.asked("Fields") == 1


def test_pages_of_runs_miss_none_that_was_there(server: DagsterSimulator) -> None:
    template = next(run for run in server.rows["runs"] if run["pipelineName"] == "by_day")
    server.rows["runs"] = [{**template, "runId": f"run-{number:03}"} for number in range(61)]
    newer = iter({**template, "runId": f"newer-{number}"} for number in range(9))

    def launch(request: Any) -> None:
        if b"query Runs" in request.body and (run := next(newer, None)):
            server.rows["runs"].insert(0, run)

    server.before_answer = launch
    source = polled(server.url)
    found = {run.native_run_id for run in runs(decoded(source, list(source.read(window()))), "by_day")}
    assert {f"run-{number:03}" for number in range(61)} <= found


def test_what_is_wrong_with_dagster_itself_is_a_problem_of_the_source(server: DagsterSimulator) -> None:
    daemons = server.rows["health"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    next(daemon for daemon in daemons if daemon["daemonType"] == "SCHEDULER")["healthy"] = False
    (entry,) = server.rows["health"]["workspaceOrError"]["locationEntries"]
    broken = "dagster.DagsterUserCodeLoadError:\nModuleNotFoundError: No module named 'shop'"
    entry["locationOrLoadError"] = {"__typename": "PythonError", "message": broken}
    schedules = server.rows["ticks"]["repositoriesOrError"]["nodes"][0]["schedules"]
    running = next(one for one in schedules if one["scheduleState"]["status"] == "RUNNING")
    running["scheduleState"]["ticks"].insert(
        0, {"status": "FAILURE", "timestamp": 1.0, "runIds": [], "error": {"message": "KeyError: 'day'"}}
    )
    problems = [problem for page in polled(server.url).read(window()) for problem in page.problems or ()]
    assert [problem.key for problem in problems] == [
        "daemon:SCHEDULER",
        "location:dagster_cases.py",
        "tick:schedule each_minute",
    ]
    assert "ModuleNotFoundError: No module named 'shop'" in problems[1].summary


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        (Fault.UNAUTHORIZED, Permanent, Reason.AUTH),
        (Fault.RATE_LIMITED_SECONDS, Transient, Reason.RATE_LIMITED),
        (Fault.BAD_GATEWAY, Transient, Reason.SERVER_ERROR),
        (Fault.INVALID_JSON, Transient, Reason.BAD_ANSWER),
    ],
)
def test_a_bad_answer_names_the_source(
    server: DagsterSimulator, fault: Fault, error: type[Exception], reason: Reason
) -> None:
    server.fail_next(fault)
    with pytest.raises(error, match="dagster source 'shop'") as raised:
        list(polled(server.url).read(window()))
    assert getattr(raised.value, "reason", None) is reason


def test_a_query_that_an_older_version_does_not_know_says_so(server: DagsterSimulator) -> None:
    server.error = "Cannot query field 'assetChecks' on type 'Run'."
    with pytest.raises(Permanent, match=r"assetChecks.*Dagster 1\.9 or newer is needed"):
        list(polled(server.url).read(window()))


def test_any_order_and_repetition_of_answers_comes_to_the_same(server: DagsterSimulator) -> None:
    source = polled(server.url)
    facts = decoded(source, list(source.read(window())))
    whole = folded(facts)
    chosen = random.Random(20261130)
    for _ in range(30):
        shuffled = [*facts, *chosen.sample(facts, 10)]
        chosen.shuffle(shuffled)
        assert folded(shuffled) == whole
