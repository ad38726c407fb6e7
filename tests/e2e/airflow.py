"""A real Apache Airflow 3 for the end-to-end tests: installed once, started and ended within one `with` block.

    venv = ensure_airflow()
    with Airflow(venv, dags=DAGS / "cases", lineage=Lineage(url, token)) as airflow:
        airflow.unpause("ledger_export")
        airflow.trigger("ledger_export", "r1")
        airflow.wait_for_state("ledger_export", "r1", "success")

Airflow lives in an environment of its own, because it pins half of the packages Watchtower uses. Each `Airflow` has
its own home, database, secrets and loopback port, so several can run side by side. Four processes (api-server,
scheduler, dag-processor, triggerer), about 1.7 GB of memory, healthy after 10 to 30 seconds.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast
from urllib.parse import quote

from tests.e2e.environments import ensure

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
DAGS = HERE / "dags"

STARTUP_TIMEOUT_S = 180.0  # healthy after 12 s on two idle cores, 25 s beside another Airflow
STOP_GRACE_S = 10.0
REQUEST_TIMEOUT_S = 60.0  # beside other work the api-server can be slow to come back to a request
LOG_TAIL_LINES = 25

_LOOPBACK_ONLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class AirflowError(Exception):
    """Airflow did not do what was asked. The message ends with the tail of each component's log."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where Airflow sends its OpenLineage events: POST {url}/{endpoint}, gzip, `Authorization: Bearer {token}`."""

    url: str
    token: str
    namespace: str = "e2e-airflow"
    endpoint: str = "api/v1/lineage"

    def transport(self) -> str:
        """The JSON value of Airflow's `[openlineage] transport`."""
        return json.dumps(
            {
                "type": "http",
                "url": self.url,
                "endpoint": self.endpoint,
                "compression": "gzip",
                "auth": {"type": "api_key", "apiKey": self.token},
            }
        )


@dataclass(frozen=True, slots=True)
class DagRun:
    """A DAG run as the REST API shows it. Times are aware UTC; None while not yet known, or never said by Airflow 2."""

    dag_id: str
    run_id: str
    run_type: str
    state: str
    logical_date: datetime | None
    run_after: datetime | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state in {"success", "failed"}


def ensure_airflow() -> Path:
    """The environment that holds Airflow 3; the first call takes about 40 s and 350 MB."""
    return ensure("airflow")


class Airflow:
    """One running Airflow. Enter to migrate, start and wait until it is healthy; leaving always ends every process.

    dags: folder of DAG files, read in place. environment: further variables for all components and tasks, e.g.
    `AIRFLOW__CORE__PARALLELISM`. Nothing else of the caller's environment reaches Airflow but PATH and the locale.
    """

    # The log servers of scheduler and triggerer listen on fixed ports of all addresses; the logs are files here anyway.
    components: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "api-server": ("api-server",),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    api: ClassVar[str] = "/api/v2"
    health: ClassVar[str] = "/monitor/health"
    parts: ClassVar[tuple[str, ...]] = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    newest_first: ClassVar[str] = "-run_after"
    undated: ClassVar[Mapping[str, object]] = {"logical_date": None}  # what a run without a logical date says

    def __init__(
        self, venv: Path, *, dags: Path, lineage: Lineage, environment: Mapping[str, str] | None = None
    ) -> None:
        self.venv = venv
        self.dags = dags
        self.lineage = lineage
        self._folder = tempfile.TemporaryDirectory(prefix="airflow-", ignore_cleanup_errors=True)
        self.home = Path(self._folder.name)
        self.logs = self.home / "component-logs"
        self.api_url = ""
        self._further = dict(environment or {})
        self._environment: dict[str, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.logs.mkdir()
            port = free_port()
            self.api_url = f"http://127.0.0.1:{port}"
            self._environment = self._settings(port)
            self._prepare()
            for component in self.components:
                self._start(component)
            self.wait_for("all components to be healthy", self._is_healthy, timeout_s=STARTUP_TIMEOUT_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def versions(self) -> dict[str, str]:
        """Airflow's version and that of each provider package, by package name."""
        providers = self._get("/providers?limit=100")["providers"]
        found = {str(provider["package_name"]): str(provider["version"]) for provider in providers}
        return {"apache-airflow": str(self._get("/version")["version"]), **dict(sorted(found.items()))}

    def unpause(self, dag_id: str) -> None:
        """Let the DAG be scheduled; waits until its file was read."""
        self._set_paused(dag_id, paused=False)

    def pause(self, dag_id: str) -> None:
        """Stop the DAG from being scheduled. Running tasks end, but a run between two tasks stays open."""
        self._set_paused(dag_id, paused=True)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, object] | None = None) -> DagRun:
        """Start a manual run without a logical date. It stays queued while the DAG is paused."""
        self._wait_until_known(dag_id)
        body = {"dag_run_id": run_id, "conf": dict(conf or {}), **self.undated}
        return _dag_run(self._request("POST", f"/dags/{quote(dag_id, safe='')}/dagRuns", body))

    def clear(self, dag_id: str, run_id: str) -> None:
        """Let all tasks of a run that is over run again, as a person does."""
        path = f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/clear"
        self._request("POST", path, {"dry_run": False, "only_failed": False})

    def delete(self, dag_id: str, run_id: str) -> None:
        self._request("DELETE", f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}")

    def dag_runs(self, dag_id: str) -> list[DagRun]:
        """The runs of a DAG, sorted by run_after; the newest 100 at most."""
        found = self._get(f"/dags/{quote(dag_id, safe='')}/dagRuns?order_by={self.newest_first}&limit=100")
        return [_dag_run(row) for row in reversed(found["dag_runs"])]

    def known_dags(self) -> list[dict[str, Any]]:
        """As the REST API shows them; the first 100."""
        return self._get("/dags?limit=100")["dags"]

    def task_instance(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """A task of a run as the REST API shows it."""
        return self._get(f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}")

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The tasks of a run, the latest try of each; the first 100."""
        path = f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/taskInstances?limit=100"
        return self._get(path)["task_instances"]

    def wait_for(self, what: str, probe: Callable[[], T | None], *, timeout_s: float, every_s: float = 0.5) -> T:
        """Call `probe` until it returns something true, and return that.

        Raises AirflowError when `timeout_s` is over, or at once when a component has died by itself.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if found := probe():
                return found
            for component, process in self._processes.items():
                if (code := process.poll()) is not None:
                    raise AirflowError(f"waiting for {what}: {component} ended with {code}\n{self.log_tails()}")
            if time.monotonic() > deadline:
                raise AirflowError(f"waited {timeout_s:g} s in vain for {what}\n{self.log_tails()}")
            time.sleep(every_s)

    def wait_for_state(self, dag_id: str, run_id: str, state: str, *, timeout_s: float = 120.0) -> DagRun:
        """Wait until a run is in `state` (queued, running, success, failed). Another final state is an error."""

        def probe() -> DagRun | None:
            run = next((run for run in self.dag_runs(dag_id) if run.run_id == run_id), None)
            if run and run.is_over and run.state != state:
                raise AirflowError(f"{dag_id} {run_id} is {run.state}, not {state}\n{self.log_tails()}")
            return run if run and run.state == state else None

        return self.wait_for(f"{dag_id} {run_id} to be {state}", probe, timeout_s=timeout_s)

    def stop_scheduler(self) -> None:
        """End the scheduler; tasks that do not end within STOP_GRACE_S are killed. Nothing starts any more."""
        self._stop("scheduler", grace_s=STOP_GRACE_S)

    def kill_scheduler(self) -> None:
        """kill -9 for the scheduler and whatever it runs."""
        self._stop("scheduler", grace_s=0)

    def wait_until_scheduler_is_missed(self) -> None:
        """Half a minute after it died; whoever is started then sees at once which tasks nobody runs any more."""

        def is_missed() -> bool:
            return self._get(self.health)["scheduler"]["status"] != "healthy"

        self.wait_for("the scheduler to be missed", is_missed, timeout_s=STARTUP_TIMEOUT_S)

    def kill_api_server(self) -> None:
        """kill -9; tasks go on, and cannot tell it that they live."""
        self._stop("api-server", grace_s=0)

    def start_api_server(self) -> None:
        self._start("api-server")
        self.wait_for("the API to answer", self._answers, timeout_s=STARTUP_TIMEOUT_S)

    def start_scheduler(self) -> None:
        """Start the scheduler again and wait for its first heartbeat."""
        started_at = datetime.now(UTC)
        self._start("scheduler")

        def has_beaten() -> bool:
            beaten_at = _time(self._get(self.health)["scheduler"]["latest_scheduler_heartbeat"])
            return beaten_at is not None and beaten_at > started_at

        self.wait_for("the scheduler's heart to beat", has_beaten, timeout_s=STARTUP_TIMEOUT_S)

    def log_tails(self) -> str:
        """The last lines of each component's log, for error messages."""
        return "\n".join(
            f"--- {path.stem}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            for path in sorted(self.logs.glob("*.log"))
        )

    def _settings(self, port: int) -> dict[str, str]:
        passed = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return {
            **passed,
            "AIRFLOW_HOME": str(self.home),
            "HOME": str(self.home),
            "USER": "airflow",
            "LOGNAME": "airflow",
            "TZ": "UTC",
            "NO_PROXY": "*",
            "no_proxy": "*",
            "OPENLINEAGE_DISABLED": "false",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API__BASE_URL": self.api_url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.api_url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__OPENLINEAGE__NAMESPACE": self.lineage.namespace,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": self.lineage.transport(),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._further,
        }

    def _prepare(self) -> None:
        self._command("db", "migrate")

    def _command(self, *arguments: str) -> None:
        log = self.logs / f"{arguments[0]}-{arguments[1]}.log"
        with log.open("wb") as output:
            code = subprocess.run(
                [self._program, *arguments],
                env=self._environment,
                cwd=self.home,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=STARTUP_TIMEOUT_S,
                check=False,
            ).returncode
        if code != 0:
            raise AirflowError(f"airflow {' '.join(arguments)} ended with {code}\n{self.log_tails()}")

    @property
    def _program(self) -> str:
        return str(self.venv / "bin" / "airflow")

    def _start(self, component: str) -> None:
        with (self.logs / f"{component}.log").open("ab") as output:
            self._processes[component] = subprocess.Popen(
                [self._program, *self.components[component]],
                env=self._environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _stop(self, component: str, *, grace_s: float) -> None:
        process = self._processes.pop(component, None)
        if process is None:
            return
        if grace_s:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
        # Tasks leave the scheduler's process group but not its session, so it is the session that has to be empty.
        while members := session_members(process.pid):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()

    def _end(self) -> None:
        # Without grace: a task that is asked to end would still send a FAIL event to the Watchtower under test.
        for component in self.components:
            self._stop(component, grace_s=0)
        self._folder.cleanup()

    def _is_healthy(self) -> bool:
        health = self._answers()
        return health is not None and all(health[part]["status"] == "healthy" for part in self.parts)

    def _answers(self) -> dict[str, Any] | None:
        """What it says of its health."""
        try:
            return self._get(self.health)
        except (AirflowError, OSError):
            return None

    def _set_paused(self, dag_id: str, *, paused: bool) -> None:
        self._wait_until_known(dag_id)
        self._request("PATCH", f"/dags/{quote(dag_id, safe='')}?update_mask=is_paused", {"is_paused": paused})

    def _wait_until_known(self, dag_id: str) -> None:
        def is_known() -> bool:
            return any(dag["dag_id"] == dag_id for dag in self.known_dags())

        try:
            self.wait_for(f"the DAG {dag_id!r} to be read", is_known, timeout_s=60)
        except AirflowError as error:
            faults = [fault["stack_trace"] for fault in self._get("/importErrors")["import_errors"]]
            raise AirflowError("\n".join([str(error), *map(str, faults)])) from error

    def _get(self, path: str) -> dict[str, Any]:
        return self._request("GET", path)

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.api_url}{self.api}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._authorization()},
        )
        try:
            with _LOOPBACK_ONLY.open(request, timeout=REQUEST_TIMEOUT_S) as response:
                answer = response.read()
                return cast("dict[str, Any]", json.loads(answer)) if answer else {}
        except urllib.error.HTTPError as error:
            with error:
                answer = error.read().decode(errors="replace")
            raise AirflowError(f"{method} {path}: {error.code} {answer[:2000]}") from error

    def _authorization(self) -> dict[str, str]:
        """Everybody is an administrator."""
        return {}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def session_members(leader: int) -> set[int]:
    """The processes of the session that `leader` opened, without zombies."""
    listing = subprocess.run(["ps", "-axo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    pids = {int(pid) for pid, stat in map(str.split, listing.splitlines()) if not stat.startswith("Z")}
    return {pid for pid in pids if _session(pid) == leader}


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _dag_run(row: Mapping[str, Any]) -> DagRun:
    return DagRun(
        dag_id=str(row["dag_id"]),
        run_id=str(row["dag_run_id"]),
        run_type=str(row["run_type"]),
        state=str(row["state"]),
        logical_date=_time(row["logical_date"]),
        run_after=_time(row.get("run_after")),
        queued_at=_time(row.get("queued_at")),
        start_date=_time(row["start_date"]),
        end_date=_time(row["end_date"]),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
