"""What Airflow's API says of runs, tries and DAGs, as facts; each field by itself, and nothing that may be a secret."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from collectors.airflow import run_ids
from collectors.airflow.decode import decode
from collectors.airflow.names import Place
from collectors.identity import openlineage_alias, run_alias, task_alias
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobRef, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
SOURCE, NAMESPACE, URL = "openlineage:prod-airflow", "prod-airflow", "https://airflow.example.com"
PLACE = Place(SOURCE, NAMESPACE, URL)
RUN_ID = "scheduled__2026-03-02T08:00:00+00:00"
Json = dict[str, Any]


def read(record: Any, **received: Any) -> Decoded:
    body = record if isinstance(record, bytes) else msgspec.json.encode(record)
    return decode(PLACE, body, Received(AT + timedelta(minutes=5), SOURCE, **received))


def fact_of(record: Json, **received: Any) -> Fact:
    decoded = read(record, **received)
    assert decoded.rejects == ()
    (fact,) = decoded.facts
    return fact


def run_of(record: Json) -> RunPatch:
    patch = fact_of(record).run
    assert patch is not None
    return patch


def dag_run(**changes: Any) -> Json:
    return {
        "record": "dag_run",
        "dag_id": "orders",
        "dag_run_id": RUN_ID,
        "logical_date": "2026-03-02T08:00:00Z",
        "run_after": "2026-03-02T08:00:00Z",
        "queued_at": "2026-03-02T08:00:01Z",
        "start_date": "2026-03-02T08:00:02Z",
        "end_date": "2026-03-02T08:03:02.500000Z",
        "run_type": "scheduled",
        "triggered_by": "timetable",
        "state": "success",
        "generation": 0,
        "dag_version": 4,
        **changes,
    }


def a_try(**changes: Any) -> Json:
    return {
        "record": "try",
        "dag_id": "orders",
        "dag_run_id": RUN_ID,
        "task_id": "shop.load",
        "map_index": -1,
        "logical_date": "2026-03-02T08:00:00Z",
        "run_after": "2026-03-02T08:00:00Z",
        "scheduled_when": "2026-03-02T08:00:03Z",
        "queued_when": "2026-03-02T08:00:04Z",
        "start_date": "2026-03-02T08:00:09Z",
        "end_date": "2026-03-02T08:01:09Z",
        "duration": 60.0,
        "state": "success",
        "try_number": 2,
        "max_tries": 3,
        "operator": "PythonOperator",
        "pool": "etl",
        "queue": "default",
        "hostname": "worker-7",
        "generation": 0,
        "latest": True,
        **changes,
    }


def dag(**changes: Any) -> Json:
    return {"record": "dag", "dag_id": "orders", **changes}


def test_a_run_is_named_by_its_own_id_and_by_the_one_that_openlineage_would_give_it() -> None:
    patch = run_of(dag_run())
    assert patch.job == JobRef(SOURCE, NAMESPACE, "orders")
    uuid = run_ids.dag_run_id(NAMESPACE, "orders", 0, AT)
    assert patch.aliases == (
        run_alias(SOURCE, NAMESPACE, "orders", RUN_ID, 0),
        openlineage_alias(NAMESPACE, "orders", uuid),
    )
    assert (patch.state, patch.event_type, patch.authority) == (RunState.SUCCEEDED, "COMPLETE", Authority.API)
    assert (patch.trigger, patch.code_version, patch.generation) == (Trigger.SCHEDULE, "4", 0)
    assert (patch.nominal_start, patch.queued_at) == (AT, AT + timedelta(seconds=1))
    assert (patch.started_at, patch.ended_at) == (AT + timedelta(seconds=2), AT + timedelta(minutes=3, seconds=2.5))
    assert patch.wall_s == 180.5
    assert patch.external_url == f"{URL}/dags/orders/runs/scheduled__2026-03-02T08%3A00%3A00%2B00%3A00"


def test_a_try_names_its_run_its_place_and_whether_another_follows() -> None:
    patch = run_of(a_try())
    assert patch.job == JobRef(SOURCE, NAMESPACE, "orders", "shop.load")
    assert patch.aliases[0] == task_alias(
        SOURCE, NAMESPACE, "orders", RUN_ID, task="shop.load", map_index=None, attempt=2
    )
    assert patch.parent_alias == run_alias(SOURCE, NAMESPACE, "orders", RUN_ID, 0)
    assert (patch.attempt, patch.max_attempts, patch.map_index, patch.final) == (2, 4, None, True)
    assert patch.queued_at == AT + timedelta(seconds=4)
    assert patch.tags == {"pool": "etl", "queue": "default", "hostname": "worker-7", "operator": "PythonOperator"}
    assert patch.external_url is not None
    assert patch.external_url.endswith("/tasks/shop.load?try_number=2")


@pytest.mark.parametrize(
    ("said", "state", "final"),
    [
        ({"state": "failed"}, RunState.FAILED, True),
        ({"state": "up_for_retry"}, RunState.FAILED, False),
        ({"state": "failed", "latest": False}, RunState.FAILED, False),
        ({"state": "skipped", "try_number": 0}, RunState.SKIPPED, True),
        ({"state": "upstream_failed", "try_number": 0}, RunState.UPSTREAM_FAILED, True),
        ({"state": "deferred"}, RunState.RUNNING, None),
        ({"state": "queued"}, RunState.QUEUED, None),
        ({"state": None}, None, None),
        ({"state": "a state of Airflow 4"}, None, None),
    ],
    ids=["failed", "waits", "an earlier one", "skipped", "upstream", "deferred", "queued", "cleared", "unheard of"],
)
def test_a_state_of_a_try(said: Json, state: RunState | None, final: bool | None) -> None:
    patch = run_of(a_try(**said))
    assert (patch.state, patch.final) == (state, final)
    assert (patch.ended_at is None) == (final is None)


def test_a_task_that_was_never_tried_counts_as_its_first_try() -> None:
    assert run_of(a_try(state="skipped", try_number=0)).attempt == 1


def test_an_instance_of_a_mapped_task_has_its_index() -> None:
    patch = run_of(a_try(map_index=3))
    assert patch.map_index == 3
    assert patch.aliases[0].endswith("|shop.load|3|2")
    assert "/tasks/shop.load/mapped/3?" in str(patch.external_url)


def test_a_backfill_is_history_and_so_are_its_tries() -> None:
    assert fact_of(dag_run(run_type="backfill")).historical
    assert fact_of(a_try(dag_run_id="backfill__2026-03-02T08:00:00+00:00")).historical
    assert not fact_of(a_try()).historical


def test_an_old_run_is_history_unless_watchtower_was_away_meanwhile() -> None:
    old = dag_run(end_date="2026-03-02T06:00:00Z", start_date="2026-03-02T05:00:00Z", queued_at=None, logical_date=None)
    old["run_after"] = "2026-03-02T05:00:00Z"
    assert fact_of(old).historical
    assert not fact_of(old, max_age_s=4 * 3_600).historical


def test_the_same_record_is_the_same_fact_and_a_changed_one_another() -> None:
    assert fact_of(dag_run()).key == fact_of(dag_run()).key
    assert fact_of(dag_run()).key != fact_of(dag_run(state="failed")).key


def test_a_dag_tells_owner_tags_and_schedule() -> None:
    (patch,) = fact_of(
        dag(
            owners=["airflow", "data-platform", "finance"],
            tags=[{"name": "tier:1"}, {"name": "finance"}],
            description="orders every hour",
            timetable_summary="0 7 * * *",
            timezone="Europe/Berlin",
        )
    ).jobs
    assert (patch.owner, patch.tags) == ("data-platform, finance", {"tier": "1", "finance": "true"})
    assert (patch.schedule, patch.timezone) == ("0 7 * * *", "Europe/Berlin")
    assert (patch.external_url, patch.job_type) == (f"{URL}/dags/orders", "DAG")


@pytest.mark.parametrize(
    ("said", "schedule"),
    [
        ({"timetable_summary": "Asset"}, None),
        ({"timetable_summary": "Never"}, None),
        ({"timetable_summary": "@daily"}, "0 0 * * *"),
        ({"schedule_interval": {"__type": "CronExpression", "value": "5 4 * * *"}}, "5 4 * * *"),
        ({"schedule_interval": {"__type": "TimeDelta", "days": 0, "seconds": 60}}, None),
    ],
    ids=["asset", "never", "preset", "airflow 2 cron", "airflow 2 interval"],
)
def test_only_a_cron_expression_is_claimed_as_schedule(said: Json, schedule: str | None) -> None:
    (patch,) = fact_of(dag(**said, timezone="UTC")).jobs
    assert patch.schedule == schedule


def test_a_schedule_whose_zone_is_not_known_is_not_claimed() -> None:
    (patch,) = fact_of(dag(timetable_summary="0 7 * * *")).jobs
    assert (patch.schedule, patch.timezone) == (None, None)


def test_airflow_2_names_its_pages_otherwise() -> None:
    record = a_try(execution_date="2026-03-02T08:00:00+00:00", logical_date="2026-03-02T08:00:00+00:00")
    assert "/dags/orders/grid?dag_run_id=scheduled__2026" in str(run_of(record).external_url)
    assert run_of(record).aliases == run_of(a_try()).aliases


@pytest.mark.parametrize("field", sorted(set(a_try()) - {"record", "dag_id", "dag_run_id", "task_id"}))
@pytest.mark.parametrize("value", [None, [], {}, "x", -5, 1e300, True, "9999-99-99T00:00:00Z"], ids=repr)
def test_a_field_that_cannot_be_read_costs_that_field(field: str, value: Any) -> None:
    decoded = read(a_try(**{field: value}))
    assert len(decoded.facts) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b"[1]", "not_json"),
        (b"\xff\xfe", "not_json"),
        ({"record": "try", "dag_id": "orders"}, "incomplete"),
        ({"record": "dag", "dag_id": 7}, "incomplete"),
        ({"record": "xcom"}, "unknown_record"),
        ({}, "unknown_record"),
    ],
    ids=["cut", "a list", "no UTF-8", "no run", "a number for a name", "of another kind", "of no kind"],
)
def test_what_is_no_record_is_kept_aside(body: Any, reason: str) -> None:
    decoded = read(body)
    assert (decoded.facts, [reject.reason for reject in decoded.rejects]) == ((), [reason])
