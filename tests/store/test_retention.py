"""What is old goes, what is open stays, and durations outlive their runs as sketches."""

from datetime import timedelta

from sqlalchemy import Table, func, select

from tests.builders import DAY, alias, complete, start
from watchtower.model.fact import Fact
from watchtower.model.run import stable_id
from watchtower.store import retention
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all
from watchtower.store.retention import Retention
from watchtower.store.schema.observed import facts, run_aliases, runs

OLD = DAY - timedelta(days=500)


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def feed(database: Database, *events: Fact) -> None:
    database.write(lambda connection: append_all(connection, [Intake(list(events))]))


def test_old_runs_and_facts_go_with_their_names(database: Database) -> None:
    old, new = ("native|airflow|orders_hourly|old|0",), ("native|airflow|orders_hourly|new|0",)
    feed(database, start("old", OLD, also_known_as=old), complete("old", OLD + timedelta(seconds=9)))
    feed(database, complete("new", DAY, also_known_as=new))
    gone = retention.delete_old(database, Retention(), DAY)
    assert (gone["facts"], gone["runs"]) == (2, 1)
    assert [count(database, table) for table in (facts, runs, run_aliases)] == [1, 1, 1]


def test_a_run_that_never_ended_stays(database: Database) -> None:
    feed(database, start("orphan", OLD))
    assert retention.delete_old(database, Retention(), DAY)["runs"] == 0
    assert count(database, runs) == 1


def test_more_than_one_chunk_is_deleted(database: Database) -> None:
    amount = retention.CHUNK + 7
    feed(database, *(complete(f"r{n}", OLD + timedelta(seconds=n)) for n in range(amount)))
    assert retention.delete_old(database, Retention(), DAY)["runs"] == amount


def test_a_closed_day_gives_the_durations_of_each_job_once(database: Database) -> None:
    yesterday = DAY - timedelta(days=1)
    feed(
        database,
        *(start(f"r{n}", yesterday + timedelta(minutes=n)) for n in range(3)),
        *(complete(f"r{n}", yesterday + timedelta(minutes=n, seconds=10 + n)) for n in range(3)),
        start("today", DAY),
        complete("today", DAY + timedelta(seconds=5)),
    )
    (day,) = retention.unsketched_days(database, DAY, 100)
    assert day.durations_s == (10.0, 11.0, 12.0)
    retention.write_sketches(database, [(day.subject, "duration_s", day.day, 3, b"sketch")])
    assert retention.unsketched_days(database, DAY, 100) == []
    with database.read() as connection:
        assert retention.sketches_of(connection, day.subject, "duration_s") == [(day.day, b"sketch")]


def test_ids_of_deleted_runs_are_not_found_again(database: Database) -> None:
    feed(database, complete("old", OLD))
    retention.delete_old(database, Retention(), DAY)
    with database.read() as connection:
        wanted = stable_id("run", alias("old"))
        assert connection.execute(select(runs.c.id).where(runs.c.id == wanted)).first() is None
