"""The same events in any order, any number of times, give the same store (promise P2), on every engine."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection, select

from tests.builders import (
    DAY,
    ORDERS,
    ORDERS_TABLE,
    alias,
    at,
    complete,
    fail,
    owned,
    shaped,
    start,
    task_of,
    writes,
)
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, RunState, Trigger, stable_id
from watchtower.model.sender import sender_id
from watchtower.store import datasets as datasets_store
from watchtower.store import due, identities, runs
from watchtower.store import jobs as jobs_store
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all
from watchtower.store.schema.observed import (
    dataset_updates,
    datasets,
    facts,
    job_datasets,
    jobs,
    run_aliases,
)
from watchtower.store.schema.observed import runs as runs_table

LOAD = task_of(ORDERS, "load")
TABLES = (runs_table, run_aliases, jobs, datasets, dataset_updates, job_datasets)

STORY: list[Fact] = [
    start("r1", at(0), nominal_start=DAY, tags={"tier": "1"}),
    start("t1", at(1), job=LOAD, parent="r1", attempt=1, max_attempts=2, datasets=(writes(rows=None),)),
    fail("t1", at(3), job=LOAD, parent="r1", attempt=1, final=False, message="temporary network error"),
    start("t2", at(5), job=LOAD, parent="r1", attempt=2),
    complete("t2", at(9), job=LOAD, parent="r1", attempt=2, final=True, datasets=(writes(rows=120),)),
    complete("r1", at(10), wall_s=10.0, tags={"tier": "2"}),
    start("r2", at(3600), nominal_start=at(3600)),
    fail("r2", at(3610), message="task_failure"),
    complete("r2", at(3609), authority=Authority.API, external_url="https://airflow.example/r2"),
    complete("b1", at(4000), trigger=Trigger.BACKFILL, datasets=(writes(rows=5, partition="2026-01-01"),)),
    owned(ORDERS, "data-platform", at(0)),
    owned(ORDERS, "shop-data", at(120)),
    shaped(at(0), ("id", "int"), ("total", "numeric")),
    shaped(at(7_300), ("id", "int")),
    shaped(at(9_000), ("id", "int"), ("total", "numeric")),
    shaped(at(14_600), ("id", "int")),
]


def rows(connection: Connection) -> dict[str, list[Any]]:
    """Everything that was folded, in a comparable form."""
    return {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in TABLES}


def feed(database: Database, batches: list[list[Fact]]) -> dict[str, list[Any]]:
    for batch in batches:
        database.write(lambda connection, batch=batch: append_all(connection, [Intake(batch)]))
    with database.read() as connection:
        return rows(connection)


def clear(database: Database) -> None:
    def unit(connection: Connection) -> None:
        for table in (*TABLES, facts, due.due):
            connection.execute(table.delete())

    database.write(unit)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), repeats=st.integers(1, 2), cut=st.integers(1, 6))
def test_any_order_and_repetition_gives_the_same_state(database: Database, seed: int, repeats: int, cut: int) -> None:
    clear(database)
    expected = feed(database, [STORY])
    clear(database)
    shuffled = STORY * repeats
    random.Random(seed).shuffle(shuffled)
    assert feed(database, [shuffled[n : n + cut] for n in range(0, len(shuffled), cut)]) == expected


def test_a_repeated_fact_is_stored_once(database: Database) -> None:
    feed(database, [STORY, STORY])
    with database.read() as connection:
        assert len(connection.execute(select(facts)).all()) == len(STORY)


def test_a_late_start_does_not_reopen_an_ended_run(database: Database) -> None:
    feed(database, [[complete("r1", at(10))], [start("r1", at(0))], [start("r1", at(20))]])
    with database.read() as connection:
        run = runs.get(connection, stable_id("run", alias("r1")))
    assert run is not None
    assert (run.state, run.started_at, run.ended_at) == (RunState.SUCCEEDED, at(0), at(10))
    assert run.duration_s == 10


def test_the_last_forms_of_a_dataset_are_kept_and_a_new_one_makes_it_due(database: Database) -> None:
    wide = [shaped(at(3_600 * hour), ("id", "int"), (f"c{hour}", "text")) for hour in range(6)]
    feed(database, [[wide[0]]])
    with database.read() as connection:
        assert f"dataset:{ORDERS_TABLE.id}" in connection.scalars(select(due.due.c.subject)).all()
    feed(database, [[each] for each in wide[1:]])
    with database.read() as connection:
        dataset = datasets_store.by_id(connection, [ORDERS_TABLE.id])[ORDERS_TABLE.id]
    assert [version.fields[1][0] for version in dataset.versions] == ["c2", "c3", "c4", "c5"]
    assert (dataset.versions[-1].first_at, dataset.fields) == (at(18_000), dataset.versions[-1].fields)


def test_absent_never_overwrites_present(database: Database) -> None:
    feed(database, [[start("r1", at(0), actor="scheduler", attempt=2)], [complete("r1", at(10))]])
    with database.read() as connection:
        run = runs.get(connection, stable_id("run", alias("r1")))
    assert run is not None
    assert (run.actor, run.attempt) == ("scheduler", 2)


def test_a_task_heard_of_before_its_run_hangs_under_it(database: Database) -> None:
    feed(database, [[start("t1", at(1), job=LOAD, parent="r1")], [start("r1", at(0))]])
    with database.read() as connection:
        parent = runs.get(connection, stable_id("run", alias("r1")))
        assert parent is not None
        assert [run.job.task for run in runs.attempts_of(connection, [parent.id])[parent.id]] == ["load"]


def test_a_run_known_by_two_names_becomes_one_and_the_old_id_still_leads_to_it(database: Database) -> None:
    native = "native|airflow-prod|orders_hourly|scheduled__1|0"
    polled = start("r1", at(0))
    assert polled.run is not None
    only_native = replace(polled, run=replace(polled.run, aliases=(native,), ol_run_id=None, actor="poller"))
    only_stream = start("r1", at(0), code_version="abc")
    both = complete("r1", at(10), also_known_as=(native,))
    feed(database, [[only_native], [only_stream], [both]])
    with database.read() as connection:
        found = connection.execute(select(runs_table.c.id)).scalars().all()
        assert found == [stable_id("run", alias("r1"))]
        run = runs.get(connection, stable_id("run", native))
    assert run is not None
    assert (run.id, run.actor, run.code_version, run.state) == (found[0], "poller", "abc", RunState.SUCCEEDED)


def test_a_cleared_run_with_the_same_native_id_stays_a_run_of_its_own(database: Database) -> None:
    native = "native|airflow-prod|orders_hourly|scheduled__1|0"
    feed(
        database,
        [
            [start("r1", at(0), also_known_as=(native,)), fail("r1", at(5), also_known_as=(native,))],
            [start("r2", at(60), also_known_as=(native,))],
        ],
    )
    with database.read() as connection:
        found = connection.execute(select(runs_table.c.ol_run_id, runs_table.c.state)).all()
        states = {row.ol_run_id: row.state for row in found}
    assert states == {"r1": "failed", "r2": "running"}


def test_a_name_that_an_id_is_made_from_takes_no_row_however_it_came_to_be_known(database: Database) -> None:
    child, run = start("t1", at(1), job=LOAD, parent="r1"), start("r1", at(0))
    promised = feed(database, [[child]])["run_aliases"]
    assert len(promised) == 1  # its run was not heard of yet
    assert feed(database, [[run], [complete("r1", at(9))]])["run_aliases"] == []
    clear(database)
    assert feed(database, [[child, run]])["run_aliases"] == []
    with database.read() as connection:
        assert identities.resolve(connection, [alias("r1"), alias("r2")]).run_ids == {
            alias("r1"): stable_id("run", alias("r1"))
        }


def test_a_merged_run_keeps_its_names_and_joins_no_other(database: Database) -> None:
    """What a poll and a stream called by different ids is one run; a further OpenLineage id of the same native run is a
    run of its own, as ever."""
    native = "native|airflow-prod|orders_hourly|scheduled__1|0"
    streamed = start("r1", at(0))
    assert streamed.run is not None
    polled = replace(streamed, run=replace(streamed.run, aliases=(native,), ol_run_id=None))
    joined = complete("r1", at(10), authority=Authority.API)
    assert joined.run is not None
    joined = replace(joined, run=replace(joined.run, aliases=(native, alias("r1"))))
    feed(database, [[streamed], [polled], [joined], [fail("r1", at(5), message="late")]])
    cleared = start("r2", at(60), also_known_as=(native,))
    feed(database, [[cleared]])
    survivor, other = stable_id("run", native), stable_id("run", alias("r2"))
    with database.read() as connection:
        assert sorted(connection.scalars(select(runs_table.c.id))) == sorted([survivor, other])
        found = identities.resolve(connection, [alias("r1"), alias("r2"), native]).run_ids
    assert found == {alias("r1"): survivor, alias("r2"): other, native: survivor}


def test_a_dataset_is_fresh_from_the_end_of_a_run_that_ended_well(database: Database) -> None:
    batches = [
        [start("r1", at(0), datasets=(writes(rows=None),))],
        [fail("r2", at(50), datasets=(writes(),))],
        [complete("b1", at(90), trigger=Trigger.BACKFILL, datasets=(writes(),))],
        [complete("r1", at(10), datasets=(writes(rows=7),))],
    ]
    feed(database, batches)
    with database.read() as connection:
        row = connection.execute(select(datasets).where(datasets.c.id == ORDERS_TABLE.id)).one()
        updates = connection.execute(
            select(dataset_updates.c.row_count).where(dataset_updates.c.at == at(10))
        ).scalars()
        assert list(updates) == [7]
    assert row.updated_at == at(10)


def test_a_fact_makes_its_pipeline_its_sender_and_what_it_wrote_due(database: Database) -> None:
    feed(database, [[complete("t1", at(5), job=LOAD, parent="r1", datasets=(writes(),))]])
    with database.read() as connection:
        subjects = {claimed.subject for claimed in due.peek(connection, due.RULES, at(5), 10)}
    sender = sender_id(ORDERS.source, ORDERS.namespace)
    assert subjects == {f"job:{ORDERS.id}", f"dataset:{ORDERS_TABLE.id}", f"source:{sender}"}


def test_a_mark_during_an_evaluation_is_not_lost(database: Database) -> None:
    def mark(when: float) -> None:
        database.write(lambda connection: due.mark(connection, due.RULES, ["job:a"], at(when)))

    def claimed() -> list[due.Claimed]:
        return database.write(lambda connection: due.claim(connection, due.RULES, at(100), 10, "me"))

    mark(0)
    (first,) = claimed()
    assert claimed() == [], "leased"
    mark(50)
    database.write(lambda connection: due.settle(connection, due.RULES, [("job:a", first.version, at(9999))]))
    (second,) = claimed()
    assert second.version == first.version + 1
    database.write(lambda connection: due.settle(connection, due.RULES, [("job:a", second.version, at(9999))]))
    assert claimed() == []
    with database.read() as connection:
        assert due.next_at(connection) == at(9999)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["fail first", "api first"])
def test_the_orchestrators_own_word_beats_the_stream(database: Database, order: tuple[int, int]) -> None:
    events = [fail("r2", at(3610)), complete("r2", at(3609), authority=Authority.API)]
    feed(database, [[events[n]] for n in order])
    with database.read() as connection:
        run = runs.get(connection, stable_id("run", alias("r2")))
    assert run is not None
    assert (run.state, run.ended_at) == (RunState.SUCCEEDED, at(3609))


def test_a_declared_job_is_expected_to_run_from_its_declaration(database: Database) -> None:
    def first_seen() -> object:
        with database.read() as connection:
            return jobs_store.by_id(connection, [ORDERS.id])[ORDERS.id].first_seen

    database.write(lambda connection: jobs_store.declare(connection, [ORDERS], at(0)))
    database.write(lambda connection: jobs_store.declare(connection, [ORDERS], at(600)))
    assert first_seen() == at(0), "declared again after a restart: the first declaration counts"
    feed(database, [[start("r1", at(900))]])
    assert first_seen() == at(0)
