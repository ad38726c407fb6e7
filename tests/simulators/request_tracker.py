"""Request Tracker 5's REST2 as far as Watchtower uses it, with its five traps; held against a real 5.0.3 by the tests
under tests/e2e, which run the same cases on both."""

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from tests.simulators.http import HttpSimulator, Recorded, Reply

PASSWORDS = {"root": "password", "fixer": "fixer-password", "guest": "guest-password"}
STATUSES = ("new", "open", "stalled", "resolved", "rejected", "deleted")
NEVER = "1970-01-01T00:00:00Z"
_QUERY = re.compile(r"CF\.\{([^}]*)\} = '([^']*)'")


@dataclass(slots=True)
class Transaction:
    id: int
    type: str
    creator: str
    data: str = ""
    content: str = ""


@dataclass(slots=True)
class TicketRow:
    id: int
    queue: str
    subject: str
    creator: str
    priority: int
    custom_fields: dict[str, str]
    status: str = "new"
    owner: str = "Nobody"
    resolved: str = NEVER
    history: list[Transaction] = field(default_factory=list[Transaction])

    @property
    def comments(self) -> list[str]:
        return [entry.content for entry in self.history if entry.type == "Comment"]


class RequestTrackerSimulator(HttpSimulator):
    """ledger: the tickets. queues: name → ticket custom fields; search_blind: searches find nothing, as right after a
    write on a desk whose index lags."""

    ledger: list[TicketRow]

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.queues: dict[str, list[str]] = {"General": ["WatchtowerKey"], "Bare": []}
        self.search_blind = False
        self.drops_keys = False
        self._transactions = 38

    @property
    def tickets(self) -> list[TicketRow]:
        return self.ledger

    def answer(self, request: Recorded) -> Reply:
        user = self._user(request)
        path = unquote(request.path).removeprefix("/REST/2.0/").split("/")
        reply = _message(404, "Not Found")
        match (request.method, path):
            case _ if user is None:
                reply = _message(401, "Unauthorized")
            case ("GET", ["queue", name]):
                reply = self._queue(user, name)
            case ("GET", ["tickets"]):
                reply = self._search(request)
            case ("POST", ["ticket"]):
                reply = self._create(user, request.json)
            case ("GET", ["transaction", ident, "attachments"]):
                reply = self._attachments(int(ident))
            case (_, ["ticket", ident, *rest]) if 0 < int(ident) <= len(self.ledger):
                reply = self._ticket(request, user, self.ledger[int(ident) - 1], rest)
            case _:
                pass
        return reply

    def person(self, ticket_id: int, *, status: str | None = None, owner: str | None = None) -> None:
        """A person works on the ticket in the web pages."""
        row = self.ledger[ticket_id - 1]
        row.owner = owner or row.owner
        if status:
            self._set_status(row, status, "root")

    def _user(self, request: Recorded) -> str | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind == "token":
            return "fixer" if secret == "1-14-simulator" else None
        name, _, password = base64.b64decode(secret or "").decode().partition(":")
        return name if PASSWORDS.get(name) == password else None

    def _queue(self, user: str, name: str) -> Reply:
        if name not in self.queues:
            return _message(404, "Not Found")
        if user == "guest":
            return _message(403, "Forbidden")
        fields = [{"name": field, "id": "2", "type": "customfield"} for field in self.queues[name]]
        return Reply.of_json({"id": 1, "Name": name, "TicketCustomFields": fields, "Disabled": "0"})

    def _create(self, user: str, body: dict[str, Any]) -> Reply:
        queue = body.get("Queue", "")
        if queue not in self.queues or user == "guest":
            return _message(403, f"No permission to create tickets in the queue '{queue}'")
        wanted: dict[str, str] = {} if self.drops_keys else body.get("CustomFields", {})
        kept = {name: value for name, value in wanted.items() if name in self.queues[queue]}  # the others: no error
        row = TicketRow(len(self.ledger) + 1, queue, body.get("Subject", ""), user, int(body.get("Priority", 0)), kept)
        row.history.append(self._transaction("Create", user, content=body.get("Content", "")))
        self.ledger.append(row)
        ident = str(row.id)
        return Reply.of_json({"type": "ticket", "id": ident, "_url": f"{self.url}/REST/2.0/ticket/{ident}"}, 201)

    def _ticket(self, request: Recorded, user: str, row: TicketRow, rest: list[str]) -> Reply:
        reply = _message(404, "Not Found")
        match (request.method, rest):
            case _ if user == "guest":
                reply = _message(400, "Permission Denied") if rest == ["comment"] else _message(403, "Forbidden")
            case ("GET", []):
                reply = Reply.of_json(self._shown(row))
            case ("PUT", []):
                reply = Reply.of_json(self._change(row, user, request.json))
            case ("POST", ["comment"]):
                reply = Reply.of_json(self._comment(row, user, request.json), 201)
            case ("GET", ["history"]):
                reply = self._history(request, row)
            case _:
                pass
        return reply

    def _comment(self, row: TicketRow, user: str, body: dict[str, Any]) -> list[str]:
        subject = body.get("Subject") or "No Subject"
        row.history.append(self._transaction("Comment", user, data=f"{subject}\n", content=body.get("Content", "")))
        said = self._set_status(row, body["Status"], user) if "Status" in body else []
        return ["Comments added", *said]

    def _change(self, row: TicketRow, user: str, body: dict[str, Any]) -> list[str]:
        said = [
            f"Ticket {row.id}: {text}"
            for text in (self._set_status(row, body["Status"], user) if "Status" in body else [])
        ]
        if "Priority" in body and int(body["Priority"]) != row.priority:
            row.priority = int(body["Priority"])
            said.append(f"Ticket {row.id}: Priority changed from 'Medium' to 'Medium'")
        return said

    def _set_status(self, row: TicketRow, status: str, user: str) -> list[str]:
        """An invalid status is told in a list with 200; an unchanged one is an empty list."""
        if status not in STATUSES:
            return [f"Status '{status}' isn't a valid status for this ticket."]
        if status == row.status:
            return []
        said = f"Status changed from '{row.status}' to '{status}'"
        row.status = status
        if status in ("resolved", "rejected"):
            row.resolved = self.now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        row.history.append(self._transaction("Status", user))
        return [said]

    def _search(self, request: Recorded) -> Reply:
        found = _QUERY.search(request.query.get("query", ""))
        if not found:
            return _message(400, "Wrong query, expecting a OPERATOR")
        name, value = found.groups()
        rows = [row for row in self.ledger if row.custom_fields.get(name) == value and row.status != "deleted"]
        items = [] if self.search_blind else [{**self._shown(row), "id": str(row.id)} for row in rows]
        page = {"page": 1, "per_page": 100, "pages": 1, "count": len(items), "total": len(items)}
        return Reply.of_json({"items": items, **page})

    def _history(self, request: Recorded, row: TicketRow) -> Reply:
        size, page = int(request.query.get("per_page", "20")), int(request.query.get("page", "1"))
        shown = row.history[(page - 1) * size : page * size]
        items = [
            {"id": str(entry.id), "type": "transaction", "Type": entry.type, "Data": entry.data} for entry in shown
        ]
        more = {"next_page": f"{self.url}{request.path}?page={page + 1}"} if len(row.history) > page * size else {}
        return Reply.of_json({"items": items, "page": page, "per_page": size, "pages": None, "total": None, **more})

    def _attachments(self, ident: int) -> Reply:
        entries = [entry for row in self.ledger for entry in row.history if entry.id == ident]
        if not entries:
            return _message(404, "Not Found")
        return Reply.of_json({"items": [{"id": "1", "Content": entry.content} for entry in entries], "count": 1})

    def _shown(self, row: TicketRow) -> dict[str, Any]:
        fields = [{"name": name, "id": "2", "values": [value]} for name, value in row.custom_fields.items()]
        fields += [
            {"name": name, "id": "2", "values": []} for name in self.queues[row.queue] if name not in row.custom_fields
        ]
        return {
            "id": row.id,
            "Subject": row.subject,
            "Status": row.status,
            "Priority": str(row.priority),
            "Resolved": row.resolved,
            "Owner": {"type": "user", "id": row.owner},
            "Creator": {"type": "user", "id": row.creator},
            "CustomFields": fields,
        }

    def _transaction(self, kind: str, user: str, *, data: str = "", content: str = "") -> Transaction:
        self._transactions += 1
        return Transaction(self._transactions, kind, user, data, content)


def _message(status: int, text: str) -> Reply:
    return Reply.of_json({"message": text}, status)
