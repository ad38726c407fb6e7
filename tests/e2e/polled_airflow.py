"""A real Airflow, 3 or 2, that is asked: what a Watchtower knows that gets no events, and one that gets them, too."""

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.airflow.terms import STATES
from tests.e2e.airflow import Airflow, free_port
from tests.e2e.watchtower_server import WatchtowerServer

SOURCE = """
collectors:
  airflow:
    sources:
      - {{name: prod, base_url: "{url}", namespace: {namespace}, username: {name}, password: {password}, every: 5s,
          timezones: [Europe/Berlin]}}
"""
ANYBODY = ("admin", "admin")  # is let in by Airflow 3 as it is set up here
ALLOW = "outbound: {allow: [127.0.0.0/8]}\n"
Try = tuple[str | None, str, int]  # task (None: the run itself), the run's own id, number
POLLS_S = 90.0  # a machine that is busy with four processes of Airflow


def source(airflow: Airflow, person: tuple[str, str] = ANYBODY) -> str:
    """The lines of the configuration by which airflow is asked."""
    name, password = person
    return SOURCE.format(url=airflow.api_url, namespace=airflow.lineage.namespace, name=name, password=password)


def only_asking(folder: Path, airflow: Airflow, person: tuple[str, str] = ANYBODY) -> WatchtowerServer:
    """A Watchtower that no event reaches."""
    folder.mkdir(exist_ok=True)
    return WatchtowerServer(folder, free_port(), ALLOW + source(airflow, person))


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


def whole(airflow: Airflow, pipeline: str, run_id: str) -> dict[tuple[str | None, int | None, int], str]:
    """What Airflow itself has of a run, in Watchtower's words: each task, its place if it is mapped, its latest try."""
    (run,) = (each for each in airflow.dag_runs(pipeline) if each.run_id == run_id)
    found: dict[tuple[str | None, int | None, int], str] = {(None, None, 1): STATES[run.state].value}
    for row in airflow.task_instances(pipeline, run_id):
        place = row["map_index"] if row["map_index"] >= 0 else None
        found[row["task_id"], place, max(1, row["try_number"])] = STATES[row["state"]].value
    return found


def ours(watchtower: WatchtowerServer, pipeline: str, run_id: str) -> dict[tuple[str | None, int | None, int], str]:
    """The same, as Watchtower has it; and the tries before the latest."""
    found = [each for each in runs(watchtower, pipeline) if each["native_run_id"] == run_id]
    named = {(each["task"], each["map_index"], each["attempt"] or 1): each["state"] for each in found}
    assert len(named) == len(found), found
    return named


def wait_until_whole(watchtower: WatchtowerServer, airflow: Airflow, pipeline: str, run_id: str) -> None:
    """Watchtower has all that Airflow has of a run that is over."""
    theirs = whole(airflow, pipeline, run_id)

    def probe() -> bool | None:
        return True if theirs.items() <= ours(watchtower, pipeline, run_id).items() else None

    watchtower.wait_for(f"{theirs} of {pipeline} {run_id}", probe, timeout_s=POLLS_S)


def the_schedule_is_known_in_its_zone(watchtower: WatchtowerServer) -> None:
    """Airflow's API tells the zone of no DAG; which of those that are configured it is follows from the next run."""
    (job,) = [each for each in watchtower.get("/api/v1/jobs?pipeline=nightly_close")["items"] if not each["task"]]
    assert (job["owner"], job["schedule"], job["timezone"]) == ("finance-data", "0 3 * * *", "Europe/Berlin")


def ledger_of(run_id: str) -> str:
    return f"finance.public.ledger_entries, written by ledger_export.write_entries in run {run_id}"


def its_alert_says_what_set_it_off(watchtower: WatchtowerServer, run_id: str) -> None:
    def failed() -> bool | None:
        alerts = watchtower.get("/api/v1/alerts?state=firing&limit=100")["items"]
        found = [each for each in alerts if each["labels"].get("pipeline") == "ledger_report"]
        told = [each["evidence"].get("set_off_by", []) for each in found]
        return True if any(ledger_of(run_id) in origins for origins in told) else None

    watchtower.wait_for("the failure, with what set it off", failed, timeout_s=POLLS_S)


def what_set_it_off_is_known(watchtower: WatchtowerServer, run_id: str) -> None:
    """The report was set off by the ledger that run_id wrote, which is known with its rows, and each of it once."""
    said = ledger_of(run_id)

    def probe() -> dict[str, Any] | None:
        found = [each for each in runs(watchtower, "ledger_report") if each["task"] is None]
        told = [each for each in found if said in [origin["said"] for origin in each["origins"]]]
        return told[0] if told else None

    run = watchtower.wait_for(said, probe, timeout_s=POLLS_S)
    assert run["trigger"] == "event"
    origins = [each["said"] for each in run["origins"]]  # Airflow gives one run what was written before it, too
    assert len(origins) == len(set(origins)), origins
    (wrote,) = [
        each
        for each in runs(watchtower, "ledger_export")
        if (each["task"], each["native_run_id"]) == ("write_entries", run_id)
    ]

    def written() -> bool | None:
        outputs = watchtower.get(f"/api/v1/runs/{wrote['id']}")["outputs"]
        rows = [(each["dataset"]["name"], each["row_count"]) for each in outputs]
        return True if rows == [("finance.public.ledger_entries", 1_204)] else None

    watchtower.wait_for("what was written, once", written, timeout_s=POLLS_S)


def kill_task(airflow: Airflow, dag_id: str, run_id: str, task_id: str) -> None:
    """As the kernel does when memory runs out: the task's process is gone, and nobody says so."""
    task = airflow.task_instance(dag_id, run_id, task_id)
    assert task["state"] == "running", task
    os.kill(int(task["pid"]), signal.SIGKILL)


def reconciled(watchtower: WatchtowerServer, airflow: Airflow, dag_ids: Sequence[str]) -> None:
    """Every run of these that Airflow has is there, every task of it with each try, and no other; and of all DAGs their
    owners and their schedules."""
    watchtower.wait_until_it_has(lambda: _theirs(airflow, dag_ids), lambda: _ours(watchtower, dag_ids))


def _theirs(airflow: Airflow, dag_ids: Sequence[str]) -> Counter[tuple[object, ...]]:
    """In Watchtower's words; of each task the numbers of its tries, and the state of the latest. Airflow does not tell
    the zones of schedules."""
    rows: list[tuple[object, ...]] = []
    for dag in airflow.known_dags():
        told = dag["schedule_interval"] if "schedule_interval" in dag else {"value": dag["timetable_summary"]}
        schedule = str((told or {}).get("value"))
        rows.append((dag["dag_id"], ", ".join(dag["owners"]), schedule if schedule.count(" ") == 4 else None))
    for dag_id in dag_ids:
        for run in airflow.dag_runs(dag_id):
            for (task, place, tries), state in whole(airflow, dag_id, run.run_id).items():
                rows.append((dag_id, run.run_id, task, place, tuple(range(1, tries + 1)), state))
    return Counter(rows)


def _ours(watchtower: WatchtowerServer, dag_ids: Sequence[str]) -> Counter[tuple[object, ...]]:
    jobs = [each for each in watchtower.get("/api/v1/jobs?limit=500")["items"] if not each["task"]]
    rows: list[tuple[object, ...]] = [(each["pipeline"], each["owner"], each["schedule"] or None) for each in jobs]
    for dag_id in dag_ids:
        tries: dict[tuple[str, str | None, int | None], list[tuple[int, str]]] = {}
        for each in runs(watchtower, dag_id):
            task = each["native_run_id"], each["task"], each["map_index"]
            tries.setdefault(task, []).append((each["attempt"] or 1, each["state"]))
        for task, of in tries.items():
            rows.append((dag_id, *task, tuple(number for number, _ in sorted(of)), max(of)[1]))
    return Counter(rows)
