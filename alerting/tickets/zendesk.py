"""Zendesk Support: tickets through the Ticketing API.

Sources: Zendesk's Ticketing API reference ("Idempotency", "Creating and updating tickets", Ticket Audits). The key of
the episode is the ticket's external id, that of each notice stands in the metadata of its audit, which people neither
see nor write. A listing may be late, so a ticket is also opened under an idempotency key, which Zendesk keeps for two
hours. A closed ticket cannot be changed any more: what comes back is a follow-up of it.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, cast
from urllib.parse import urlencode

from pydantic import Field, field_validator, model_validator

from alerting.channels.outward import accepted, json_object, login_headers, reveal
from alerting.channels.settings import Address, BasicAuth, HttpConfig, Literally
from alerting.escaping import one_line, safe_id, shorten
from alerting.tickets.desk import DeskConfig
from watchtower.config.types import Duration
from watchtower.errors import Permanent, Reason, Transient
from watchtower.model.alert import Notice, Severity
from watchtower.ports import ChannelContext, HttpAnswer, Ticket
from watchtower.secrets import Secret

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_PAGES = 20  # of audits, 100 entries each
MAX_SUBJECT = 150  # as much as Zendesk's lists show
MAX_BODY_BYTES = 60_000  # a comment takes 64 kB
MARK = "watchtower_notice"  # in the custom metadata of an audit
_TAG = re.compile(r"[^\s,;]+")

Priority = Literal["urgent", "high", "normal", "low"]


class ZendeskConfig(DeskConfig):
    """`zendesk_configs`. base_url: e.g. https://example.zendesk.com; log in by email and api_token, or by oauth_token.
    wont_fix_tags: a solved ticket with one of them is never reopened. custom_fields: value by id of the field."""

    base_url: Address
    email: Literally = ""
    api_token: Secret | None = None
    api_token_file: str | None = None
    oauth_token: Secret | None = None
    oauth_token_file: str | None = None
    group_id: int | None = None
    assignee_id: int | None = None
    requester: Literally = ""
    brand_id: int | None = None
    ticket_form_id: int | None = None
    type: Literal["incident", "problem", "question", "task"] = "incident"
    tags: tuple[str, ...] = ("watchtower",)
    wont_fix_tags: tuple[str, ...] = ("wont_fix",)
    custom_fields: Mapping[int, str | int | float | bool | tuple[str, ...]] = {}
    priorities: Mapping[Severity, Priority] = Field(
        default_factory=lambda: cast(
            "Mapping[Severity, Priority]", {Severity.PAGE: "urgent", Severity.TICKET: "normal", Severity.INFO: "low"}
        )
    )
    public_comments: bool = False
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S

    @field_validator("tags", "wont_fix_tags")
    @classmethod
    def _plain_tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tag in value:
            if not _TAG.fullmatch(tag):
                raise ValueError(f"{tag!r}: a tag of Zendesk holds no blanks and commas; write e.g. data_platform")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> "ZendeskConfig":
        keys = ("api_token", "api_token_file", "oauth_token", "oauth_token_file")
        given = [key for key in keys if getattr(self, key)]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"give exactly one of {', '.join(keys)}; {found}")
        if bool(self.email) != given[0].startswith("api_token"):
            raise ValueError("email: needed beside api_token, and only there")
        return self


class Zendesk:
    name: ClassVar[str] = "zendesk"
    Config: ClassVar[type[ZendeskConfig]] = ZendeskConfig
    settle_s: ClassVar[float] = 60.0

    def __init__(self, config: ZendeskConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._account: int | None = None
        self._stamps: dict[str, str] = {}  # of the ticket last read: when it was last changed
        self._closed: set[str] = set()

    def find(self, episode_key: str) -> list[Ticket]:
        key = safe_id(episode_key)
        path = f"tickets.json?{urlencode({'external_id': key})}"
        answer = json_object(self._request("GET", path), "zendesk tickets")
        items = [item for item in _objects(answer.get("tickets")) if item.get("external_id") == key]
        found = [self._ticket(item) for item in items if item.get("status") != "deleted"]
        return sorted(found, key=lambda ticket: int(ticket.id))

    def get(self, ticket_id: str) -> Ticket | None:
        shown = self._read(ticket_id)
        return None if shown is None else self._ticket(shown)

    def open(self, notice: Notice, subject: str, text: str) -> Ticket:
        config, key = self._config, safe_id(notice.episode_key)
        earlier = [str(ref.get("ticket")) for ref in (notice.ref, notice.previous_ref or {})]
        source = next((ident for ident in earlier if ident in self._closed), None)
        optional = {
            "group_id": config.group_id,
            "assignee_id": config.assignee_id,
            "brand_id": config.brand_id,
            "ticket_form_id": config.ticket_form_id,
            "requester": {"email": config.requester, "name": config.requester} if config.requester else None,
            "custom_fields": [{"id": ident, "value": value} for ident, value in config.custom_fields.items()] or None,
            "tags": list(config.tags) or None,
            "priority": config.priorities.get(notice.severity),
            "via_followup_source_id": int(source) if source else None,  # of a closed ticket; of others it has no effect
        }
        ticket = {
            "subject": one_line(subject, MAX_SUBJECT),
            "comment": self._comment(text),
            "type": config.type,
            "external_id": key,
            "metadata": {MARK: safe_id(notice.key)},
            **{name: value for name, value in optional.items() if value is not None},
        }
        answer = self._request("POST", "tickets.json", {"ticket": ticket}, idempotency_key=safe_id(notice.key))
        made = self._shown(answer, "zendesk create")
        if made.get("external_id") != key:
            # The ticket is there and reaches people, so it counts; but it cannot be found again after a crash.
            remedy = "let no trigger or form change the external id of tickets with Watchtower's tags"
            log.error("zendesk dropped the key", extra={"ticket": str(made["id"]), "remedy": remedy})
        return self._of(made, (safe_id(notice.key),), None)

    def comment(self, ticket_id: str, key: str, text: str) -> None:
        self._update(ticket_id, {"comment": self._comment(text), "metadata": {MARK: safe_id(key)}})

    def resolve(self, ticket_id: str, key: str, text: str) -> None:
        """Zendesk lets no ticket be solved that nobody is assigned to: then it is the account that solved it."""
        shown = self._read(ticket_id) or {}
        assigned = {} if shown.get("assignee_id") else {"assignee_id": self._me()}
        told = {"comment": self._comment(text), "metadata": {MARK: safe_id(key)}}
        self._update(ticket_id, {**told, **assigned, "status": "solved"})

    def reopen(self, ticket_id: str, key: str, text: str) -> None:
        told = {"comment": self._comment(text), "metadata": {MARK: safe_id(key)}}
        self._update(ticket_id, {**told, "status": "open"})

    def set_severity(self, ticket_id: str, severity: Severity) -> None:
        priority = self._config.priorities.get(severity)
        if priority:
            self._update(ticket_id, {"priority": priority})

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _comment(self, text: str) -> dict[str, Any]:
        body = text
        if len(text.encode("utf-8", "replace")) > MAX_BODY_BYTES:
            body = shorten(text, MAX_BODY_BYTES // 4)
        return {"body": body, "public": self._config.public_comments}

    def _update(self, ticket_id: str, change: Mapping[str, Any]) -> None:
        """One update, by which comment and status change together. Refused if the ticket has changed since it was read:
        then a request of ours that was thought lost may have arrived, and is looked for first."""
        stamp = self._stamps.get(ticket_id)
        guard = {"safe_update": True, "updated_stamp": stamp} if stamp else {}
        answer = self._request("PUT", f"tickets/{ticket_id}.json", {"ticket": {**change, **guard}}, changes=ticket_id)
        shown = self._shown(answer, "zendesk update")
        self._seen(shown)
        wanted = change.get("status")
        if wanted and shown.get("status") != wanted:
            found = f"zendesk: ticket {ticket_id} is {shown.get('status')!r}, not {wanted!r}"
            raise Permanent(Reason.REJECTED, f"{found}; let no trigger change the status back")

    def _read(self, ticket_id: str) -> dict[str, Any] | None:
        if not ticket_id.isdigit():
            return None
        answer = self._request("GET", f"tickets/{ticket_id}.json", absent=True)
        if answer.status == 404:
            return None
        shown = self._shown(answer, "zendesk read")
        return None if shown.get("status") == "deleted" else shown

    def _shown(self, answer: HttpAnswer, who: str) -> dict[str, Any]:
        shown = json_object(answer, who).get("ticket")
        ticket = cast("dict[str, Any]", shown) if isinstance(shown, dict) else {}
        if not isinstance(ticket.get("id"), int):
            raise Transient(Reason.BAD_ANSWER, f"{who}: the answer holds no ticket", outcome_unknown=True)
        return ticket

    def _ticket(self, shown: Mapping[str, Any]) -> Ticket:
        self._seen(shown)
        keys: list[str] = []
        solved_at: datetime | None = None
        for audit in self._audits(str(shown["id"])):
            custom = _object(_object(audit.get("metadata")).get("custom"))
            keys += [str(custom[MARK])] if MARK in custom else []
            if any(_solves(event) for event in _objects(audit.get("events"))):
                solved_at = _moment(audit.get("created_at"))
        return self._of(shown, tuple(keys), solved_at)

    def _of(self, shown: Mapping[str, Any], keys: tuple[str, ...], solved_at: datetime | None) -> Ticket:
        config, ident, status = self._config, str(shown["id"]), str(shown.get("status"))
        given_up = sorted(set(_texts(shown.get("tags"))) & set(config.wont_fix_tags))
        ended = {"solved": "closed" if given_up else "resolved", "closed": "closed"}.get(status)
        return Ticket(
            id=ident,
            url=f"{config.base_url.rstrip('/')}/agent/tickets/{ident}",
            status=ended or "open",
            resolution=(given_up[0] if given_up else status) if ended else None,
            resolved_at=solved_at if ended else None,
            keys=keys,
            owner=self._owner(shown.get("assignee_id")),
            locked=status == "closed",
        )

    def _owner(self, assignee: Any) -> str | None:
        """The person who took it: neither the assignee of the file nor Watchtower's own account."""
        if not assignee or assignee == self._config.assignee_id or assignee == self._me():
            return None
        return str(assignee)

    def _seen(self, shown: Mapping[str, Any]) -> None:
        ident = str(shown["id"])
        if len(self._stamps) > 100:
            self._stamps.clear()
            self._closed.clear()
        self._stamps[ident] = str(shown.get("updated_at") or "")
        if shown.get("status") == "closed":
            self._closed.add(ident)

    def _audits(self, ticket_id: str) -> Iterator[dict[str, Any]]:
        """Every change of a ticket, oldest first."""
        after: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            path = f"tickets/{ticket_id}/audits.json?{urlencode({'page[size]': 100, **after})}"
            answer = json_object(self._request("GET", path), "zendesk audits")
            yield from _objects(answer.get("audits"))
            meta = _object(answer.get("meta"))
            if not meta.get("has_more"):
                return
            after = {"page[after]": str(meta.get("after_cursor"))}

    def _me(self) -> int:
        """The id of the account. Whoever is not known is shown as an anonymous user, with 200."""
        if self._account is None:
            user = _object(json_object(self._request("GET", "users/me.json"), "zendesk account").get("user"))
            if not isinstance(user.get("id"), int):
                raise Permanent(Reason.AUTH, "zendesk: the account is not known; check email and token")
            self._account = int(user["id"])
        return self._account

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        absent: bool = False,
        changes: str = "",
        idempotency_key: str = "",
    ) -> HttpAnswer:
        """One call. absent: a 404 is an answer, not a failure; changes: the ticket that an update is about."""
        config = self._config
        content = {"Content-Type": "application/json"} if body is not None else {}
        once = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = self._context.http.request(
            method,
            f"{config.base_url.rstrip('/')}/api/v2/{path}",
            headers={**self._login(), "Accept": "application/json", **content, **once},
            body=json.dumps(body).encode() if body is not None else b"",
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=config.http_config.tls_config.ca_file,
        )
        who = f"zendesk {method} {path.partition('?')[0]}"
        if answer.status == 409:
            # Another request was faster. An update was not made; of two requests with one key one goes on.
            message = f"{who}: HTTP 409: it was changed, or is being made, by another request"
            raise Transient(Reason.SERVER_ERROR, message, outcome_unknown=method == "POST")
        if idempotency_key and answer.status == 400 and b"idempoten" in answer.body.lower():
            message = f"{who}: a ticket was opened under this key, and is not listed yet"
            raise Transient(Reason.UNKNOWN, message, outcome_unknown=True)
        if answer.status == 422 and changes and self._is_closed(changes):
            raise Transient(Reason.SERVER_ERROR, f"{who}: HTTP 422: it was closed just now, so a follow-up is opened")
        if not (absent and answer.status == 404):
            accepted(answer, self._context.clock.now(), who, _REMEDIES.get(answer.status, ""))
        return answer

    def _is_closed(self, ticket_id: str) -> bool:
        shown = self._read(ticket_id)
        return shown is not None and shown.get("status") == "closed"

    def _login(self) -> dict[str, str]:
        config, context = self._config, self._context
        if config.email:
            token, file = config.api_token, config.api_token_file
            basic = BasicAuth(username=f"{config.email}/token", password=token, password_file=file)
            http = config.http_config.model_copy(update={"basic_auth": basic, "authorization": None})
            return login_headers(context, http)
        token = reveal(context, config.oauth_token, config.oauth_token_file) or ""
        return {**login_headers(context, config.http_config), "Authorization": f"Bearer {token}"}


_REMEDIES = {
    404: "check base_url, e.g. https://example.zendesk.com",
    422: "check group_id, assignee_id, custom_fields and the fields that Zendesk requires, also to solve; the account "
    "needs to be a member of the group",
}


def _solves(event: Mapping[str, Any]) -> bool:
    return (
        event.get("type") in ("Create", "Change")
        and event.get("field_name") == "status"
        and event.get("value") == "solved"
    )


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _texts(value: Any) -> list[str]:
    return [item for item in cast("list[Any]", value) if isinstance(item, str)] if isinstance(value, list) else []
