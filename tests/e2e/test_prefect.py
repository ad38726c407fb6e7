"""A real Prefect 3 server, asked and listened to: runs that end in every way, a killed one, and what ran while
Watchtower, or the server itself, was away."""

import json
import urllib.request
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.airflow import free_port
from tests.e2e.environments import ensure
from tests.e2e.prefect import PrefectServer, known_to
from tests.e2e.watchtower_server import POLLS_S, WatchtowerServer

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


def test_a_real_prefect(watchtower: WatchtowerServer, prefect: PrefectServer, tmp_path: Path) -> None:
    """One story, told in order, since each step stands on the one before."""
    prefect.start_flow("stuck")
    prefect.run_flow("orders")
    prefect.deploy_each_minute("orders", "each-minute")
    prefect.run_flow("invoices")
    prefect.wait_for_state("stuck", "Running")
    prefect.kill_flow("stuck")
    what_went_well_is_there(watchtower)
    every_attempt_and_mapped_run_is_there(watchtower)
    what_failed_is_told_with_its_error(watchtower)
    found_what_was_killed(watchtower)
    was_away_and_missed_nothing(watchtower, prefect)
    an_automation_tells_the_same_runs(watchtower, prefect)
    owners_and_schedules_are_known(watchtower)
    prefect_was_away_and_nothing_is_missing(watchtower, prefect, tmp_path)
    a_schedule_that_nobody_serves_is_late(watchtower)
    all_that_it_has_is_there(watchtower, prefect)
    what_a_person_says_counts(watchtower, prefect)


def what_went_well_is_there(watchtower: WatchtowerServer) -> None:
    wait_for_states(watchtower, "orders", ["succeeded"])
    wait_for_states(watchtower, "report", ["succeeded"])


def every_attempt_and_mapped_run_is_there(watchtower: WatchtowerServer) -> None:
    def all_attempts() -> list[dict[str, Any]] | None:
        found = [run for run in runs(watchtower, "orders", tasks=True) if run["task"] == "fetch"]
        return found if [run["state"] for run in found] == ["failed", "failed", "succeeded"] else None

    # Prefect writes down what tasks tell it a little later than their run's end.
    fetched = watchtower.wait_for("three attempts of the task", all_attempts, timeout_s=POLLS_S)
    assert [run["attempt"] for run in fetched] == [1, 2, 3]

    def mapped() -> bool | None:
        priced = [run for run in runs(watchtower, "orders", tasks=True) if run["task"] == "price"]
        return True if sorted(run["map_index"] for run in priced) == [0, 1, 2] else None

    watchtower.wait_for("the mapped runs", mapped, timeout_s=POLLS_S)


def what_failed_is_told_with_its_error(watchtower: WatchtowerServer) -> None:
    (failed,) = wait_for_states(watchtower, "invoices", ["failed"])
    assert (failed["attempt"], failed["max_attempts"]) == (2, 2)
    alert = wait_for_alerts(watchtower, "invoices")["invoices"]
    assert alert["labels"]["kind"] == "run_failure"
    assert "column amount is missing" in json.dumps(alert["evidence"])


def found_what_was_killed(watchtower: WatchtowerServer) -> None:
    """The flow, although nobody reported its end; and nothing else is told of."""
    firing = wait_for_alerts(watchtower, "invoices", "stuck")
    assert firing["stuck"]["labels"]["kind"] == "orphan"
    assert set(firing) == {"invoices", "stuck"}


def was_away_and_missed_nothing(watchtower: WatchtowerServer, prefect: PrefectServer) -> None:
    """Watchtower."""
    watchtower.kill()
    prefect.run_flow("orders")
    prefect.run_flow("slow")
    watchtower.start()
    wait_for_states(watchtower, "orders", ["succeeded", "succeeded"])
    wait_for_states(watchtower, "slow", ["timed_out"])


def an_automation_tells_the_same_runs(watchtower: WatchtowerServer, prefect: PrefectServer) -> None:
    """At once: they meet, and nothing is counted twice."""
    token = watchtower.command("token", "create", "prefect", "--source", "shop").strip()
    prefect.run_script("prefect_automation.py", f"{watchtower.url}/api/v1/prefect", token)
    prefect.run_flow("orders")
    wait_for_states(watchtower, "orders", ["succeeded"] * 3)
    heard = watchtower.wait_for("an event of the automation", lambda: pushed(watchtower), timeout_s=60)
    assert heard > 0
    assert [run["state"] for run in runs(watchtower, "orders")] == ["succeeded"] * 3


def owners_and_schedules_are_known(watchtower: WatchtowerServer) -> None:
    def known() -> bool | None:
        jobs = watchtower.get("/api/v1/jobs?pipeline=orders%2Feach-minute")["items"]
        told = [(job["owner"], job["schedule"], job["timezone"]) for job in jobs]
        return True if told == [("shop-data", "* * * * *", "Europe/Berlin")] else None

    watchtower.wait_for("the deployment", known, timeout_s=POLLS_S)


def prefect_was_away_and_nothing_is_missing(watchtower: WatchtowerServer, prefect: PrefectServer, folder: Path) -> None:
    """Its server, which is killed and started again under a flow that goes on; and it tells again what happens."""
    file = folder / "until"
    prefect.start_flow("waiting", str(file))
    wait_for_tasks(watchtower, "waiting", ["running"])
    prefect.kill()
    watchtower.wait_until_it_fails("shop")
    heard = pushed(watchtower) or 0
    prefect.start()
    file.touch()
    wait_for_states(watchtower, "waiting", ["succeeded"])
    wait_for_tasks(watchtower, "waiting", ["succeeded"])
    prefect.run_flow("orders")
    wait_for_states(watchtower, "orders", ["succeeded"] * 4)
    watchtower.wait_for("another event", lambda: (pushed(watchtower) or 0) > heard or None, timeout_s=POLLS_S)


def a_schedule_that_nobody_serves_is_late(watchtower: WatchtowerServer) -> None:
    """Which Prefect itself only notes."""
    late = wait_for_late(watchtower)
    assert (late["state"], late["event_type"], late["trigger"]) == ("queued", "Late", "schedule")
    assert late["nominal_start"].endswith(":00Z")


def all_that_it_has_is_there(watchtower: WatchtowerServer, prefect: PrefectServer) -> None:
    """Every run, every attempt of every task, every owner and every schedule; and no other."""
    assert len(known_to(prefect)) > 20
    watchtower.wait_until_it_has(lambda: known_to(prefect), lambda: known_here(watchtower))


def what_a_person_says_counts(watchtower: WatchtowerServer, prefect: PrefectServer) -> None:
    """And what Prefect deletes is still known here."""
    (stuck,), (failed,), late = runs(watchtower, "stuck"), runs(watchtower, "invoices"), wait_for_late(watchtower)
    prefect.set_state(stuck["native_run_id"], "Crashed")
    wait_for_states(watchtower, "stuck", ["crashed"])
    prefect.set_state(late["native_run_id"], "Cancelled")
    wait_for_first(watchtower, "orders%2Feach-minute", late["native_run_id"], "cancelled")
    prefect.delete(failed["native_run_id"])
    assert "Failed" not in prefect.states("invoices")
    watchtower.wait_until_asked("shop")
    assert [run["state"] for run in runs(watchtower, "invoices")] == ["failed"]


def known_here(watchtower: WatchtowerServer) -> Counter[tuple[object, ...]]:
    """In the words of tests.e2e.prefect.known_to."""
    items: list[dict[str, Any]] = watchtower.get("/api/v1/runs?source=shop&limit=500")["items"]
    found: list[tuple[object, ...]] = [
        (each["native_run_id"], each["task"], each["attempt"], each["state"])
        if each["task"]
        else (each["native_run_id"], each["pipeline"], each["state"])
        for each in items
    ]
    jobs = watchtower.get("/api/v1/jobs?source=shop&limit=100")["items"]
    scheduled = [each for each in jobs if each["schedule"]]
    return Counter(
        [*found, *((each["pipeline"], each["owner"], each["schedule"], each["timezone"]) for each in scheduled)]
    )


def runs(watchtower: WatchtowerServer, pipeline: str, *, tasks: bool = False) -> list[dict[str, Any]]:
    """Oldest first."""
    path = f"/api/v1/runs?source=shop&pipeline={pipeline}&top_level={'false' if tasks else 'true'}&limit=100"
    found: list[dict[str, Any]] = watchtower.get(path)["items"]
    return sorted(found, key=lambda run: (run["started_at"] or "", run["generation"], run["attempt"]))


def wait_for_states(watchtower: WatchtowerServer, pipeline: str, states: list[str]) -> list[dict[str, Any]]:
    def reached() -> list[dict[str, Any]] | None:
        found = runs(watchtower, pipeline)
        return found if [run["state"] for run in found] == states else None

    return watchtower.wait_for(f"runs of {pipeline} that are {states}", reached, timeout_s=POLLS_S)


def wait_for_tasks(watchtower: WatchtowerServer, pipeline: str, states: list[str]) -> None:
    def reached() -> bool | None:
        found = [run["state"] for run in runs(watchtower, pipeline, tasks=True) if run["task"]]
        return True if found == states else None

    watchtower.wait_for(f"tasks of {pipeline} that are {states}", reached, timeout_s=POLLS_S)


def wait_for_alerts(watchtower: WatchtowerServer, *pipelines: str) -> dict[str | None, dict[str, Any]]:
    """All that fire, by their pipelines, once these do."""

    def told() -> dict[str | None, dict[str, Any]] | None:
        items: list[dict[str, Any]] = watchtower.get("/api/v1/alerts?limit=50")["items"]
        firing = {item["labels"].get("pipeline"): item for item in items if item["state"] == "firing"}
        return firing if set(pipelines) <= firing.keys() else None

    return watchtower.wait_for(f"alerts of {pipelines}", told, timeout_s=POLLS_S)


def wait_for_late(watchtower: WatchtowerServer) -> dict[str, Any]:
    return watchtower.wait_for(
        "a late run", lambda: runs(watchtower, "orders%2Feach-minute") or None, timeout_s=POLLS_S
    )[0]


def wait_for_first(watchtower: WatchtowerServer, pipeline: str, native_run_id: str, state: str) -> None:
    def reached() -> bool | None:
        found = [run["state"] for run in runs(watchtower, pipeline) if run["native_run_id"] == native_run_id]
        return True if found == [state] else None

    watchtower.wait_for(f"run {native_run_id} of {pipeline} to be {state}", reached, timeout_s=POLLS_S)


def pushed(watchtower: WatchtowerServer) -> float | None:
    """How many events the automation brought, by Watchtower's own metrics; None while there are none."""
    token = watchtower.command("token", "create", "metrics", "--scope", "metrics").strip()
    request = urllib.request.Request(f"{watchtower.url}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    told = [line for line in lines if line.startswith("watchtower_ingest_events_total") and '"prefect"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in told) or None
