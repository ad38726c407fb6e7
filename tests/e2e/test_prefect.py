"""A real Prefect 3 server, asked and listened to: runs that end in every way, a killed one, and what ran meanwhile."""

import json
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import free_port
from tests.e2e.environments import ensure
from tests.e2e.prefect import PrefectServer
from tests.e2e.watchtower_server import WatchtowerServer

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  prefect:
    sources:
      - {{name: shop, base_url: "{api_url}", every: 5s}}
rules:
  - {{alert: StuckFlow, kind: orphan, match: {{pipeline: stuck}}, limit: 15s, severity: page}}
"""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Generator[PrefectServer]:
    with PrefectServer(ensure("prefect"), tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="module")
def watchtower(tmp_path_factory: pytest.TempPathFactory, prefect: PrefectServer) -> Generator[WatchtowerServer]:
    folder: Path = tmp_path_factory.mktemp("watchtower")
    with WatchtowerServer(folder, free_port(), CONFIG.format(api_url=prefect.api_url)) as server:
        yield server


def runs(watchtower: WatchtowerServer, pipeline: str, *, tasks: bool = False) -> list[dict[str, Any]]:
    """Oldest first."""
    path = f"/api/v1/runs?source=shop&pipeline={pipeline}&top_level={'false' if tasks else 'true'}&limit=100"
    found: list[dict[str, Any]] = watchtower.get(path)["items"]
    return sorted(found, key=lambda run: (run["started_at"] or "", run["generation"], run["attempt"]))


def wait_for_states(watchtower: WatchtowerServer, pipeline: str, states: list[str]) -> list[dict[str, Any]]:
    def reached() -> list[dict[str, Any]] | None:
        found = runs(watchtower, pipeline)
        return found if [run["state"] for run in found] == states else None

    return watchtower.wait_for(f"runs of {pipeline} that are {states}", reached, timeout_s=120)


def test_a_real_prefect(watchtower: WatchtowerServer, prefect: PrefectServer) -> None:
    """One story, told in order, since each step stands on the one before."""
    prefect.start_flow("stuck")
    prefect.run_flow("orders")
    prefect.deploy_each_minute("orders", "each-minute")
    prefect.run_flow("invoices")
    prefect.wait_for_state("stuck", "Running")
    prefect.kill_flow("stuck")

    # Runs, attempts and the error that Python raised.
    wait_for_states(watchtower, "orders", ["succeeded"])
    wait_for_states(watchtower, "report", ["succeeded"])
    (failed,) = wait_for_states(watchtower, "invoices", ["failed"])
    assert (failed["attempt"], failed["max_attempts"]) == (2, 2)

    def all_attempts() -> list[dict[str, Any]] | None:
        found = [run for run in runs(watchtower, "orders", tasks=True) if run["task"] == "fetch"]
        return found if [run["state"] for run in found] == ["failed", "failed", "succeeded"] else None

    # Prefect writes down what tasks tell it a little later than their run's end.
    fetched = watchtower.wait_for("three attempts of the task", all_attempts, timeout_s=60)
    assert [run["attempt"] for run in fetched] == [1, 2, 3]
    priced = [run for run in runs(watchtower, "orders", tasks=True) if run["task"] == "price"]
    assert sorted(run["map_index"] for run in priced) == [0, 1, 2]

    # The failure is told with the task's own error, and the killed flow is found although nobody reported its end.
    def both() -> dict[str, Any] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/alerts?limit=50")["items"]
        firing = {item["labels"].get("pipeline"): item for item in items if item["state"] == "firing"}
        return firing if {"invoices", "stuck"} <= firing.keys() else None

    firing = watchtower.wait_for("the two alerts", both, timeout_s=120)
    assert firing["invoices"]["labels"]["kind"] == "run_failure"
    assert "column amount is missing" in json.dumps(firing["invoices"]["evidence"])
    assert firing["stuck"]["labels"]["kind"] == "orphan"
    assert set(firing) == {"invoices", "stuck"}

    # What ran while Watchtower was down is there once it is back.
    watchtower.kill()
    prefect.run_flow("orders")
    prefect.run_flow("slow")
    watchtower.start()
    wait_for_states(watchtower, "orders", ["succeeded", "succeeded"])
    wait_for_states(watchtower, "slow", ["timed_out"])

    # An automation tells the same runs at once: they meet, and nothing is counted twice.
    token = watchtower.command("token", "create", "prefect", "--source", "shop").strip()
    prefect.run_script("prefect_automation.py", f"{watchtower.url}/api/v1/prefect", token)
    prefect.run_flow("orders")
    wait_for_states(watchtower, "orders", ["succeeded"] * 3)
    heard = watchtower.wait_for("an event of the automation", lambda: pushed(watchtower), timeout_s=60)
    assert heard > 0
    assert [run["state"] for run in runs(watchtower, "orders")] == ["succeeded"] * 3

    # A schedule that nobody serves is late, which Prefect itself only notes.
    late = watchtower.wait_for("a late run", lambda: runs(watchtower, "orders%2Feach-minute") or None, timeout_s=120)[0]
    assert (late["state"], late["event_type"], late["trigger"]) == ("queued", "Late", "schedule")
    assert late["nominal_start"].endswith(":00Z")

    # What a person says of a run counts, and what Prefect deletes is still known here.
    (stuck,) = runs(watchtower, "stuck")
    prefect.set_state(stuck["native_run_id"], "Crashed")
    wait_for_states(watchtower, "stuck", ["crashed"])
    prefect.set_state(late["native_run_id"], "Cancelled")
    wait_for_first(watchtower, "orders%2Feach-minute", late["native_run_id"], "cancelled")
    prefect.delete(failed["native_run_id"])
    assert "Failed" not in prefect.states("invoices")
    prefect.run_flow("orders")
    wait_for_states(watchtower, "orders", ["succeeded"] * 4)
    assert [run["state"] for run in runs(watchtower, "invoices")] == ["failed"]


def wait_for_first(watchtower: WatchtowerServer, pipeline: str, native_run_id: str, state: str) -> None:
    def reached() -> bool | None:
        found = [run["state"] for run in runs(watchtower, pipeline) if run["native_run_id"] == native_run_id]
        return True if found == [state] else None

    watchtower.wait_for(f"run {native_run_id} of {pipeline} to be {state}", reached, timeout_s=120)


def pushed(watchtower: WatchtowerServer) -> float | None:
    """How many events the automation brought, by Watchtower's own metrics; None while there are none."""
    token = watchtower.command("token", "create", "metrics", "--scope", "metrics").strip()
    request = urllib.request.Request(f"{watchtower.url}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    told = [line for line in lines if line.startswith("watchtower_ingest_events_total") and '"prefect"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in told) or None
