"""Jira: Cloud (REST v3) and Data Center (REST v2), projects of Jira Service Management included.

Sources: Atlassian's REST references, Alertmanager's `jira_config`. Jira has no create key, so a label holds the key of
the episode and is searched by JQL before an issue is opened; the search is late by up to two minutes, so what it finds
is read anew. The key of each notice stands in a property of the issue or of its comment, written in one request with
it. A status changes by a transition only, a request of its own: it goes first, and a repeat adds the comment.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, field_validator, model_validator

from alerting.channels.outward import accepted, json_object, login_headers
from alerting.channels.settings import Address, HttpConfig, Literally
from alerting.escaping import one_line, safe_id
from alerting.tickets.desk import DeskConfig
from alerting.tickets.jira_text import document, wiki
from watchtower.config.types import Duration
from watchtower.errors import Fault, Permanent, Reason, Transient
from watchtower.model.alert import Notice, Severity
from watchtower.ports import ChannelContext, HttpAnswer, Ticket

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
SETTLE_S = 120.0  # what Cloud's search may be late by; its documentation says "not immediately"
MAX_FOUND = 50
PAGE_SIZE = 20  # comments; a page of the longest ones stays below 1 MiB
MAX_PAGES = 10  # the newest comments come first
PROPERTY = "watchtower"
_INTERNAL = {"key": "sd.public.comment", "value": {"internal": True}}  # has no effect outside of Service Management
_FIELDS = "status,resolution,resolutiondate,statuscategorychangedate,assignee,creator,labels,updated"
_ENDED = ("resolutiondate", "statuscategorychangedate", "updated")
_OURS = {"project": "project", "issuetype": "issue_type", "labels": "labels", "summary": "", "description": ""}
_ENDS = ("done", "resolved", "closed", "completed", "fixed")  # target states, the best first
_BEGINS = ("reopened", "to do", "open", "backlog", "new", "waiting for support", "in progress")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*-[0-9]+|[0-9]+")
_PROJECT = re.compile(r"[A-Za-z0-9_]+")


class JiraConfig(DeskConfig):
    """`jira_configs`, with Alertmanager's keys. priorities: name of a priority by severity; `priority` is one for all.
    resolve_transition, reopen_transition: a transition's name; without one the target's status category decides."""

    api_url: Address
    api_type: Literal["auto", "cloud", "datacenter"] = "auto"
    project: Literally
    issue_type: Literally
    priority: str = ""
    priorities: Mapping[Severity, str] = Field(
        default_factory=lambda: {Severity.PAGE: "High", Severity.TICKET: "Medium", Severity.INFO: "Low"}
    )
    labels: tuple[str, ...] = ()
    components: tuple[Literally, ...] = ()
    fields: Mapping[str, Any] = {}
    resolve_transition: Literally = ""
    reopen_transition: Literally = ""
    resolution: Literally = ""
    wont_fix_resolution: tuple[Literally, ...] = ("Won't Do", "Won't Fix", "Declined")
    reopen_duration: Duration | None = None
    public_comments: bool = False
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S
    summary: Any = None
    description: Any = None

    global_keys: ClassVar[Mapping[str, str]] = {"api_url": "jira_api_url", "http_config": "http_config"}
    ignored: ClassVar[frozenset[str]] = frozenset({"summary", "description"})

    @property
    def is_cloud(self) -> bool:
        parts = urlsplit(self.api_url)
        host = parts.hostname or ""
        cloud = host.endswith(".atlassian.net") or host == "api.atlassian.com" or "/rest/api/3" in parts.path
        return cloud if self.api_type == "auto" else self.api_type == "cloud"

    @property
    def root(self) -> str:
        """The address without Alertmanager's `/rest/api/2`."""
        return self.api_url.partition("/rest/api")[0].rstrip("/")

    @property
    def plain_labels(self) -> tuple[str, ...]:
        return tuple(label for label in self.labels if "{{" not in label)

    def priority_of(self, severity: Severity) -> str:
        plain = self.priority if "{{" not in self.priority else ""
        return plain or self.priorities.get(severity, "")

    def _warnings(self) -> Iterator[Fault]:
        yield from super()._warnings()
        for label in self.labels:
            if "{{" in label:
                yield Fault(
                    "labels", f"{label!r} is left out: Watchtower runs no Go templates", "write the label itself"
                )
        if "{{" in self.priority:
            yield Fault("priority", "not used: Watchtower runs no Go templates", "write priorities: {page: High, …}")

    @field_validator("wont_fix_resolution", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        """Alertmanager takes a single name."""
        return [value] if isinstance(value, str) and value else value or ()

    @field_validator("project")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        if not _PROJECT.fullmatch(value):
            raise ValueError(f"{value!r} is not the key of a project, e.g. OPS")
        return value

    @field_validator("labels")
    @classmethod
    def _without_blanks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for label in value:
            if "{{" not in label and (not label or any(sign.isspace() for sign in label)):
                raise ValueError(f"{label!r}: a label of Jira holds no blanks")
        return value

    @field_validator("fields")
    @classmethod
    def _not_ours(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, inner in value.items():
            if name in _OURS:
                remedy = f"use the key {_OURS[name]}" if _OURS[name] else "Watchtower writes its own text"
                raise ValueError(f"{name} is not set here; {remedy}")
            if any("{{" in text for text in _texts(inner)):
                raise ValueError(f"{name} holds a Go template, which Watchtower does not run; write the value itself")
        return value

    @model_validator(mode="before")
    @classmethod
    def _one_window(cls, data: Any) -> Any:
        given = cast("dict[str, Any]", data if isinstance(data, dict) else {})
        if given.get("reopen_duration") is None:
            return cast(Any, data)
        if "reopen_within" in given:
            raise ValueError("reopen_duration and reopen_within say the same; keep one")
        return {**given, "reopen_within": given["reopen_duration"]}

    @model_validator(mode="after")
    def _can_log_in(self) -> "JiraConfig":
        http = self.http_config
        if not (http.basic_auth or http.authorization or http.http_headers):
            cloud = "Cloud: basic_auth with the account's mail address and an API token"
            raise ValueError(f"http_config: a login is needed; {cloud}; Data Center: authorization with a token")
        return self


class Jira:
    name: ClassVar[str] = "jira"
    Config: ClassVar[type[JiraConfig]] = JiraConfig
    settle_s: ClassVar[float] = SETTLE_S

    def __init__(self, config: JiraConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._site = "" if urlsplit(config.root).hostname == "api.atlassian.com" else config.root
        self._version = 3 if config.is_cloud else 2

    def find(self, episode_key: str) -> list[Ticket]:
        """Not bounded by the project: an issue that was moved is still that of the episode."""
        label = safe_id(episode_key)
        jql = f'labels = "{label}" ORDER BY created ASC'
        asked = urlencode({"jql": jql, "fields": "labels", "maxResults": MAX_FOUND}, quote_via=quote)
        path = f"search/jql?{asked}" if self._config.is_cloud else f"search?{asked}"
        answer = json_object(self._request("GET", path), "jira search")
        shown = [self._read(str(issue.get("id", ""))) for issue in _objects(answer.get("issues"))]
        found = [issue for issue in shown if issue is not None and label in _fields(issue).get("labels", ())]
        return [self._ticket(issue) for issue in sorted(found, key=lambda issue: int(issue["id"]))]

    def get(self, ticket_id: str) -> Ticket | None:
        shown = self._read(ticket_id)
        return None if shown is None else self._ticket(shown)

    def open(self, notice: Notice, subject: str, text: str) -> Ticket:
        config = self._config
        self._url("")  # what can fail does so before there is an issue
        priority = config.priority_of(notice.severity)
        fields: dict[str, Any] = {
            **({"priority": {"name": priority}} if priority else {}),
            **({"components": [{"name": name} for name in config.components]} if config.components else {}),
            **config.fields,
            "project": {"key": config.project},
            "issuetype": {"name": config.issue_type},
            "summary": one_line(subject),
            "description": self._laid_out(text),
            "labels": sorted({*config.plain_labels, safe_id(notice.episode_key)}),
        }
        made = self._create(fields, safe_id(notice.key))
        return Ticket(str(made["key"]), self._url(str(made["key"])), "open", keys=(safe_id(notice.key),))

    def comment(self, ticket_id: str, key: str, text: str) -> None:
        properties = [_told(key), *([] if self._config.public_comments else [_INTERNAL])]
        self._request("POST", f"issue/{ticket_id}/comment", {"body": self._laid_out(text), "properties": properties})

    def resolve(self, ticket_id: str, key: str, text: str) -> None:
        self._move(ticket_id, "resolve_transition", self._config.resolve_transition, _ENDS)
        self.comment(ticket_id, key, text)

    def reopen(self, ticket_id: str, key: str, text: str) -> None:
        self._move(ticket_id, "reopen_transition", self._config.reopen_transition, _BEGINS)
        self.comment(ticket_id, key, text)

    def set_severity(self, ticket_id: str, severity: Severity) -> None:
        """A project may have no priorities, or none that is called so: the news matter more."""
        priority = self._config.priority_of(severity)
        if not priority or "priority" in self._config.fields:
            return
        try:
            self._request("PUT", f"issue/{ticket_id}", {"fields": {"priority": {"name": priority}}})
        except Permanent as error:
            if error.reason is not Reason.REJECTED:
                raise
            log.warning("jira did not take the priority", extra={"ticket": ticket_id, "error": str(error)})

    def _create(self, fields: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Without the priority where that alone is refused. A 400 means that nothing was created."""
        body = {"fields": fields, "properties": [_told(key)]}
        try:
            answer = self._request("POST", "issue", body)
        except _Refused as error:
            if error.fields != frozenset({"priority"}):
                raise
            log.warning("jira did not take the priority", extra={"project": self._config.project, "error": str(error)})
            plain = {name: value for name, value in fields.items() if name != "priority"}
            answer = self._request("POST", "issue", {**body, "fields": plain})
        made = json_object(answer, "jira create")
        if not _KEY.fullmatch(str(made.get("key", ""))):
            raise Transient(Reason.BAD_ANSWER, "jira create: the answer names no issue", outcome_unknown=True)
        return made

    # -- transitions -------------------------------------------------------------------------------------------------

    def _move(self, ticket_id: str, option: str, name: str, targets: tuple[str, ...]) -> None:
        path = f"issue/{ticket_id}/transitions"
        answer = json_object(self._request("GET", f"{path}?expand=transitions.fields"), "jira transitions")
        offered = _objects(answer.get("transitions"))
        chosen = _named(offered, name) if name else _leading(offered, targets, ends=option == "resolve_transition")
        if chosen is None:
            known = "; ".join(f"{item.get('name')!r} to {_target(item).get('name')!r}" for item in offered)
            wanted = f"no transition {name!r}" if name else "no transition that is clearly the one to take"
            remedy = f"set {option} to one of these, or give the account the right Transition Issues"
            who = f"jira: {ticket_id} offers {wanted}; from here it has: {known or 'none at all'}; {remedy}"
            raise Permanent(Reason.REJECTED, one_line(who, 600))
        fields = self._resolution(chosen) if option == "resolve_transition" else {}
        body = {"transition": {"id": str(chosen.get("id"))}, **({"fields": fields} if fields else {})}
        self._request("POST", path, body)

    def _resolution(self, transition: Mapping[str, Any]) -> dict[str, Any]:
        """Set where the transition asks for it or `resolution` is configured. Without one Jira keeps an issue in a done
        state that its own reports call unresolved."""
        asked = _object(_object(transition.get("fields")).get("resolution"))
        if not asked:
            return {}
        names = [str(value.get("name")) for value in _objects(asked.get("allowedValues"))]
        wanted = (self._config.resolution,) if self._config.resolution else ("Done", "Fixed", "Resolved")
        found = next((name for want in wanted for name in names if name.casefold() == want.casefold()), None)
        if found:
            return {"resolution": {"name": found}}
        if not asked.get("required") and not self._config.resolution:
            return {}
        told = f"jira: transition {transition.get('name')!r} takes no resolution {' or '.join(wanted)}"
        raise Permanent(Reason.REJECTED, one_line(f"{told}; set resolution to one of: {', '.join(names)}", 600))

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, ticket_id: str) -> dict[str, Any] | None:
        if not _KEY.fullmatch(ticket_id):
            return None
        answer = self._request("GET", f"issue/{ticket_id}?fields={_FIELDS}&properties={PROPERTY}", absent=True)
        return None if answer.status == 404 else json_object(answer, "jira read")

    def _ticket(self, issue: Mapping[str, Any]) -> Ticket:
        fields, ident = _fields(issue), str(issue["key"])
        resolution = _object(fields.get("resolution")).get("name")
        is_done = _object(_object(fields.get("status")).get("statusCategory")).get("key") == "done"
        # Data Center tells of no change of state without a resolution; the last change of all is not before it.
        ended = next((when for name in _ENDED if (when := fields.get(name))), None)
        unwanted = {name.casefold() for name in self._config.wont_fix_resolution}
        is_final = str(resolution).casefold() in unwanted
        return Ticket(
            id=ident,
            url=self._url(ident),
            status=("closed" if is_final else "resolved") if is_done else "open",
            resolution=str(resolution) if resolution else None,
            resolved_at=datetime.fromisoformat(str(ended)) if is_done and ended else None,
            keys=(*_keys(_object(issue.get("properties")).get(PROPERTY)), *self._comment_keys(ident)),
            owner=None if is_done else self._owner(ident, fields),
        )

    def _comment_keys(self, ticket_id: str) -> Iterator[str]:
        for page in range(MAX_PAGES):
            asked = f"startAt={page * PAGE_SIZE}&maxResults={PAGE_SIZE}&orderBy=-created&expand=properties"
            answer = json_object(self._request("GET", f"issue/{ticket_id}/comment?{asked}"), "jira comments")
            comments = _objects(answer.get("comments"))
            for comment in comments:
                for item in _objects(comment.get("properties")):
                    yield from _keys(item.get("value")) if item.get("key") == PROPERTY else ()
            if len(comments) < PAGE_SIZE:
                return

    def _owner(self, ticket_id: str, fields: Mapping[str, Any]) -> str | None:
        """The assignee, if somebody made them so. Whom Jira itself assigns at creation has not taken the issue."""
        assignee, creator = _user(fields.get("assignee")), _user(fields.get("creator"))
        if not assignee or assignee == creator:
            return None
        try:
            shown = self._request("GET", f"issue/{ticket_id}?fields=assignee&expand=changelog")
        except Permanent as error:
            if error.reason is Reason.TOO_LARGE:
                return assignee  # so long a history was made by people
            raise
        histories = _objects(_object(json_object(shown, "jira history").get("changelog")).get("histories"))
        changed = any(item.get("field") == "assignee" for entry in histories for item in _objects(entry.get("items")))
        return assignee if changed else None

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _laid_out(self, text: str) -> Any:
        return document(text) if self._config.is_cloud else wiki(text)

    def _url(self, ident: str) -> str:
        if not self._site:  # a scoped token speaks to Atlassian's gateway, which is no place for people
            told = json_object(self._request("GET", "serverInfo"), "jira serverInfo")
            self._site = str(told.get("baseUrl", "")).rstrip("/")
        return f"{self._site}/browse/{ident}"

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, absent: bool = False
    ) -> HttpAnswer:
        """One call. absent: a 404 is an answer, not a failure."""
        config = self._config
        content = {"Content-Type": "application/json"} if body is not None else {}
        answer = self._context.http.request(
            method,
            f"{config.root}/rest/api/{self._version}/{path}",
            # Names of transitions and resolutions come in the language of the request.
            headers={
                **login_headers(self._context, config.http_config),
                **{"Accept": "application/json", "Accept-Language": "en"},
                **content,
            },
            body=json.dumps(body).encode() if body is not None else b"",
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=config.http_config.tls_config.ca_file,
        )
        who = f"jira {method} {path.partition('?')[0]}"
        login = answer.headers.get("x-seraph-loginreason", "")
        if "FAILED" in login or "DENIED" in login:  # Jira can go on as nobody, and then finds nothing
            remedy = "check the mail address and the token; after DENIED log in once in a browser"
            raise Permanent(Reason.AUTH, f"{who}: HTTP {answer.status}, login {one_line(login, 60)}; {remedy}")
        if answer.status == 400:
            raise _Refused(who, answer)
        if answer.status == 409:
            raise Transient(Reason.REJECTED, f"{who}: HTTP 409, somebody changes the issue in this moment")
        if not (absent and answer.status == 404):
            accepted(answer, self._context.clock.now(), who, self._remedy(answer.status))
        return answer

    def _remedy(self, status: int) -> str:
        project = self._config.project
        if status == 403:
            return f"give the account Browse, Create, Edit, Transition and Comment in project {project}"
        return f"check api_url and that the account sees project {project}" if status in (404, 410) else ""


class _Refused(Permanent):
    """A 400 with Jira's own words. fields: those that it names."""

    def __init__(self, who: str, answer: HttpAnswer) -> None:
        try:
            told = _object(json.loads(answer.body))
        except (ValueError, RecursionError):
            told = {}
        errors, messages = _object(told.get("errors")), told.get("errorMessages")
        self.fields = frozenset(errors)
        words = [f"{name}: {value}" for name, value in errors.items()]
        words += [str(message) for message in cast("list[Any]", messages)] if isinstance(messages, list) else []
        said = "; ".join(words) or answer.body[:200].decode("utf-8", "replace")
        # Data Center, and Cloud at some places, say so by a 400.
        reason = Reason.AUTH if "permission" in said else Reason.REJECTED
        super().__init__(reason, one_line(f"{who}: HTTP 400: {said}; {_remedy_for(self.fields)}", 800))


def _remedy_for(fields: frozenset[str]) -> str:
    if "labels" in fields:
        return "put Labels on the create screen of this issue type: the label is how the issue is found again"
    if fields & {"project", "issuetype"}:
        return "check project and issue_type"
    return "set what Jira asks for by fields, e.g. fields: {customfield_10000: {value: …}}"


def _named(offered: Iterable[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """By the name of the transition, else by that of the state it leads to."""
    wanted, all_of_them = name.casefold(), list(offered)
    by_name = (item for item in all_of_them if str(item.get("name")).casefold() == wanted)
    by_state = (item for item in all_of_them if str(_target(item).get("name")).casefold() == wanted)
    return next(by_name, next(by_state, None))


def _leading(offered: Iterable[dict[str, Any]], targets: tuple[str, ...], *, ends: bool) -> dict[str, Any] | None:
    """The only one that leads to a state of the right category, else the one to the best known state."""
    fit = [item for item in offered if (_object(_target(item).get("statusCategory")).get("key") == "done") is ends]
    states = [str(_target(item).get("name")).casefold() for item in fit]
    for state in targets:
        if state in states:
            return fit[states.index(state)]
    return fit[0] if len(fit) == 1 else None


def _target(transition: Mapping[str, Any]) -> dict[str, Any]:
    return _object(transition.get("to"))


def _told(key: str) -> dict[str, Any]:
    return {"key": PROPERTY, "value": {"notice": safe_id(key)}}


def _keys(value: Any) -> tuple[str, ...]:
    key = _object(value).get("notice")
    return (str(key),) if key else ()


def _fields(issue: Mapping[str, Any]) -> dict[str, Any]:
    return _object(issue.get("fields"))


def _user(value: Any) -> str:
    """The id of a user: Cloud's accountId, Data Center's key or name."""
    user = _object(value)
    return str(user.get("accountId") or user.get("key") or user.get("name") or "")


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of YAML."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[Any, Any]", value).items():
            yield from _texts(name)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _texts(inner)
