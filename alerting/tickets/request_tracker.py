"""Request Tracker 5 through REST2, checked against a real 5.0.3.

Source: RT's REST2 documentation (RT::REST2). RT has no create key, so a custom field holds the episode's key and is
searched before a ticket is opened; the key of each notice stands in the subject of its comment, which RT's history
shows. What RT answers is not taken at its word: an invalid status comes back as 200, a custom field that is not applied
to the queue is dropped with 201, and a comment without the right to it is a 400.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, cast
from urllib.parse import quote, urlencode

from pydantic import Field, field_validator, model_validator

from alerting.channels.outward import accepted, json_object, json_value, login_headers, reveal
from alerting.channels.settings import Address, BasicAuth, HttpConfig, Literally
from alerting.escaping import one_line, safe_id
from alerting.tickets.desk import DeskConfig
from watchtower.config.types import Duration
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, Severity
from watchtower.ports import ChannelContext, HttpAnswer, Ticket
from watchtower.secrets import Secret

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_PAGES = 20  # of history, 100 entries each
_NEVER = "1970-01-01T00:00:00Z"  # RT's way to say that something has not happened
_NOBODY = frozenset({"", "Nobody", "RT_System"})
_MARK = "Watchtower notice "
_MARKED = re.compile(re.escape(_MARK) + r"([A-Za-z0-9_-]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")


class RequestTrackerConfig(DeskConfig):
    """`request_tracker_configs`. base_url: of RT's web pages, e.g. https://rt.example.com; log in by token (RT's auth
    tokens) or by username and password. priorities: a number per severity; closed_statuses are never reopened."""

    base_url: Address
    token: Secret | None = None
    token_file: str | None = None
    username: str = ""
    password: Secret | None = None
    password_file: str | None = None
    queue: Literally
    requestor: Literally = ""
    custom_field: str = "WatchtowerKey"
    resolved_status: str = "resolved"
    reopened_status: str = "open"
    closed_statuses: tuple[str, ...] = ("rejected",)
    priorities: Mapping[Severity, int] = Field(
        default_factory=lambda: {Severity.PAGE: 80, Severity.TICKET: 50, Severity.INFO: 20}
    )
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S

    @field_validator("custom_field", "queue")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r}: use letters, digits, blanks, and . _ - only")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> "RequestTrackerConfig":
        tokens = [key for key in ("token", "token_file") if getattr(self, key)]
        if len(tokens) + bool(self.username) != 1:
            raise ValueError("give one login: token, token_file, or username with password or password_file")
        if self.username and not (self.password or self.password_file):
            raise ValueError("password: needed beside username")
        return self


class RequestTracker:
    name: ClassVar[str] = "request_tracker"
    Config: ClassVar[type[RequestTrackerConfig]] = RequestTrackerConfig
    settle_s: ClassVar[float] = 10.0

    def __init__(self, config: RequestTrackerConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._field_is_applied = False

    def find(self, episode_key: str) -> list[Ticket]:
        self._check_field()
        query = f"CF.{{{self._config.custom_field}}} = '{safe_id(episode_key)}'"
        fields = "Subject,Status,Resolved,Owner,Creator,CustomFields"
        asked = urlencode({"query": query, "fields": fields, "per_page": 100, "orderby": "id"}, quote_via=quote)
        answer = json_object(self._request("GET", f"tickets?{asked}"), "request_tracker search")
        items = [item for item in _objects(answer.get("items")) if self._key_of(item) == safe_id(episode_key)]
        found = [self._ticket(item, self._keys(str(item["id"]), opening=True)) for item in items]
        return sorted(found, key=lambda ticket: int(ticket.id))

    def get(self, ticket_id: str) -> Ticket | None:
        shown = self._read(ticket_id)
        return None if shown is None else self._ticket(shown, self._keys(ticket_id, opening=False))

    def open(self, notice: Notice, subject: str, text: str) -> Ticket:
        config, key = self._config, safe_id(notice.episode_key)
        self._check_field()
        body: dict[str, Any] = {
            "Queue": config.queue,
            "Subject": one_line(subject),
            "Content": f"{text}\n\n-- \n{_MARK}{safe_id(notice.key)}",
            "ContentType": "text/plain",
            "Priority": config.priorities.get(notice.severity, 0),
            "CustomFields": {config.custom_field: key},
            **({"Requestor": config.requestor} if config.requestor else {}),
        }
        made = json_object(self._request("POST", "ticket", body), "request_tracker create")
        shown = self._read(str(made.get("id", "")))
        if shown is None:
            raise Transient(Reason.BAD_ANSWER, "request_tracker create: no ticket where it said", outcome_unknown=True)
        if self._key_of(shown) != key:
            # The ticket is there and reaches people, so it counts; but it cannot be found again after a crash.
            self._field_is_applied = False
            remedy = f"grant the account SeeCustomField and ModifyCustomField on {config.custom_field}"
            log.error("request_tracker dropped the key", extra={"ticket": str(shown["id"]), "remedy": remedy})
        return self._ticket(shown, (safe_id(notice.key),))

    def comment(self, ticket_id: str, key: str, text: str) -> None:
        self._comment(ticket_id, key, text, None)

    def resolve(self, ticket_id: str, key: str, text: str) -> None:
        self._comment(ticket_id, key, text, self._config.resolved_status)

    def reopen(self, ticket_id: str, key: str, text: str) -> None:
        self._comment(ticket_id, key, text, self._config.reopened_status)

    def set_severity(self, ticket_id: str, severity: Severity) -> None:
        self._request("PUT", f"ticket/{ticket_id}", {"Priority": self._config.priorities.get(severity, 0)})

    def _comment(self, ticket_id: str, key: str, text: str, status: str | None) -> None:
        """Comment and, in the same request, change the status: a crash cannot part the two."""
        subject = f"{_MARK}{safe_id(key)}"
        body = {"Subject": subject, "Content": text, "ContentType": "text/plain"}
        answer = self._request(
            "POST", f"ticket/{ticket_id}/comment", {**body, **({"Status": status} if status else {})}
        )
        if status is None:
            return
        shown = self._read(ticket_id)
        if shown is not None and shown.get("Status") != status:
            said = one_line(answer.body.decode("utf-8", "replace"), 300)
            remedy = (
                "check resolved_status and reopened_status against the queue's lifecycle, and the right ModifyTicket"
            )
            found = f"request_tracker: ticket {ticket_id} is {shown.get('Status')!r}, not {status!r}"
            raise Permanent(Reason.REJECTED, f"{found}: {said}; {remedy}")

    def _check_field(self) -> None:
        """RT drops a custom field that the queue does not have, and finds nothing by it, both without an error."""
        if self._field_is_applied:
            return
        config = self._config
        path = f"queue/{quote(config.queue)}"
        queue = json_object(self._request("GET", path, remedy=f"check queue {config.queue!r}"), "request_tracker queue")
        names = [field.get("name") for field in _objects(queue.get("TicketCustomFields"))]
        if config.custom_field not in names:
            raise Permanent(
                Reason.REJECTED,
                f"request_tracker: queue {config.queue!r} has no ticket custom field {config.custom_field!r} that this "
                "account can see; in RT under Admin, Custom Fields, create it as 'Enter one value', apply it to the "
                "queue, and grant the account SeeCustomField and ModifyCustomField",
            )
        self._field_is_applied = True

    def _read(self, ticket_id: str) -> dict[str, Any] | None:
        if not ticket_id.isdigit():
            return None
        answer = self._request("GET", f"ticket/{ticket_id}", absent=True)
        shown = {} if answer.status == 404 else json_object(answer, "request_tracker read")
        return shown if shown and shown.get("Status") != "deleted" else None

    def _keys(self, ticket_id: str, *, opening: bool) -> tuple[str, ...]:
        """Keys of the notices whose comments the history shows; with opening, also of the one that opened it."""
        keys: list[str] = []
        for entry in self._history(ticket_id):
            kind = entry.get("Type")
            if kind == "Comment":
                keys += _MARKED.findall(str(entry.get("Data") or ""))
            elif kind == "Create" and opening:
                keys += self._opening_key(str(entry["id"]))
        return tuple(keys)

    def _opening_key(self, transaction_id: str) -> list[str]:
        path = f"transaction/{transaction_id}/attachments?fields=Content"
        parts = _objects(json_object(self._request("GET", path), "request_tracker attachments").get("items"))
        # The mark is the last line: nothing that data says above it can stand for it.
        return [found for part in parts for found in _MARKED.findall(str(part.get("Content") or ""))[-1:]]

    def _history(self, ticket_id: str) -> Iterator[dict[str, Any]]:
        for page in range(1, MAX_PAGES + 1):
            path = f"ticket/{ticket_id}/history?fields=Type,Data&per_page=100&page={page}"
            answer = json_object(self._request("GET", path), "request_tracker history")
            yield from _objects(answer.get("items"))
            if not answer.get("next_page"):
                return

    def _ticket(self, shown: Mapping[str, Any], keys: tuple[str, ...]) -> Ticket:
        config, ident, status = self._config, str(shown["id"]), str(shown.get("Status"))
        resolved = str(shown.get("Resolved") or _NEVER)
        owner, creator = _name(shown.get("Owner")), _name(shown.get("Creator"))
        ended = "resolved" if status == config.resolved_status else "closed" if status in config.closed_statuses else ""
        return Ticket(
            id=ident,
            url=f"{config.base_url.rstrip('/')}/Ticket/Display.html?id={ident}",
            status=ended or "open",
            resolution=status if ended else None,
            resolved_at=datetime.fromisoformat(resolved) if ended and resolved != _NEVER else None,
            keys=keys,
            owner=None if owner in _NOBODY or owner == creator else owner,
        )

    def _key_of(self, shown: Mapping[str, Any]) -> str | None:
        fields = _objects(shown.get("CustomFields"))
        values = next((field.get("values") for field in fields if field.get("name") == self._config.custom_field), None)
        return str(cast("list[Any]", values)[0]) if isinstance(values, list) and values else None

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, absent: bool = False, remedy: str = ""
    ) -> HttpAnswer:
        """One call. absent: a 404 is an answer, not a failure."""
        config = self._config
        content = {"Content-Type": "application/json"} if body is not None else {}
        answer = self._context.http.request(
            method,
            f"{config.base_url.rstrip('/')}/REST/2.0/{path}",
            headers={**self._login(), "Accept": "application/json", **content},
            body=json.dumps(body).encode() if body is not None else b"",
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=config.http_config.tls_config.ca_file,
        )
        who = f"request_tracker {method} {path.partition('?')[0]}"
        if answer.status == 400 and b"Permission Denied" in answer.body:
            raise Permanent(Reason.AUTH, f"{who}: Permission Denied; grant the account the right on {config.queue!r}")
        if not (absent and answer.status == 404):
            accepted(answer, self._context.clock.now(), who, remedy)
        json_value(answer, who)  # a 404 that is not RT's own comes from a wrong base_url
        return answer

    def _login(self) -> dict[str, str]:
        config, context = self._config, self._context
        if config.username:
            basic = BasicAuth(username=config.username, password=config.password, password_file=config.password_file)
            http = config.http_config.model_copy(update={"basic_auth": basic})
            return login_headers(context, http)
        token = reveal(context, config.token, config.token_file) or ""
        return {**login_headers(context, config.http_config), "Authorization": f"token {token}"}


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _name(user: Any) -> str:
    return str(cast("dict[str, Any]", user).get("id", "")) if isinstance(user, dict) else str(user or "")
