"""A real Dagster that is asked: retries of runs and steps, assets with rows, a schedule, what was killed, and what ran
while Watchtower, or Dagster itself, was away."""

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import free_port
from tests.e2e.dagster import DagsterServer, known_to
from tests.e2e.environments import ensure
from tests.e2e.watchtower_server import POLLS_S, WatchtowerServer

CONFIG = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  dagster:
    sources:
      - {{name: shop, base_url: "{url}", every: 5s}}
rules:
  - {{alert: StuckRun, kind: orphan, match: {{pipeline: stuck}}, limit: 15s, severity: page}}
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


def test_a_real_dagster(watchtower: WatchtowerServer, dagster: DagsterServer, tmp_path: Path) -> None:
    """One story, told in order, since each step stands on the one before."""
    shop, invoices, stuck = dagster.launch("shop", team="shop"), dagster.launch("invoices"), dagster.launch("stuck")
    assert dagster.wait_for_end(shop) == "SUCCESS"
    assert dagster.wait_for_end(invoices) == "FAILURE"
    what_went_well_is_there_with_its_rows(watchtower, shop)
    partitions_and_checks_are_there(watchtower, dagster)
    a_chain_of_retries_is_one_run_that_failed(watchtower, invoices)
    found_what_was_killed(watchtower, dagster, stuck)
    was_away_and_missed_nothing(watchtower, dagster)
    owners_and_schedules_are_known(watchtower)
    dagster_was_away_and_nothing_is_missing(watchtower, dagster, tmp_path)
    found_what_the_code_server_took_along(watchtower, dagster)
    all_that_it_has_is_there(watchtower, dagster)


def what_went_well_is_there_with_its_rows(watchtower: WatchtowerServer, shop: str) -> None:
    run = wait_for_run(watchtower, "shop", shop, "succeeded")
    attempts = watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]
    assert {attempt["task"] for attempt in attempts} >= {"raw_orders", "clean_orders"}
    datasets = {each["name"]: each for each in watchtower.get("/api/v1/datasets?limit=50")["items"]}
    assert {"raw_orders", "clean_orders"} <= datasets.keys()
    assert written(watchtower, run) == {"raw_orders": (120, None), "clean_orders": (118, None)}


def partitions_and_checks_are_there(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """The partition of a run and of what it wrote, and a check that found something."""
    day = dagster.launch("by_day", **{"dagster/partition": "2026-11-15"})
    assert dagster.wait_for_end(day) == "SUCCESS"
    run = wait_for_run(watchtower, "by_day", day, "succeeded")
    assert run["tags"]["partition"] == "2026-11-15"
    assert written(watchtower, run) == {"orders_by_day": (12, "2026-11-15")}
    labels = wait_for_alert(watchtower, kind="quality")["labels"]
    assert (labels["alertname"], labels["pipeline"]) == ("QualityWarned", "shop")
    assert (labels["table"], labels["check"]) == ("clean_orders", "no_missing_customer")


def a_chain_of_retries_is_one_run_that_failed(watchtower: WatchtowerServer, invoices: str) -> None:
    """Its failure is told once it is over, with what Python raised."""
    failed = wait_for_run(watchtower, "invoices", invoices, "failed")
    assert (failed["attempt"], failed["max_attempts"], len(runs(watchtower, "invoices"))) == (2, 2, 1)
    alert = wait_for_alert(watchtower, pipeline="invoices")
    assert alert["labels"]["kind"] == "run_failure"
    assert "column amount is missing" in json.dumps(alert["evidence"])


def found_what_was_killed(watchtower: WatchtowerServer, dagster: DagsterServer, stuck: str) -> None:
    """The process of a run alone: its code server says so, and Dagster has its step as under way for ever."""
    wait_until_under_way(watchtower, "stuck", stuck)
    dagster.kill_run(stuck)
    assert dagster.wait_for_end(stuck) == "FAILURE"
    run = wait_for_run(watchtower, "stuck", stuck, "crashed")
    (step,) = watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]
    assert (step["task"], step["state"], step["final"]) == ("sleep", "crashed", True)
    alert = wait_for_alert(watchtower, pipeline="stuck", kind="run_failure")
    assert "was terminated by signal 9 (SIGKILL)" in json.dumps(alert["evidence"])


def was_away_and_missed_nothing(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """Watchtower, while a step was tried again and again."""
    watchtower.kill()
    priced = dagster.launch("priced")
    assert dagster.wait_for_end(priced) == "SUCCESS"
    watchtower.start()
    run = wait_for_run(watchtower, "priced", priced, "succeeded")
    fetched = [each for each in watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"] if each["task"] == "fetch"]
    assert [(each["attempt"], each["state"]) for each in fetched] == [(1, "failed"), (2, "failed"), (3, "succeeded")]


def owners_and_schedules_are_known(watchtower: WatchtowerServer) -> None:
    """The schedule's own runs know when they were due."""
    (job,) = [each for each in watchtower.get("/api/v1/jobs?pipeline=priced")["items"] if not each["task"]]
    assert (job["owner"], job["schedule"], job["timezone"]) == ("shop, data@example.com", "* * * * *", "Europe/Berlin")

    def scheduled() -> dict[str, Any] | None:
        return next((each for each in runs(watchtower, "priced") if each["trigger"] == "schedule"), None)

    run = watchtower.wait_for("a scheduled run", scheduled, timeout_s=POLLS_S)
    assert run["nominal_start"].endswith(":00Z")


def dagster_was_away_and_nothing_is_missing(watchtower: WatchtowerServer, dagster: DagsterServer, folder: Path) -> None:
    """Its webserver and its daemon, which are killed and started again; what runs meanwhile ends meanwhile."""
    file = folder / "until"
    run_id = dagster.launch("waiting", until=str(file))
    wait_until_under_way(watchtower, "waiting", run_id)
    dagster.kill_front()
    watchtower.wait_until_it_fails("shop")
    file.touch()
    dagster.start_front()
    assert dagster.wait_for_end(run_id) == "SUCCESS"
    wait_for_run(watchtower, "waiting", run_id, "succeeded")
    (run,) = runs(watchtower, "waiting")
    assert [each["state"] for each in watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]] == ["succeeded"]


def found_what_the_code_server_took_along(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """Nobody is left who would tell Dagster that the run is dead."""
    run_id = dagster.launch("stuck")
    wait_until_under_way(watchtower, "stuck", run_id)
    dagster.kill_code_server()
    dagster.start_code_server()
    wait_for_alert(watchtower, pipeline="stuck", kind="orphan")
    assert wait_for_run(watchtower, "stuck", run_id, "running")


def all_that_it_has_is_there(watchtower: WatchtowerServer, dagster: DagsterServer) -> None:
    """Every run, every attempt of every step, every owner and every schedule; and no other."""
    assert len(known_to(dagster)) > 20
    watchtower.wait_until_it_has(lambda: known_to(dagster), lambda: known_here(watchtower))


def known_here(watchtower: WatchtowerServer) -> Counter[tuple[object, ...]]:
    """In the words of tests.e2e.dagster.known_to."""
    found = watchtower.get("/api/v1/runs?limit=500")["items"]
    rows: list[tuple[object, ...]] = [
        (each["native_run_id"], each["generation"], each["task"], each["map_index"], each["attempt"], each["state"])
        for each in found
        if each["task"]
    ]
    rows += [(each["native_run_id"], each["pipeline"], each["state"]) for each in found if not each["task"]]
    jobs = [each for each in watchtower.get("/api/v1/jobs?limit=100")["items"] if not each["task"]]
    rows += [(each["pipeline"], each["owner"], each["schedule"] or None, each["timezone"]) for each in jobs]
    return Counter(rows)


def runs(watchtower: WatchtowerServer, pipeline: str) -> list[dict[str, Any]]:
    """Of a pipeline; oldest first."""
    found: list[dict[str, Any]] = watchtower.get(f"/api/v1/runs?pipeline={pipeline}&top_level=true&limit=100")["items"]
    return sorted(found, key=lambda run: (run["started_at"] or "", run["attempt"]))


def wait_for_run(watchtower: WatchtowerServer, pipeline: str, native_run_id: str, state: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found = [run for run in runs(watchtower, pipeline) if run["native_run_id"] == native_run_id]
        return found[0] if found and found[0]["state"] == state else None

    return watchtower.wait_for(f"run {native_run_id} of {pipeline} to be {state}", reached, timeout_s=POLLS_S)


def wait_for_alert(watchtower: WatchtowerServer, **labels: str) -> dict[str, Any]:
    def told() -> dict[str, Any] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/alerts?limit=50")["items"]
        return next((item for item in items if labels.items() <= item["labels"].items()), None)

    return watchtower.wait_for(f"an alert with {labels}", told, timeout_s=POLLS_S)


def wait_until_under_way(watchtower: WatchtowerServer, job: str, run_id: str) -> None:
    """With its step."""

    def begun() -> bool | None:
        found = watchtower.get(f"/api/v1/runs?pipeline={job}&limit=100")["items"]
        states = [run["state"] for run in found if run["native_run_id"] == run_id]
        return True if states == ["running", "running"] else None

    watchtower.wait_for(f"run {run_id} of {job} and its step to run", begun, timeout_s=POLLS_S)


def written(watchtower: WatchtowerServer, run: dict[str, Any]) -> dict[str, tuple[int, str | None]]:
    """By asset: rows and partition."""
    attempts = watchtower.get(f"/api/v1/runs/{run['id']}")["attempts"]
    outputs = [each for attempt in attempts for each in watchtower.get(f"/api/v1/runs/{attempt['id']}")["outputs"]]
    return {each["dataset"]["name"]: (each["row_count"], each["partition"]) for each in outputs}
