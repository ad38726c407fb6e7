"""The engine on the real stores: facts in, the due queue followed on a clock, alerts and transitions out."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select

from rules.defaults import DEFAULT_RULES
from rules.engine import Engine
from tests.builders import ORDERS, ORDERS_TABLE, at, complete, fail, start, task_of, writes
from tests.rules.memory import OneReceiver
from tests.rules.test_docs import KINDS
from watchtower.clock import ManualClock
from watchtower.model.fact import Fact
from watchtower.model.run import JobRef, Trigger
from watchtower.store import due, facts
from watchtower.store.database import Database
from watchtower.store.schema.alerting import alerts, transitions
from watchtower.store.subjects import Subjects

HOUR = 3600


class House:
    """A store, an engine and a clock."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock = database, clock
        subjects = Subjects(database, "test")
        self.engine = Engine(subjects, OneReceiver(), clock, lambda: DEFAULT_RULES, KINDS)

    def hear(self, *heard: Fact) -> None:
        """Take facts in when they happen, doing what is due before each."""
        for one in sorted(heard, key=lambda each: each.event_time):
            self.run_until(one.event_time)
            facts.append(self.database, facts.Intake([one])).result(10)
            self.run_until(one.event_time)

    def run_until(self, end: datetime) -> None:
        while (following := self._next_at()) is not None and following <= end:
            self.clock.set(max(following, self.clock.now()))
            assert self.engine.step()
        self.clock.set(max(end, self.clock.now()))

    def told(self) -> list[tuple[str, str, datetime]]:
        query = (
            select(alerts.c.rule, transitions.c.kind, transitions.c.at)
            .join(alerts, alerts.c.id == transitions.c.alert_id)
            .order_by(transitions.c.id)
        )
        with self.database.read() as connection:
            return [(row.rule, row.kind, row.at) for row in connection.execute(query)]

    def _next_at(self) -> datetime | None:
        with self.database.read() as connection:
            return due.next_at(connection, [due.RULES])


@pytest.fixture
def house(database: Database, clock: ManualClock) -> House:
    return House(database, clock)


def _hourly(count: int, first: int = 0, minutes: float = 10) -> list[Fact]:
    return [
        heard
        for hour in range(first, first + count)
        for heard in (
            start(f"h{hour}", at(hour * HOUR), nominal_start=at(hour * HOUR)),
            complete(f"h{hour}", at(hour * HOUR + minutes * 60)),
        )
    ]


def test_a_task_that_fails_for_good_is_told_at_once_and_resolved_by_the_next_success(house: House) -> None:
    load = task_of(ORDERS, "load")
    house.hear(
        start("h0", at(0)),
        start("t1", at(10), job=load, parent="h0", attempt=1, max_attempts=2),
        fail("t1", at(20), job=load, parent="h0", attempt=1, max_attempts=2, final=False),
        start("t2", at(30), job=load, parent="h0", attempt=2, max_attempts=2),
        fail("t2", at(40), job=load, parent="h0", attempt=2, max_attempts=2, final=True),
        fail("h0", at(50)),
        start("h1", at(HOUR)),
        complete("h1", at(HOUR + 600)),
    )
    assert house.told() == [("RunFailed", "firing", at(40)), ("RunFailed", "resolved", at(HOUR + 600))]


def test_after_ten_runs_a_missing_and_a_slow_run_are_told_at_their_moments(house: House) -> None:
    house.hear(*_hourly(12))
    house.run_until(at(12 * HOUR + 600))  # the thirteenth never starts
    assert house.told() == [("RunMissing", "firing", at(12 * HOUR + 300))]
    house.hear(start("h13", at(13 * HOUR), nominal_start=at(13 * HOUR)))
    assert house.told()[1:] == [("RunMissing", "resolved", at(13 * HOUR))]
    house.run_until(at(13 * HOUR + 1200))
    # p95 × 1.5 of ten minutes each
    assert house.told()[2:] == [("RunSlow", "firing", at(13 * HOUR + 900))]
    house.hear(complete("h13", at(13 * HOUR + 1300)), *_hourly(1, first=14))
    assert house.told()[3:] == [("RunSlow", "resolved", at(14 * HOUR + 600))]


def test_a_backfill_neither_pages_nor_makes_a_dataset_fresh(house: House) -> None:
    written = [
        heard
        for hour in range(12)
        for heard in (
            start(f"h{hour}", at(hour * HOUR), nominal_start=at(hour * HOUR)),
            complete(f"h{hour}", at(hour * HOUR + 600), datasets=(writes(ORDERS_TABLE),)),
        )
    ]
    house.hear(*written)
    backfill: dict[str, Any] = {"trigger": Trigger.BACKFILL, "nominal_start": at(-9 * HOUR)}
    house.hear(
        start("b1", at(12 * HOUR), **backfill),
        complete("b1", at(12 * HOUR + 60), datasets=(writes(ORDERS_TABLE),), **backfill),
        start("b2", at(12 * HOUR + 120), **backfill),
        fail("b2", at(12 * HOUR + 180), **backfill),
    )
    house.run_until(at(13 * HOUR))
    # The last regular update came at 11:10 (of hour 11); the next was expected at 12:10, and half an hour more.
    assert house.told() == [
        ("RunMissing", "firing", at(12 * HOUR + 300)),
        ("DatasetStale", "firing", at(12 * HOUR + 600 + 1800)),
    ]


def test_an_evaluation_twice_is_told_once(house: House) -> None:
    house.hear(start("h0", at(0)), fail("h0", at(60)))
    Subjects(house.database, "test").mark_all(at(120))
    house.run_until(at(120))
    assert house.told() == [("RunFailed", "firing", at(60))]


def test_a_renamed_pipeline_is_told_as_such_and_its_old_name_is_let_go(house: House) -> None:
    """Hourly; from hour 20 on it runs under another name, and writes the same."""
    renamed = JobRef(ORDERS.source, ORDERS.namespace, "orders_v2")
    house.hear(*_writing(ORDERS, range(20)), *_writing(renamed, range(20, 22)))
    with house.database.read() as connection:
        [row] = connection.execute(select(alerts).where(alerts.c.rule == "RunMissing")).all()
    assert "orders_v2 came at" in row.annotations["summary"]
    assert row.annotations["summary"].endswith(f"writes {ORDERS_TABLE.name}, too: was it renamed?")
    house.hear(*_writing(renamed, range(22, 25)))
    assert [(rule, kind) for rule, kind, _ in house.told() if rule == "RunMissing"] == [
        ("RunMissing", "firing"),
        ("RunMissing", "resolved"),
    ]


def _writing(job: JobRef, hours: range) -> list[Fact]:
    return [
        heard
        for hour in hours
        for heard in (
            start(f"{job.pipeline}{hour}", at(hour * HOUR), job=job),
            complete(f"{job.pipeline}{hour}", at(hour * HOUR + 600), job=job, datasets=(writes(),)),
        )
    ]
