"""A Prefect server's REST API over rows that a real one gave (Prefect 3.8.8; docs.prefect.io/v3/api-ref/rest-api).

It filters, sorts and pages as the server does, refuses what the server refuses, and can grow while it is read.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

MOST_ROWS = 200
MOST_EVENTS = 50

Row = dict[str, Any]


class PrefectSimulator(HttpSimulator):
    """rows: by kind, as the API names them. before_answer: called with each request, to change rows meanwhile. deaf_to:
    a part of a question that is ignored."""

    def __init__(self, now: datetime, rows: Mapping[str, Any]) -> None:
        self.rows: dict[str, Any] = json.loads(json.dumps(rows))
        self.before_answer: Callable[[Recorded], None] = lambda request: None
        self.most_rows = MOST_ROWS
        self.deaf_to = ""
        super().__init__(now)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    def changes_something(self, request: Recorded) -> bool:
        return True  # every call can fail

    def answer(self, request: Recorded) -> Reply:
        self.before_answer(request)
        path = request.path.removeprefix("/api/")
        if path in ("flow_run_states/", "task_run_states/"):
            kind = path.removesuffix("_states/")
            return Reply.of_json(self.rows[f"{kind}_states"].get(request.query[f"{kind}_id"], []))
        if path == "events/filter/next":
            return self._events(json.loads(request.query["page-token"]))
        body = request.json
        if path == "events/filter":
            return self._events({**body, "offset": 0})
        if body.get("limit", MOST_ROWS) > self.most_rows:
            return Reply.of_json({"detail": f"Invalid limit: must be less than or equal to {self.most_rows}."}, 422)
        found = {
            "flow_runs/filter": self._flow_runs,
            "task_runs/filter": self._task_runs,
            "flows/filter": partial(self._by_id, "flows"),
            "deployments/filter": partial(self._by_id, "deployments"),
            "logs/filter": self._logs,
        }[path](body)
        start = 0 if self.deaf_to == "offset" else body.get("offset", 0)
        return Reply.of_json(found[start : start + body.get("limit", MOST_ROWS)])

    def _flow_runs(self, body: Row) -> list[Row]:
        asked: Row = body.get("flow_runs", {})
        found: Iterable[Row] = self.rows["flow_runs"]
        if "end_time" in asked:
            after, before = asked["end_time"].get("after_"), asked["end_time"].get("before_")
            found = [row for row in found if row["end_time"] and _at(row["end_time"]) >= _at(after)]
            found = [row for row in found if before is None or _at(row["end_time"]) <= _at(before)]
        if "state" in asked:
            types, names = asked["state"]["type"]["any_"], asked["state"]["name"]["any_"]
            assert asked["state"]["operator"] == "or_"
            found = [row for row in found if row["state_type"] in types or row["state_name"] in names]
        return _sorted(found, body["sort"])

    def _task_runs(self, body: Row) -> list[Row]:
        wanted = body["flow_runs"]["id"]["any_"]
        return _sorted((row for row in self.rows["task_runs"] if row["flow_run_id"] in wanted), body["sort"])

    def _by_id(self, kind: str, body: Row) -> list[Row]:
        wanted = body.get(kind, {}).get("id", {}).get("any_")
        return [row for row in self.rows[kind] if wanted is None or row["id"] in wanted]

    def _logs(self, body: Row) -> list[Row]:
        wanted, level = body["logs"]["flow_run_id"]["any_"], body["logs"]["level"]["ge_"]
        found = [row for row in self.rows["logs"] if row["flow_run_id"] in wanted and row["level"] >= level]
        return sorted(found, key=lambda row: _at(row["timestamp"]), reverse=True)

    def _events(self, body: Row) -> Reply:
        if body["limit"] > MOST_EVENTS:
            return Reply.of_json({"exception_message": "Invalid request received."}, 422)
        asked: Row = body["filter"]
        prefixes, since, until = asked["event"]["prefix"], asked["occurred"]["since"], asked["occurred"]["until"]
        found = [
            row
            for row in self.rows["events"]
            if any(row["event"].startswith(prefix) for prefix in prefixes)
            and _at(since) <= _at(row["occurred"]) <= _at(until)
        ]
        start = body["offset"]
        page = found[start : start + body["limit"]]
        token = json.dumps({**body, "offset": start + len(page)}).replace(" ", "").replace("+", "%2B")
        more = start + len(page) < len(found)
        # A server behind a proxy names itself as it knows itself, which nobody else can reach.
        following = f"http://10.255.255.1:4200/api/events/filter/next?page-token={token}" if more else None
        return Reply.of_json({"events": page, "total": len(found), "next_page": following})


def _sorted(rows: Iterable[Row], by: str) -> list[Row]:
    if by == "END_TIME_DESC":
        return sorted(rows, key=lambda row: _at(row["end_time"]), reverse=True)
    assert by == "ID_DESC", by
    return sorted(rows, key=lambda row: str(row["id"]), reverse=True)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
