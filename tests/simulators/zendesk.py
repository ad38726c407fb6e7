"""Zendesk's Ticketing API as far as Watchtower uses it, with what hurts: listings that lag, idempotency keys that
expire and refuse another body, closed tickets that nobody can change, nobody's tickets that cannot be solved, and an
anonymous account that is answered 200.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulators.http import HttpSimulator, Recorded, Reply

EMAIL, API_TOKEN, OAUTH_TOKEN = "bot@example.com", "zendesk-api-token", "zendesk-oauth-token"
ACCOUNT, PERSON, OTHER_GROUP = 900, 901, 77
GROUP = 20
WEAK = "light@example.com"  # an account that may not change tickets
STATUSES = ("new", "open", "pending", "hold", "solved", "closed", "deleted")
KEY_LASTS = timedelta(hours=2)


@dataclass(slots=True)
class Audit:
    id: int
    author: int
    at: datetime
    events: list[dict[str, Any]]
    custom: Mapping[str, Any]


@dataclass(slots=True)
class TicketRow:
    id: int
    fields: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    status: str = "new"
    follow_up_of: int | None = None
    audits: list[Audit] = field(default_factory=list[Audit])

    @property
    def comments(self) -> list[dict[str, Any]]:
        return [event for audit in self.audits for event in audit.events if event["type"] == "Comment"]


class ZendeskSimulator(HttpSimulator):
    """ledger: the tickets. lag_s: how long a listing does not show a new ticket; assigns_on_solve: whoever solves
    nobody's ticket becomes its assignee; meanwhile: happens once, just before the next update."""

    ledger: list[TicketRow]

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self.lag_s = 0.0
        self.assigns_on_solve = False
        self.meanwhile: Callable[[], None] | None = None
        self.members = {GROUP: {ACCOUNT, PERSON}, OTHER_GROUP: {PERSON}}
        self._made: dict[str, tuple[datetime, bytes, Reply]] = {}  # by idempotency key
        self._audits = 100

    def row(self, ticket_id: str | int) -> TicketRow:
        return self.ledger[int(ticket_id) - 1]

    def person(self, ticket_id: str | int, *, status: str | None = None, owner: bool = False, tag: str = "") -> None:
        """An agent works on the ticket in the web pages; `closed` is an automation."""
        row = self.row(ticket_id)
        if owner:
            row.fields["assignee_id"] = PERSON
        if tag:
            row.fields["tags"] = [*row.fields["tags"], tag]
        if status:
            if status == "solved":
                row.fields["assignee_id"] = row.fields["assignee_id"] or PERSON
            self._audit(row, PERSON, [_changed("status", row.status, status)], {})
            row.status = status
        row.updated_at = self.now

    def answer(self, request: Recorded) -> Reply:
        user = self._user(request)
        path = request.path.removeprefix("/api/v2/").replace(".json", "").split("/")
        reply = Reply.of_json({"error": "RecordNotFound", "description": "Not found"}, 404)
        match (request.method, path):
            case _ if request.headers.get("accept") != "application/json":
                reply = Reply(406)
            case ("GET", ["users", "me"]):
                reply = Reply.of_json({"user": {"id": user, "name": "Bot" if user else "Anonymous user"}})
            case _ if user is None:
                reply = Reply.of_json({"error": "Couldn't authenticate you"}, 401)
            case _ if user != ACCOUNT:
                reply = Reply.of_json({"error": {"title": "Forbidden", "message": "You do not have access"}}, 403)
            case ("GET", ["tickets"]):
                reply = self._list(request.query.get("external_id", ""))
            case ("POST", ["tickets"]):
                reply = self._create(request)
            case (_, ["tickets", ident, *rest]) if 0 < int(ident) <= len(self.ledger):
                reply = self._ticket(request, self.row(ident), rest) or reply
            case _:
                pass
        return reply

    def _user(self, request: Recorded) -> int | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind == "Bearer":
            return ACCOUNT if secret == OAUTH_TOKEN else None
        name, _, token = base64.b64decode(secret or "").decode().partition(":")
        return {f"{EMAIL}/token": ACCOUNT, f"{WEAK}/token": 902}.get(name) if token == API_TOKEN else None

    def _list(self, external_id: str) -> Reply:
        shown = [
            row
            for row in self.ledger
            if row.fields["external_id"] == external_id
            and row.status != "deleted"
            and (self.now - row.created_at).total_seconds() >= self.lag_s
        ]
        return Reply.of_json({"tickets": [self.shown(row) for row in shown], "next_page": None, "count": len(shown)})

    def _create(self, request: Recorded) -> Reply:
        key = request.headers.get("idempotency-key", "")
        made_at, body, reply = self._made.get(key, (None, b"", None))
        if key and reply is not None and made_at is not None and self.now - made_at < KEY_LASTS:
            if body != request.body:
                said = "Request parameters don't match the given idempotency key"
                return Reply.of_json({"error": "IdempotentRequestError", "description": said}, 400)
            return Reply(201, reply.body, {**reply.headers, "x-idempotency-lookup": "hit"})
        given: dict[str, Any] = request.json["ticket"]
        faults = self._faults_of(given, given)
        if faults:
            return _invalid(faults)
        reply = Reply.of_json({"ticket": self.shown(self.open(given))}, 201)
        self._made[key] = (self.now, request.body, reply)
        return Reply(201, reply.body, {**reply.headers, "x-idempotency-lookup": "miss"})

    def open(self, given: Mapping[str, Any]) -> TicketRow:
        names = ("subject", "external_id", "priority", "type", "group_id", "assignee_id", "custom_fields")
        fields = {name: given.get(name) for name in names}
        row = TicketRow(len(self.ledger) + 1, fields, self.now, self.now, "open" if fields["assignee_id"] else "new")
        source = given.get("via_followup_source_id")
        if source is not None and self.row(source).status == "closed":  # of others it has no effect
            row.follow_up_of = source
        inherited: dict[str, Any] = self.row(row.follow_up_of).fields if row.follow_up_of else {"tags": []}
        fields["tags"] = list(given.get("tags") or inherited["tags"])
        self._audit(row, ACCOUNT, [_said(given["comment"]), _set("status", row.status)], given.get("metadata", {}))
        self.ledger.append(row)
        return row

    def _ticket(self, request: Recorded, row: TicketRow, rest: list[str]) -> Reply | None:
        if row.status == "deleted":
            return None
        if (request.method, rest) == ("GET", []):
            return Reply.of_json({"ticket": self.shown(row)})
        if (request.method, rest) == ("GET", ["audits"]):
            return self._history(request, row)
        return self._update(row, request.json["ticket"]) if (request.method, rest) == ("PUT", []) else None

    def _update(self, row: TicketRow, given: dict[str, Any]) -> Reply:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        if given.get("safe_update") and given.get("updated_stamp") != _time(row.updated_at):
            said = {"error": "UpdateConflict", "description": "Safe Update prevented the update due to outdated data"}
            return Reply.of_json(said, 409)
        if row.status == "closed":
            return _invalid(["Status: closed prevents ticket update"])
        after = {**row.fields, "status": row.status, **given}
        if given.get("status") == "solved" and not after["assignee_id"] and self.assigns_on_solve:
            given["assignee_id"] = after["assignee_id"] = ACCOUNT
        faults = self._faults_of(given, after)
        if faults:
            return _invalid(faults)
        events = [_said(given["comment"])] if "comment" in given else []
        if given.get("status", row.status) != row.status:
            events.append(_changed("status", row.status, given["status"]))
            row.status = given["status"]
        for name in ("priority", "assignee_id"):
            if name in given:
                events.append(_changed(name, row.fields[name], given[name]))
                row.fields[name] = given[name]
        if events:
            self._audit(row, ACCOUNT, events, given.get("metadata", {}))
            row.updated_at = self.now
        return Reply.of_json({"ticket": self.shown(row)})

    def _faults_of(self, given: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        faults: list[str] = []
        if "comment" in given and not given["comment"].get("body", "").strip():
            faults.append("Comment: cannot be blank")
        if len(str(given.get("comment", {}).get("body", "")).encode()) > 65_535:
            faults.append("Comment: is too long (maximum is 65535 bytes)")
        if given.get("status") == "new" or given.get("status", "open") not in STATUSES:
            faults.append("Status: is not valid")
        if given.get("status") == "solved" and not after.get("assignee_id"):
            faults.append("Assignee: is required when solving a ticket")
        group, assignee = after.get("group_id"), given.get("assignee_id")
        if group and assignee and assignee not in self.members.get(group, ()):
            faults.append("Assignee: is not a member of the group")
        if group and group not in self.members:
            faults.append("Group: is not valid")
        if len(json.dumps(given.get("metadata", {}))) > 1024:
            faults.append("Metadata: is too large")
        return faults

    def _history(self, request: Recorded, row: TicketRow) -> Reply:
        size, start = int(request.query.get("page[size]", "100")), int(request.query.get("page[after]", "0"))
        shown = [
            {
                "id": audit.id,
                "ticket_id": row.id,
                "author_id": audit.author,
                "created_at": _time(audit.at),
                "metadata": {"system": {"client": "bot"}, "custom": dict(audit.custom)},
                "events": audit.events,
            }
            for audit in row.audits[start : start + size]
        ]
        meta = {"has_more": len(row.audits) > start + size, "after_cursor": str(start + size)}
        return Reply.of_json({"audits": shown, "meta": meta})

    def shown(self, row: TicketRow) -> dict[str, Any]:
        dates = {"created_at": _time(row.created_at), "updated_at": _time(row.updated_at)}
        return {"id": row.id, "status": row.status, **row.fields, **dates}

    def _audit(self, row: TicketRow, author: int, events: list[dict[str, Any]], custom: Mapping[str, Any]) -> None:
        self._audits += 1
        row.audits.append(Audit(self._audits, author, self.now, events, custom))


def _said(comment: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "Comment", "body": comment["body"], "public": comment.get("public", True)}


def _set(name: str, value: Any) -> dict[str, Any]:
    return {"type": "Create", "field_name": name, "value": value}


def _changed(name: str, before: Any, value: Any) -> dict[str, Any]:
    return {"type": "Change", "field_name": name, "previous_value": before, "value": value}


def _invalid(faults: list[str]) -> Reply:
    details = {fault.partition(":")[0].lower(): [{"description": fault}] for fault in faults}
    return Reply.of_json({"error": "RecordInvalid", "description": "Record validation errors", "details": details}, 422)


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
