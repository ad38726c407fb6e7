"""Azure Data Factory's REST API and its log-in, after Microsoft's published schema (REST API 2018-06-01)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.simulators.azure import TENANT, EntraSimulator
from tests.simulators.http import Recorded, Reply

Row = dict[str, Any]
__all__ = ["FACTORY", "TENANT", "DataFactorySimulator"]
FACTORY = "subscriptions/sub/resourceGroups/rg-data/providers/Microsoft.DataFactory/factories/adf-prod"


class DataFactorySimulator(EntraSimulator):
    """runs, and activities by run; a page has one row."""

    def __init__(
        self, now: datetime, runs: list[Row], activities: Mapping[str, list[Row]], triggers: list[Row]
    ) -> None:
        self.runs = runs
        self.activities = dict(activities)
        self.triggers = triggers
        super().__init__(now)

    def changes_something(self, request: Recorded) -> bool:
        return True  # every call can fail

    def asked(self, request: Recorded) -> Reply:
        if request.query.get("api-version") != "2018-06-01":
            return Reply.of_json({"error": {"code": "MissingApiVersionParameter"}}, 400)
        path = request.path.removeprefix(f"/{FACTORY}/")
        if path == "triggers":
            return self._triggers(int(request.query.get("skip", "0")))
        if path == "queryPipelineRuns":
            asked = request.json
            after, before = _at(asked["lastUpdatedAfter"]), _at(asked["lastUpdatedBefore"])
            return self._page([run for run in self.runs if after <= _at(run["lastUpdated"]) <= before], asked)
        run_id = path.split("/")[1]
        if path.endswith("/queryActivityruns"):
            return self._page(self.activities.get(run_id, []), request.json)
        found = [run for run in self.runs if run["runId"] == run_id]
        return Reply.of_json(found[0]) if found else Reply.of_json({"error": {"code": "PipelineRunNotFound"}}, 404)

    def _page(self, rows: list[Row], asked: Row) -> Reply:
        start = int(asked.get("continuationToken") or 0)
        more = str(start + 1) if start + 1 < len(rows) else None
        return Reply.of_json({"value": rows[start : start + 1], "continuationToken": more})

    def _triggers(self, start: int) -> Reply:
        answer: Row = {"value": self.triggers[start : start + 1]}
        if start + 1 < len(self.triggers):
            answer["nextLink"] = f"https://elsewhere.example/{FACTORY}/triggers?api-version=2018-06-01&skip={start + 1}"
        return Reply.of_json(answer)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
