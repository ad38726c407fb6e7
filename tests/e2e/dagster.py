"""A real Dagster for the end-to-end tests: webserver, daemon and code server, in an environment of its own.

with DagsterServer(ensure("dagster"), folder) as dagster:
    run_id = dagster.launch("priced")

Three processes, as a deployment has them: what is killed of one leaves the others alone. Runs are children of the code
server, and die with it.
"""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.airflow import free_port
from tests.e2e.environments import HERE, Service, ServiceError

DEFINITIONS = HERE / "flows" / "dagster_cases.py"
START_TIMEOUT_S = 180.0  # healthy after 10 s on two idle cores
# The daemon launches what is queued; a file database that is asked too often by many processes locks.
INSTANCE = "telemetry: {enabled: false}\nrun_retries: {enabled: true, max_retries: 0}\n"

WORKSPACE = """
load_from:
  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {name}}}
"""
# Processes that make the files of the database at the same time fail.
MAKE_DATABASE = "from dagster import DagsterInstance; DagsterInstance.get().get_runs_count()"
FRONT = ("webserver", "daemon")

_STATES = {
    **dict.fromkeys(("QUEUED", "NOT_STARTED", "STARTING"), "queued"),
    **{"STARTED": "running", "SUCCESS": "succeeded", "FAILURE": "failed"},
}
_STEP_STATES = {"SUCCESS": "succeeded", "FAILURE": "failed", "SKIPPED": "skipped", "IN_PROGRESS": "running"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ALL = """{
  runsOrError(limit: 500) { ... on Runs { results { runId pipelineName status tags { key value } rootRunId
    stepStats { stepKey status attempts { endTime } } } } }
  repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name owners {
      ... on UserDefinitionOwner { email } ... on TeamDefinitionOwner { team } } }
    schedules { pipelineName cronSchedule executionTimezone scheduleState { status } } } } } }"""
_LAUNCH = """mutation Launch($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


class DagsterServer:
    """Enter to start it and wait until its definitions are loaded; leaving always ends every process."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._bin = venv / "bin"
        self._code_port = free_port()
        (folder / "dagster.yaml").write_text(INSTANCE)
        (folder / "workspace.yaml").write_text(WORKSPACE.format(port=self._code_port, name=DEFINITIONS.name))
        path = f"{self._bin}:/usr/local/bin:/usr/bin:/bin"
        self._service = Service(folder, {"DAGSTER_HOME": str(folder), "PATH": path})

    def __enter__(self) -> Self:
        try:
            self.start_code_server()
            self._service.run([str(self._bin / "python"), "-c", MAKE_DATABASE])
            self.start_front()
        except BaseException:
            self._service.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.end()

    def start_code_server(self) -> None:
        where = [
            "-h",
            "127.0.0.1",
            "-p",
            str(self._code_port),
            "-f",
            str(DEFINITIONS),
            "--location-name",
            DEFINITIONS.name,
        ]
        self._service.start("code", [str(self._bin / "dagster"), "api", "grpc", *where])

    def start_front(self) -> None:
        """Its webserver, which is what is asked, and its daemon."""
        at = ["-h", "127.0.0.1", "-p", str(self.port)]
        self._service.start("webserver", [str(self._bin / "dagster-webserver"), "-w", "workspace.yaml", *at])
        self._service.start("daemon", [str(self._bin / "dagster-daemon"), "run", "-w", "workspace.yaml"])
        self._service.wait_for("Dagster to load its definitions", self._is_loaded, timeout_s=START_TIMEOUT_S)

    def kill_front(self) -> None:
        """kill -9; what runs goes on."""
        for name in FRONT:
            self._service.kill(name)

    def kill_code_server(self) -> None:
        """kill -9, with all that it runs: nobody is left who would say so."""
        self._service.kill("code")

    def kill_run(self, run_id: str) -> None:
        """As the kernel does when memory runs out."""
        said = " ".join(str(event.get("message")) for event in self.events(run_id))
        (pid,) = set(re.findall(r"Started process for run \(pid: (\d+)\)", said))
        os.kill(int(pid), signal.SIGKILL)

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The event log of a run; its first thousand."""
        query = """query Log($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
          __typename ... on MessageEvent { stepKey message } } } } }"""
        return self.query(query, {"id": run_id})["logsForRun"]["events"]

    def launch(self, job: str, **tags: str) -> str:
        """The id of the run."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": DEFINITIONS.name,
            "pipelineName": job,
        }
        said = [{"key": key, "value": value} for key, value in tags.items()]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": said}}
        answer = self.query(_LAUNCH, {"p": params})["launchPipelineExecution"]
        return str(answer["run"]["runId"])

    def wait_for_end(self, run_id: str, timeout_s: float = 180.0) -> str:
        """Its last status. A run that will be tried again has not ended."""
        query = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"

        def ended() -> str | None:
            status = self.query(query, {"id": run_id})["runOrError"]["status"]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        return self._service.wait_for(f"run {run_id} to end", ended, timeout_s=timeout_s)

    def wait_for_start(self, run_id: str) -> None:
        query = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"

        def started() -> bool | None:
            return True if self.query(query, {"id": run_id})["runOrError"]["status"] == "STARTED" else None

        self._service.wait_for(f"run {run_id} to start", started, timeout_s=180)

    def query(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with _DIRECT.open(request, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(f"{error.code} {error.read().decode(errors='replace')[:2000]}") from error
        if found.get("errors"):
            raise ServiceError(str(found["errors"])[:2000])
        return found["data"]

    def _is_loaded(self) -> bool | None:
        query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        try:
            return True if self.query(query)["repositoriesOrError"].get("nodes") else None
        except (OSError, ServiceError, KeyError):
            return None


def known_to(dagster: DagsterServer) -> Counter[tuple[object, ...]]:
    """All that Dagster has, in Watchtower's words: runs, attempts of steps, and jobs with their owners and schedules.

    A run that was tried again by itself is that of its first id, and stands as the last of them does.
    """
    found = dagster.query(_ALL)
    runs = [_Run(row) for row in found["runsOrError"]["results"]]
    (repository,) = found["repositoriesOrError"]["nodes"]
    last = {run.first: run for run in sorted(runs, key=lambda run: run.number)}
    rows: list[tuple[object, ...]] = [(run.first, run.job, run.state) for run in last.values()]
    for run in runs:
        rows += [(run.first, run.number, *step) for step in run.steps()]
    return Counter([*rows, *(_job(job["name"], job["owners"], repository["schedules"]) for job in repository["jobs"])])


class _Run:
    """One launch, as Dagster tells it."""

    def __init__(self, row: dict[str, Any]) -> None:
        tags = {tag["key"]: tag["value"] for tag in row["tags"]}
        self.job, self._steps = row["pipelineName"], row["stepStats"]
        self.number = int(tags.get("dagster/retry_number", 0))
        self.first = row["rootRunId"] if self.number else row["runId"]
        in_progress = [step for step in self._steps if step["status"] == "IN_PROGRESS"]
        self._killed = row["status"] == "FAILURE" and bool(in_progress)
        self.state = "crashed" if self._killed else _STATES[row["status"]]

    def steps(self) -> list[tuple[str, int | None, int, str]]:
        """Task, its place if it is mapped, attempt and state; all but the last attempt failed."""
        found: list[tuple[str, int | None, int, str]] = []
        for step in self._steps:
            task, _, place = step["stepKey"].rstrip("]").partition("[")
            state = "crashed" if self._killed and step["status"] == "IN_PROGRESS" else _STEP_STATES[step["status"]]
            states = ["failed"] * (max(1, len(step["attempts"])) - 1) + [state]
            found += [(task, int(place) if place else None, number, each) for number, each in enumerate(states, 1)]
        return found


def _job(name: str, owners: list[dict[str, str]], schedules: list[dict[str, Any]]) -> tuple[object, ...]:
    owner = ", ".join(each.get("team") or each["email"] for each in owners) or None
    runs = [each for each in schedules if each["pipelineName"] == name and each["scheduleState"]["status"] == "RUNNING"]
    schedule, zone = (runs[0]["cronSchedule"], runs[0]["executionTimezone"]) if runs else (None, None)
    return name, owner, schedule, zone
