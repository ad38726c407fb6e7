"""Events and polls of the same runs, in any order and repeated, come to the same rows: one for each run and try."""

import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from collectors.airflow import run_ids
from collectors.airflow.decode import decode
from collectors.airflow.names import Place
from tests.collectors.openlineage import events
from tests.collectors.openlineage.events import NAMESPACE, Json
from watchtower.model.fact import Fact
from watchtower.model.instants import to_micros
from watchtower.model.rule import JobSnapshot
from watchtower.ports import Received
from watchtower.store import jobs, sources
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.schema.observed import runs
from watchtower.store.schema.sources import sources as sources_table
from watchtower.store.snapshots.jobs import JobLoader
from watchtower.store.sources import Declared

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
SOURCE = f"openlineage:{NAMESPACE}"
PLACE = Place(SOURCE, NAMESPACE, "https://airflow.example.com")
DAG_UUID = run_ids.dag_run_id(NAMESPACE, "orders", 0, AT)


def uuid_of(attempt: int) -> str:
    return run_ids.task_run_id(NAMESPACE, "orders", "load", try_number=attempt, map_index=-1, instant=AT)


def pushed(event: Json, run_id: str, seconds: float, parent: str = DAG_UUID) -> Fact:
    event["run"]["runId"] = run_id
    event["eventTime"] = (AT + timedelta(seconds=seconds)).isoformat()
    if "parent" in event["run"]["facets"]:
        event["run"]["facets"]["parent"] = events.parent(NAMESPACE, "orders", parent)
    return events.fact_of(event, after_s=seconds + 1)


def polled(**record: Any) -> Fact:
    said = {"dag_id": "orders", "dag_run_id": events.DAG_RUN_ID, "logical_date": AT.isoformat(), **record}
    (fact,) = decode(PLACE, msgspec.json.encode(said), Received(AT + timedelta(minutes=9), SOURCE)).facts
    return fact


def text(seconds: float) -> str:
    return (AT + timedelta(seconds=seconds)).isoformat()


def a_run(state: str, ended: float | None, **more: Any) -> Fact:
    end = {"end_date": text(ended)} if ended is not None else {}
    started = more.pop("started", 4.5)
    return polled(record="dag_run", state=state, start_date=text(started), generation=0, **end, **more)


def a_try(attempt: int, state: str, started: float, ended: float | None, **more: Any) -> Fact:
    end = {"end_date": text(ended)} if ended is not None else {}
    return polled(
        record="try",
        task_id="load",
        map_index=-1,
        try_number=attempt,
        max_tries=1,
        state=state,
        start_date=text(started),
        generation=0,
        **end,
        **more,
    )


def a_day() -> list[Fact]:
    """A run whose first try fails and whose second is killed without a word."""
    return [
        pushed(events.airflow_dag("START"), DAG_UUID, 5),
        pushed(events.airflow_task("START", retries=1), uuid_of(1), 6),
        pushed(events.airflow_task("FAIL", retries=1), uuid_of(1), 20),
        pushed(events.airflow_task("START", attempt=2, retries=1), uuid_of(2), 30),
        pushed(events.airflow_dag("FAIL"), DAG_UUID, 60),
        a_run("running", None),
        a_try(1, "running", 5.5, None),
        a_try(1, "up_for_retry", 5.5, 21),
        a_try(1, "failed", 5.5, 21, latest=False),
        a_try(2, "running", 29, None),
        a_try(2, "failed", 29, 59),
        a_run("failed", 60),
    ]


def rows(database: Database, facts: Sequence[Fact]) -> list[dict[str, Any]]:
    for fact in facts:
        append(database, Intake([fact])).result()
    with database.read() as connection:
        found: list[dict[str, Any]] = [dict(row) for row in connection.execute(select(runs)).mappings()]
    names = {row["id"]: f"{row['task']} {row['attempt']} {row['generation']}" for row in found}
    for row in found:  # the id is that of the first name, which depends on who came first
        for key in ("id", "parent_run_id", "root_run_id"):
            row[key] = names.get(row[key], row[key])
        row.pop("stamps")
        row.pop("historical")
    return sorted(found, key=lambda row: str(row["id"]))


def test_a_run_and_its_tries_are_there_once(database: Database) -> None:
    found = rows(database, a_day())
    assert [(row["id"], row["state"], row["final"], row["parent_run_id"]) for row in found] == [
        ("None 1 0", "failed", None, None),
        ("load 1 0", "failed", False, "None 1 0"),
        ("load 2 0", "failed", True, "None 1 0"),
    ]
    killed = found[2]
    assert {by: word[2] for by, word in killed["words"].items()} == {"3": "running", "4": "failed"}


def test_a_try_that_airflow_has_forgotten_ended_as_its_event_said(database: Database) -> None:
    forgotten = a_try(1, "forgotten", 5.5, 29, latest=False)
    failed = pushed(events.airflow_task("FAIL", retries=1), uuid_of(1), 20)
    (row,) = [each for each in rows(database, [failed, forgotten]) if each["task"]]
    assert row["state"] == "failed"


def an_asset_day() -> list[Fact]:
    """Both say which asset set the run off; only the answer knows when it was written."""
    facet = {
        "upstream": [
            {
                "job": {"namespace": NAMESPACE, "name": "shop.load"},
                "run": {"runId": uuid_of(1)},
                "airflow": {"asset_events": [{"asset_uri": "s3://lake/orders", "dag_run_id": "r1"}]},
            }
        ]
    }
    start = events.airflow_dag("START")
    start["run"]["facets"]["jobDependencies"] = facet
    causes = [
        {"uri": "s3://lake/orders", "dag": "shop", "task": "load", "run": "r1", "at": text(1)},
        {"uri": "s3://lake/prices", "dag": "shop", "task": "quote", "run": "r2", "at": text(2)},
    ]
    told = polled(record="origins", generation=0, start_date=text(4.5), causes=causes)
    return [pushed(start, DAG_UUID, 5), told]


@pytest.mark.parametrize("turned", [False, True], ids=["pushed first", "polled first"])
def test_what_set_a_run_off_is_there_once_whoever_tells_of_it_first(database: Database, *, turned: bool) -> None:
    facts = an_asset_day()
    (row,) = rows(database, facts[::-1] if turned else facts)
    origins = [(one["name"], one["namespace"], one["job"], one["run"], one["at"]) for one in row["origins"]]
    assert origins == [
        ("orders", "s3://lake", "shop.load", "r1", to_micros(AT + timedelta(seconds=1))),
        ("prices", "s3://lake", "shop.quote", "r2", to_micros(AT + timedelta(seconds=2))),
    ]


@pytest.fixture(scope="module")
def in_order(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return rows_of(a_day(), migrated_sqlite, tmp_path_factory.mktemp("in-order"))


def rows_of(facts: Sequence[Fact], template: Path, folder: Path) -> list[dict[str, Any]]:
    file = folder / "watchtower.db"
    shutil.copyfile(template, file)
    database = Database(f"sqlite:///{file}")
    try:
        return rows(database, facts)
    finally:
        database.close()


@pytest.mark.parametrize("seed", range(25))
def test_any_order_and_any_repetition_come_to_the_same(
    in_order: list[dict[str, Any]], migrated_sqlite: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    facts = a_day()
    mixed = facts + chance.sample(facts, 4)
    chance.shuffle(mixed)
    assert rows_of(mixed, migrated_sqlite, tmp_path) == in_order


def test_that_a_dag_is_paused_is_known_with_the_last_moment_at_which_it_was(database: Database) -> None:
    def listed(paused: bool, minutes: float) -> Fact:
        said = {"record": "dag", "dag_id": "orders", "is_paused": paused}
        (fact,) = decode(PLACE, msgspec.json.encode(said), Received(AT + timedelta(minutes=minutes), SOURCE)).facts
        return fact

    for fact in (listed(True, 60), listed(False, 65), listed(True, 0)):  # the last one came late
        append(database, Intake([fact])).result()
    with database.read() as connection:
        (job,) = jobs.by_id(connection, [PLACE.job("orders").id]).values()
    assert (job.paused, job.paused_at) == (False, AT + timedelta(minutes=60))


def test_what_only_an_event_ended_is_loaded_with_how_far_its_orchestrator_was_asked(database: Database) -> None:
    ends = pushed(events.airflow_dag("COMPLETE"), DAG_UUID, 60)
    append(database, Intake([pushed(events.airflow_dag("START"), DAG_UUID, 5), ends, a_run("running", None)])).result()
    asked = {"first": AT + timedelta(minutes=9), "second": AT + timedelta(minutes=7)}
    database.write(lambda connection: sources.declare(connection, [of_airflow(name) for name in asked], AT))
    assert asked_until(database) is None
    for name, mark in asked.items():
        row = sources_table.c.name == name
        database.write(lambda c, row=row, mark=mark: c.execute(update(sources_table).where(row).values(mark=mark)))
    assert asked_until(database) == asked["second"]
    append(database, Intake([a_run("success", 60)])).result()
    assert asked_until(database) is None  # both say so: nothing is in doubt


def of_airflow(name: str) -> Declared:
    return Declared(name, "airflow", NAMESPACE, 60.0)


def asked_until(database: Database) -> datetime | None:
    """As the rules see it."""
    with database.read() as connection:
        (snapshot,) = JobLoader().load(connection, [PLACE.job("orders").id]).values()
    assert isinstance(snapshot, JobSnapshot)
    return snapshot.asked_until
