"""A Dagster webserver's GraphQL API over answers that a real one gave (Dagster 1.13.27), for the queries we send."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

Row = dict[str, Any]


class DagsterSimulator(HttpSimulator):
    """rows: runs, events by run, and the answers about definitions, ticks and health."""

    def __init__(self, now: datetime, rows: Mapping[str, Any]) -> None:
        self.rows: dict[str, Any] = json.loads(json.dumps(rows))
        self.before_answer: Callable[[Recorded], None] = lambda request: None
        self.knows_owners = True
        self.error: str | None = None  # told in place of every answer, with status 200
        super().__init__(now)

    def changes_something(self, request: Recorded) -> bool:
        return True  # every call can fail

    def answer(self, request: Recorded) -> Reply:
        self.before_answer(request)
        if request.path != "/graphql":
            return Reply(404)
        if self.error:
            return Reply.of_json({"data": None, "errors": [{"message": self.error}]})
        query, variables = request.json["query"], request.json["variables"]
        name = query.split("query ", 1)[1].split("(")[0].split("{")[0].strip()
        data = {
            "Runs": self._runs,
            "Parents": self._parents,
            "Events": self._events,
            "Fields": self._fields,
            "Definitions": partial(self._recorded, "definitions"),
            "Ticks": partial(self._recorded, "ticks"),
            "Health": partial(self._recorded, "health"),
        }[name](variables)
        return Reply.of_json({"data": data})

    def asked(self, name: str) -> int:
        """How many queries of this name there were."""
        return sum(f"query {name}".encode() in request.body for request in self.requests)

    def _fields(self, variables: Row) -> Row:
        """Of a job, as far as they are asked for; an older version has no owners."""
        names = ["name", "description", "tags", *(["owners"] if self.knows_owners else [])]
        return {"__type": {"fields": [{"name": name} for name in names]}}

    def _recorded(self, kind: str, variables: Row) -> Row:
        return self.rows[kind]

    def _runs(self, variables: Row) -> Row:
        wanted: Row = variables["filter"]
        found = [
            run
            for run in self.rows["runs"]
            if ("statuses" not in wanted or run["status"] in wanted["statuses"])
            and ("updatedAfter" not in wanted or run["updateTime"] > wanted["updatedAfter"])
            and ("updatedBefore" not in wanted or run["updateTime"] < wanted["updatedBefore"])
        ]
        if variables["cursor"]:
            ids = [run["runId"] for run in self.rows["runs"]]
            after = ids.index(variables["cursor"])
            found = [run for run in found if ids.index(run["runId"]) > after]
        return {"runsOrError": {"__typename": "Runs", "results": found[: variables["limit"]]}}

    def _parents(self, variables: Row) -> Row:
        found = [run for run in self.rows["runs"] if run["runId"] in variables["ids"]]
        return {"runsOrError": {"__typename": "Runs", "results": found}}

    def _events(self, variables: Row) -> Row:
        """One event a page, so that reading to the end is tested."""
        events = self.rows["events"].get(variables["run"], [])
        start = int(variables["after"] or 0)
        page = events[start : start + 1]
        more = start + len(page) < len(events)
        found = {"__typename": "EventConnection", "cursor": str(start + len(page)), "hasMore": more, "events": page}
        return {"logsForRun": found}
