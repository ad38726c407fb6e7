"""A real Airflow 3 that is asked: what a Watchtower knows that gets no events at all, and one that gets them, too."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.airflow import Airflow, free_port
from tests.e2e.watchtower_server import WatchtowerServer

SOURCE = """
collectors:
  airflow:
    sources:
      - {{name: prod, base_url: "{url}", namespace: {namespace}, username: admin, password: admin, every: 5s}}
"""
ALLOW = "outbound: {allow: [127.0.0.0/8]}\n"
Try = tuple[str | None, str, int]  # task (None: the run itself), the run's own id, number
POLLS_S = 90.0  # a machine that is busy with four processes of Airflow


def only_asking(folder: Path, airflow: Airflow) -> WatchtowerServer:
    """A Watchtower that no event reaches."""
    folder.mkdir(exist_ok=True)
    config = ALLOW + SOURCE.format(url=airflow.api_url, namespace=airflow.lineage.namespace)
    return WatchtowerServer(folder, free_port(), config)


def runs(watchtower: WatchtowerServer, pipeline: str) -> list[dict[str, Any]]:
    """Of a pipeline and its tasks."""
    return watchtower.get(f"/api/v1/runs?pipeline={pipeline}&limit=500")["items"]


def states(watchtower: WatchtowerServer, pipeline: str) -> dict[Try, str]:
    """By task, the run's own id, and try. A run that is there twice fails the test."""
    found = runs(watchtower, pipeline)
    named = {(each["task"], each["native_run_id"], each["attempt"]): each["state"] for each in found}
    assert len(named) == len(found), found
    return named


def wait_until(watchtower: WatchtowerServer, pipeline: str, wanted: Mapping[Try, str]) -> None:
    """Those of wanted are there, as wanted."""

    def probe() -> bool | None:
        return True if wanted.items() <= states(watchtower, pipeline).items() else None

    watchtower.wait_for(f"{wanted} of {pipeline}", probe, timeout_s=POLLS_S)


def kill_task(airflow: Airflow, dag_id: str, run_id: str, task_id: str) -> None:
    """As the kernel does when memory runs out: the task's process is gone, and nobody says so."""
    task = airflow.task_instance(dag_id, run_id, task_id)
    assert task["state"] == "running", task
    os.kill(int(task["pid"]), signal.SIGKILL)


def reconciled(watchtower: WatchtowerServer, airflow: Airflow, dag_ids: list[str]) -> None:
    """Every run that Airflow has is there once, and no other."""
    for dag_id in dag_ids:
        theirs = {run.run_id: run.state for run in airflow.dag_runs(dag_id)}
        ours = {native: state for (task, native, _), state in states(watchtower, dag_id).items() if task is None}
        assert ours.keys() == theirs.keys(), (dag_id, ours, theirs)
