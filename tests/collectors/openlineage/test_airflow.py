"""Airflow's events: who is who, which try is the last, what the end of a DAG run tells of its tasks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.collectors.openlineage import events
from watchtower.model.run import Authority, JobRef, RunState, Trigger

SOURCE = "openlineage:prod-airflow"


def test_a_task_is_known_by_runid_and_by_dag_run_try_and_map_index() -> None:
    event = events.airflow_task("START", attempt=2, instance_changes={"map_index": 3})
    run = events.run_of(event)
    assert run.job == JobRef(SOURCE, "prod-airflow", "orders", "load")
    assert run.aliases == (
        f"ol|prod-airflow|orders.load|{events.TASK_UUID}",
        f"native|{SOURCE}|prod-airflow|orders|{events.DAG_RUN_ID}|load|3|2",
    )
    assert run.parent_alias == run.root_alias == f"ol|prod-airflow|orders|{events.DAG_UUID}"
    assert (run.attempt, run.map_index, run.native_run_id) == (2, 3, events.DAG_RUN_ID)


def test_a_dag_run_is_the_parent_its_tasks_name() -> None:
    run = events.run_of(events.airflow_dag("START"))
    task = events.run_of(events.airflow_task("START"))
    assert run.aliases == (
        f"ol|prod-airflow|orders|{events.DAG_UUID}",
        f"native|{SOURCE}|prod-airflow|orders|{events.DAG_RUN_ID}|0",
    )
    assert task.parent_alias == run.aliases[0]
    assert task.job.pipeline_ref == run.job


def test_a_cleared_run_is_a_new_generation() -> None:
    run = events.run_of(events.airflow_dag("START", clear_number=2))
    assert run.generation == 2
    assert run.aliases[1].endswith(f"|{events.DAG_RUN_ID}|2")


FINAL: dict[str, tuple[dict[str, Any], bool | None, RunState]] = {
    "first of one": ({"attempt": 1, "retries": 0}, True, RunState.FAILED),
    "first of three": ({"attempt": 1, "retries": 2}, False, RunState.FAILED),
    "second of three": ({"attempt": 2, "retries": 2}, False, RunState.FAILED),
    "third of three": ({"attempt": 3, "retries": 2}, True, RunState.FAILED),
    "within the retries after a clear": (
        {"attempt": 2, "retries": 2, "run_changes": {"clear_number": 1}},
        False,
        RunState.FAILED,
    ),
    "beyond the retries after a clear": (
        {"attempt": 3, "retries": 2, "run_changes": {"clear_number": 1}},
        None,
        RunState.FAILED,
    ),
    "cleared, without retries": (
        {"attempt": 2, "retries": 0, "run_changes": {"clear_number": 1}},
        True,
        RunState.FAILED,
    ),
    "retries unreadable": ({"attempt": 1, "task_changes": {"retries": "two"}}, None, RunState.FAILED),
}


@pytest.mark.parametrize("case", FINAL)
def test_a_failed_try_is_final_iff_no_retry_is_left(case: str) -> None:
    changes, final, state = FINAL[case]
    run = events.run_of(events.airflow_task("FAIL", **changes))
    assert (run.final, run.state) == (final, state)


@pytest.mark.parametrize(
    ("stack", "message", "final", "state"),
    [
        ("airflow.exceptions.AirflowFailException: no such day", "no such day", True, RunState.FAILED),
        ("airflow.sdk.exceptions.AirflowTaskTimeout: Timeout, PID: 9", "Timeout, PID: 9", False, RunState.TIMED_OUT),
        ("airflow.exceptions.AirflowSensorTimeout: waited", "waited", True, RunState.TIMED_OUT),
        ("", "Timeout, PID: 21586", False, RunState.TIMED_OUT),
        ("KeyError: 'Timeout'", "'Timeout'", False, RunState.FAILED),
    ],
)
def test_the_exception_decides_on_retries_and_timeouts(stack: str, message: str, final: bool, state: RunState) -> None:
    event = events.airflow_task("FAIL", attempt=1, retries=2)
    text = f"Traceback (most recent call last):\n  File x, line 1\n{stack}\n" if stack else ""
    event["run"]["facets"]["errorMessage"] = events.error(message, text)
    run = events.run_of(event)
    assert (run.final, run.state) == (final, state)


def test_tries_and_the_most_there_can_be() -> None:
    assert events.run_of(events.airflow_task("START", retries=2)).max_attempts == 3
    cleared = events.airflow_task("START", attempt=4, retries=2, run_changes={"clear_number": 1})
    assert events.run_of(cleared).max_attempts is None


def test_marked_failed_by_a_person_is_the_operators_word_and_final() -> None:
    """Airflow then sends a task event without the `airflow` facet: it is joined by its runId."""
    event = events.airflow_task("FAIL")
    facets = event["run"]["facets"]
    facets["errorMessage"] = events.error("TaskInstance's state was manually set to `failed`.")
    del facets["airflow"]
    run, full = events.run_of(event), events.run_of(events.airflow_task("START"))
    assert (run.authority, run.final, run.state) == (Authority.OPERATOR, True, RunState.FAILED)
    assert run.aliases == full.aliases[:1]
    assert run.job == full.job
    assert (run.attempt, run.max_attempts, run.native_run_id, run.trigger) == (None, None, None, None)


def test_a_reduced_failure_without_a_word_on_tries_does_not_claim_to_be_final() -> None:
    event = events.airflow_task("FAIL")
    del event["run"]["facets"]["airflow"]
    assert events.run_of(event).final is None


def test_the_end_of_a_dag_run_tells_of_tasks_that_sent_nothing() -> None:
    states = {"a": "success", "b": "failed", "c": "upstream_failed", "d": "skipped", "e": None, "f": "no_such_state"}
    run = events.run_of(events.airflow_dag("FAIL", states=states))
    assert run.task_states == {
        "a": RunState.SUCCEEDED,
        "b": RunState.FAILED,
        "c": RunState.UPSTREAM_FAILED,
        "d": RunState.SKIPPED,
    }
    assert run.error is not None
    assert run.error.message == "task_failure: b"
    assert (run.state, run.wall_s) == (RunState.FAILED, 0.75)


def test_an_end_without_a_start_still_knows_when_the_run_began() -> None:
    run = events.run_of(events.airflow_dag("COMPLETE"))
    assert run.started_at == datetime(2026, 3, 2, 8, 0, 4, 500_000, tzinfo=UTC)
    assert run.ended_at == datetime(2026, 3, 2, 8, 0, 5, 250_000, tzinfo=UTC)


def test_a_task_began_when_its_start_says_and_not_when_its_dag_run_did() -> None:
    assert events.run_of(events.airflow_task("START")).started_at == events.AT
    end = events.run_of(events.airflow_task("COMPLETE"))
    assert (end.started_at, end.ended_at, end.final, end.state) == (None, events.AT, True, RunState.SUCCEEDED)


def test_a_dag_run_beyond_its_own_limit_timed_out() -> None:
    event = events.airflow_dag("FAIL")
    event["run"]["facets"]["errorMessage"]["message"] = "timed_out"
    assert events.run_of(event).state is RunState.TIMED_OUT


@pytest.mark.parametrize(
    ("run_type", "triggered_by", "expected"),
    [
        ("scheduled", "timetable", Trigger.SCHEDULE),
        ("manual", "rest_api", Trigger.MANUAL),
        ("manual", "operator", Trigger.EVENT),
        ("operator_triggered", "operator", Trigger.EVENT),
        ("asset_triggered", "asset", Trigger.EVENT),
        ("dataset_triggered", None, Trigger.EVENT),
        ("backfill", "backfill", Trigger.BACKFILL),
        ("of_a_later_version", None, None),
    ],
)
def test_run_types_are_triggers(run_type: str, triggered_by: str | None, expected: Trigger | None) -> None:
    fact = events.fact_of(events.airflow_dag("START", run_type=run_type, triggered_by=triggered_by))
    assert fact.run is not None
    assert fact.run.trigger is expected
    assert fact.historical is (expected is Trigger.BACKFILL)


def test_who_triggered_is_the_actor_and_the_dag_version_the_code_version() -> None:
    run = events.run_of(events.airflow_dag("START", triggering_user_name="primary"))
    assert (run.actor, run.code_version) == ("primary", "3")
    bundled = events.run_of(events.airflow_dag("START", dag_bundle_version="0a1b2c3"))
    assert bundled.code_version == "0a1b2c3"


def test_a_scheduled_run_without_a_logical_date_stands_for_the_moment_it_was_due() -> None:
    event = events.airflow_dag("START")
    del event["run"]["facets"]["nominalTime"]
    assert events.run_of(event).nominal_start == datetime(2026, 3, 2, 8, tzinfo=UTC)
    event["run"]["facets"]["airflowDagRun"]["dagRun"]["run_type"] = "asset_triggered"
    assert events.run_of(event).nominal_start is None


def test_the_job_of_a_dag_has_owner_tags_and_schedule() -> None:
    job = events.job_of(events.airflow_dag("START"))
    assert (job.owner, job.tags) == ("data-platform", {"finance": "true", "tier": "1"})
    assert (job.schedule, job.timezone) == ("0 * * * *", "UTC")
    assert (job.job_type, job.integration, job.description) == ("DAG", "AIRFLOW", "orders every hour")


def test_a_task_start_also_tells_of_its_dag_and_where_it_is_shown() -> None:
    task, dag = events.fact_of(events.airflow_task("START")).jobs
    assert (task.ref.task, task.upstream_tasks, task.job_type) == ("load", ("extract",), "TASK")
    assert (dag.ref.task, dag.external_url) == (None, "http://airflow.example.com:8080/dags/orders")
    assert (dag.schedule, dag.tags) == ("0 * * * *", {"tier": "1", "finance": "true"})
    assert len(events.fact_of(events.airflow_task("COMPLETE")).jobs) == 1


def test_airflows_default_owner_is_nobody() -> None:
    event = events.airflow_dag("START")
    event["run"]["facets"]["airflowDagRun"]["dag"]["owner"] = "airflow"
    event["job"]["facets"]["ownership"]["owners"] = [{"name": "airflow"}]
    assert events.job_of(event).owner is None


def test_the_log_link_is_kept_only_if_it_leads_to_the_web() -> None:
    assert (events.run_of(events.airflow_task("FAIL")).external_url or "").endswith("tasks/load?try_number=1")
    hostile = events.airflow_task("FAIL", instance_changes={"log_url": "javascript:alert(1)//dags/x"})
    assert events.run_of(hostile).external_url is None


def test_airflow_2_says_when_a_task_was_queued_and_how_long_it_took() -> None:
    said = {"queued_dttm": "2026-03-02T08:00:01+00:00", "duration": 0.25}
    end = events.run_of(events.airflow_task("COMPLETE", instance_changes=said))
    assert (end.queued_at, end.wall_s) == (datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC), 0.25)
    start = events.run_of(events.airflow_task("START", instance_changes=said))
    assert start.wall_s is None, "on START it is the duration of the try before"


def test_a_repeat_has_the_same_key_and_another_try_has_another() -> None:
    event = events.airflow_task("START")
    assert events.fact_of(event).key == events.fact_of(event, after_s=30).key
    other = events.airflow_task("START", attempt=2)
    assert events.fact_of(event).key != events.fact_of(other).key
