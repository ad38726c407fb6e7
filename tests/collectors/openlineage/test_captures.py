"""What real Airflow 2 and 3, dbt, Dagster and the client library sent, where the recordings lie beside the checkout.

They are no part of the project; the same statements hold for hand-made events in the other modules.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.openlineage import OpenLineage
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, RunState, Trigger
from watchtower.ports import Decoded, Received

CAPTURES = Path(__file__).resolve().parents[4] / "shared" / "captures"
FILES = sorted(CAPTURES.glob("*openlineage*/**/*.json"))
COLLECTOR = OpenLineage()

pytestmark = pytest.mark.skipif(not FILES, reason="no recordings beside this checkout")


def decode(file: Path) -> Decoded:
    recorded: Any = json.loads(file.read_bytes())
    at = datetime.fromtimestamp(recorded["received_at"], UTC)
    return COLLECTOR.decode(json.dumps(recorded["body"]).encode(), Received(at))


def facts(folder: str) -> Iterator[Fact]:
    for file in sorted((CAPTURES / folder).glob("*.json")):
        yield from decode(file).facts


def named(folder: str, part: str) -> Fact:
    (file,) = (CAPTURES / folder).glob(f"*{part}*.json")
    (fact,) = decode(file).facts
    return fact


def test_every_recorded_event_becomes_one_fact_with_nothing_left_out() -> None:
    assert len(FILES) > 200
    for file in FILES:
        decoded = decode(file)
        assert (len(decoded.facts), decoded.rejects, decoded.skipped) == (1, (), ()), file.name
        assert not decoded.facts[0].historical
        assert not decoded.facts[0].clock_suspect


def test_retries_are_tries_of_one_task() -> None:
    tries = [
        (run.attempt, run.max_attempts, run.final)
        for fact in facts("airflow3_openlineage/1_success_retry_mapped")
        if (run := fact.run) and run.job.task == "boom" and run.event_type == "FAIL"
    ]
    assert tries == [(1, 3, False), (2, 3, False), (3, 3, True)]


def test_mapped_instances_have_their_index_and_end_one_by_one() -> None:
    ends = {
        (run.map_index, run.attempt): (run.state, run.final)
        for fact in facts("airflow3_openlineage/1_success_retry_mapped")
        if (run := fact.run) and run.job.task == "work" and run.ended_at
    }
    assert ends == {
        (0, 1): (RunState.SUCCEEDED, True),
        (1, 1): (RunState.FAILED, False),
        (1, 2): (RunState.FAILED, True),
        (2, 1): (RunState.SUCCEEDED, True),
    }


def test_row_counts_come_out_of_the_asset_event() -> None:
    fact = named("airflow3_openlineage/1_success_retry_mapped", "wt-success-extract_try1_COMPLETE")
    assert fact.run is not None
    written = [io for io in fact.run.datasets if io.direction == "out"]
    assert [(io.ref.name, io.row_count, io.size_bytes) for io in written] == [("shop.public.orders_clean", 1234, 99000)]


def test_a_timeout_is_told_from_a_failure_and_skipped_tasks_from_the_end_of_the_run() -> None:
    folder = "airflow3_openlineage/2_slow_timeout_skip"
    task, dag = named(folder, "times-out_try1_FAIL").run, named(folder, "wt-slow_FAIL").run
    assert task is not None
    assert dag is not None
    assert (task.state, task.final) == (RunState.TIMED_OUT, True)
    assert task.error is not None
    assert task.error.type == "airflow.sdk.exceptions.AirflowTaskTimeout"
    assert dag.task_states is not None
    assert (dag.task_states["never"], dag.task_states["times_out"]) == (RunState.SKIPPED, RunState.FAILED)


def test_marked_failed_is_the_operators_word_on_the_same_run() -> None:
    folder = "airflow3_openlineage/3_marked_failed_by_api"
    start, end, dag = (named(folder, part).run for part in ("long-one_try1_START", "long-one_FAIL", "wt-long_FAIL"))
    assert start is not None
    assert end is not None
    assert dag is not None
    assert end.aliases[0] == start.aliases[0]
    assert end.job == start.job
    assert (end.authority, end.final, dag.authority) == (Authority.OPERATOR, True, Authority.OPERATOR)


def test_a_killed_task_is_only_told_of_by_its_dag_run() -> None:
    ends = [
        fact.run for fact in facts("airflow3_openlineage/4_task_killed_no_task_event") if fact.run and fact.run.ended_at
    ]
    assert [run.job.task for run in ends] == [None]
    assert ends[0].task_states == {"long_one": RunState.FAILED}


def test_a_cleared_run_is_another_run_of_the_same_native_id() -> None:
    starts = [
        fact.run
        for fact in facts("airflow3_openlineage/5_cleared_run")
        if fact.run and fact.run.job.task is None and fact.run.event_type == "START"
    ]
    assert [run.generation for run in starts] == [0, 1]
    assert len({run.native_run_id for run in starts}) == 1
    assert len({alias for run in starts for alias in run.aliases}) == 4


def test_repeated_posts_of_the_client_are_one_fact() -> None:
    assert len({fact.key for fact in facts("airflow3_openlineage/7_client_retries_on_503")}) == 1


def test_a_scheduled_dag_tells_its_cron_and_an_asset_triggered_one_its_trigger() -> None:
    scheduled = named("airflow3_openlineage/8_scheduled_minutely", "wt-sched_START")
    assert (scheduled.jobs[0].schedule, scheduled.jobs[0].timezone) == ("* * * * *", "UTC")
    assert scheduled.run is not None
    assert (scheduled.run.trigger, scheduled.run.nominal_start) == (
        Trigger.SCHEDULE,
        datetime(2026, 11, 21, 1, 20, tzinfo=UTC),
    )
    triggered = named("airflow3_openlineage/9_asset_triggered", "wt-consumer_START")
    assert triggered.run is not None
    assert (triggered.run.trigger, triggered.run.nominal_start, triggered.jobs[0].schedule) == (
        Trigger.EVENT,
        None,
        None,
    )


def test_every_task_names_a_parent_that_was_heard_of() -> None:
    for folder in (
        "airflow3_openlineage/1_success_retry_mapped",
        "airflow2_openlineage",
        "dbt_openlineage_structured_logs",
    ):
        runs = [fact.run for fact in facts(folder) if fact.run]
        known = {alias for run in runs for alias in run.aliases}
        assert {run.parent_alias for run in runs if run.job.task} <= known


def test_dbt_nodes_are_tasks_of_the_command_and_their_statements_no_runs() -> None:
    runs = {
        (run.job.task, run.event_type): run.state
        for fact in facts("dbt_openlineage_structured_logs")
        if (run := fact.run)
    }
    assert runs[("model.wt.agg_orders", "ABORT")] is RunState.SKIPPED
    assert runs[("test.wt.not_null_stg_orders_amount.2546645448", "FAIL")] is RunState.FAILED
    assert runs[(None, "FAIL")] is RunState.FAILED
    assert not any(task and ".sql." in task for task, _ in runs)


def test_a_dagster_step_that_failed_after_its_run_is_one_run() -> None:
    folder = "dagster_openlineage_sensor"
    steps = [fact.run for fact in facts(folder) if fact.run and fact.run.job.task == "snooze"]
    assert [run.event_type for run in steps] == ["START", "FAIL"]
    assert len({run.ol_run_id for run in steps}) == 2
    assert len({run.aliases[0] for run in steps}) == 1
