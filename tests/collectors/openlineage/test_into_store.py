"""From bytes to rows: a story of Airflow events in any order, with repeats, on every engine."""

import json
import random
from typing import Any

import pytest
from sqlalchemy import Connection, select

from collectors.openlineage import OpenLineage
from tests.collectors.openlineage import corpus, events
from tests.collectors.openlineage.test_captures import FILES, decode
from watchtower.model.fact import Fact
from watchtower.model.run import RunState
from watchtower.store import runs
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append_all
from watchtower.store.schema.observed import jobs, run_aliases
from watchtower.store.schema.observed import runs as runs_table

COLLECTOR = OpenLineage()


def moment(event: Any, seconds: float, run_id: str | None = None) -> Any:
    event["eventTime"] = f"2026-03-02T08:00:{seconds:06.3f}+00:00"
    if run_id:
        event["run"]["runId"] = run_id
    return event


def story() -> list[Any]:
    """The first try fails, the second is well; nobody heard the DAG run start."""
    return [
        moment(events.airflow_task("START", attempt=1, retries=1), 5, "try-1"),
        moment(events.airflow_task("FAIL", attempt=1, retries=1), 6, "try-1"),
        moment(events.airflow_task("START", attempt=2, retries=1), 8, "try-2"),
        moment(events.airflow_task("COMPLETE", attempt=2, retries=1), 9, "try-2"),
        moment(events.airflow_dag("COMPLETE", end_date="2026-03-02T08:00:10+00:00", duration=5.5), 10),
    ]


def told(texts: list[Any]) -> list[Fact]:
    return [fact for text in texts for fact in COLLECTOR.decode(json.dumps(text).encode(), events.received(5)).facts]


def feed(database: Database, facts: list[Fact]) -> dict[str, list[str]]:
    for fact in facts:
        database.write(lambda connection, fact=fact: append_all(connection, [Intake([fact])]))
    with database.read() as connection:
        return rows(connection)


def rows(connection: Connection) -> dict[str, list[str]]:
    tables = (runs_table, run_aliases, jobs)
    return {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in tables}


def test_a_retried_task_is_two_runs_below_its_dag_run(database: Database) -> None:
    feed(database, told(story()))
    with database.read() as connection:
        found = [runs.to_run(row) for row in connection.execute(select(runs_table))]
    tries = sorted((run for run in found if run.job.task), key=lambda run: run.attempt)
    (dag,) = (run for run in found if run.job.task is None)
    assert [(run.state, run.final, run.parent_run_id) for run in tries] == [
        (RunState.FAILED, False, dag.id),
        (RunState.SUCCEEDED, True, dag.id),
    ]
    assert (dag.state, dag.duration_s, dag.task_states) == (RunState.SUCCEEDED, 5.5, {"load": RunState.SUCCEEDED})


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_repetition_of_events_ends_in_the_same_rows(database: Database, seed: int) -> None:
    facts = told(story())
    expected = feed(database, facts)
    shuffled = facts * 2
    random.Random(seed).shuffle(shuffled)
    database.write(lambda connection: [connection.execute(table.delete()) for table in (runs_table, run_aliases, jobs)])
    assert feed(database, shuffled) == expected


def test_whatever_is_folded_can_be_stored(database: Database) -> None:
    """Every fact that the corpus of bad input gives, on every engine."""
    bodies = [body for _, body, wanted in corpus.corpus() if wanted in ("fold", "either")]
    facts = [fact for body in bodies for fact in COLLECTOR.decode(body, events.received()).facts]
    some = random.Random(1).sample(facts, 250) + [fact for fact in facts if fact.clock_suspect or fact.datasets]
    database.write(lambda connection: append_all(connection, [Intake(some)]))
    with database.read() as connection:
        assert connection.execute(select(runs_table.c.id).limit(1)).first() is not None


@pytest.mark.skipif(not FILES, reason="no recordings beside this checkout")
def test_recorded_events_in_any_order_end_in_the_same_rows(database: Database) -> None:
    facts = [fact for file in FILES for fact in decode(file).facts]
    expected = feed_at_once(database, facts)
    random.Random(7).shuffle(facts)
    database.write(lambda connection: [connection.execute(table.delete()) for table in (runs_table, run_aliases, jobs)])
    assert feed_at_once(database, facts) == expected


def feed_at_once(database: Database, facts: list[Fact]) -> dict[str, list[str]]:
    for first in range(0, len(facts), 40):
        some = facts[first : first + 40]
        database.write(lambda connection, some=some: append_all(connection, [Intake(some)]))
    with database.read() as connection:
        return rows(connection)
