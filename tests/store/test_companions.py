"""Jobs and datasets that rules look at beside their subject are found by name, on every store."""

from tests.builders import ORDERS, ORDERS_TABLE, at, complete, start, task_of, writes
from watchtower.model.companion import Companion
from watchtower.model.run import JobRef
from watchtower.store import facts
from watchtower.store.companions import companions
from watchtower.store.database import Database

ELSEWHERE = JobRef("other", "elsewhere", ORDERS.pipeline)


def _told(database: Database, companion: Companion, beside: str) -> tuple[list[str], int, str | None]:
    """(states of its runs, how many updates, problem)."""
    with database.read() as connection:
        found = companions(connection, [(companion, beside)])[companion, beside]
    return [run.state for run in found.past], len(found.updates), found.problem


def test_a_name_means_the_one_in_the_namespace_of_the_subject(database: Database) -> None:
    here = [
        start("r1", at(0)),
        complete("r1", at(60), datasets=(writes(),)),
        start("t1", at(1), job=task_of(ORDERS, "load")),
    ]
    facts.append(database, facts.Intake([*here, start("r2", at(0), job=ELSEWHERE)])).result(10)
    own = Companion("job", ORDERS.pipeline)
    assert _told(database, own, ORDERS.namespace) == (["succeeded"], 0, None)
    assert _told(database, own, ELSEWHERE.namespace) == (["running"], 0, None)
    assert _told(database, Companion("job", ORDERS.pipeline, "load"), "nowhere") == (["running"], 0, None)
    assert _told(database, Companion("job", ORDERS.pipeline, None, "elsewhere"), ORDERS.namespace)[0] == ["running"]
    assert _told(database, Companion("dataset", ORDERS_TABLE.name), "nowhere") == ([], 1, None)


def test_what_is_not_known_and_what_is_known_twice_is_said(database: Database) -> None:
    both = [start("r1", at(0)), start("r2", at(0), job=ELSEWHERE)]
    facts.append(database, facts.Intake(both)).result(10)
    problem = _told(database, Companion("job", ORDERS.pipeline), "nowhere")[2] or ""
    assert "is known more than once (" in problem
    assert "name the namespace" in problem
    assert _told(database, Companion("dataset", "nothing"), "nowhere")[2] == "nothing was never heard of"
    missing = Companion("job", ORDERS.pipeline, None, "a third one")
    assert _told(database, missing, ORDERS.namespace)[2] == f"{ORDERS.pipeline} was never heard of"
