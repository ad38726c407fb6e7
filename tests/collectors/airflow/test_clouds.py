"""Airflow as the clouds run it is read page by page as any other; what else holds of it is in test_asked.py."""

from collections.abc import Generator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from tests.collectors.test_asked import Poller
from tests.collectors.world import World
from tests.collectors.worlds import CLOUDS
from tests.simulators.airflow import AirflowSimulator, Row, run, task
from tests.simulators.http import Recorded, Reply


@pytest.fixture(params=CLOUDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[World]:
    with CLOUDS[request.param](tmp_path) as made:
        yield made


def test_rows_that_move_while_they_are_read_are_not_missed(world: World) -> None:
    """A try of the first page begins anew while the second is asked for: it gets a new id, and goes to the end."""
    airflow, now = cast(AirflowSimulator, world.server), world.now
    airflow.runs = [(now, run("orders", "r1", "running", now))]
    airflow.tasks = [(now, task("orders", "r1", f"t{number:03}", "success", now)) for number in range(250)]
    paged, moved = airflow.paged, list[str]()

    def moving(key: str, rows: list[Row], request: Recorded) -> Reply:
        offset = str(request.query.get("offset", "0"))
        if key == "task_instances" and not moved and offset != "0":
            moved.append(offset)
            airflow.tasks = [*airflow.tasks[40:], *airflow.tasks[:40]]
            rows = [row for _, row in airflow.tasks]
        return paged(key, rows, request)

    airflow.paged = moving
    poller = Poller.of(world)
    poller.poll()
    records: list[Row] = [msgspec.json.decode(record) for record in poller.records]
    assert moved
    assert len({record.get("task_id") for record in records} - {None}) == 250
