"""A real Dagster for the end-to-end tests: webserver, daemon and code server, in an environment of its own.

with DagsterServer(ensure("dagster"), folder) as dagster:
    run_id = dagster.launch("priced")
"""

import json
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.airflow import free_port
from tests.e2e.environments import HERE, Service, ServiceError

DEFINITIONS = HERE / "flows" / "dagster_cases.py"
START_TIMEOUT_S = 180.0  # healthy after 10 s on two idle cores
# The daemon launches what is queued; a file database that is asked too often by many processes locks.
INSTANCE = "telemetry: {enabled: false}\nrun_retries: {enabled: true, max_retries: 0}\n"

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_LAUNCH = """mutation Launch($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


class DagsterServer:
    """Enter to start it and wait until its definitions are loaded; leaving always ends every process."""

    def __init__(self, venv: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._bin = venv / "bin"
        (folder / "dagster.yaml").write_text(INSTANCE)
        path = f"{self._bin}:/usr/local/bin:/usr/bin:/bin"
        self._service = Service(folder, {"DAGSTER_HOME": str(folder), "PATH": path})

    def __enter__(self) -> Self:
        where = ["-f", str(DEFINITIONS), "-h", "127.0.0.1", "-p", str(self.port)]
        try:
            self._service.start("dagster", [str(self._bin / "dagster"), "dev", *where])
            self._service.wait_for("Dagster to load its definitions", self._is_loaded, timeout_s=START_TIMEOUT_S)
        except BaseException:
            self._service.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.end()

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
