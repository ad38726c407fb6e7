"""Snapshots of jobs: a run that is still open is known to the rules, however many came after it."""

import random
from datetime import timedelta

import pytest

from tests.builders import DAY, ORDERS, complete, fail, start
from watchtower.model.fact import Fact
from watchtower.model.past import mattering
from watchtower.model.rule import JobSnapshot, SubjectKey
from watchtower.store import runs
from watchtower.store.database import Database
from watchtower.store.facts import Intake, append
from watchtower.store.snapshots.jobs import JobLoader

RUNS = 24


@pytest.mark.parametrize("seed", range(3))
def test_open_runs_are_known_whatever_window_is_read(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    events: list[Fact] = []
    for number in range(RUNS):
        begins, name = DAY + timedelta(hours=number), f"r{number}"
        events.append(start(name, begins))
        if (end := dice.choice([complete, complete, fail, None])) is not None:
            events.append(end(name, begins + timedelta(minutes=20)))
    append(database, Intake(events)).result()
    with database.read() as connection:
        still_open = set(runs.open_ids(connection, [ORDERS.id])[ORDERS.id])
        assert still_open
        for window in (1, 2, RUNS - 1, RUNS, RUNS + 1, 130):
            found = JobLoader(window).load(connection, [ORDERS.id])[SubjectKey("job", ORDERS.id)]
            assert isinstance(found, JobSnapshot)
            assert {run.id for run in found.runs} == still_open.union(mattering(found.past)), window
