"""What changed before a failure without anybody announcing it: read from runs and the columns of what they read."""

from datetime import timedelta
from typing import Any

from tests.builders import DAY, ORDERS, ORDERS_TABLE, complete, fail, shaped, start
from watchtower.model.change import BY_HAND, CODE, COLUMNS, ENGINE, ENVIRONMENT, Change
from watchtower.model.fact import Fact
from watchtower.model.run import ENGINE_TAG, DatasetIO, Trigger
from watchtower.store import changes, jobs
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.subjects import Subjects

HOUR = timedelta(hours=1)


def feed(database: Database, *events: Fact) -> None:
    append(database, Intake(list(events))).result()


def told(database: Database, hours: float, within: timedelta = timedelta(days=1)) -> list[Change]:
    with database.read() as connection:
        job = jobs.by_id(connection, [ORDERS.id])[ORDERS.id]
        return changes.before(connection, job, DAY + hours * HOUR, within)


def test_another_version_of_code_engine_or_environment_is_a_change_from_the_run_that_had_it(database: Database) -> None:
    feed(
        database,
        start("r1", DAY, code_version="1.4", environment="prod", tags={ENGINE_TAG: "Airflow 3.0.1"}),
        start("r2", DAY + HOUR),  # says nothing of it: that is no change
        start("r3", DAY + 2 * HOUR, code_version="1.5", environment="prod", tags={ENGINE_TAG: "Airflow 3.0.2"}),
        start("r4", DAY + 3 * HOUR, code_version="1.5", environment="staging", tags={ENGINE_TAG: "Airflow 3.0.2"}),
    )
    found = told(database, 4)
    assert {(each.kind, each.title, each.at - DAY) for each in found} == {
        (ENVIRONMENT, "prod → staging", 3 * HOUR),
        (CODE, "1.4 → 1.5", 2 * HOUR),
        (ENGINE, "Airflow 3.0.1 → Airflow 3.0.2", 2 * HOUR),
    }
    assert found[0].at > found[1].at, "newest first"
    assert told(database, 1.5) == []
    assert {each.kind for each in told(database, 4, HOUR)} == {ENVIRONMENT}


def test_it_does_not_matter_in_which_order_the_runs_were_heard_of(database: Database) -> None:
    first, second, third = (
        start(f"r{hour}", DAY + hour * HOUR, code_version=code) for hour, code in enumerate(["a", "a", "b"])
    )
    feed(database, third)
    feed(database, first, second)
    assert [(each.kind, each.title, each.at) for each in told(database, 4)] == [(CODE, "a → b", DAY + 2 * HOUR)]


def test_a_start_by_hand_is_a_change_where_runs_were_scheduled_before(database: Database) -> None:
    by_hand: dict[str, Any] = {"trigger": Trigger.MANUAL, "actor": "ada", "native_run_id": "manual__1"}
    feed(database, start("r1", DAY), start("r2", DAY + HOUR, **by_hand), start("r3", DAY + 2 * HOUR, **by_hand))
    (only,) = told(database, 4)
    assert (only.kind, only.title, only.actor, only.at) == (BY_HAND, "manual__1", "ada", DAY + HOUR)


def test_other_columns_of_what_a_pipeline_reads_are_a_change(database: Database) -> None:
    feed(
        database,
        complete("r1", DAY, datasets=(DatasetIO(ORDERS_TABLE, "in"),)),
        shaped(DAY, ("id", "int"), ("total", "int")),
        shaped(DAY + 2 * HOUR, ("id", "bigint")),
    )
    (only,) = told(database, 4)
    assert (only.kind, only.at) == (COLUMNS, DAY + 2 * HOUR)
    assert only.title == "shop.public.orders: total is gone; id was int and is bigint"


def test_rules_are_told_of_them_for_the_jobs_that_they_name(database: Database) -> None:
    feed(
        database,
        complete("r1", DAY, code_version="a"),
        complete("r2", DAY + HOUR, code_version="b"),
        fail("r3", DAY + 2 * HOUR, code_version="c"),
    )
    with database.read() as connection:
        known = jobs.by_id(connection, [ORDERS.id])
    found = Subjects(database, "wt-a").changed([known[ORDERS.id]], DAY + 3 * HOUR, timedelta(minutes=90))
    assert [each.title for each in found] == ["b → c"]
