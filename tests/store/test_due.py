"""What is urgent goes first and by itself, on both engines; nothing that is marked meanwhile is lost."""

from collections.abc import Collection
from functools import partial

import pytest

from tests.builders import ORDERS, at, complete, fail, start, task_of
from watchtower.model.fact import Fact
from watchtower.store import due
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append

LOAD = task_of(ORDERS, "load")


def mark(database: Database, subjects: Collection[str], when: float, urgent: Collection[str] = ()) -> None:
    database.write(lambda connection: due.mark(connection, due.RULES, subjects, at(when), urgent=urgent))


def peek(database: Database) -> list[due.Claimed]:
    with database.read() as connection:
        return due.peek(connection, due.RULES, at(100), 10)


def claim(database: Database) -> list[due.Claimed]:
    return database.write(lambda connection: due.claim(connection, due.RULES, at(100), 10, "me"))


def settle(database: Database, claimed: due.Claimed, next_at: float | None = None) -> None:
    done = [due.Judged(claimed.subject, claimed.version, None if next_at is None else at(next_at))]
    database.write(lambda connection: due.settle_judged(connection, done))


def test_what_is_urgent_is_taken_before_what_is_due_since_earlier_and_by_itself(database: Database) -> None:
    mark(database, ["job:a", "job:b"], 0)
    mark(database, ["job:c", "job:d"], 50, urgent=["job:d"])
    assert [each.subject for each in peek(database)] == ["job:d"]
    assert [each.subject for each in claim(database)] == ["job:d"]
    assert [each.subject for each in claim(database)] == ["job:a", "job:b", "job:c"], "the urgent one is leased"


def test_what_was_evaluated_is_not_urgent_any_more(database: Database) -> None:
    mark(database, ["job:a"], 50, urgent=["job:a"])
    mark(database, ["job:b"], 0)
    (first,) = peek(database)
    settle(database, first, next_at=60)
    assert [each.subject for each in peek(database)] == ["job:b", "job:a"]


def test_a_mark_of_something_urgent_during_an_evaluation_stays_urgent(database: Database) -> None:
    mark(database, ["job:a", "job:b"], 0)
    taken = {each.subject: each for each in peek(database)}
    mark(database, ["job:a"], 50, urgent=["job:a"])
    settle(database, taken["job:a"], next_at=9_999)
    (again,) = peek(database)
    assert (again.subject, again.version) == ("job:a", taken["job:a"].version + 1)


def test_what_is_marked_while_its_last_piece_is_done_stays_in_the_queue(database: Database) -> None:
    mark(database, ["job:a"], 0)
    (taken,) = claim(database)
    mark(database, ["job:a"], 50)
    database.write(lambda connection: due.finish(connection, due.RULES, taken.subject, taken.version))
    (again,) = claim(database)
    assert (again.subject, again.version) == ("job:a", taken.version + 1)
    database.write(lambda connection: due.finish(connection, due.RULES, again.subject, again.version))
    assert peek(database) == []


def test_the_next_moment_of_rules_is_told_apart_from_that_of_all_else(database: Database) -> None:
    """deliver:… comes before rules by name, and silence after it."""

    def found() -> tuple[object, object]:
        with database.read() as connection:
            return due.next_of(connection)

    assert found() == (None, None)
    mark(database, ["job:a"], 30)
    assert found() == (at(30), None)
    for lane, moment in ((due.SILENCE, 20), ("deliver:x", 40), (due.SILENCE, 25)):
        database.write(lambda connection: due.mark(connection, lane, ["x"], at(moment)))  # noqa: B023 - called at once
    assert found() == (at(30), at(20))


def test_an_ordinary_mark_does_not_take_the_urgency_away(database: Database) -> None:
    mark(database, ["job:a"], 50, urgent=["job:a"])
    mark(database, ["job:a", "job:b"], 0)
    assert [each.subject for each in peek(database)] == ["job:a"]


@pytest.mark.parametrize(
    ("told", "is_urgent"),
    [
        (fail("r1", at(5)), True),
        (fail("t1", at(5), job=LOAD, parent="r1", final=True), True),
        (fail("t1", at(5), job=LOAD, parent="r1", final=False), False),
        (complete("r1", at(5)), False),
        (start("r1", at(5)), False),
    ],
    ids=["a run fails", "a task fails for good", "a task is tried again", "a run ends well", "a run starts"],
)
def test_a_failure_overtakes_runs_that_went_well(database: Database, told: Fact, *, is_urgent: bool) -> None:
    mark(database, ["job:other"], 0)
    append(database, Intake([told])).result(10)
    found = [each.subject for each in peek(database) if each.subject.startswith("job:")]
    assert found == ([f"job:{ORDERS.id}"] if is_urgent else ["job:other", f"job:{ORDERS.id}"])


def test_only_a_commit_that_marks_something_urgent_hurries(database: Database) -> None:
    hurried: list[str] = []
    database.on_commit(lambda: hurried.append("now"), concerns=lambda lane: lane == due.URGENT)
    append(database, Intake([complete("r1", at(5))])).result(10)
    assert not hurried
    append(database, Intake([fail("r2", at(6))])).result(10)
    database.write(lambda connection: None)  # listeners are called before the next commit
    assert hurried == ["now"]


def test_a_commit_wakes_those_who_wait_for_its_lanes_and_nobody_else(database: Database) -> None:
    woken: list[str] = []
    for lane in (due.GROUP, due.SILENCE):
        database.on_commit(partial(woken.append, lane), concerns=partial(str.__eq__, lane))
    database.write(lambda connection: due.mark(connection, due.GROUP, ["g1"], at(50)))
    database.write(lambda connection: None)  # listeners are called before the next commit
    assert woken == [due.GROUP]
