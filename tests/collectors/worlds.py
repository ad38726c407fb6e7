"""Each kind of source that is asked over HTTP, before a server that has something to tell: a run that is under way, and
then over; and, if wanted, others. What must hold of all of them is tested once for all (test_asked.py, test_away.py).

The servers are the simulators of each kind's own tests.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.collectors import test_databricks, test_kubernetes, test_kubernetes_pods, test_snowflake, test_tableau
from tests.collectors.airflow import test_composer, test_mwaa
from tests.collectors.aws.worlds import AWS_WORLDS, aws_place, aws_sdk
from tests.collectors.azure import test_data_factory, test_machine_learning, test_power_bi
from tests.collectors.dagster.rows import NOW as DAGSTER_NOW
from tests.collectors.dagster.rows import ROWS as DAGSTER
from tests.collectors.google import test_dataproc, test_vertex_ai
from tests.collectors.prefect.rows import NOW as PREFECT_NOW
from tests.collectors.prefect.rows import ROWS as PREFECT
from tests.collectors.world import TOOK, World, minutes
from tests.simulators.airflow import AirflowSimulator, dag, run, task
from tests.simulators.azure import APPLICATION
from tests.simulators.dagster import DagsterSimulator
from tests.simulators.data_factory import DataFactorySimulator
from tests.simulators.prefect import PrefectSimulator

# -- with a token or a password ------------------------------------------------------------------------------------


AIRFLOW_NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)


@contextmanager
def _airflow(folder: Path) -> Generator[World]:
    with AirflowSimulator(AIRFLOW_NOW) as server:
        yield _of_airflow(server, {"base_url": server.url, "username": "watchtower", "password": "pw"})


@contextmanager
def _mwaa(folder: Path) -> Generator[World]:
    """Airflow, asked through AWS."""
    with aws_sdk(), test_mwaa.Environment(AIRFLOW_NOW) as server:
        mwaa = {"environment": server.name, **aws_place(server)}
        yield _of_airflow(server, {"base_url": "https://abc.airflow.eu-central-1.on.aws", "mwaa": mwaa})


@contextmanager
def _composer(folder: Path) -> Generator[World]:
    """Airflow, behind Google's log-in."""
    one = test_composer
    with one.Composed(AIRFLOW_NOW) as google, one.Behind(google) as server:
        composer = {"environment": one.ENVIRONMENT, "credentials": str(google.key_file(folder)), "base_url": google.url}
        yield _of_airflow(server, {"base_url": server.url, "composer": composer})


def _of_airflow(server: AirflowSimulator, options: Mapping[str, Any]) -> World:
    began, later = AIRFLOW_NOW - timedelta(minutes=9), AIRFLOW_NOW - timedelta(minutes=1)
    server.dags = [dag("orders", timetable_summary="0 9 * * *", next_dagrun_run_after="2026-12-01T09:00:00Z")]
    server.runs = [(began, run("orders", "r1", "running", began)), (began, run("orders", "r0", "success", began))]
    tries = [task("orders", "r1", "load", "failed", began, try_number=n, max_tries=2) for n in (1, 2)]
    server.tasks = [(began, tries[1]), (began, task("orders", "r0", "load", "success", began))]
    server.tries["orders", "r1", "load", -1] = tries

    def end() -> None:
        server.runs[0] = (later, run("orders", "r1", "success", began, end_date=later.isoformat()))
        server.tasks[0] = (later, task("orders", "r1", "load", "success", later, try_number=3, max_tries=2))
        server.tries["orders", "r1", "load", -1] = [*tries, server.tasks[0][1]]

    def forget() -> None:
        """A person deletes the run."""
        del server.runs[0], server.tasks[0]

    def ran(number: int, at: datetime) -> str:
        ended = at + TOOK
        server.runs.append((ended, run("orders", f"n{number}", "success", at, end_date=ended.isoformat())))
        server.tasks.append((ended, task("orders", f"n{number}", "load", "success", at)))
        return f"n{number}"

    return World("airflow", server, options, AIRFLOW_NOW, end, forget, ran, timedelta(hours=1))


@contextmanager
def _prefect(folder: Path) -> Generator[World]:
    with PrefectSimulator(PREFECT_NOW, PREFECT) as server:

        def end() -> None:
            """The run that was killed is found by a person, and marked as crashed."""
            (run,) = [row for row in server.rows["flow_runs"] if row["state_type"] == "RUNNING"][:1]
            at = (PREFECT_NOW - timedelta(seconds=30)).isoformat()
            state = {"id": "crashed", "type": "CRASHED", "name": "Crashed", "timestamp": at}
            run.update(state=state, state_type="CRASHED", state_name="Crashed", state_id="crashed", end_time=at)

        def forget() -> None:
            server.rows["flow_runs"] = [row for row in server.rows["flow_runs"] if row["state_type"] != "RUNNING"]

        def ran(number: int, at: datetime) -> str:
            ident, ended = f"00000000-0000-4000-8000-{number:012}", (at + TOOK).isoformat()
            (like,) = [row for row in PREFECT["flow_runs"] if row["name"] == "raspberry-jackrabbit"]
            times = {"expected_start_time": at.isoformat(), "start_time": at.isoformat(), "end_time": ended}
            state = {**like["state"], "id": ident, "timestamp": ended}
            server.rows["flow_runs"].append({**like, "id": ident, "state_id": ident, "state": state, **times})
            return ident

        since = timedelta(days=1)
        yield World("prefect", server, {"base_url": server.api_url}, PREFECT_NOW, end, forget, ran, since)


@contextmanager
def _dagster(folder: Path) -> Generator[World]:
    with DagsterSimulator(DAGSTER_NOW, DAGSTER) as server:

        def end() -> None:
            (run,) = (run for run in server.rows["runs"] if run["status"] == "STARTED")
            at = DAGSTER_NOW.timestamp() - 30
            run.update(status="CANCELED", endTime=at, updateTime=at)

        def forget() -> None:
            server.rows["runs"] = [run for run in server.rows["runs"] if run["status"] != "STARTED"]

        def ran(number: int, at: datetime) -> str:
            like = next(run for run in DAGSTER["runs"] if run["pipelineName"] == "by_day")
            began, ended = at.timestamp(), (at + TOOK).timestamp()
            times = {"creationTime": began, "startTime": began, "endTime": ended, "updateTime": ended}
            server.rows["runs"].insert(0, {**like, "runId": f"run-{number}", **times})
            return f"run-{number}"

        since = timedelta(days=1)
        yield World("dagster", server, {"base_url": server.url}, DAGSTER_NOW, end, forget, ran, since)


@contextmanager
def _kubernetes(folder: Path) -> Generator[World]:
    with test_kubernetes.Cluster(test_kubernetes.NOW) as server:
        server.say("ADDED", "jobs", test_kubernetes.job(active=1))
        server.say("ADDED", "pods", test_kubernetes_pods.pod(1))
        server.say("ADDED", "jobs", test_kubernetes.succeeded(2, at=test_kubernetes.DUE - timedelta(minutes=20)))

        def end() -> None:
            server.say("MODIFIED", "pods", test_kubernetes_pods.pod(1, "Succeeded", test_kubernetes_pods.ran(3)))
            server.say("MODIFIED", "jobs", test_kubernetes.succeeded())

        def forget() -> None:
            """Its watch says so, unless what it remembers is too short."""
            server.say("DELETED", "jobs", test_kubernetes.job(active=1))

        def ran(number: int, at: datetime) -> str:
            ended = test_kubernetes.ended("Complete", at + TOOK)
            made = test_kubernetes.job(100 + number, at=at, **ended, succeeded=1)
            server.say("ADDED", "jobs", made)
            return str(made["metadata"]["name"])

        options = {"base_url": server.url, "token": "right"}
        yield World("kubernetes", server, options, test_kubernetes.NOW, end, forget, ran)


@contextmanager
def _databricks(folder: Path) -> Generator[World]:
    one = test_databricks
    with one.Workspace() as server:
        tasks = [one.task(20 + n, "load", n, result) for n, result in ((0, "FAILED"), (1, "SUCCESS"))]
        server.runs = [one.run(1), one.run(2, "RUNNING", None)]

        def end() -> None:
            server.runs[1] = one.run(2, tasks=tasks)

        def ran(number: int, at: datetime) -> str:
            since = minutes(one.NOW.replace(minute=0), at)
            server.runs.append(one.run(100 + number, start_time=one.ms(since), end_time=one.ms(since + 4)))
            return str(100 + number)

        options = {"base_url": server.url, "token": "right"}
        yield World("databricks", server, options, one.NOW, end, server.runs.pop, ran)


@contextmanager
def _snowflake(folder: Path) -> Generator[World]:
    one = test_snowflake
    with one.Account() as server:
        first = [one.ran("ROOT", "SUCCEEDED", (-40, -39, -38)), one.ran("LOAD", "SUCCEEDED", (-38, -37, -36))]
        server.rows = [*first, one.ran("ROOT", "EXECUTING", (-9, -8), graph="g2")]

        def end() -> None:
            server.rows[-1] = one.ran("ROOT", "FAILED", (-9, -8, -7), graph="g2", ERROR_MESSAGE="no such column")

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            server.rows.append(one.ran("ROOT", "SUCCEEDED", (began, began + 1, began + 4), graph=f"g1{number:03}"))
            return f"g1{number:03}"

        options = {"account": "myorg-prod", "token": "right", "database": "SHOP", "warehouse": "XS"}
        options["base_url"] = server.url
        yield World("snowflake", server, options, one.NOW, end, server.rows.pop, ran)


@contextmanager
def _tableau(folder: Path) -> Generator[World]:
    one = test_tableau
    with one.Site() as server:
        server.jobs = [one.job("j-1", "Orders", (-30, -29, -20), "1"), one.job("j-2", "Customers", (-9, -8))]

        def end() -> None:
            server.jobs[1] = one.job("j-2", "Customers", (-9, -8, -1))

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            server.jobs.append(one.job(f"n-{number}", "Orders", (began, began + 1, began + 4)))
            return f"n-{number}"

        who = {"site": "shop", "token_name": "watchtower", "token": "right"}
        yield World("tableau", server, {"base_url": server.url, **who}, one.NOW, end, server.jobs.pop, ran)


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

        def ran(number: int, at: datetime) -> str:
            ident, ended = f"2f7fdb90-0000-4000-8000-{100 + number:012}", (at + TOOK).isoformat()
            server.runs.append(one.run(ident, runStart=at.isoformat(), runEnd=ended, lastUpdated=ended))
            return ident

        place = {"subscription": "sub", "resource_group": "rg-data", "factory": "adf-prod"}
        options = {"base_url": server.url, "login_url": server.url, **APPLICATION, **place}
        yield World("data_factory", server, options, one.NOW, end, server.runs.pop, ran)


@contextmanager
def _azure_ml(folder: Path) -> Generator[World]:
    one = test_machine_learning
    with one.Workspace() as server:
        server.runs = [one.run("p-1", "Completed"), one.run("p-2", "Running", (-9, -8), experimentId="e-2")]

        def end() -> None:
            server.runs[1] = one.run("p-2", "Failed", (-9, -8, -1), experimentId="e-2")

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            server.runs.append(one.run(f"n-{number}", "Completed", (began, began + 1, began + 4)))
            return f"n-{number}"

        place = {"subscription": "sub", "resource_group": "rg-ml", "workspace": "ml-prod", "region": "westeurope"}
        options = {"base_url": server.url, "login_url": server.url, **APPLICATION, **place}
        yield World("azure_ml", server, options, one.NOW, end, server.runs.pop, ran)


@contextmanager
def _power_bi(folder: Path) -> Generator[World]:
    one = test_power_bi
    with one.Tenant() as server:
        server.refreshes["m-1"] = [one.refresh("q-2", "Unknown", (-9,)), one.refresh("q-1", "Completed")]

        def end() -> None:
            server.refreshes["m-1"][0] = one.refresh("q-2", "Failed", (-9, -1))

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            server.refreshes["m-1"].insert(0, one.refresh(f"n-{number}", "Completed", (began, began + 4)))
            return f"n-{number}"

        options = {"base_url": server.url, "login_url": server.url, **APPLICATION}
        yield World("power_bi", server, options, one.NOW, end, lambda: server.refreshes["m-1"].pop(0), ran)


@contextmanager
def _dataproc(folder: Path) -> Generator[World]:
    one = test_dataproc
    with one.Region() as server:
        server.lists[one.JOBS] = [one.job("load-3f2a9c11", "DONE"), one.job("report-3f2a9c11", "RUNNING", -19)]
        server.lists[one.BATCHES] = [one.batch("nightly-20261130-0900", "SUCCEEDED")]

        def end() -> None:
            server.lists[one.JOBS][1] = one.job("report-3f2a9c11", "ERROR", -1, "exit code 1")

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            history = [one.status("PENDING", began), one.status("RUNNING", began + 1)]
            made = one.job(f"load-{number:08x}", "DONE", began + 4, statusHistory=history)
            server.lists[one.JOBS].insert(0, made)
            return str(made["jobUuid"])

        place = {"project": "shop-prod", "region": "europe-west3", "credentials": str(server.key_file(folder))}
        options = {"base_url": server.url, **place}
        yield World("dataproc", server, options, one.NOW, end, server.lists[one.JOBS].pop, ran)


@contextmanager
def _vertex_ai(folder: Path) -> Generator[World]:
    one = test_vertex_ai
    with one.Region() as server:
        runs = server.lists[f"{one.OF}/pipelineJobs"]
        runs += [one.run("a", "SUCCEEDED"), one.run("b", "RUNNING", (-9, -8))]

        def end() -> None:
            runs[1] = one.run("b", "FAILED", (-9, -8, -1))

        def ran(number: int, at: datetime) -> str:
            began = minutes(one.NOW, at)
            runs.append(one.run(f"n{number}", "SUCCEEDED", (began, began + 1, began + 4)))
            return str(runs[-1]["name"])

        place = {"project": "shop-prod", "region": "europe-west3", "credentials": str(server.key_file(folder))}
        options = {"base_url": server.url, **place}
        yield World("vertex_ai", server, options, one.NOW, end, runs.pop, ran)


CLOUDS: Mapping[str, Callable[[Path], AbstractContextManager[World]]] = {"mwaa": _mwaa, "composer": _composer}
"""Airflow as the clouds run it: the same collector, with another way in."""

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
    **AWS_WORLDS,
    **CLOUDS,
}
