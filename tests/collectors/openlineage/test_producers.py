"""What dbt, Dagster, Spark and plain clients mean by the same words, and the events without a run."""

from datetime import timedelta
from typing import Any

import pytest

from collectors.openlineage import OpenLineageConfig
from tests.collectors.openlineage import events
from tests.collectors.openlineage.events import parent
from watchtower.model.run import JobRef, RunState


@pytest.mark.parametrize(
    ("event_type", "state"),
    [
        ("START", RunState.RUNNING),
        ("RUNNING", RunState.RUNNING),
        ("COMPLETE", RunState.SUCCEEDED),
        ("FAIL", RunState.FAILED),
        ("ABORT", RunState.CANCELLED),
        ("OTHER", None),
        ("complete", RunState.SUCCEEDED),
        ("SOMETHING", None),
        (None, None),
    ],
)
def test_event_types_are_states(event_type: Any, state: RunState | None) -> None:
    run = events.run_of(events.plain(event_type))
    assert run.state is state
    assert (run.started_at is not None) == (event_type == "START")
    assert (run.ended_at is not None) == (state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED))


ROOT = ("shop", "nightly", events.DAG_UUID)
SPLITS: dict[str, tuple[str, dict[str, Any] | None, tuple[str, str | None]]] = {
    "no parent": ("orders.load", None, ("orders.load", None)),
    "named after its parent": ("orders.load", parent("shop", "orders", "r1"), ("orders", "load")),
    "not named after its parent": ("clean", parent("shop", "orders", "r1"), ("orders", "clean")),
    "below a task of a root": (
        "orders.load.sql",
        parent("shop", "orders.load", "r2", ROOT),
        ("nightly", "orders.load.sql"),
    ),
    "named after its root": ("nightly.load", parent("shop", "nightly", "r2", ROOT), ("nightly", "load")),
    "started by another system": ("dbt-run", parent("airflow", "dag.task", "r3"), ("dbt-run", None)),
    "below one started by another system": (
        "model.a",
        parent("shop", "dbt-run", "r4", ("airflow", "dag", "r5")),
        ("dbt-run", "model.a"),
    ),
    "its own parent": ("orders", parent("shop", "orders", "r6"), ("orders", None)),
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_job_is_a_pipeline_or_one_of_its_tasks(case: str) -> None:
    job, facet, expected = SPLITS[case]
    event = events.plain("START", job)
    if facet:
        event["run"]["facets"]["parent"] = facet
    assert events.run_of(event).job == JobRef("openlineage:shop", "shop", *expected)


def test_a_run_is_never_its_own_parent() -> None:
    event = events.plain("START", "orders", events.TASK_UUID)
    event["run"]["facets"]["parent"] = parent("shop", "orders", events.TASK_UUID)
    assert events.run_of(event).parent_alias is None


def test_names_with_bars_do_not_run_into_each_other() -> None:
    one = events.plain("START", job="b|c")
    other = events.plain("START", job="c")
    one["job"]["namespace"], other["job"]["namespace"] = "a", "a|b"
    assert events.run_of(one).aliases != events.run_of(other).aliases


# -- dbt -------------------------------------------------------------------------------------------------------------


def test_a_skipped_dbt_node_is_skipped_and_an_aborted_command_cancelled() -> None:
    node = events.run_of(events.dbt_node("ABORT"))
    assert (node.state, node.final, node.job.task, node.job.pipeline) == (
        RunState.SKIPPED,
        True,
        "model.shop.stg_orders",
        "dbt-run-shop",
    )
    command = events.dbt_node("ABORT", "dbt-run-shop", "JOB")
    del command["run"]["facets"]["parent"]
    assert events.run_of(command).state is RunState.CANCELLED


def test_a_failed_dbt_node_is_final_since_dbt_never_retries() -> None:
    run = events.run_of(events.dbt_node("FAIL"))
    assert (run.state, run.final, run.native_run_id) == (RunState.FAILED, True, "inv-1")


def test_a_failed_dbt_test_says_which_check_does_not_hold() -> None:
    checks = [
        {"assertion": "not_null", "column": "amount", "success": False, "expected": "0", "actual": "1"},
        {"assertion": "unique", "column": "id", "success": True, "expected": "0", "actual": "0"},
    ]
    table = events.dataset("duckdb://shop", "shop.main.orders", dataQualityAssertions={"assertions": checks})
    run = events.run_of(events.dbt_node("FAIL", "test.shop.x", "TEST", inputs=[table]))
    assert run.error is not None
    assert run.error.message == "not_null(amount) does not hold on shop.main.orders: expected 0, found 1"
    assert run.error.type == "AssertionFailed"


def test_single_sql_statements_of_a_dbt_node_are_kept_but_are_no_runs() -> None:
    fact = events.fact_of(events.dbt_node("COMPLETE", "model.shop.stg_orders.sql.4", "SQL"))
    assert (fact.kind, fact.run, fact.jobs) == ("run", None, ())


def test_dbt_meta_is_the_owner_of_its_node() -> None:
    event = events.dbt_node("START")
    event["run"]["facets"]["tags"] = {
        "tags": [
            {"key": "finance", "value": "true", "source": "DBT"},
            {"key": "owner", "value": "data-lead", "source": "DBT_META"},
        ]
    }
    job = events.job_of(event)
    assert (job.owner, job.tags) == ("data-lead", {"finance": "true", "owner": "data-lead"})


# -- Dagster ---------------------------------------------------------------------------------------------------------


def test_a_dagster_step_is_one_run_although_its_end_bears_another_runid() -> None:
    start = events.run_of(events.dagster_step("START", run_id="r-start"))
    end = events.run_of(events.dagster_step("FAIL", run_id="r-end"))
    assert start.aliases[0] == end.aliases[0]
    assert start.aliases[1] == "ol|__repository__|orders.load|r-start", "its own children name it by its runId"
    assert (end.final, end.parent_alias) == (True, f"ol|__repository__|orders|{events.DAG_UUID}")


def test_a_mapped_dagster_step_is_an_instance_of_the_step() -> None:
    run = events.run_of(events.dagster_step("START", "mapped[2]"))
    assert (run.job.task, run.map_index) == ("mapped", 2)
    keyed = events.run_of(events.dagster_step("START", "mapped[eu]"))
    assert (keyed.job.task, keyed.map_index) == ("mapped", None)
    assert keyed.aliases[0] != run.aliases[0]


def test_dagster_jobs_that_share_a_runid_are_different_runs() -> None:
    one, other = (events.plain("START", job, "shared", producer=events.DAGSTER) for job in ("raw", "clean"))
    assert events.run_of(one).aliases[0] != events.run_of(other).aliases[0]


# -- Spark, client ---------------------------------------------------------------------------------------------------


def test_a_spark_application_links_to_its_history_server() -> None:
    event = events.plain("START", "etl")
    event["run"]["facets"]["spark_applicationDetails"] = {
        "applicationId": "application_17_0001",
        "userName": "etl",
        "uiWebUrl": "http://driver:4040",
        "historyUrl": "http://history:18080/history/application_17_0001",
    }
    run = events.run_of(event)
    assert (run.native_run_id, run.actor) == ("application_17_0001", "etl")
    assert run.external_url == "http://history:18080/history/application_17_0001"


def test_the_error_of_a_jvm_is_on_its_first_line() -> None:
    event = events.plain("FAIL")
    stack = "org.apache.spark.SparkException: Job aborted\n\tat org.apache.spark.Main(Main.scala:1)\nCaused by: x.Y: z"
    event["run"]["facets"]["errorMessage"] = {"message": "Job aborted", "stackTrace": stack}
    error = events.run_of(event).error
    assert error is not None
    assert error.type == "org.apache.spark.SparkException"


def test_an_error_facet_on_a_good_end_tells_of_the_extraction_only() -> None:
    event = events.plain("COMPLETE")
    event["run"]["facets"]["errorMessage"] = events.error("could not parse the SQL")
    assert events.run_of(event).error is None


def test_a_failed_client_run_does_not_claim_to_be_final() -> None:
    event = events.plain("FAIL")
    event["run"]["facets"]["parent"] = parent("shop", "orders", "r1")
    assert events.run_of(event).final is None


def test_tags_of_the_client_library_are_left_out() -> None:
    event = events.plain("START")
    event["run"]["facets"]["tags"] = {
        "tags": [
            {"key": "openlineage_client_version", "value": "1.54.0", "source": "OPENLINEAGE_CLIENT"},
            {"key": "cost_center", "value": "cc-42", "source": "USER"},
            {"key": "dry", "value": True},
        ]
    }
    assert events.run_of(event).tags == {"cost_center": "cc-42", "dry": "true"}


# -- events without a run --------------------------------------------------------------------------------------------


def test_a_job_event_tells_of_the_job() -> None:
    event = events.plain()
    del event["run"], event["eventType"]
    event["job"]["facets"] = {"ownership": {"owners": [{"name": "team:data"}, {"name": "team:shop"}]}}
    fact = events.fact_of(event)
    assert (fact.kind, fact.run) == ("job", None)
    assert fact.jobs[0].owner == "team:data, team:shop"


@pytest.mark.parametrize(
    ("facets", "written"),
    [
        ({}, False),
        ({"schema": {"fields": [{"name": "id", "type": "int"}]}}, False),
        ({"lifecycleStateChange": {"lifecycleStateChange": "OVERWRITE"}}, True),
        ({"lifecycleStateChange": {"lifecycleStateChange": "DROP"}}, False),
        ({"version": {"datasetVersion": "7"}}, True),
    ],
)
def test_a_dataset_event_counts_as_written_only_if_content_changed(facets: dict[str, Any], written: bool) -> None:
    event = {"eventTime": events.AT.isoformat(), "dataset": events.dataset("s3://lake", "orders", **facets)}
    fact = events.fact_of(event)
    assert (fact.kind, fact.source) == ("dataset", "openlineage:s3://lake")
    assert fact.datasets[0].updated_at == (events.AT if written else None)


def test_a_dataset_event_tells_what_is_in_it() -> None:
    told = {"rowCount": 5, "size": 90, "fileCount": 2, "checksum": "9f3c", "partition": "2026-03-02"}
    dataset = events.dataset("s3://lake", "orders", outputStatistics=told)
    [patch] = events.fact_of({"eventTime": events.AT.isoformat(), "dataset": dataset}).datasets
    assert patch.updated_at == events.AT
    assert (patch.row_count, patch.size_bytes, patch.file_count) == (5, 90, 2)
    assert (patch.checksum, patch.partition) == ("9f3c", "2026-03-02")


# -- where from, and when --------------------------------------------------------------------------------------------


def test_the_source_is_the_entrys_else_the_configured_else_the_namespace() -> None:
    config = OpenLineageConfig(sources={"shop-prod": ["shop", "shop-*"]}, environments={"prod": ["sho*"]})
    fact = events.fact_of(events.plain(), config=config)
    assert fact.source == "shop-prod"
    assert fact.run is not None
    assert (fact.run.job.source, fact.run.environment) == ("shop-prod", "prod")
    assert events.fact_of(events.plain(), config=config, source="fixed").source == "fixed"
    assert events.fact_of(events.plain()).source == "openlineage:shop"


def test_what_is_old_or_replayed_is_history() -> None:
    assert not events.fact_of(events.plain(), after_s=3600).historical
    assert events.fact_of(events.plain(), after_s=3601).historical
    assert not events.fact_of(events.plain(), after_s=3601, max_age_s=7200.0).historical
    assert events.fact_of(events.plain(), replay=True).historical


def test_a_clock_an_hour_ahead_is_not_believed() -> None:
    now = events.AT - timedelta(hours=3)
    fact = events.fact_of(events.plain(), after_s=-3 * 3600)
    assert fact.clock_suspect
    assert fact.run is not None
    assert (fact.event_time, fact.run.started_at) == (now, now)
    assert fact.key == events.fact_of(events.plain()).key, "a repeat that comes later is still a repeat"
    near = events.fact_of(events.plain(), after_s=-1800)
    assert (near.clock_suspect, near.event_time) == (False, events.AT)


def test_a_list_gives_one_fact_each_with_its_own_bytes() -> None:
    bodies = [b'{"a": 1, ' + text[1:] for text in map(_bytes, (events.plain("START"), events.plain("COMPLETE")))]
    decoded = events.send(b"[ " + bodies[0] + b" ,\n " + bodies[1] + b"]")
    assert [fact.body for fact in decoded.facts] == bodies
    single = events.send(bodies[0]).facts[0]
    assert single.key == decoded.facts[0].key, "the same event in a list and by itself is the same fact"


def _bytes(event: Any) -> bytes:
    import json

    return json.dumps(event).encode()
