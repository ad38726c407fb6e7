"""A real Airflow 2: told by OpenLineage and asked by its API v1, and nothing is missing or there twice.

One Watchtower hears and asks, another one only asks. Runs succeed, fail after retries, are mapped, killed, and orphaned
by a scheduler that dies; and both Watchtowers are away for a while.
"""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

from tests.e2e.airflow import DAGS, Lineage, free_port
from tests.e2e.airflow2 import READER, Airflow2, ensure_airflow2
from tests.e2e.polled_airflow import (
    ALLOW,
    its_alert_says_what_set_it_off,
    only_asking,
    ours,
    reconciled,
    runs,
    source,
    the_schedule_is_known_in_its_zone,
    wait_until,
    wait_until_whole,
    what_set_it_off_is_known,
)
from tests.e2e.watchtower_server import WatchtowerServer
from tests.services.postgres import PostgresServer

NAMESPACE = "e2e-airflow2"
ALL = ["ledger_export", "invoice_import", "price_import", "warehouse_vacuum"]
FIRST = ["ledger_export", "invoice_import", "price_import"]
AIRFLOW_S = 240.0  # within which it finds out, with the machine busy otherwise, that something died


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Generator[WatchtowerServer]:
    with WatchtowerServer(tmp_path_factory.mktemp("hearing"), free_port(), ALLOW) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(hearing: WatchtowerServer) -> Generator[Airflow2]:
    lineage = Lineage(hearing.url, hearing.command("token", "create", "airflow").strip(), namespace=NAMESPACE)
    with PostgresServer() as postgres:
        url = postgres.url(postgres.create_database())
        with Airflow2(ensure_airflow2(), url, dags=DAGS / "airflow2", lineage=lineage) as running:
            for dag_id in (*ALL, "ledger_report"):
                running.unpause(dag_id)
            yield running


@pytest.fixture(scope="module")
def asking(airflow: Airflow2, tmp_path_factory: pytest.TempPathFactory) -> Generator[WatchtowerServer]:
    """The other one is told to ask, too."""
    with only_asking(tmp_path_factory.mktemp("asking"), airflow, READER) as server:
        yield server


def test_airflow_2_is_heard_and_asked_and_nothing_is_missing(
    hearing: WatchtowerServer, asking: WatchtowerServer, airflow: Airflow2
) -> None:
    """One story, told in order, since each step stands on the one before."""
    hearing.reload(ALLOW + source(airflow, READER))
    both = (hearing, asking)
    airflow.trigger("warehouse_vacuum", "killed", {"until": str(airflow.home / "never")})
    for dag_id in FIRST:
        airflow.trigger(dag_id, "first")
    over(airflow, "ledger_export", "first", "success")
    over(airflow, "invoice_import", "first", "failed")
    over(airflow, "price_import", "first", "failed")
    (report,) = airflow.wait_for("the report to begin", lambda: airflow.dag_runs("ledger_report"), timeout_s=AIRFLOW_S)
    over(airflow, "ledger_report", report.run_id, "failed")
    for server in both:
        for dag_id in FIRST:
            wait_until_whole(server, airflow, dag_id, "first")
        every_try_is_there(server)
        the_schedule_is_known_in_its_zone(server)
        what_set_it_off_is_known(server, "first")
        its_alert_says_what_set_it_off(server, "first")
    errors_and_pools_stand_together(hearing)
    found_what_was_killed(airflow, both)
    found_what_a_dying_scheduler_left(airflow, both)
    were_away_and_missed_nothing(airflow, both)
    for server in both:
        reconciled(server, airflow, ALL)


def over(airflow: Airflow2, dag_id: str, run_id: str, state: str) -> None:
    airflow.wait_for_state(dag_id, run_id, state, timeout_s=AIRFLOW_S)


def every_try_is_there(server: WatchtowerServer) -> None:
    tries = ours(server, "invoice_import", "first")
    assert [tries["parse_invoices", None, number] for number in (1, 2, 3)] == ["failed"] * 3
    final = {each["attempt"]: each["final"] for each in runs(server, "invoice_import") if each["task"]}
    assert final == {1: False, 2: False, 3: True}
    mapped = ours(server, "price_import", "first")
    assert [mapped["read_price", 0, number] for number in (1, 2)] == ["failed", "failed"]
    assert [mapped["read_price", place, 1] for place in (1, 2)] == ["succeeded", "succeeded"]
    assert mapped["write_prices", None, 1] == "upstream_failed"


def errors_and_pools_stand_together(hearing: WatchtowerServer) -> None:
    """Of one try: its error, which only the event had, and its pool, which only the answer had."""
    (last,) = [each for each in runs(hearing, "invoice_import") if each["task"] and each["attempt"] == 3]
    whole: dict[str, Any] = hearing.get(f"/api/v1/runs/{last['id']}")
    assert "invalid literal for int()" in whole["error"]["message"]
    assert whole["tags"]["pool"] == "default_pool"


def found_what_was_killed(airflow: Airflow2, both: tuple[WatchtowerServer, ...]) -> None:
    """As the kernel does when memory runs out: the task's process is gone, and nobody says so."""
    os.kill(running_pid(airflow, "killed"), signal.SIGKILL)
    over(airflow, "warehouse_vacuum", "killed", "failed")
    for server in both:
        wait_until_whole(server, airflow, "warehouse_vacuum", "killed")


def found_what_a_dying_scheduler_left(airflow: Airflow2, both: tuple[WatchtowerServer, ...]) -> None:
    """It takes what it runs along, and tells nobody; the next one has the task tried again, and that goes well."""
    file = airflow.home / "vacuumed"
    airflow.trigger("warehouse_vacuum", "orphaned", {"until": str(file)})
    running_pid(airflow, "orphaned")
    for server in both:
        wait_until(server, "warehouse_vacuum", {("vacuum_tables", "orphaned", 1): "running"})
    airflow.kill_scheduler()
    airflow.start_scheduler()
    file.touch()
    over(airflow, "warehouse_vacuum", "orphaned", "success")
    for server in both:
        wait_until_whole(server, airflow, "warehouse_vacuum", "orphaned")
        wait_until(server, "warehouse_vacuum", {("vacuum_tables", "orphaned", 1): "lost"})  # Airflow has forgotten it


def were_away_and_missed_nothing(airflow: Airflow2, both: tuple[WatchtowerServer, ...]) -> None:
    for server in both:
        server.kill()
    for dag_id, state in (("ledger_export", "success"), ("invoice_import", "failed")):
        airflow.trigger(dag_id, "meanwhile")
        over(airflow, dag_id, "meanwhile", state)
    for server in both:
        server.start()
        for dag_id in ("ledger_export", "invoice_import"):
            wait_until_whole(server, airflow, dag_id, "meanwhile")
        tries = ours(server, "invoice_import", "meanwhile")
        assert [tries["parse_invoices", None, number] for number in (1, 2, 3)] == ["failed"] * 3


def running_pid(airflow: Airflow2, run_id: str) -> int:
    def probe() -> int | None:
        task = airflow.task_instance("warehouse_vacuum", run_id, "vacuum_tables")
        return task["pid"] if task["state"] == "running" else None

    return airflow.wait_for(f"the task of {run_id} to run", probe, timeout_s=AIRFLOW_S)
