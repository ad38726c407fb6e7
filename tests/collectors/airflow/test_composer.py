"""Cloud Composer: an Airflow behind Google's log-in, and its environment's state, after the published API v1."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.airflow import AirflowPoller
from tests.app.polls import context
from tests.simulators.airflow import AirflowSimulator, run
from tests.simulators.google import GoogleSimulator
from tests.simulators.http import Recorded, Reply
from watchtower.clock import ManualClock
from watchtower.errors import Permanent
from watchtower.model.source import Page, Window
from watchtower.ports import PolledSource

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
ENVIRONMENT = "projects/shop-prod/locations/europe-west3/environments/etl"


class Composed(GoogleSimulator):
    """Composer's own API, and the log-in."""

    def asked(self, request: Recorded, path: str) -> Reply:
        assert path == ENVIRONMENT
        return Reply.of_json({"name": ENVIRONMENT, "state": self.state})

    state = "RUNNING"


class Behind(AirflowSimulator):
    """Airflow, that takes the tokens of Google's log-in."""

    def __init__(self, google: GoogleSimulator) -> None:
        super().__init__(NOW)
        self.google = google

    def _may(self, request: Recorded) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in self.google.tokens[-1:]


@pytest.fixture
def google() -> Generator[Composed]:
    with Composed(NOW) as simulator:
        yield simulator


@pytest.fixture
def airflow(google: Composed) -> Generator[Behind]:
    with Behind(google) as simulator:
        simulator.runs = [(NOW, run("orders", "r1", "success", NOW - timedelta(minutes=5)))]
        yield simulator


def polled(airflow: Behind, google: Composed, folder: Path) -> PolledSource:
    composer = {"environment": ENVIRONMENT, "credentials": str(google.key_file(folder)), "base_url": google.url}
    config = {"sources": [{"name": "prod", "base_url": airflow.url, "composer": composer}]}
    (source,) = AirflowPoller(AirflowPoller.Config.model_validate(config)).sources(context(ManualClock(NOW)))
    return source


def read(source: PolledSource) -> list[Page]:
    return list(source.read(Window(NOW - timedelta(hours=1), NOW)))


def test_airflow_is_asked_with_googles_credentials(airflow: Behind, google: Composed, tmp_path: Path) -> None:
    pages = read(polled(airflow, google, tmp_path))
    assert any(b'"r1"' in record for page in pages for record in page.records)
    assert pages[0].problems == ()
    assert len(google.tokens) == 1


def test_an_environment_that_is_unwell_is_a_problem_beside_those_of_airflow(
    airflow: Behind, google: Composed, tmp_path: Path
) -> None:
    google.state = "UPDATING"
    airflow.health["scheduler"] = {"status": "unhealthy", "latest_scheduler_heartbeat": None}
    pages = read(polled(airflow, google, tmp_path))
    last = next(page.problems for page in reversed(pages) if page.problems is not None)
    assert [problem.key for problem in last] == ["environment", "scheduler"]
    assert last[0].summary == "the Composer environment etl is being updated: tasks may be interrupted and wait"


def test_its_problem_is_told_even_where_airflow_cannot_be_asked(
    airflow: Behind, google: Composed, tmp_path: Path
) -> None:
    google.state = "ERROR"
    airflow.google = Composed(NOW)  # takes none of the tokens
    try:
        source = polled(airflow, google, tmp_path)
        pages = source.read(Window(NOW - timedelta(hours=1), NOW))
        first = next(pages)
        assert first.problems and "error state" in first.problems[0].summary
        with pytest.raises(Permanent):
            list(pages)
    finally:
        airflow.google.close()


def test_credentials_of_two_kinds_are_a_fault_of_the_configuration() -> None:
    given = {"name": "prod", "base_url": "https://airflow.example.com", "token": "t"}
    with pytest.raises(ValueError, match="leave username, token and mwaa away"):
        AirflowPoller.Config.model_validate({"sources": [{**given, "composer": {"environment": ENVIRONMENT}}]})
