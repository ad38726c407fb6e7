"""One poll of an Airflow through its API: what it says of itself, pages that shift while they are read, absences."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from collectors.airflow.api import Api
from collectors.airflow.authentication import Anonymous
from collectors.airflow.reading import Reader
from tests.app.polls import context
from tests.simulators.airflow import AirflowSimulator, Row, run, task
from watchtower.clock import ManualClock
from watchtower.model.source import Page, Window

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Open(AirflowSimulator):
    """Anybody may read."""

    def _may(self, request: object) -> bool:
        return True


@pytest.fixture
def airflow() -> Generator[Open]:
    with Open(NOW) as simulator:
        yield simulator


def reader_of(airflow: Open) -> Reader:
    clock = ManualClock(NOW)
    api = Api(context(clock).http, clock, airflow.url, Anonymous())
    return Reader(api, lambda run_ids: {}, clock.boottime)


def poll(airflow: Open, since: datetime, mark: datetime | None = None) -> list[Page]:
    return list(reader_of(airflow).read(Window(since, NOW, mark)))


def records(pages: list[Page]) -> list[Row]:
    return [msgspec.json.decode(record) for page in pages for record in page.records]


def test_what_it_says_of_itself_is_read_and_an_odd_answer_costs_no_run(airflow: Open) -> None:
    airflow.health = {"scheduler": {"status": "unhealthy"}, "triggerer": None, "dag_processor": ["?"]}
    airflow.import_errors = [{"filename": "dags/broken.py", "stack_trace": "Traceback\nSyntaxError: invalid syntax"}]
    airflow.pools = [{"name": "etl", "slots": 4, "open_slots": 0, "queued_slots": 1, "scheduled_slots": 2}]
    airflow.runs = [(NOW, run("orders", "r1", "success", NOW))]
    pages = poll(airflow, NOW - timedelta(minutes=3), NOW)
    assert [problem.key for problem in pages[0].problems or ()] == ["scheduler", "import:dags/broken.py", "pool:etl"]
    assert [record["dag_run_id"] for record in records(pages)] == ["r1"]
    assert pages[-1].mark == NOW


def test_rows_that_move_while_they_are_read_are_not_missed(airflow: Open) -> None:
    """A try of the first page begins anew while the second is asked for: it gets a new id, and goes to the end."""
    airflow.tasks = [(NOW, task("orders", "r1", f"t{number:03}", "success", NOW)) for number in range(250)]
    pages = airflow.paged
    moved: list[bool] = []

    def moving(key: str, rows: list[Row], request: object) -> object:
        if key == "task_instances" and not moved and request.query.get("offset", "0") != "0":  # type: ignore[attr-defined]
            moved.append(True)
            airflow.tasks = [*airflow.tasks[40:], *airflow.tasks[:40]]
            rows = [row for _, row in airflow.tasks]
        return pages(key, rows, request)  # type: ignore[arg-type]

    airflow.paged = moving  # type: ignore[method-assign,assignment]
    airflow.runs = [(NOW, run("orders", "r1", "running", NOW))]
    found = {record.get("task_id") for record in records(poll(airflow, NOW - timedelta(minutes=3), NOW))} - {None}
    assert len(found) == 250


def test_a_long_absence_is_read_hour_by_hour_and_each_hour_moves_the_mark(airflow: Open) -> None:
    away = NOW - timedelta(hours=6)
    airflow.runs = [
        (away + timedelta(hours=hour), run("orders", f"r{hour}", "success", away + timedelta(hours=hour)))
        for hour in range(6)
    ]
    pages = poll(airflow, away - timedelta(minutes=5), away)
    marks = [page.mark for page in pages if page.mark]
    assert marks == sorted(marks)
    assert (len(marks), marks[-1]) == (6, NOW)
    assert {record["dag_run_id"] for record in records(pages)} == {f"r{hour}" for hour in range(6)}


@pytest.mark.parametrize("place", [-1, 0, 1], ids=["not mapped", "the first", "the second"])
def test_the_tries_before_the_latest_are_read_of_each_instance_of_a_mapped_task(airflow: Open, place: int) -> None:
    twice(airflow, place)
    found = tries(poll(airflow, NOW - timedelta(minutes=3), NOW))
    assert found == [(1, False), (2, True)]


def test_earlier_tries_that_were_read_but_never_stored_are_read_again(airflow: Open) -> None:
    twice(airflow, -1)
    reader, window = reader_of(airflow), Window(NOW - timedelta(minutes=3), NOW, NOW)
    for page in reader.read(window):
        if tries([page]):
            break  # the store was away
    assert tries(list(reader.read(window))) == [(1, False), (2, True)]
    assert tries(list(reader.read(window))) == [(2, True)]


def twice(airflow: Open, place: int) -> None:
    """A task that was tried a second time."""
    airflow.runs = [(NOW, run("orders", "r1", "failed", NOW))]
    first, second = (
        task("orders", "r1", "load", "failed", NOW, try_number=number, max_tries=1, map_index=place)
        for number in (1, 2)
    )
    airflow.tasks = [(NOW, second)]
    airflow.tries["orders", "r1", "load", place] = [first, second]


def tries(pages: list[Page]) -> list[tuple[int, bool]]:
    """(number, whether it is the latest)"""
    return [(record["try_number"], record["latest"]) for record in records(pages) if record["record"] == "try"]
