"""Promise P6 with a real Airflow 3: Watchtower is killed, and while it is away runs end well and badly, are cleared,
are deleted, and go on; and Airflow itself is killed and started again in the middle of runs.

No event reaches the one that only asks: all that it has it was told then. The other one hears, too.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.e2e.airflow import DAGS, Airflow, Lineage, ensure_airflow, free_port
from tests.e2e.polled_airflow import (
    ALLOW,
    POLLS_S,
    Try,
    only_asking,
    ours,
    reconciled,
    runs,
    source,
    wait_until,
    wait_until_whole,
)
from tests.e2e.watchtower_server import WatchtowerServer

NAMESPACE = "e2e-away"
AIRFLOW_S = 300.0  # on a busy machine
BEFORE = ("kept", "cleared", "deleted")


PATIENT = {"AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60"}  # tasks outlive their API server, however long it takes


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Generator[WatchtowerServer]:
    with WatchtowerServer(tmp_path_factory.mktemp("hearing"), free_port(), ALLOW) as server:
        yield server


@pytest.fixture(scope="module")
def airflow(hearing: WatchtowerServer) -> Generator[Airflow]:
    lineage = Lineage(hearing.url, hearing.command("token", "create", "airflow").strip(), namespace=NAMESPACE)
    with Airflow(ensure_airflow(), dags=DAGS / "cases", lineage=lineage, environment=PATIENT) as running:
        for dag_id in ("ledger_export", "invoice_import", "price_import", "warehouse_vacuum"):
            running.unpause(dag_id)
        hearing.reload(ALLOW + source(running))
        yield running


@pytest.fixture(scope="module")
def asking(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Generator[WatchtowerServer]:
    folder: Path = tmp_path_factory.mktemp("asking")
    with only_asking(folder, airflow) as server:
        yield server


def test_what_happened_while_watchtower_was_away_is_there_afterwards(
    airflow: Airflow, asking: WatchtowerServer
) -> None:
    airflow.trigger("warehouse_vacuum", "across")
    for run_id in BEFORE:
        airflow.trigger("ledger_export", run_id)
    for run_id in BEFORE:
        airflow.wait_for_state("ledger_export", run_id, "success", timeout_s=AIRFLOW_S)
    wait_until(asking, "ledger_export", {(None, run_id, 1): "succeeded" for run_id in BEFORE})
    wait_until(asking, "warehouse_vacuum", {("vacuum_tables", "across", 1): "running"})

    asking.kill()
    airflow.delete("ledger_export", "deleted")
    airflow.clear("ledger_export", "cleared")
    airflow.trigger("ledger_export", "meanwhile")
    airflow.trigger("invoice_import", "meanwhile")
    airflow.trigger("price_import", "meanwhile")
    airflow.wait_for_state("ledger_export", "cleared", "success", timeout_s=AIRFLOW_S)
    airflow.wait_for_state("ledger_export", "meanwhile", "success", timeout_s=AIRFLOW_S)
    airflow.wait_for_state("invoice_import", "meanwhile", "failed", timeout_s=AIRFLOW_S)
    airflow.wait_for_state("price_import", "meanwhile", "failed", timeout_s=AIRFLOW_S)
    asking.start()

    expected = {
        "kept": [(0, "succeeded")],
        "deleted": [(0, "succeeded")],  # there it is forgotten
        "cleared": [(0, "succeeded"), (1, "succeeded")],
        "meanwhile": [(0, "succeeded")],
    }
    asking.wait_for("all runs", lambda: generations(asking, "ledger_export") == expected or None, timeout_s=POLLS_S)
    wait_until_whole(asking, airflow, "invoice_import", "meanwhile")
    tries = {each["attempt"]: each["state"] for each in runs(asking, "invoice_import") if each["task"]}
    assert tries == {1: "failed", 2: "failed", 3: "failed"}
    wait_until_whole(asking, airflow, "price_import", "meanwhile")
    mapped = ours(asking, "price_import", "meanwhile")
    assert [mapped["read_price", 0, number] for number in (1, 2)] == ["failed", "failed"]
    assert [mapped["read_price", place, 1] for place in (1, 2)] == ["succeeded", "succeeded"]
    assert generations(asking, "warehouse_vacuum") == {"across": [(0, "running")]}
    told = {each["labels"]["pipeline"] for each in asking.get("/api/v1/alerts?state=firing&limit=100")["items"]}
    assert "warehouse_vacuum" not in told
    asking.wait_for("the alert about what failed", lambda: failed(asking), timeout_s=POLLS_S)


def test_airflow_is_started_again_in_the_middle_of_runs_and_nothing_is_missing(
    airflow: Airflow, hearing: WatchtowerServer, asking: WatchtowerServer, tmp_path: Path
) -> None:
    """Its API server, which is what is asked and what a running task tells that it lives; and its scheduler, which
    takes what it runs along and tells nobody."""
    both, file = (hearing, asking), {run_id: tmp_path / run_id for run_id in ("outlived", "orphaned")}
    for run_id, until in file.items():
        airflow.trigger("warehouse_vacuum", run_id, {"until": str(until)})
    for server in both:
        wait_until(server, "warehouse_vacuum", {("vacuum_tables", run_id, 1): "running" for run_id in file})

    airflow.kill_api_server()
    for server in both:
        server.wait_until_it_fails("prod")
    airflow.start_api_server()
    file["outlived"].touch()
    airflow.wait_for_state("warehouse_vacuum", "outlived", "success", timeout_s=AIRFLOW_S)
    airflow.kill_scheduler()
    airflow.wait_until_scheduler_is_missed()
    airflow.start_scheduler()
    file["orphaned"].touch()
    airflow.wait_for_state("warehouse_vacuum", "orphaned", "success", timeout_s=AIRFLOW_S)

    for server in both:
        wait_until_whole(server, airflow, "warehouse_vacuum", "outlived")
        wait_until_whole(server, airflow, "warehouse_vacuum", "orphaned")
        reconciled(server, airflow, ["warehouse_vacuum"])
        tries: dict[Try, str] = {
            ("vacuum_tables", "outlived", 1): "succeeded",
            ("vacuum_tables", "orphaned", 1): "failed",
            ("vacuum_tables", "orphaned", 2): "succeeded",
        }
        wait_until(server, "warehouse_vacuum", tries)


def generations(asking: WatchtowerServer, pipeline: str) -> dict[str, list[tuple[int, str]]]:
    """Of each run by Airflow's own id."""
    found: dict[str, list[tuple[int, str]]] = {}
    for each in runs(asking, pipeline):
        if each["task"] is None:
            found.setdefault(each["native_run_id"], []).append((each["generation"], each["state"]))
    return {run_id: sorted(some) for run_id, some in found.items()}


def failed(asking: WatchtowerServer) -> bool | None:
    """What failed while nobody watched is news."""
    items = asking.get("/api/v1/alerts?state=firing&limit=100")["items"]
    return any(each["labels"].get("pipeline") == "invoice_import" for each in items) or None
