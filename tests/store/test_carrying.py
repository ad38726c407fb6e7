"""What is carried from one store into another is what the first one knew at that moment, as rules see it."""

import random
from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import func, select

from tests.builders import DAY, ORDERS, ORDERS_TABLE, complete, fail, shaped, start, task_of, writes
from tests.store.test_series import told
from watchtower.clock import ManualClock
from watchtower.model.change import Change
from watchtower.model.fact import Fact, fact_key
from watchtower.model.past import WINDOW
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, SenderSnapshot, SeriesSnapshot, Snapshot, SubjectKey
from watchtower.model.run import JobPatch, JobRef
from watchtower.model.series import Sample, SeriesRef
from watchtower.store import migrations, retention
from watchtower.store.carrying import carry, had_earlier
from watchtower.store.database import Database
from watchtower.store.facts import Intake, Kept, append
from watchtower.store.schema import observed as schema
from watchtower.store.subjects import Subjects

HOUR = timedelta(hours=1)
BILLING = JobRef(ORDERS.source, ORDERS.namespace, "billing_hourly")
SCORE = SeriesRef("score", ORDERS, {})
DAYS = 10


@pytest.fixture
def stores(tmp_path: Path, clock: ManualClock) -> Generator[tuple[Database, Database]]:
    """Two that are thrown away."""
    made = [Database(f"sqlite:///{tmp_path}/{name}.db", scratch=True) for name in ("carried", "lived")]
    for each in made:
        migrations.migrate(each, clock)
    yield made[0], made[1]
    for each in made:
        each.close()


def story(seed: int) -> list[Fact]:
    """Two jobs with a task each and a dataset that gets another column, a score, a change now and then; some runs do
    not end, or end a day later."""
    dice = random.Random(seed)
    found: list[Fact] = []
    for hour in range(24 * DAYS):
        begins = DAY + hour * HOUR + timedelta(seconds=dice.randrange(900))
        job = dice.choice([ORDERS, BILLING])
        name, task = f"r{hour}", task_of(job, "load")
        ends = begins + timedelta(minutes=dice.choice([5, 20, 24 * 60]))
        found += [start(name, begins, job=job), start(f"t{hour}", begins, job=task, parent=name)]
        end = dice.choice([complete, complete, complete, fail, None])
        if end is not None:
            found.append(end(f"t{hour}", ends, job=task, parent=name, datasets=(writes(rows=hour),)))
            found.append(end(name, ends, job=job))
        columns = [("id", "int"), ("total", "int"), ("currency", "text")][: 2 + (hour > 12 * DAYS)]
        found += [shaped(ends, *columns), told(SCORE, Sample(ends, dice.random()))]
        if dice.random() < 0.1:
            found.append(changed(ends, hour))
    return sorted(found, key=lambda each: each.received_at)


def changed(when: datetime, number: int) -> Fact:
    change = Change(when, "ci", "deploy", f"release {number}", pipelines=(ORDERS.pipeline,))
    key = fact_key(when, change.id)
    return Fact(key=key, source="ci", kind="change", event_time=when, received_at=when, body=b"{}", changes=(change,))


def paused(when: datetime) -> Fact:
    patch = JobPatch(ORDERS, paused=True)
    key = fact_key(when, "paused")
    return Fact(key=key, source="x", kind="job", event_time=when, received_at=when, body=b"{}", jobs=(patch,))


def feed(database: Database, events: list[Fact]) -> None:
    for event in events:
        append(database, Intake([event])).result()


def seen(database: Database) -> Mapping[SubjectKey, Snapshot]:
    subjects = Subjects(database, "test")
    return subjects.snapshots(subjects.named(None))


def what_rules_read(snapshot: Snapshot) -> object:
    """But for how long ago a job, or a form of a dataset, was last heard of: of that only the newest word is known."""
    match snapshot:
        case JobSnapshot():
            job = structs.replace(snapshot.job, last_seen=None)
            return job, snapshot.past, snapshot.runs, snapshot.attempts
        case DatasetSnapshot():
            return snapshot.dataset.fields, snapshot.dataset.updated_at, snapshot.updates
        case SeriesSnapshot():
            return snapshot.series, snapshot.samples, snapshot.changes
        case SenderSnapshot():
            return snapshot.sender.days[:-1]
        case _:
            raise AssertionError(snapshot)


@pytest.mark.parametrize("seed", [1, 2])
def test_rules_see_what_they_saw_at_that_moment(
    database: Database, stores: tuple[Database, Database], seed: int
) -> None:
    carried, lived = stores
    events = [*story(seed), paused(DAY + 24 * DAYS * HOUR)]
    moment = DAY + (5 * 24 + 1) * HOUR
    append(database, Intake(events)).result()
    carry(database, carried, moment)
    feed(lived, [each for each in events if each.received_at < moment])
    then, now = seen(lived), seen(carried)
    assert then.keys() == now.keys()
    assert {key.kind for key in then} == {"job", "dataset", "series", "source"}
    for key in then:
        assert what_rules_read(now[key]) == what_rules_read(then[key]), key


def test_only_as_much_is_carried_as_is_read_unless_all_is_counted(
    database: Database, stores: tuple[Database, Database]
) -> None:
    events = [each for hour in range(WINDOW + 20) for each in a_run(DAY + hour * HOUR, f"r{hour}")]
    append(database, Intake(events)).result()
    moment = DAY + (WINDOW + 20) * HOUR
    assert carry(database, stores[0], moment).runs == WINDOW
    assert carry(database, stores[1], moment, DAY + 10 * HOUR).runs == WINDOW + 10


def a_run(begins: datetime, name: str) -> list[Fact]:
    return [start(name, begins), complete(name, begins + HOUR / 2)]


def test_a_dataset_is_as_it_was_before_it_got_another_column(
    database: Database, stores: tuple[Database, Database]
) -> None:
    later = DAY + 48 * HOUR
    append(database, Intake([shaped(DAY, ("id", "int")), shaped(later, ("id", "int"), ("total", "int"))])).result()
    carry(database, stores[0], DAY + 24 * HOUR)
    found = seen(stores[0])[SubjectKey("dataset", ORDERS_TABLE.id)]
    assert isinstance(found, DatasetSnapshot)
    assert found.dataset.fields == (("id", "int"),)


def test_sketches_of_days_that_were_over_are_carried(database: Database, stores: tuple[Database, Database]) -> None:
    today = int(DAY.timestamp()) // 86_400
    retention.write_sketches(database, [(ORDERS.id, "duration_s", today + day, 1, b"x") for day in (-1, 0, 1)])
    carry(database, stores[0], DAY)
    with stores[0].read() as connection:
        assert retention.sketches_of(connection, ORDERS.id, "duration_s") == [(today - 1, b"x")]


@pytest.mark.parametrize(
    ("first_id", "days_old", "had"), [(1, 40, False), (7, 0.1, False), (7, 2, True)], ids=["all kept", "new", "older"]
)
def test_a_store_that_is_no_older_than_its_events_had_none_before(
    database: Database, first_id: int, days_old: float, had: bool
) -> None:
    with database.read() as connection:
        created = connection.scalar(select(func.min(schema.migrations.c.applied_at)))
    assert created is not None
    oldest = created + timedelta(days=days_old)
    assert had_earlier(database, Kept(first_id, 100, oldest, oldest + HOUR)) is had
