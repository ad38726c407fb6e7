"""Periodic work is done once among replicas, and its failure costs nothing else."""

import threading
from datetime import datetime

import pytest

from watchtower.clock import ManualClock, SystemClock
from watchtower.schedule import Periodic, Task
from watchtower.store import claims
from watchtower.store.database import Database


def periodic(database: Database, clock: ManualClock, holder: str, seen: list[tuple[str, bool]]) -> Periodic:
    return Periodic([], database=database, clock=clock, holder=holder, observe=lambda name, ok: seen.append((name, ok)))


def test_of_two_replicas_one_does_the_work(database: Database, clock: ManualClock) -> None:
    done: list[datetime] = []
    seen: list[tuple[str, bool]] = []
    task = Task("retention", 3600, done.append)
    a, b = (periodic(database, clock, holder, seen) for holder in ("a", "b"))
    assert [a.run(task), b.run(task)] == [True, False]
    clock.advance(3600)
    assert [b.run(task), a.run(task)] == [True, False]
    assert done == [clock.now().replace(hour=8), clock.now()]


def test_work_that_is_done_is_nobodys_until_it_is_due_again(database: Database, clock: ManualClock) -> None:
    """Also where it is due again before a lease would end."""
    task = Task("caps", 60, lambda now: None)
    a, b = (periodic(database, clock, holder, []) for holder in ("a", "b"))
    assert a.run(task)
    clock.advance(60)
    assert b.run(task)


def test_the_work_of_a_replica_that_died_is_taken_over_when_its_lease_ends(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()

    def take(holder: str, when: datetime) -> bool:
        return database.write(
            lambda connection: claims.claim(connection, "sketches", holder, when, lease_s=300, every_s=60)
        )

    assert take("died", now)
    assert not take("other", now)
    clock.advance(301)
    assert take("other", clock.now())


def test_work_that_goes_on_is_waited_for_and_work_that_hangs_is_left_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchtower.schedule.periodic.HANGS_S", 0.2)
    gate, over = threading.Event(), threading.Event()
    begun = threading.Barrier(3)
    ended: list[str] = []

    def hangs(now: datetime) -> None:
        begun.wait(60)
        gate.wait(120)
        ended.append("hangs")

    def goes_on(now: datetime) -> None:
        begun.wait(60)
        over.wait(120)
        ended.append("goes on")

    tasks = [
        Task("hangs", 3_600, hangs, shared=False, at_once=True, beats=True),
        Task("goes on", 3_600, goes_on, shared=False, at_once=True),
    ]
    made = Periodic(tasks, database=database, clock=SystemClock(), holder="me")
    made.start()
    try:
        begun.wait(60)
        threading.Timer(0.5, over.set).start()
        made.stop()
        assert ended == ["goes on"]
    finally:
        over.set()
        gate.set()


def test_nothing_begins_after_it_was_stopped(database: Database, clock: ManualClock) -> None:
    done: list[datetime] = []
    made = periodic(database, clock, "a", [])
    made.start()
    made.stop()
    assert not made.run(Task("retention", 3600, done.append))
    assert done == []


def test_a_failing_task_is_counted_and_tried_again(database: Database, clock: ManualClock) -> None:
    seen: list[tuple[str, bool]] = []
    calls: list[datetime] = []

    def work(now: datetime) -> None:
        calls.append(now)
        if len(calls) == 1:
            raise OSError("no space left")

    task = Task("backup", 60, work)
    runner = periodic(database, clock, "a", seen)
    assert [runner.run(task), runner.run(task)] == [False, True]
    assert seen == [("backup", False), ("backup", True)]


def test_work_of_each_process_needs_no_claim(database: Database, clock: ManualClock) -> None:
    done: list[datetime] = []
    task = Task("heartbeat", 30, done.append, shared=False)
    assert all(periodic(database, clock, holder, []).run(task) for holder in ("a", "b"))
    assert len(done) == 2


def test_work_that_is_due_at_once_is_begun_by_the_scheduler_and_ends_before_the_stop(
    database: Database, clock: ManualClock
) -> None:
    begun, let_go, ended = threading.Event(), threading.Event(), list[datetime]()

    def work(now: datetime) -> None:
        begun.set()
        let_go.wait(60)
        ended.append(now)

    tasks = [Task("poll", 3600, work, shared=False, at_once=True), Task("later", 3600, ended.append, shared=False)]
    running = Periodic(tasks, database=database, clock=SystemClock(), holder="me")
    running.start()
    assert begun.wait(60)
    threading.Timer(0.05, let_go.set).start()
    running.stop()
    assert len(ended) == 1
    running.stop()  # once more is nothing
