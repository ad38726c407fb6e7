"""Azure Data Factory's REST API and its log-in, after Microsoft's published schema (REST API 2018-06-01)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

Row = dict[str, Any]
TENANT = "11111111-0000-4000-8000-000000000000"
FACTORY = "subscriptions/sub/resourceGroups/rg-data/providers/Microsoft.DataFactory/factories/adf-prod"


class DataFactorySimulator(HttpSimulator):
    """runs, and activities by run. Tokens it gave are the only ones it takes; a page has one row."""

    def __init__(
        self, now: datetime, runs: list[Row], activities: Mapping[str, list[Row]], triggers: list[Row]
    ) -> None:
        self.runs = runs
        self.activities = dict(activities)
        self.triggers = triggers
        self.tokens: list[str] = []
        self.valid_s = 3600
        super().__init__(now)

    def changes_something(self, request: Recorded) -> bool:
        return True  # every call can fail

    def answer(self, request: Recorded) -> Reply:
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._log_in(request.form)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens[-1:]:
            return Reply.of_json({"error": {"code": "ExpiredAuthenticationToken", "message": "it has expired"}}, 401)
        if request.query.get("api-version") != "2018-06-01":
            return Reply.of_json({"error": {"code": "MissingApiVersionParameter"}}, 400)
        return self._asked(request, request.path.removeprefix(f"/{FACTORY}/"))

    def _asked(self, request: Recorded, path: str) -> Reply:
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

    def _log_in(self, form: Mapping[str, str]) -> Reply:
        if form["client_secret"] != "right" or form["grant_type"] != "client_credentials":
            return Reply.of_json({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret"}, 401)
        self.ledger.append(form["scope"])
        self.tokens.append(f"token-{len(self.tokens)}")
        return Reply.of_json({"token_type": "Bearer", "expires_in": self.valid_s, "access_token": self.tokens[-1]})

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
