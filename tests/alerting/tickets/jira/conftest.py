"""A simulated Jira of each kind, and a bench for it."""

from collections.abc import Generator

import pytest

from tests.alerting.notices import NOW
from tests.alerting.tickets.cases import Bench
from tests.alerting.tickets.jira.benches import bench_of
from tests.simulators.jira import JiraSimulator


@pytest.fixture(params=[True, False], ids=["cloud", "datacenter"])
def simulator(request: pytest.FixtureRequest) -> Generator[JiraSimulator]:
    with JiraSimulator(NOW, cloud=request.param) as made:
        yield made


@pytest.fixture
def cloud() -> Generator[JiraSimulator]:
    with JiraSimulator(NOW) as made:
        yield made


@pytest.fixture
def bench(simulator: JiraSimulator) -> Bench:
    return bench_of(simulator)
