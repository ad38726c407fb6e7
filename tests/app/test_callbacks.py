"""The callbacks of docs/callbacks.md, run as they stand there."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, event, running

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
AIRFLOW = """
from types import SimpleNamespace as N
from watchtower_airflow import run_failed, task_failed, task_retried
run = N(run_id="scheduled__2026-03-02", clear_number=0, dag_id="orders")
def context(try_number, **more):
    ti = N(task_id="load", try_number=try_number, max_tries=1, map_index=-1, log_url="https://airflow.example/log")
    return {"dag": N(dag_id="orders"), "dag_run": run, "ti": ti, "exception": ValueError("amount is missing"), **more}
task_retried(context(1))
task_failed(context(2))
run_failed({"dag_run": run, "reason": "task_failure"})
"""
PREFECT = """
from datetime import datetime, timezone
from types import SimpleNamespace as N
from watchtower_prefect import flow_ended
state = N(type=N(value="CRASHED"), message="killed", timestamp=datetime.now(timezone.utc))
flow_ended(N(name="orders-flow"), N(id="0af76519-16cd-43dd-8448-eb211c80319c"), state)
"""
STEP_FUNCTIONS = """
from watchtower_step_functions import handler
arn = "arn:aws:states:eu-west-1:123456789012:execution:orders-machine:r1"
told = {"execution": arn, "machine": "orders-machine", "error": {"Error": "States.Timeout", "Cause": "too slow"}}
assert handler(told, None) == told
"""


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snippets")
    for block in re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        (folder / block[1]).write_text(block[0])
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("house")) as house:
        yield house


def run(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a Python of its own that sees the snippets and nothing of ours."""
    kept = {"PATH": os.environ["PATH"], "WATCHTOWER_NAMESPACE": "prod", **environment}
    command = [sys.executable, "-S", "-c", script]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=60, check=False)


def told(house: House, folder: Path, script: str) -> None:
    done = run(folder, script, WATCHTOWER_URL=house.instance.url, WATCHTOWER_TOKEN=house.ingest)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def runs(house: House, pipeline: str) -> list[dict[str, Any]]:
    return house.items(f"/api/v1/runs?pipeline={pipeline}")


def test_every_snippet_has_a_file_name_or_is_not_run() -> None:
    fences = re.findall(r"^```python(.*)$", PAGE.read_text(), re.MULTILINE)
    assert fences.count("") == 4


def test_airflow_meets_openlineage_in_one_run_with_its_tries(house: House, snippets: Path) -> None:
    now = house.instance.clock.now()
    dag_run = {"dag_id": "orders", "run_id": "scheduled__2026-03-02", "run_type": "scheduled", "clear_number": 0}
    facets = {"airflowDagRun": {"dag": {"dag_id": "orders"}, "dagRun": dag_run}}
    started = event(now, "START", "orders", "0af76519-0000-43dd-8448-eb211c80319c")
    started["run"]["facets"] = facets
    house.store(started)
    told(house, snippets, AIRFLOW)
    found = runs(house, "orders")
    (whole,) = [one for one in found if one["task"] is None]
    assert (whole["state"], whole["error"]["message"]) == ("failed", "task_failure")
    tries = sorted((one["attempt"], one["state"], one["final"], one["parent_run_id"]) for one in found if one["task"])
    assert tries == [(1, "failed", False, whole["id"]), (2, "failed", True, whole["id"])]


def test_prefect_tells_a_crash(house: House, snippets: Path) -> None:
    told(house, snippets, PREFECT)
    (found,) = runs(house, "orders-flow")
    assert (found["state"], found["error"]["message"]) == ("crashed", "killed")


def test_a_caught_error_of_step_functions_is_told(house: House, snippets: Path) -> None:
    told(house, snippets, STEP_FUNCTIONS)
    (found,) = runs(house, "orders-machine")
    assert (found["state"], found["error"]["type"], found["error"]["message"]) == (
        "failed",
        "States.Timeout",
        "too slow",
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", ""])
def test_a_callback_never_raises(snippets: Path, url: str) -> None:
    done = run(snippets, STEP_FUNCTIONS, WATCHTOWER_URL=url, WATCHTOWER_TOKEN="x")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Watchtower was not told" in done.stdout


def test_without_any_setting_it_only_says_so(snippets: Path) -> None:
    done = run(snippets, AIRFLOW)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_watchtower_that_never_answers_is_given_up(snippets: Path) -> None:
    """The address takes the connection and is silent; a process that waited for it would run into the time-out."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        assert run(snippets, STEP_FUNCTIONS, WATCHTOWER_URL=url, WATCHTOWER_TOKEN="x").returncode == 0
        assert time.monotonic() - began < 30
