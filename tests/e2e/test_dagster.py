"""A real Dagster that is asked: retries of runs and steps, assets with rows, a schedule, and what ran meanwhile."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.e2e.airflow import free_port
from tests.e2e.dagster import DagsterServer
from tests.e2e.environments import ensure
from tests.e2e.watchtower_server import WatchtowerServer

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  dagster:
    sources:
      - {{name: shop, base_url: "{url}", every: 5s}}
"""


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Generator[DagsterServer]:
    with DagsterServer(ensure("dagster"), tmp_path_factory.mktemp("dagster")) as server:
        yield server


@pytest.fixture(scope="module")
def watchtower(tmp_path_factory: pytest.TempPathFactory, dagster: DagsterServer) -> Generator[WatchtowerServer]:
    folder = tmp_path_factory.mktemp("watchtower")
    with WatchtowerServer(folder, free_port(), CONFIG.format(url=dagster.url)) as server:
        yield server


def runs(watchtower: WatchtowerServer, pipeline: str, *, tasks: bool = False) -> list[dict[str, Any]]:
    """Oldest first."""
    path = f"/api/v1/runs?pipeline={pipeline}&top_level={'false' if tasks else 'true'}&limit=100"
    found: list[dict[str, Any]] = watchtower.get(path)["items"]
    return sorted(found, key=lambda run: (run["started_at"] or "", run["attempt"]))


def wait_for_run(watchtower: WatchtowerServer, pipeline: str, native_run_id: str, state: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found = [run for run in runs(watchtower, pipeline) if run["native_run_id"] == native_run_id]
        return found[0] if found and found[0]["state"] == state else None

    return watchtower.wait_for(f"run {native_run_id} of {pipeline} to be {state}", reached, timeout_s=120)


def test_a_real_dagster(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """One story, told in order, since each step stands on the one before."""
    shop, invoices = dagster.launch("shop", team="shop"), dagster.launch("invoices")
    assert dagster.wait_for_end(shop) == "SUCCESS"
    assert dagster.wait_for_end(invoices) == "FAILURE"

    # Rows of what was written; a chain of retries is one run, whose failure is told once it is over.
    run = wait_for_run(watchtower, "shop", shop, "succeeded")
    attempts = watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]
    assert {attempt["task"] for attempt in attempts} >= {"raw_orders", "clean_orders"}
    datasets = {each["name"]: each for each in watchtower.get("/api/v1/datasets?limit=50")["items"]}
    assert {"raw_orders", "clean_orders"} <= datasets.keys()
    assert written(watchtower, run) == {"raw_orders": (120, None), "clean_orders": (118, None)}
    what_it_wrote_is_known(watchtower, dagster)
    failed = wait_for_run(watchtower, "invoices", invoices, "failed")
    assert (failed["attempt"], failed["max_attempts"], len(runs(watchtower, "invoices"))) == (2, 2, 1)

    def told() -> dict[str, Any] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/alerts?limit=50")["items"]
        return next((item for item in items if item["labels"].get("pipeline") == "invoices"), None)

    alert = watchtower.wait_for("the alert", told, timeout_s=60)
    assert alert["labels"]["kind"] == "run_failure"
    assert "column amount is missing" in json.dumps(alert["evidence"])

    # The schedule's own runs know when they were due; what ran while Watchtower was down is there once it is back.
    watchtower.kill()
    priced = dagster.launch("priced")
    assert dagster.wait_for_end(priced) == "SUCCESS"
    watchtower.start()
    run = wait_for_run(watchtower, "priced", priced, "succeeded")
    fetched = [each for each in watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"] if each["task"] == "fetch"]
    assert [(each["attempt"], each["state"]) for each in fetched] == [(1, "failed"), (2, "failed"), (3, "succeeded")]

    def scheduled() -> dict[str, Any] | None:
        return next((each for each in runs(watchtower, "priced") if each["trigger"] == "schedule"), None)

    run = watchtower.wait_for("a scheduled run", scheduled, timeout_s=120)
    assert run["nominal_start"].endswith(":00Z")


def written(watchtower: WatchtowerServer, run: dict[str, Any]) -> dict[str, tuple[int, str | None]]:
    """By asset: rows and partition."""
    attempts = watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]
    outputs = [each for attempt in attempts for each in watchtower.get(f"/api/v1/runs/{attempt['id']}")["outputs"]]
    return {each["dataset"]["name"]: (each["row_count"], each["partition"]) for each in outputs}


def what_it_wrote_is_known(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """The partition of a run and of what it wrote, and a check that found something."""
    day = dagster.launch("by_day", **{"dagster/partition": "2026-11-15"})
    assert dagster.wait_for_end(day) == "SUCCESS"
    run = wait_for_run(watchtower, "by_day", day, "succeeded")
    assert run["tags"]["partition"] == "2026-11-15"
    assert written(watchtower, run) == {"orders_by_day": (12, "2026-11-15")}

    def warned() -> dict[str, Any] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/alerts?limit=50")["items"]
        return next((item for item in items if item["labels"].get("kind") == "quality"), None)

    alert = watchtower.wait_for("the check that found something", warned, timeout_s=60)
    labels = alert["labels"]
    assert (labels["alertname"], labels["pipeline"]) == ("QualityWarned", "shop")
    assert (labels["table"], labels["check"]) == ("clean_orders", "no_missing_customer")
