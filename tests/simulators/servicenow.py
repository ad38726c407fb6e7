"""ServiceNow's Table and Import Set API as far as Watchtower uses them, faithful where they hurt: an insert that lands
twice, unknown columns left out of queries and rows without a word, texts cut to their column, business rules that keep
a state with 200, data policies that refuse with 403, an import that fails with 201. Written from ServiceNow's
references: there is no published specification, and no live instance was reached.
"""

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.ports import Clock

PASSWORDS = {"watchtower": "itil-password", "guest": "guest-password"}
BEARER = "oauth-simulator"
STAGING = "u_watchtower_incident"
COLUMNS = {
    "short_description": 160,
    "description": 4000,
    "correlation_id": 100,
    "correlation_display": 100,
    "impact": 1,
    "urgency": 1,
    "state": 2,
    "close_code": 40,
    "close_notes": 4000,
    "assignment_group": 32,
    "cmdb_ci": 32,
    "caller_id": 32,
    "assigned_to": 32,
    "category": 40,
}
OTHERS = {
    "sys_user_group": [{"sys_id": "a" * 32, "name": "Data platform"}],
    "cmdb_ci": [{"sys_id": "b" * 32, "name": "orders"}, *({"sys_id": sign * 32, "name": "twin"} for sign in "cd")],
    "sys_user": [{"sys_id": "e" * 32, "user_name": "watchtower"}],
}
PRIORITIES = {(2, 1): "2", (2, 2): "3", (3, 3): "5"}


@dataclass(slots=True)
class Incident:
    sys_id: str
    number: str
    columns: dict[str, str]
    created: datetime
    resolved_at: str = ""
    journal: list[str] = field(default_factory=list[str])
    deleted: bool = False

    def entry(self, text: str, when: datetime) -> None:
        self.journal.insert(0, f"{when:%Y-%m-%d %H:%M:%S} - Watchtower (Work notes)\n{text}\n\n")

    @property
    def notes(self) -> list[str]:
        """Oldest first, as people read them."""
        return [entry.partition("\n")[2].strip() for entry in reversed(self.journal)]


class ServiceNowSimulator(HttpSimulator):
    """ledger: the incidents. clock: the time; else `now` stands still. twice: the next inserts land this often, too;
    assigns: to whom a rule gives each new incident; keeps_state: a business rule keeps every state as it is;
    lacks_key: the table has no correlation_id; wants_code: a policy asks for a close code of its own."""

    ledger: list[Incident]

    def __init__(self, now: datetime, *, clock: Clock | None = None) -> None:
        self.twice = 0
        self.assigns = ""
        self.keeps_state = False
        self.lacks_key = False
        self.wants_code = ""
        self.fails_import = False
        self._clock = clock
        super().__init__(now)

    @property
    def incidents(self) -> list[Incident]:
        return self.ledger

    def time(self) -> datetime:
        return self._clock.now() if self._clock else self.now

    def incident(self, ident: str) -> Incident | None:
        return next((row for row in self.ledger if ident in (row.number, row.sys_id) and not row.deleted), None)

    def answer(self, request: Recorded) -> Reply:
        user = self._user(request)
        reply = _error(400, "Requested URI does not represent any resource")
        match (request.method, unquote(request.path).removeprefix("/api/now/").split("/")):
            case _ if user is None:
                reply = _error(401, "User Not Authenticated", "Required to provide Auth information")
            case ("GET", ["table", name]) if name in OTHERS:
                column, _, value = request.query["sysparm_query"].partition("=")
                reply = Reply.of_json({"result": [row for row in OTHERS[name] if row[column] == value]})
            case ("GET", ["table", "incident"]):
                reply = Reply.of_json({"result": [self._shown(row) for row in self._search(request)]})
            case (_, ["table", "incident", ident]) if self.incident(ident) is None:
                reply = _error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
            case (method, ["table", "incident", *rest]):
                reply = self._table(method, user, self.incident(rest[0]) if rest else None, request)
            case ("POST", ["import", name]) if name == STAGING:
                reply = [self._import(request.json) for _ in range(1 + self.twice)][-1]
            case _:
                reply = _error(400, "Invalid table")
        return reply

    def person(self, ident: str, *, status: str | None = None, owner: str | None = None) -> None:
        """A person works on the incident in the browser. status: open, resolved, rejected or deleted."""
        row = self.incident(ident)
        assert row is not None
        if owner:
            row.columns["assigned_to"] = owner
        row.deleted = status == "deleted"
        state = {"open": "2", "resolved": "6", "rejected": "8"}.get(status or "")
        if state:
            self._set_state(row, state)

    def _user(self, request: Recorded) -> str | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind == "Bearer":
            return "watchtower" if secret == BEARER else None
        name, _, password = base64.b64decode(secret or "").decode().partition(":")
        return name if PASSWORDS.get(name) == password else None

    def _table(self, method: str, user: str, row: Incident | None, request: Recorded) -> Reply:
        if method == "GET" and row is not None:
            return Reply.of_json({"result": self._shown(row)})
        if user == "guest":
            return _error(403, "Operation Failed", "ACL Exception Insert Failed due to security constraints")
        if row is None:
            made = [self._insert(request.json) for _ in range(1 + self.twice)]
            self.twice = 0
            return Reply.of_json({"result": self._shown(made[-1])}, 201)
        return self._change(row, request.json)

    def _insert(self, body: dict[str, Any]) -> Incident:
        number = len(self.ledger) + 1
        columns = {"state": "1", "assigned_to": self.assigns, **self._kept(body)}
        row = Incident(f"{number:032x}", f"INC{number:07}", columns, self.time() + timedelta(microseconds=number))
        if body.get("work_notes"):
            row.entry(body["work_notes"], self.time())
        self.ledger.append(row)
        return row

    def _kept(self, body: dict[str, Any]) -> dict[str, str]:
        """What is too long is cut, what is unknown is dropped; neither is told."""
        dropped = {"correlation_id", "correlation_display"} if self.lacks_key else set[str]()
        return {name: str(body[name])[: COLUMNS[name]] for name in body.keys() & COLUMNS.keys() - dropped}

    def _change(self, row: Incident, body: dict[str, Any]) -> Reply:
        if row.columns["state"] == "7":
            return _error(403, "Operation Failed", "ACL Exception Update Failed due to security constraints")
        resolves = body.get("state") == "6"
        if resolves and not (body.get("close_code") and body.get("close_notes")):
            told = "Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"
            return _error(403, "Operation Failed", told)
        if resolves and self.wants_code not in ("", body["close_code"]):
            told = "Operation against file 'incident' was aborted by Business Rule 'Check resolution code'"
            return _error(403, "Operation Failed", told)
        kept = self._kept(body)
        state = kept.pop("state", "")
        row.columns.update(kept)
        if state and not self.keeps_state:
            self._set_state(row, state)
        if body.get("work_notes"):
            row.entry(body["work_notes"], self.time())
        return Reply.of_json({"result": self._shown(row)})

    def _set_state(self, row: Incident, state: str) -> None:
        row.columns["state"] = state
        row.resolved_at = f"{self.time():%Y-%m-%d %H:%M:%S}" if state in ("6", "7", "8") else ""

    def _search(self, request: Recorded) -> list[Incident]:
        """Conditions on unknown columns are left out: then all rows are found."""
        rows = [row for row in self.ledger if not row.deleted]
        for condition in request.query.get("sysparm_query", "").split("^"):
            name, _, value = condition.partition("=")
            if name == "number":
                rows = [row for row in rows if row.number == value]
            elif name in COLUMNS and not (self.lacks_key and name == "correlation_id"):
                rows = [row for row in rows if row.columns.get(name) == value]
        return sorted(rows, key=lambda row: row.created)[: int(request.query.get("sysparm_limit", "10000"))]

    def _import(self, body: dict[str, Any]) -> Reply:
        """The transform map takes the prefix off and coalesces on correlation_id."""
        plain = {re.sub("^u_", "", name): value for name, value in body.items()}
        rows = [row for row in self.ledger if not row.deleted]
        found = [row for row in rows if row.columns.get("correlation_id") == plain.get("correlation_id")]
        result: dict[str, Any] = {"transform_map": "Watchtower", "table": "incident", "display_name": "number"}
        if self.fails_import:
            result |= {"status": "error", "error_message": "Invalid update"}
        else:
            row = found[0] if found else self._insert(plain)
            status = "ignored" if found else "inserted"
            result |= {"status": status, "sys_id": row.sys_id, "display_value": row.number}
        return Reply.of_json({"import_set": "ISET0010001", "staging_table": STAGING, "result": [result]}, 201)

    def _shown(self, row: Incident) -> dict[str, Any]:
        values = {
            **dict.fromkeys(COLUMNS, ""),
            **row.columns,
            "sys_id": row.sys_id,
            "number": row.number,
            "resolved_at": row.resolved_at,
            "closed_at": "",
        }
        shown = {name: {"display_value": f"[{value}]", "value": value} for name, value in values.items()}
        return {**shown, "work_notes": {"display_value": "".join(row.journal), "value": ""}}


def _error(status: int, message: str, detail: str = "") -> Reply:
    return Reply.of_json({"error": {"message": message, "detail": detail}, "status": "failure"}, status)
