"""A real Prefect 3 server for the end-to-end tests, and flows that run against it as plain scripts.

    with PrefectServer(ensure("prefect"), folder) as prefect:
        prefect.run_flow("orders")

Prefect lives in an environment of its own; each server has its own home, database and loopback port.
"""

import json
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.airflow import free_port
from tests.e2e.environments import HERE, Service, ServiceError

FLOWS = HERE / "flows" / "prefect_cases.py"
START_TIMEOUT_S = 180.0  # healthy after 10 s on two idle cores
FLOW_TIMEOUT_S = 300.0  # a few seconds; on a busy machine its server's database is locked again and again

_STATES = {
    **{"COMPLETED": "succeeded", "FAILED": "failed", "CRASHED": "crashed", "CANCELLED": "cancelled"},
    **{"RUNNING": "running", "PENDING": "queued", "SCHEDULED": "queued"},
    **{"TimedOut": "timed_out", "NotReady": "upstream_failed"},
}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PrefectServer:
    """Enter to start it and wait until it is healthy; leaving always ends every process. folder: its home."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self.port = free_port()
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        self._bin = venv / "bin"
        home = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": self.api_url}
        quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        late = "PREFECT_SERVER_SERVICES_LATE_RUNS_"
        soon_late = {f"{late}LOOP_SECONDS": "1", f"{late}AFTER_SECONDS": "1"}
        self._service = Service(folder, {**home, **quiet, **soon_late})

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._service.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.end()

    def start(self) -> None:
        command = [str(self._bin / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self._service.start("server", command)
        self._service.wait_for("Prefect to be healthy", self._is_healthy, timeout_s=START_TIMEOUT_S)

    def kill(self) -> None:
        """kill -9 for the server; flows go on."""
        self._service.kill("server")

    def run_flow(self, name: str) -> str:
        """Run it to its end; what it printed."""
        return self._service.run([str(self._bin / "python"), str(FLOWS), name], timeout_s=FLOW_TIMEOUT_S)

    def run_script(self, name: str, *arguments: str) -> str:
        """Run another file beside the flows."""
        return self._service.run([str(self._bin / "python"), str(FLOWS.with_name(name)), *arguments])

    def deploy_each_minute(self, flow: str, name: str) -> None:
        """A deployment with a schedule, and nobody who would serve it."""
        (found,) = self.post("flows/filter", {"flows": {"name": {"any_": [flow]}}})
        schedule = {"schedule": {"cron": "* * * * *", "timezone": "Europe/Berlin"}, "active": True}
        asked = {"name": name, "flow_id": found["id"], "schedules": [schedule], "tags": ["owner:shop-data"]}
        self.post("deployments/", asked)

    def start_flow(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self._service.start(name, [str(self._bin / "python"), str(FLOWS), name, *arguments])

    def kill_flow(self, name: str) -> None:
        self._service.kill(name)

    def set_state(self, flow_run_id: str, kind: str) -> None:
        """As a person does, whatever the run says of itself."""
        state = {"type": kind.upper(), "name": kind, "message": "the machine is gone"}
        self.post(f"flow_runs/{flow_run_id}/set_state", {"state": state, "force": True})

    def delete(self, flow_run_id: str) -> None:
        """As Prefect itself does with what is old, if it is told to."""
        self._asked("DELETE", f"flow_runs/{flow_run_id}", None)

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self._asked("POST", path, body))

    def _asked(self, method: str, path: str, body: Any) -> bytes:
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api_url}/{path}", sent, headers, method=method)
        try:
            with _DIRECT.open(request, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(f"{path}: {error.code} {error.read().decode(errors='replace')[:2000]}") from error

    def states(self, flow: str) -> list[str]:
        """The names of the states that runs of a flow are in."""
        return [run["state_name"] for run in self.post("flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})]

    def wait_for_state(self, flow: str, state: str) -> None:
        def reached() -> bool | None:
            return True if state in self.states(flow) else None

        self._service.wait_for(f"a run of {flow} to be {state}", reached, timeout_s=120)

    def _is_healthy(self) -> bool | None:
        try:
            with _DIRECT.open(f"{self.api_url}/health", timeout=5) as answer:
                return True if answer.status == 200 else None
        except OSError:
            return None


def known_to(prefect: PrefectServer) -> Counter[tuple[object, ...]]:
    """All that Prefect has, in Watchtower's words: runs of flows, attempts of tasks, of which all but the last failed,
    and deployments with their owners and schedules. A run that is not due yet does not count."""
    every: dict[str, Any] = {"limit": 200}
    flows = {row["id"]: row["name"] for row in prefect.post("flows/filter", every)}
    deployments = {row["id"]: row for row in prefect.post("deployments/filter", every)}
    runs = [row for row in prefect.post("flow_runs/filter", every) if row["state_name"] != "Scheduled"]
    called = {row["id"]: f"{flows[row['flow_id']]}/{row['name']}" for row in deployments.values()}
    found: list[tuple[object, ...]] = [
        (row["id"], called.get(row["deployment_id"]) or flows[row["flow_id"]], _state(row)) for row in runs
    ]
    for row in prefect.post("task_runs/filter", every):
        task, states = row["name"].rpartition("-")[0], ["failed"] * (row["run_count"] - 1) + [_state(row)]
        found += [(row["flow_run_id"], task, number, state) for number, state in enumerate(states, 1)]
    for row in deployments.values():
        (schedule,) = [each["schedule"] for each in row["schedules"]]
        (owner,) = [tag.removeprefix("owner:") for tag in row["tags"]]
        found.append((called[row["id"]], owner, schedule["cron"], schedule["timezone"]))
    return Counter(found)


def _state(row: dict[str, Any]) -> str:
    return _STATES.get(row["state_name"]) or _STATES[row["state_type"]]
