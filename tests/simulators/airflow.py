"""Airflow's REST API as far as it is asked: lists with offset, limit and updated_at_gte/lte, tries, details, health.

Rows have the shape of those that real Airflow answers, made by `run`, `task` and `dag`; each run and try comes
with the moment at which it changed, by Airflow's clock. A DAG's details tell Airflow's own zone, and never the DAG's.
Version 3 has /api/v2 and /auth/token, 2 has /api/v1.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

from tests.simulators.http import HttpSimulator, Recorded, Reply

TOKEN = "header.payload.signature"
Row = dict[str, Any]


class AirflowSimulator(HttpSimulator):
    """username, password: whoever has them may read. page: [api] maximum_page_limit."""

    def __init__(self, now: datetime, *, version: int = 3, username: str = "watchtower", password: str = "pw") -> None:
        super().__init__(now)
        self.version = version
        self.username, self.password = username, password
        self.tokens = {TOKEN}
        self.page = 100
        self.runs: list[tuple[datetime, Row]] = []
        self.tasks: list[tuple[datetime, Row]] = []
        self.tries: dict[tuple[str, str, str, int], list[Row]] = {}
        self.assets: list[Row] = []  # events, oldest first
        self.dags: list[Row] = []
        self.zone = "UTC"
        self.import_errors: list[Row] = []
        self.pools: list[Row] = []
        self.health: dict[str, Any] = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}

    def changes_something(self, request: Recorded) -> bool:
        """Everything that is asked meets the faults."""
        return True

    @property
    def api(self) -> str:
        return "/api/v2" if self.version == 3 else "/api/v1"

    def answer(self, request: Recorded) -> Reply:
        reply = self._answer(request)
        headers = {**dict(reply.headers), "Date": format_datetime(self.now, usegmt=True)}
        return Reply(reply.status, reply.body, headers)

    def _answer(self, request: Recorded) -> Reply:
        path = unquote(request.path)
        if path == "/auth/token" and self.version == 3:
            said = request.json
            if (said["username"], said["password"]) != (self.username, self.password):
                return Reply.of_json({"detail": "Invalid credentials"}, 401)
            self.tokens.add(TOKEN)
            return Reply.of_json({"access_token": TOKEN}, 201)
        if not path.startswith(f"{self.api}/"):
            return Reply.of_json({"error": "API route not found"}, 404)
        path = path.removeprefix(self.api)
        if path == "/version":
            return Reply.of_json({"version": "3.3.2" if self.version == 3 else "2.11.2"})
        if not self._may(request):
            return Reply.of_json({"detail": "Not authenticated"}, 401)
        return self._read(path, request)

    def _may(self, request: Recorded) -> bool:
        given = request.headers.get("authorization", "")
        if self.version == 2:
            return given.startswith("Basic ")
        return given.removeprefix("Bearer ") in self.tokens

    def _read(self, path: str, request: Recorded) -> Reply:
        lists = {
            "/dags": ("dags", self.dags),
            "/dags/~/dagRuns": ("dag_runs", self._changed(self.runs, request)),
            "/dags/~/dagRuns/~/taskInstances": ("task_instances", self._changed(self.tasks, request)),
            "/importErrors": ("import_errors", self.import_errors),
            "/pools": ("pools", self.pools),
            f"/{self._asset}s/events": (f"{self._asset}_events", self._asset_events(request)),
        }
        if path in ("/monitor/health", "/health"):
            return Reply.of_json(self.health)
        if path in lists:
            return self.paged(*lists[path], request)
        return self._read_one(path, path.strip("/").split("/"), request)

    def _read_one(self, path: str, parts: list[str], request: Recorded) -> Reply:
        if path.endswith("/details"):
            return Reply.of_json({"dag_id": parts[1], "timezone": self.zone})
        if path.endswith("/tries"):
            index = int(parts[6]) if len(parts) == 8 else -1
            rows = self.tries.get((parts[1], parts[3], parts[5], index), [])
            return Reply.of_json({"task_instances": rows, "total_entries": len(rows)})
        if path.endswith(f"/upstream{self._asset.title()}Events"):
            return self.paged(f"{self._asset}_events", self._origins(parts[1], parts[3]), request)
        if len(parts) >= 6 and parts[4] == "taskInstances":
            place = int(parts[6]) if len(parts) == 7 else -1
            return self._one(
                row
                for _, row in self.tasks
                if (row["dag_id"], row["dag_run_id"], row["task_id"], row["map_index"])
                == (parts[1], parts[3], parts[5], place)
            )
        if len(parts) == 4 and parts[2] == "dagRuns":
            return self._one(row for _, row in self.runs if (row["dag_id"], row["dag_run_id"]) == (parts[1], parts[3]))
        return Reply.of_json({"detail": f"{path} is not simulated"}, 404)

    @property
    def _asset(self) -> str:
        return "asset" if self.version == 3 else "dataset"

    def _asset_events(self, request: Recorded) -> list[Row]:
        """Newest first, as they are asked for; only Airflow 3 filters by time."""
        since = request.query.get("timestamp_gte") if self.version == 3 else None
        return [
            row
            for row in reversed(self.assets)
            if since is None or datetime.fromisoformat(row["timestamp"]) >= datetime.fromisoformat(since)
        ]

    def _origins(self, dag_id: str, run_id: str) -> list[Row]:
        made = {"dag_id": dag_id, "run_id": run_id}
        return [row for row in self.assets if any(made.items() <= each.items() for each in row["created_dagruns"])]

    def _one(self, found: Iterable[Row]) -> Reply:
        row = next(iter(found), None)
        return Reply.of_json({"detail": "not found"}, 404) if row is None else Reply.of_json(row)

    def _changed(self, rows: list[tuple[datetime, Row]], request: Recorded) -> list[Row]:
        since, until = request.query.get("updated_at_gte"), request.query.get("updated_at_lte")
        return [
            row
            for at, row in rows
            if (since is None or at >= datetime.fromisoformat(since))
            and (until is None or at <= datetime.fromisoformat(until))
        ]

    def paged(self, key: str, rows: list[Row], request: Recorded) -> Reply:
        offset = int(request.query.get("offset", 0))
        limit = min(self.page, int(request.query.get("limit", 50)))
        return Reply.of_json({key: rows[offset : offset + limit], "total_entries": len(rows)})


def run(dag_id: str, run_id: str, state: str, at: datetime, **more: Any) -> Row:
    """A manual run that was queued, and began, at `at`."""
    text = _text(at)
    return {
        "dag_id": dag_id,
        "dag_run_id": run_id,
        "logical_date": None,
        "run_after": text,
        "queued_at": text,
        "start_date": text,
        "end_date": text if state in ("success", "failed") else None,
        "run_type": "manual",
        "triggered_by": "rest_api",
        "triggering_user_name": "anna",
        "state": state,
        "conf": {"password": "hunter2"},
        "dag_versions": [{"version_number": 1}],
        "bundle_version": None,
        **more,
    }


def task(dag_id: str, run_id: str, task_id: str, state: str, at: datetime, **more: Any) -> Row:
    text = _text(at)
    return {
        "id": f"{dag_id}/{run_id}/{task_id}/{more.get('try_number', 1)}",
        "dag_id": dag_id,
        "dag_run_id": run_id,
        "task_id": task_id,
        "map_index": -1,
        "logical_date": None,
        "run_after": text,
        "queued_when": text,
        "scheduled_when": text,
        "start_date": text,
        "end_date": text if state in ("success", "failed", "up_for_retry") else None,
        "duration": 0.0,
        "state": state,
        "try_number": 1,
        "max_tries": 0,
        "operator": "PythonOperator",
        "pool": "default_pool",
        "queue": "default",
        "hostname": "worker-1",
        "rendered_fields": {"op_kwargs": {"token": "hunter2"}},
        **more,
    }


def asset_event(number: int, writer: Row | None, at: datetime, *made: Row, **more: Any) -> Row:
    """Of `orders_clean`; writer: the try that wrote, None: told by the API. made: the runs that it set off. The event
    of Airflow 2 has `dataset_uri`."""
    uri = "postgres://warehouse:5432/shop/public/orders_clean"
    source = {name: writer[name] if writer else None for name in ("dag_id", "task_id", "map_index")}
    return {
        "id": number,
        "uri": uri,
        "dataset_uri": uri,
        "extra": {"row_count": 1234, "bytes": 99_000, "token": "hunter2"},
        **{f"source_{name}": value for name, value in source.items()},
        "source_run_id": writer["dag_run_id"] if writer else None,
        "created_dagruns": [{"dag_id": row["dag_id"], "run_id": row["dag_run_id"]} for row in made],
        "timestamp": _text(at),
        "partition_key": None,
        **more,
    }


def dag(dag_id: str, **more: Any) -> Row:
    """next_dagrun_run_after: when the next run is due, if it has a schedule."""
    return {
        "dag_id": dag_id,
        "description": None,
        "owners": ["data-platform"],
        "tags": [],
        "is_paused": False,
        "timetable_summary": None,
        "next_dagrun_run_after": None,
        "last_parsed_time": _text(datetime.fromisoformat("2026-03-02T08:00:00+00:00")),
        **more,
    }


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
