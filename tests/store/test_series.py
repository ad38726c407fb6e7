"""Series in any order and repetition give the same rows; names of jobs are found; what is old goes."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from tests.builders import DAY, ORDERS, ORDERS_TABLE, at, complete, fail, start, task_of, writes
from watchtower.model.alert import Alert, AlertState
from watchtower.model.change import Change
from watchtower.model.derived import derived_id
from watchtower.model.fact import Fact, fact_key
from watchtower.model.rule import SeriesSnapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.model.series import Sample, SeriesKind, SeriesPatch, SeriesRef
from watchtower.ports import Outcome
from watchtower.store import alerts, due, facts, retention
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Intake
from watchtower.store.retention import Retention
from watchtower.store.schema.observed import quarantine
from watchtower.store.schema.series import samples, series
from watchtower.store.series import Naming
from watchtower.store.snapshots import LOADERS, loaders

SCORE = SeriesRef("model_validation_score", ORDERS, {"model": "churn"})


def told(ref: SeriesRef, *given: Sample, **said: Any) -> Fact:
    historical = said.pop("historical", False)
    patch = SeriesPatch(ref, said.pop("source", "series"), given, **said)
    newest = max(sample.at for sample in given)
    return Fact(
        key=fact_key(newest, repr(patch)),
        source=patch.source,
        kind="series",
        event_time=newest,
        received_at=newest,
        body=repr(patch).encode(),
        historical=historical,
        series=(patch,),
    )


def of(pipeline: str, namespace: str = "", source: str = "", task: str | None = None) -> SeriesRef:
    return SeriesRef("rows", JobRef(source, namespace, pipeline, task))


def feed(database: Database, *given: Fact, **options: Any) -> Appended:
    return database.write(lambda connection: facts.append_all(connection, [Intake(given, **options)]))[0]


def rows(database: Database) -> list[str]:
    with database.read() as connection:
        return [repr(row) for table in (series, samples) for row in sorted(connection.execute(select(table)).all())]


def load(database: Database, ident: str) -> SeriesSnapshot:
    key = SubjectKey("series", ident)
    with database.read() as connection:
        found = LOADERS["series"].load(connection, [ident])[key]
    assert isinstance(found, SeriesSnapshot)
    return found


def test_a_snapshot_has_what_changed_its_job_since_its_oldest_sample(database: Database) -> None:
    known = told(SCORE, Sample(at(10), 0.9), Sample(at(60), 0.8))
    deploys = [
        Change(at(minute), "ci", "deploy", title, pipelines=(pattern,))
        for minute, title, pattern in ((5, "before", "*"), (20, "another's", "billing*"), (30, "its own", "orders*"))
    ]
    feed(database, complete("r1", at(0)), msgspec.structs.replace(known, changes=tuple(deploys)))
    assert [change.title for change in load(database, SCORE.id).changes] == ["its own"]


STORY = [
    told(SCORE, Sample(at(0), 0.9), unit="1"),
    told(SCORE, Sample(at(0), 0.8, run="r1")),
    told(SCORE, Sample(at(0), 0.9, run="r1"), source="other"),
    told(SCORE, Sample(at(60), 0.7), Sample(at(30), 0.6), unit="ratio"),
    told(SCORE, Sample(at(60), 0.7, stats={"count": 3.0}), kind=SeriesKind.HISTOGRAM),
    told(SCORE, Sample(at(60), -0.0), Sample(at(60), 0.7, start=at(1))),
    told(SCORE, Sample(at(90), 0.0), historical=True),
    told(SCORE, Sample(at(90), -0.0)),
    told(replace(SCORE, labels={}), Sample(at(5), 1.0), kind=SeriesKind.SUM, is_delta=True),
    told(SeriesRef("queue", None, {"host": "a"}), Sample(at(7), 2.0)),
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), repeats=st.integers(1, 2), cut=st.integers(1, 6))
def test_any_order_and_repetition_gives_the_same_rows(database: Database, seed: int, repeats: int, cut: int) -> None:
    clear(database)
    feed(database, *STORY)
    expected = rows(database)
    clear(database)
    shuffled = STORY * repeats
    random.Random(seed).shuffle(shuffled)
    for place in range(0, len(shuffled), cut):
        feed(database, *shuffled[place : place + cut])
    assert rows(database) == expected


def clear(database: Database) -> None:
    def unit(connection: Connection) -> None:
        connection.execute(samples.delete())
        connection.execute(series.delete())

    database.write(unit)


def test_a_snapshot_holds_the_newest_samples_and_the_last_word_on_the_unit(database: Database) -> None:
    feed(database, *STORY)
    found = load(database, SCORE.id)
    assert [(sample.at, sample.value) for sample in found.samples] == [
        (at(90), 0.0), (at(60), 0.7), (at(30), 0.6), (at(0), 0.9),
    ]  # fmt: skip
    assert (found.series.unit, found.series.first_seen, found.series.last_at) == ("ratio", at(0), at(90))
    assert not found.samples[0].historical, "it was told live too"
    assert found.labels["model"] == "churn"
    assert found.labels["pipeline"] == ORDERS.pipeline


def test_a_snapshot_is_bounded(database: Database) -> None:
    feed(database, told(SCORE, *(Sample(at(second), float(second)) for second in range(600))))
    assert [sample.value for sample in load(database, SCORE.id).samples] == [float(599 - n) for n in range(500)]


# -- which job is meant -------------------------------------------------------------------------------------------


def meant(database: Database) -> list[tuple[str | None, str | None, str | None]]:
    with database.read() as connection:
        query = select(series.c.job_source, series.c.namespace, series.c.pipeline).order_by(series.c.namespace)
        return [(row.job_source, row.namespace, row.pipeline) for row in connection.execute(query)]


def test_a_job_that_is_known_once_needs_no_namespace(database: Database) -> None:
    feed(database, complete("r1", at(0)))
    feed(database, told(of(ORDERS.pipeline), Sample(at(1), 5.0)), told(of(ORDERS.pipeline, "prod"), Sample(at(2), 6.0)))
    assert meant(database) == [(ORDERS.source, ORDERS.namespace, ORDERS.pipeline)]


def test_a_job_told_of_in_the_same_batch_is_known(database: Database) -> None:
    feed(database, complete("r1", at(0)), told(of(ORDERS.pipeline), Sample(at(1), 5.0)))
    assert meant(database) == [(ORDERS.source, ORDERS.namespace, ORDERS.pipeline)]


def test_a_job_that_nobody_told_of_lies_in_the_namespace_default_and_is_not_watched(database: Database) -> None:
    feed(database, told(of("nightly"), Sample(at(1), 5.0)), told(of("nightly", "prod"), Sample(at(1), 5.0)))
    assert meant(database) == [
        ("openlineage:default", "default", "nightly"),
        ("openlineage:prod", "prod", "nightly"),
    ]
    with database.read() as connection:
        assert LOADERS["job"].ids(connection, None) == []


def test_the_configured_namespace_is_meant_where_none_is_said(database: Database) -> None:
    naming = Naming(lambda namespace: f"of-{namespace}", only_namespace="prod")
    feed(database, told(of("nightly"), Sample(at(1), 5.0)), naming=naming)
    assert meant(database) == [("of-prod", "prod", "nightly")]


def test_an_ambiguous_name_is_kept_with_the_candidates_and_its_neighbours_are_stored(database: Database) -> None:
    staging = msgspec.structs.replace(ORDERS, namespace="staging", source="airflow-staging")
    feed(database, complete("r1", at(0)), complete("r2", at(0), job=staging))
    vague = told(of(ORDERS.pipeline), Sample(at(1), 5.0))
    appended = feed(database, told(SCORE, Sample(at(1), 1.0)), vague)
    (unfit,) = appended.unfit
    assert (unfit.place, unfit.reason, unfit.samples) == (1, "ambiguous_job", 1)
    assert "prod (source airflow-prod), staging (source airflow-staging)" in unfit.message
    with database.read() as connection:
        (kept,) = connection.execute(select(quarantine)).all()
    assert (kept.collector, kept.reason, kept.body) == ("series", "ambiguous_job", vague.body)
    assert len(meant(database)) == 1
    only = feed(database, told(of(ORDERS.pipeline, source="airflow-staging"), Sample(at(1), 5.0)))
    assert not only.unfit, "a token of one source means its own job"


# -- the due queue ------------------------------------------------------------------------------------------------


def due_series(database: Database) -> list[str]:
    with database.read() as connection:
        claimed = due.peek(connection, due.RULES, at(10_000), 100)
    return sorted(row.subject for row in claimed if row.subject.startswith("series:"))


def settle(database: Database) -> None:
    def unit(connection: Connection) -> None:
        claimed = due.peek(connection, due.RULES, at(10_000), 100)
        due.settle(connection, due.RULES, [(row.subject, row.version, None) for row in claimed])

    database.write(unit)


def append(database: Database, *given: Fact, **options: Any) -> None:
    facts.append(database, Intake(given, **options)).result(10)


def test_a_series_is_due_when_it_is_new_and_then_only_if_a_rule_names_it(database: Database) -> None:
    append(database, told(SCORE, Sample(at(0), 1.0)), watch_series=frozenset())
    assert due_series(database) == [f"series:{SCORE.id}"]
    settle(database)
    append(database, told(SCORE, Sample(at(1), 1.0)), watch_series=frozenset())
    assert due_series(database) == []
    append(database, told(SCORE, Sample(at(2), 1.0)), watch_series=frozenset({SCORE.name}))
    assert due_series(database) == [f"series:{SCORE.id}"]


LOAD = task_of(ORDERS, "load")


@pytest.mark.parametrize(
    ("watch", "tasks", "expected"),
    [
        (frozenset[str](), False, []),
        (frozenset({"model_validation_score"}), False, []),
        (frozenset({"failure_count"}), False, [derived_id("failure_count", ORDERS.id)]),
        (
            frozenset({"failure_count"}),
            True,
            sorted([derived_id("failure_count", ORDERS.id), derived_id("failure_count", LOAD.id)]),
        ),
    ],
)
def test_the_end_of_a_run_makes_derived_series_due_as_far_as_rules_name_them(
    database: Database, watch: frozenset[str], tasks: bool, expected: list[str]
) -> None:
    append(
        database,
        start("r1", at(0)),
        complete("t1", at(5), job=LOAD, parent="r1"),
        complete("r1", at(9)),
        watch_series=watch,
        watch_tasks=tasks,
    )
    assert due_series(database) == [f"series:{ident}" for ident in expected]


def test_a_run_that_only_began_makes_no_derived_series_due(database: Database) -> None:
    append(database, start("r1", at(0)), watch_series=frozenset({"failure_count"}))
    assert due_series(database) == []


# -- what is worked out from runs ---------------------------------------------------------------------------------

RUNS = [
    start("r1", at(0)),
    complete("t1", at(50), job=LOAD, parent="r1", datasets=(writes(rows=1_000), writes(rows=200, partition="p"))),
    complete("r1", at(60), datasets=(writes(msgspec.structs.replace(ORDERS_TABLE, name="log"), rows=12),)),
    start("r2", at(100)),
    fail("r2", at(130)),
    start("r3", at(200)),
    complete("r3", at(220)),
    start("r4", at(300)),
]


@pytest.mark.parametrize(
    ("name", "unit", "values"),
    [
        ("job_duration_seconds", "s", [(220, 20.0), (60, 60.0)]),
        ("failure_count", None, [(220, 0.0), (130, 1.0), (60, 0.0)]),
        ("records_processed_per_second", "rows/s", [(60, 1_212 / 60)]),
    ],
)
def test_derived_series(database: Database, name: str, unit: str | None, values: list[tuple[int, float]]) -> None:
    feed(database, *RUNS)
    found = load(database, derived_id(name, ORDERS.id))
    assert [(sample.at, sample.value) for sample in found.samples] == [(at(second), value) for second, value in values]
    assert (found.series.derived, found.series.unit) == (True, unit)
    assert found.job is not None
    assert rows(database) == [], "nothing of it is stored"


def test_a_series_that_a_job_tells_itself_takes_the_place_of_the_derived_one(database: Database) -> None:
    feed(database, *RUNS, told(SeriesRef("job_duration_seconds", ORDERS), Sample(at(220), 19.0)))
    assert load(database, derived_id("job_duration_seconds", ORDERS.id)).samples == ()
    assert load(database, derived_id("failure_count", ORDERS.id)).samples


def test_series_are_found_by_their_name_and_by_that_of_their_pipeline(database: Database) -> None:
    feed(database, *RUNS, told(SCORE, Sample(at(1), 1.0)), told(SeriesRef("queue"), Sample(at(1), 1.0)))
    watched = loaders(lambda: frozenset({"failure_count"}))["series"]
    pipeline, task = derived_id("failure_count", ORDERS.id), derived_id("failure_count", LOAD.id)
    with database.read() as connection:
        assert watched.ids(connection, SCORE.name) == [SCORE.id]
        assert set(watched.ids(connection, ORDERS.pipeline)) == {SCORE.id, pipeline, task}
        assert set(watched.ids(connection, "failure_count")) == {pipeline, task}
        assert set(watched.ids(connection, None)) == {SCORE.id, SeriesRef("queue").id, pipeline, task}
        assert set(LOADERS["series"].ids(connection, None)) == {SCORE.id, SeriesRef("queue").id}


# -- retention ----------------------------------------------------------------------------------------------------


def test_old_samples_go_and_a_series_without_any_goes_with_them(database: Database) -> None:
    old = DAY - timedelta(days=100)
    feed(database, told(SCORE, Sample(old, 1.0), Sample(DAY, 2.0)), told(SeriesRef("queue"), Sample(old, 3.0)))
    feed(database, told(SeriesRef("flood"), *(Sample(old - timedelta(seconds=n), 0.0) for n in range(retention.CHUNK))))
    assert retention.delete_old(database, Retention(series_days=90), DAY)["series"] == retention.CHUNK + 2
    with database.read() as connection:
        assert connection.scalars(select(series.c.name)).all() == [SCORE.name]
        assert connection.scalars(select(samples.c.value)).all() == [2.0]


def test_a_series_with_an_open_alert_stays_until_it_ends(database: Database) -> None:
    old = DAY - timedelta(days=100)
    feed(database, told(SeriesRef("queue"), Sample(old, 3.0)))
    key = SubjectKey("series", SeriesRef("queue").id)
    alert = Alert("a1", "f1", "Full", str(key), {"alertname": "Full"}, {}, AlertState.FIRING, old, old)
    database.write(lambda connection: alerts.write_outcomes(connection, [Outcome(key, 1, None, (alert,), ())], old))
    retention.delete_old(database, Retention(series_days=90), DAY)
    assert load(database, key.id).alerts == (alert,)
