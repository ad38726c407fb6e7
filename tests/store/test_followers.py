"""Who came in the place of a pipeline that is missing is found by what it shares, on every store."""

from tests.builders import ORDERS, ORDERS_TABLE, at, complete, start, task_of, writes
from watchtower.model.follower import Follower
from watchtower.model.run import JobRef
from watchtower.store import facts
from watchtower.store.database import Database
from watchtower.store.followers import followers

RENAMED = JobRef(ORDERS.source, ORDERS.namespace, "orders_v2")
SOMETHING = JobRef(ORDERS.source, ORDERS.namespace, "clicks")
MOVED = JobRef("airflow-new", "new", ORDERS.pipeline)


def _told(database: Database, *heard: object) -> list[Follower]:
    old = [start("r1", at(0)), complete("r1", at(60), datasets=(writes(),))]
    tasks = [start(f"t{name}", at(1), job=task_of(ORDERS, name)) for name in ("extract", "load")]
    facts.append(database, facts.Intake([*old, *tasks, *heard])).result(10)  # type: ignore[list-item]
    with database.read() as connection:
        return list(followers(connection, ORDERS, at(10)))


def test_one_that_writes_the_same_is_named_first(database: Database) -> None:
    renamed = [start("n1", at(3600), job=RENAMED), complete("n1", at(3700), job=RENAMED, datasets=(writes(),))]
    other = [start("c1", at(3600), job=SOMETHING), complete("c1", at(3700), job=SOMETHING)]
    moved = [start("m1", at(3500), job=MOVED)]
    [first, second] = _told(database, *renamed, *other, *moved)
    assert (first.ref, first.ended_well, first.shares) == (RENAMED, 1, f"writes {ORDERS_TABLE.name}, too")
    assert (second.ref, second.ended_well, second.shares) == (MOVED, 0, "has the same name, in new of airflow-new")


def test_the_same_tasks_tell_but_one_task_is_everybodys(database: Database) -> None:
    both = [start(f"n{name}", at(3600), job=task_of(RENAMED, name)) for name in ("extract", "load")]
    one = [start("cload", at(3600), job=task_of(SOMETHING, "load"))]
    [found] = _told(database, *both, *one)
    assert (found.ref, found.shares) == (RENAMED, "has the same tasks extract, load")


def test_what_was_there_before_is_no_follower(database: Database) -> None:
    assert (
        _told(database, start("n0", at(5), job=RENAMED), complete("n0", at(9), job=RENAMED, datasets=(writes(),))) == []
    )
