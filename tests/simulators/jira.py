"""Jira as far as Watchtower uses it, Cloud (v3) or Data Center (v2), faithful where it hurts: a search that is late,
done states without a resolution, transitions that differ by project and state, screens that lack fields, and an
assignee whom nobody chose. Written from Atlassian's references; requests are judged by the published specification too.
"""

import base64
import html
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import unquote

from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.ports import Clock

PASSWORDS = {"bot@example.com": "api-token", "guest@example.com": "guest-token"}
BEARER = "pat-simulator"
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
CATEGORIES = {"To Do": "new", "Open": "new", "In Progress": "indeterminate", "Waiting": "indeterminate"}  # else: done
RESOLUTIONS = ("Done", "Won't Do", "Duplicate")
MOST = 32_767
_JQL = re.compile(r'labels = "([^"]*)" ORDER BY created ASC')
_NODES = {"paragraph", "codeBlock", "text", "hardBreak"}


@dataclass(frozen=True, slots=True)
class Transition:
    id: str
    name: str
    to: str
    begins: tuple[str, ...] = ()  # empty: from every state
    asks_resolution: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    first: str
    transitions: tuple[Transition, ...]
    types: tuple[str, ...] = ("Task", "Bug")
    lacks: frozenset[str] = frozenset()  # fields that are not on its screens
    assignee: str | None = None  # who gets what is created
    components: tuple[str, ...] = ("pipelines",)


_SIMPLE = (
    Transition("11", "To Do", "To Do"),
    Transition("21", "Start", "In Progress"),
    Transition("31", "Done", "Done"),
)
_SERVICE = (
    Transition("2", "Cancel request", "Canceled", ("Open", "In Progress", "Waiting")),
    Transition("5", "Resolve this issue", "Resolved", ("Open", "In Progress", "Waiting"), asks_resolution=True),
    Transition("7", "Back to in progress", "In Progress", ("Resolved",)),
    Transition("8", "Take", "In Progress", ("Open",)),
)
_ODD = (
    Transition("1", "Abnehmen", "Abgenommen", ("Open",)),
    Transition("2", "Ablehnen", "Abgelehnt", ("Open",)),
    Transition("3", "Zurück", "Open", ("Abgenommen",)),
)
PROJECTS = {
    "OPS": Project("To Do", _SIMPLE),
    "HELP": Project("Open", _SERVICE, ("[System] Incident",)),
    "ODD": Project("Open", _ODD),
    "STUCK": Project("Open", ()),
    "BARE": Project("To Do", _SIMPLE, lacks=frozenset({"labels"})),
    "PLAIN": Project("To Do", _SIMPLE, lacks=frozenset({"priority"})),
    "LEAD": Project("To Do", _SIMPLE, assignee="lead"),
}


@dataclass(slots=True)
class Issue:
    id: int
    key: str
    project: str
    fields: dict[str, Any]
    properties: dict[str, Any]
    status: str
    creator: str
    assignee: str | None
    seen_at: datetime  # when the search knows of it; of what changes later it hears nothing
    indexed_labels: tuple[str, ...]
    resolution: str | None = None
    changed_at: datetime | None = None
    deleted: bool = False
    comments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    histories: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def texts(self) -> list[str]:
        """The comments as people read them."""
        return [plain(comment["body"]) for comment in self.comments]


class JiraSimulator(HttpSimulator):
    """ledger: the issues. clock: the time; else `now` stands still. lag_s: how late the search is."""

    ledger: list[Issue]

    def __init__(self, now: datetime, *, cloud: bool = True, clock: Clock | None = None, lag_s: float = 0.0) -> None:
        self.cloud = cloud
        self.lag_s = lag_s
        self._clock = clock
        super().__init__(now)

    @property
    def issues(self) -> list[Issue]:
        return self.ledger

    def time(self) -> datetime:
        return self._clock.now() if self._clock else self.now

    def issue(self, key: str) -> Issue | None:
        return next((row for row in self.ledger if key in (row.key, str(row.id)) and not row.deleted), None)

    def answer(self, request: Recorded) -> Reply:
        user = self._user(request)
        base, path = ("/rest/api/3/" if self.cloud else "/rest/api/2/"), unquote(request.path)
        if user is None:
            return Reply.of_json({"message": "Client must be authenticated to access this resource."}, 401)
        reply = _errors(404, "dead link")
        match (request.method, path.removeprefix(base).split("/")):
            case ("GET", [*_, "search"]) if self.cloud and path in ("/rest/api/2/search", "/rest/api/3/search"):
                reply = _errors(410, "The requested API has been removed.")
            case _ if not path.startswith(base):
                pass
            case ("GET", ["serverInfo"]):
                reply = Reply.of_json({"baseUrl": "https://acme.atlassian.net", "version": "1001.0.0"})
            case ("GET", ["search", "jql"] | ["search"] as search) if (len(search) == 2) is self.cloud:
                reply = self._search(request)
            case ("POST", ["issue"]):
                reply = self._create(user, request.json)
            case (_, ["issue", key, *rest]):
                reply = self._issue(request, user, self.issue(key), rest)
            case _:
                pass
        return reply

    def person(self, key: str, *, status: str | None = None, owner: str | None = None) -> None:
        """A person works on the issue in the browser. status: open, resolved, rejected or deleted."""
        row = self.issue(key)
        assert row is not None
        if owner:
            row.assignee = owner
            row.histories.append({"items": [{"field": "assignee", "from": None, "to": owner}]})
        if status == "deleted":
            row.deleted = True
        elif status:
            ended = [each.to for each in PROJECTS[row.project].transitions if category(each.to) == "done"]
            self._set_status(row, "In Progress" if status == "open" else ended[-1])
            row.resolution = "Won't Do" if status == "rejected" else None

    def _user(self, request: Recorded) -> str | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind == "Bearer":
            return "bot@example.com" if secret == BEARER else None
        name, _, password = base64.b64decode(secret or "").decode().partition(":")
        return name if PASSWORDS.get(name) == password else None

    # -- issues ------------------------------------------------------------------------------------------------------

    def _create(self, user: str, body: dict[str, Any]) -> Reply:
        fields = cast("dict[str, Any]", body["fields"])
        project = PROJECTS.get(fields.get("project", {}).get("key"))
        if user.startswith("guest"):
            return _errors(400, "You do not have permission to create issues in this project.")
        if project is None:
            return _errors(400, project="valid project is required")
        wrong = {name: said for name, value in fields.items() if (said := self._fault(project, name, value))}
        if wrong:
            return _errors(400, **wrong)
        number = len(self.ledger) + 1
        properties = {item["key"]: item["value"] for item in body.get("properties", ())}
        key, seen_at = f"{fields['project']['key']}-{number}", self.time() + timedelta(seconds=self.lag_s)
        row = Issue(
            10_000 + number,
            key,
            fields["project"]["key"],
            fields,
            properties,
            project.first,
            user,
            project.assignee,
            seen_at,
            tuple(fields.get("labels", ())),
        )
        self.ledger.append(row)
        return Reply.of_json({"id": str(row.id), "key": key, "self": f"{self.url}/rest/api/3/issue/{row.id}"}, 201)

    def _fault(self, project: Project, name: str, value: Any) -> str:
        known = {"project", "issuetype", "summary", "description", "labels", "priority", "components"}
        if name in project.lacks or name not in known | {"customfield_10010", "customfield_10042"}:
            return f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        faults = {
            "issuetype": ("Specify a valid issue type", lambda: value.get("name") not in project.types),
            "priority": ("The priority selected is invalid.", lambda: value.get("name") not in PRIORITIES),
            "summary": ("The summary is invalid or too long.", lambda: "\n" in value or len(value) > 255),
            "labels": ("The label contains spaces.", lambda: any(re.search(r"\s", label) for label in value)),
            "components": (
                f"Component name {value!r} is not valid",
                lambda: any(each["name"] not in project.components for each in value),
            ),
        }
        said, is_wrong = faults.get(name, ("", bool))
        return said if is_wrong() else self._text_fault(value) if name == "description" else ""

    def _text_fault(self, value: Any) -> str:
        if self.cloud and not is_document(value):
            return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
        if not self.cloud and not isinstance(value, str):
            return "Operation value must be a string"
        size = len(json.dumps(value, ensure_ascii=False)) if self.cloud else len(value)
        return "The entered text is too long. It exceeds the allowed limit of 32,767 characters." if size > MOST else ""

    def _issue(self, request: Recorded, user: str, row: Issue | None, rest: list[str]) -> Reply:
        reply = _errors(404, "dead link")
        match (request.method, rest):
            case _ if row is None:
                reply = _errors(404, "Issue does not exist or you do not have permission to see it.")
            case ("GET", []):
                reply = Reply.of_json(self._shown(request, row))
            case ("PUT", []):
                reply = self._edit(row, request.json["fields"])
            case ("GET", ["comment"]):
                reply = self._comments(request, row)
            case ("POST", ["comment"]):
                reply = self._comment(user, row, request.json)
            case ("GET", ["transitions"]):
                reply = Reply.of_json({"transitions": [_offered(each) for each in self._open_to(row)]})
            case ("POST", ["transitions"]):
                reply = self._transit(row, request.json)
            case _:
                pass
        return reply

    def _edit(self, row: Issue, fields: dict[str, Any]) -> Reply:
        project = PROJECTS[row.project]
        wrong = {name: said for name, value in fields.items() if (said := self._fault(project, name, value))}
        row.fields.update({} if wrong else fields)
        return _errors(400, **wrong) if wrong else Reply(204)

    def _shown(self, request: Recorded, row: Issue) -> dict[str, Any]:
        asked = request.query.get("fields", "").split(",")
        when = row.changed_at and row.changed_at.strftime("%Y-%m-%dT%H:%M:%S.000%z")
        every: dict[str, Any] = {
            **row.fields,
            "status": {"name": row.status, "statusCategory": {"key": category(row.status)}},
            "resolution": {"name": row.resolution} if row.resolution else None,
            "resolutiondate": when if row.resolution else None,
            "assignee": self._person(row.assignee) if row.assignee else None,
            "creator": self._person(row.creator),
            "updated": when,
            **({"statuscategorychangedate": when} if self.cloud else {}),
        }
        shown: dict[str, Any] = {"id": str(row.id), "key": row.key}
        shown["fields"] = {name: value for name, value in every.items() if name in asked}
        if "properties" in request.query:
            shown["properties"] = {name: row.properties[name] for name in row.properties.keys() & {"watchtower"}}
        if request.query.get("expand") == "changelog":
            shown["changelog"] = {"histories": row.histories[::-1]}
        return shown

    def _person(self, name: str) -> dict[str, Any]:
        return {"accountId": f"5b10-{name}"} if self.cloud else {"name": name, "key": f"JIRAUSER-{name}"}

    # -- comments ----------------------------------------------------------------------------------------------------

    def _comment(self, user: str, row: Issue, body: dict[str, Any]) -> Reply:
        if user.startswith("guest"):
            return _errors(403, "You do not have the permission to comment on this issue.")
        said = self._text_fault(body.get("body"))
        if said:
            return _errors(400, comment=said)
        row.comments.append(body)
        return Reply.of_json({"id": str(len(row.comments)), "body": body["body"]}, 201)

    def _comments(self, request: Recorded, row: Issue) -> Reply:
        start, most = int(request.query.get("startAt", "0")), int(request.query.get("maxResults", "50"))
        ordered = row.comments[::-1] if request.query.get("orderBy") == "-created" else row.comments
        hidden = set[str]() if request.query.get("expand") == "properties" else {"properties"}
        page = [{k: v for k, v in each.items() if k not in hidden} for each in ordered[start : start + most]]
        return Reply.of_json({"comments": page, "startAt": start, "maxResults": most, "total": len(row.comments)})

    # -- transitions -------------------------------------------------------------------------------------------------

    def _open_to(self, row: Issue) -> list[Transition]:
        every = PROJECTS[row.project].transitions
        return [each for each in every if row.status in (each.begins or (row.status,)) and each.to != row.status]

    def _transit(self, row: Issue, body: dict[str, Any]) -> Reply:
        chosen = next((each for each in self._open_to(row) if each.id == body["transition"]["id"]), None)
        if chosen is None:
            return _errors(400, "It seems that you have tried to perform an illegal workflow operation.")
        wanted = body.get("fields", {}).get("resolution", {}).get("name")
        if chosen.asks_resolution and wanted not in RESOLUTIONS:
            return _errors(400, resolution="Resolution is required.")
        if wanted and not chosen.asks_resolution:
            said = "Field 'resolution' cannot be set. It is not on the appropriate screen, or unknown."
            return _errors(400, resolution=said)
        self._set_status(row, chosen.to)
        row.resolution = wanted
        return Reply(204)

    def _set_status(self, row: Issue, status: str) -> None:
        row.status = status
        row.changed_at = self.time()

    # -- search ------------------------------------------------------------------------------------------------------

    def _search(self, request: Recorded) -> Reply:
        found = _JQL.fullmatch(request.query.get("jql", ""))
        if not found:
            return _errors(400, "Error in the JQL Query")
        rows = [row for row in self.ledger if row.seen_at <= self.time() and found[1] in row.indexed_labels]
        issues: list[dict[str, Any]] = [{"id": str(row.id), "key": row.key, "fields": {}} for row in rows]
        counted = {"isLast": True} if self.cloud else {"startAt": 0, "maxResults": 50, "total": len(issues)}
        return Reply.of_json({"issues": issues, **counted})


def category(status: str) -> str:
    return CATEGORIES.get(status, "done")


def is_document(value: Any) -> bool:
    """Whether Jira would take it: known nodes, no empty text."""
    node = cast("dict[str, Any]", value if isinstance(value, dict) else {})
    return (node.get("type"), node.get("version")) == ("doc", 1) and all(map(_is_node, node["content"]))


def _is_node(node: dict[str, Any]) -> bool:
    if node["type"] == "text":
        return bool(node["text"]) and all(mark["type"] in ("strong", "link") for mark in node.get("marks", ()))
    return node["type"] in _NODES and all(map(_is_node, node.get("content", ())))


def plain(body: Any) -> str:
    """A document or wiki markup as its text."""
    if isinstance(body, str):
        parts = body.split("{noformat}")
        return "".join(part if number % 2 else _read(part) for number, part in enumerate(parts))
    node = cast("dict[str, Any]", body)
    if node["type"] in ("text", "hardBreak"):
        return str(node.get("text", "\n"))
    return ("\n\n" if node["type"] == "doc" else "").join(plain(inner) for inner in node.get("content", ()))


def _read(wiki: str) -> str:
    bold = re.sub(r"^\*([^*\n]+:)\*", r"\1", wiki, flags=re.MULTILINE)
    return html.unescape(re.sub(r"\[(https?:[^\]\s]+)\]", r"\1", bold))


def _offered(each: Transition) -> dict[str, Any]:
    allowed = [{"name": name} for name in RESOLUTIONS]
    asked = {"resolution": {"required": True, "allowedValues": allowed}} if each.asks_resolution else {}
    to = {"name": each.to, "statusCategory": {"key": category(each.to)}}
    return {"id": each.id, "name": each.name, "hasScreen": bool(asked), "to": to, "fields": asked}


def _errors(status: int, *messages: str, **errors: str) -> Reply:
    return Reply.of_json({"errorMessages": messages, "errors": errors}, status)
