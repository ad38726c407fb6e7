"""Each kind of source that is asked over HTTP, before a server that has something to tell: a run that is under way, and
then over. What must hold of all of them is tested once for all (test_asked.py).

The servers are the simulators of each kind's own tests. What is asked by AWS's own SDK is tested with moto (aws/).
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.app.polls import context
from tests.collectors import test_databricks, test_kubernetes, test_snowflake, test_tableau
from tests.collectors.azure import test_data_factory, test_machine_learning, test_power_bi
from tests.collectors.dagster.rows import NOW as DAGSTER_NOW
from tests.collectors.dagster.rows import ROWS as DAGSTER
from tests.collectors.google import test_dataproc, test_vertex_ai
from tests.collectors.prefect.rows import NOW as PREFECT_NOW
from tests.collectors.prefect.rows import ROWS as PREFECT
from tests.simulators.airflow import AirflowSimulator, dag, run, task
from tests.simulators.azure import APPLICATION
from tests.simulators.dagster import DagsterSimulator
from tests.simulators.data_factory import DataFactorySimulator
from tests.simulators.http import HttpSimulator
from tests.simulators.prefect import PrefectSimulator
from watchtower.clock import ManualClock
from watchtower.ports import PolledSource
from watchtower.registry import POLLERS


@dataclass
class World:
    """server: what is asked; options: the source's own keys; now: by our clock; end: lets what is under way end."""

    kind: str
    server: HttpSimulator
    options: Mapping[str, Any]
    now: datetime
    end: Callable[[], None]
    lookback: timedelta = timedelta(hours=2)

    def source(self) -> PolledSource:
        """As the composition root makes it."""
        poller: Any = POLLERS.get(self.kind)
        config = poller.Config.model_validate({"sources": [{"name": "shop", **self.options}]})
        (source,) = poller(config).sources(context(ManualClock(self.now)))
        return source


# -- with a token or a password ------------------------------------------------------------------------------------


@contextmanager
def _airflow(folder: Path) -> Generator[World]:
    now = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
    began, later = now - timedelta(minutes=9), now - timedelta(minutes=1)
    with AirflowSimulator(now) as server:
        server.dags = [dag("orders", timetable_summary="0 9 * * *", next_dagrun_run_after="2026-12-01T09:00:00Z")]
        server.runs = [(began, run("orders", "r1", "running", began)), (began, run("orders", "r0", "success", began))]
        tries = [task("orders", "r1", "load", "failed", began, try_number=n, max_tries=2) for n in (1, 2)]
        server.tasks = [(began, tries[1]), (began, task("orders", "r0", "load", "success", began))]
        server.tries["orders", "r1", "load", -1] = tries

        def end() -> None:
            server.runs[0] = (later, run("orders", "r1", "success", began, end_date=later.isoformat()))
            server.tasks[0] = (later, task("orders", "r1", "load", "success", later, try_number=3, max_tries=2))
            server.tries["orders", "r1", "load", -1] = [*tries, server.tasks[0][1]]

        who = {"username": "watchtower", "password": "pw"}
        yield World("airflow", server, {"base_url": server.url, **who}, now, end, timedelta(hours=1))


@contextmanager
def _prefect(folder: Path) -> Generator[World]:
    with PrefectSimulator(PREFECT_NOW, PREFECT) as server:

        def end() -> None:
            """The run that was killed is found by a person, and marked as crashed."""
            (run,) = [row for row in server.rows["flow_runs"] if row["state_type"] == "RUNNING"][:1]
            at = (PREFECT_NOW - timedelta(seconds=30)).isoformat()
            state = {"id": "crashed", "type": "CRASHED", "name": "Crashed", "timestamp": at}
            run.update(state=state, state_type="CRASHED", state_name="Crashed", state_id="crashed", end_time=at)

        since = timedelta(days=1)
        yield World("prefect", server, {"base_url": server.api_url}, PREFECT_NOW, end, since)


@contextmanager
def _dagster(folder: Path) -> Generator[World]:
    with DagsterSimulator(DAGSTER_NOW, DAGSTER) as server:

        def end() -> None:
            at = DAGSTER_NOW.timestamp() - 30
            server.rows["runs"][0].update(updateTime=at)

        yield World("dagster", server, {"base_url": server.url}, DAGSTER_NOW, end, timedelta(days=1))


@contextmanager
def _kubernetes(folder: Path) -> Generator[World]:
    with test_kubernetes.Cluster(test_kubernetes.NOW) as server:
        server.say("ADDED", "jobs", test_kubernetes.job(active=1))
        server.say("ADDED", "jobs", test_kubernetes.succeeded(2, at=test_kubernetes.DUE - timedelta(minutes=20)))

        def end() -> None:
            server.say("MODIFIED", "jobs", test_kubernetes.succeeded())

        options = {"base_url": server.url, "token": "right"}
        yield World("kubernetes", server, options, test_kubernetes.NOW, end)


@contextmanager
def _databricks(folder: Path) -> Generator[World]:
    one = test_databricks
    with one.Workspace() as server:
        tasks = [one.task(20 + n, "load", n, result) for n, result in ((0, "FAILED"), (1, "SUCCESS"))]
        server.runs = [one.run(1), one.run(2, "RUNNING", None)]

        def end() -> None:
            server.runs[1] = one.run(2, tasks=tasks)

        yield World("databricks", server, {"base_url": server.url, "token": "right"}, one.NOW, end)


@contextmanager
def _snowflake(folder: Path) -> Generator[World]:
    one = test_snowflake
    with one.Account() as server:
        first = [one.ran("ROOT", "SUCCEEDED", (-40, -39, -38)), one.ran("LOAD", "SUCCEEDED", (-38, -37, -36))]
        server.rows = [*first, one.ran("ROOT", "EXECUTING", (-9, -8), graph="g2")]

        def end() -> None:
            server.rows[-1] = one.ran("ROOT", "FAILED", (-9, -8, -7), graph="g2", ERROR_MESSAGE="no such column")

        options = {"account": "myorg-prod", "token": "right", "database": "SHOP", "warehouse": "XS"}
        yield World("snowflake", server, {**options, "base_url": server.url}, one.NOW, end)


@contextmanager
def _tableau(folder: Path) -> Generator[World]:
    one = test_tableau
    with one.Site() as server:
        server.jobs = [one.job("j-1", "Orders", (-30, -29, -20), "1"), one.job("j-2", "Customers", (-9, -8))]

        def end() -> None:
            server.jobs[1] = one.job("j-2", "Customers", (-9, -8, -1))

        who = {"site": "shop", "token_name": "watchtower", "token": "right"}
        yield World("tableau", server, {"base_url": server.url, **who}, one.NOW, end)


# -- behind a log-in ------------------------------------------------------------------------------------------------


@contextmanager
def _data_factory(folder: Path) -> Generator[World]:
    one = test_data_factory
    copied, loaded = one.activity("Copy", 1), one.activity("Load", 2)
    underway = one.run(one.SECOND, status="InProgress", runEnd=None)
    triggers = [one.trigger("daily", "orders_daily", {"frequency": "Day", "schedule": {"hours": [2]}})]
    with DataFactorySimulator(
        one.NOW, [one.run(one.FIRST), underway], {one.FIRST: [copied, loaded]}, triggers
    ) as server:

        def end() -> None:
            server.runs[1] = one.run(one.SECOND, status="Failed", message=one.MESSAGE)

        place = {"subscription": "sub", "resource_group": "rg-data", "factory": "adf-prod"}
        urls = {"base_url": server.url, "login_url": server.url}
        yield World("data_factory", server, {**urls, **APPLICATION, **place}, one.NOW, end)


@contextmanager
def _azure_ml(folder: Path) -> Generator[World]:
    one = test_machine_learning
    with one.Workspace() as server:
        server.runs = [one.run("p-1", "Completed"), one.run("p-2", "Running", (-9, -8), experimentId="e-2")]

        def end() -> None:
            server.runs[1] = one.run("p-2", "Failed", (-9, -8, -1), experimentId="e-2")

        place = {"subscription": "sub", "resource_group": "rg-ml", "workspace": "ml-prod", "region": "westeurope"}
        urls = {"base_url": server.url, "login_url": server.url}
        yield World("azure_ml", server, {**urls, **APPLICATION, **place}, one.NOW, end)


@contextmanager
def _power_bi(folder: Path) -> Generator[World]:
    one = test_power_bi
    with one.Tenant() as server:
        server.refreshes["m-1"] = [one.refresh("q-2", "Unknown", (-9,)), one.refresh("q-1", "Completed")]

        def end() -> None:
            server.refreshes["m-1"][0] = one.refresh("q-2", "Failed", (-9, -1))

        urls = {"base_url": server.url, "login_url": server.url}
        yield World("power_bi", server, {**urls, **APPLICATION}, one.NOW, end)


@contextmanager
def _dataproc(folder: Path) -> Generator[World]:
    one = test_dataproc
    with one.Region() as server:
        server.lists[one.JOBS] = [one.job("load-3f2a9c11", "DONE"), one.job("report-3f2a9c11", "RUNNING", -19)]
        server.lists[one.BATCHES] = [one.batch("nightly-20261130-0900", "SUCCEEDED")]

        def end() -> None:
            server.lists[one.JOBS][1] = one.job("report-3f2a9c11", "ERROR", -1, "exit code 1")

        place = {"project": "shop-prod", "region": "europe-west3", "credentials": str(server.key_file(folder))}
        yield World("dataproc", server, {"base_url": server.url, **place}, one.NOW, end)


@contextmanager
def _vertex_ai(folder: Path) -> Generator[World]:
    one = test_vertex_ai
    with one.Region() as server:
        runs = server.lists[f"{one.OF}/pipelineJobs"]
        runs += [one.run("a", "SUCCEEDED"), one.run("b", "RUNNING", (-9, -8))]

        def end() -> None:
            runs[1] = one.run("b", "FAILED", (-9, -8, -1))

        place = {"project": "shop-prod", "region": "europe-west3", "credentials": str(server.key_file(folder))}
        yield World("vertex_ai", server, {"base_url": server.url, **place}, one.NOW, end)


WORLDS: Mapping[str, Callable[[Path], AbstractContextManager[World]]] = {
    "airflow": _airflow,
    "prefect": _prefect,
    "dagster": _dagster,
    "kubernetes": _kubernetes,
    "databricks": _databricks,
    "snowflake": _snowflake,
    "tableau": _tableau,
    "data_factory": _data_factory,
    "azure_ml": _azure_ml,
    "power_bi": _power_bi,
    "dataproc": _dataproc,
    "vertex_ai": _vertex_ai,
}
