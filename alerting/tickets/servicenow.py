"""ServiceNow: incidents, or another table of tasks, through the Table API; opened by an import set if there is one.

Sources: ServiceNow's REST references (Table API, Import Set API). `correlation_id` holds the key of the episode, but is
not unique: it is searched before and after an insert, and the newer of two is closed. An import set whose transform map
coalesces on it cannot make two. The key of each notice is the last line of its work note. What ServiceNow answers is
not taken at its word: an unknown column in a query is left out with 200, a business rule can keep a state with 200.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from urllib.parse import quote, urlencode

from pydantic import Field, field_validator, model_validator

from alerting.channels.outward import accepted, json_object, login_headers
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
SETTLE_S = 30.0  # an insert whose connection was cut goes on until its transaction ends
MAX_FOUND = 20
MAX_SUBJECT = 160  # characters of short_description; what is longer is cut without a word
MAX_DESCRIPTION = 4000
KNOWN_IDS = 1000
_FIELDS = (
    "sys_id,number,state,close_code,resolved_at,closed_at,assigned_to,correlation_id,correlation_display,work_notes"
)
_ASKED = f"sysparm_display_value=all&sysparm_fields={_FIELDS}"
_MARK = "Watchtower notice "
_MARKED = re.compile(rf"^{_MARK}([A-Za-z0-9_-]+)\s*$", re.MULTILINE)
_SYS_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[A-Za-z0-9]{1,40}")
_NAME = re.compile(r"[a-z0-9_]+")
_CODE_TAG = re.compile(r"\[(/?code)\]", re.IGNORECASE)
_REFERENCES = {
    "assignment_group": ("sys_user_group", "name"),
    "cmdb_ci": ("cmdb_ci", "name"),
    "caller_id": ("sys_user", "user_name"),
}
_OURS = frozenset(
    {
        *("short_description", "description", "correlation_id", "correlation_display", "work_notes", "impact"),
        *("urgency", "state", "sys_id", *_REFERENCES),
    }
)
_POLICY = ("Data Policy", "Business Rule", "mandatory")


class ServiceNowConfig(DeskConfig):
    """`servicenow_configs`. base_url: of the instance; log in by username and password, or by
    `http_config.authorization`. States are the numbers behind their names. assignment_group, cmdb_ci, caller_id: a
    name (caller_id: user name) or a sys_id. import_set: a staging table; its map coalesces on correlation_id."""

    base_url: Address
    username: str = ""
    password: Secret | None = None
    password_file: str | None = None
    table: str = "incident"
    import_set: str = ""
    import_prefix: str = "u_"
    assignment_group: Literally = ""
    cmdb_ci: Literally = ""
    caller_id: Literally = ""
    fields: Mapping[str, Literally] = {}
    impact: Mapping[Severity, int] = Field(
        default_factory=lambda: {Severity.PAGE: 2, Severity.TICKET: 2, Severity.INFO: 3}
    )
    urgency: Mapping[Severity, int] = Field(
        default_factory=lambda: {Severity.PAGE: 1, Severity.TICKET: 2, Severity.INFO: 3}
    )
    new_state: str = "1"
    resolved_state: str = "6"
    reopened_state: str = "2"
    closed_states: tuple[str, ...] = ("7", "8")
    locked_states: tuple[str, ...] = ("7",)
    close_code: Literally = "Solution provided"
    wont_fix_close_codes: tuple[Literally, ...] = ("No resolution provided",)
    http_config: HttpConfig = HttpConfig()
    timeout: Duration = TIMEOUT_S

    @field_validator("table", "import_set", "import_prefix")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value and not _NAME.fullmatch(value):
            raise ValueError(f"{value!r}: write the name as ServiceNow's tables have it, e.g. incident")
        return value

    @field_validator("assignment_group", "cmdb_ci", "caller_id")
    @classmethod
    def _no_operators(cls, value: str) -> str:
        if "^" in value:
            raise ValueError(f"{value!r}: a sign ^ parts conditions; give the sys_id")
        return value

    @field_validator("fields")
    @classmethod
    def _not_ours(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if name in _OURS or not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not set by fields; see the keys of servicenow_configs")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> "ServiceNowConfig":
        if bool(self.username) + bool(self.http_config.authorization or self.http_config.basic_auth) != 1:
            raise ValueError("give one login: username with password or password_file, or http_config.authorization")
        if self.username and not (self.password or self.password_file):
            raise ValueError("password: needed beside username")
        return self


class ServiceNow:
    name: ClassVar[str] = "servicenow"
    Config: ClassVar[type[ServiceNowConfig]] = ServiceNowConfig
    settle_s: ClassVar[float] = SETTLE_S

    def __init__(self, config: ServiceNowConfig, context: ChannelContext) -> None:
        self._config = config
        self._context = context
        self._sys_ids: dict[str, str] = {}  # by number
        self._references: dict[str, str] = {}

    def find(self, episode_key: str) -> list[Ticket]:
        key = safe_id(episode_key)
        rows = self._query(f"correlation_id={key}^ORDERBYsys_created_on")
        if any(_value(row, "correlation_id") != key for row in rows):
            # A condition on a column that is not there, or may not be read, is left out without a word.
            told = f"servicenow: table {self._config.table} was asked for a correlation_id and answered with others"
            remedy = "use a table that extends task, and let the account read correlation_id"
            raise Permanent(Reason.REJECTED, f"{told}; {remedy}")
        return [self._ticket(row) for row in rows]

    def get(self, ticket_id: str) -> Ticket | None:
        row = self._row(ticket_id)
        return None if row is None else self._ticket(row)

    def open(self, notice: Notice, subject: str, text: str) -> Ticket:
        config, key = self._config, safe_id(notice.episode_key)
        plain = _plain(text)
        fields: dict[str, str] = {
            **config.fields,
            **{name: self._reference(name) for name in _REFERENCES if getattr(config, name)},
            "short_description": one_line(subject, MAX_SUBJECT),
            "description": shorten(plain, MAX_DESCRIPTION),
            "correlation_id": key,
            "correlation_display": safe_id(notice.key),
            **self._weight(notice.severity),
            **({"work_notes": plain} if len(plain) > MAX_DESCRIPTION else {}),
        }
        # What is locked would be what an import set coalesces with.
        imports = config.import_set and not self.find(notice.episode_key)
        made = self._import(fields) if imports else self._insert(fields)
        opened = self._ticket(made)
        if _value(made, "correlation_id") != key:
            # The ticket is there and reaches people, so it counts; but it cannot be found again after a crash.
            remedy = "use a table that extends task, and let the account write correlation_id"
            log.error("servicenow dropped the key", extra={"ticket": opened.id, "remedy": remedy})
            return opened
        return self._oldest(notice, opened)

    def comment(self, ticket_id: str, key: str, text: str) -> None:
        self._update(ticket_id, {"work_notes": _note(text, key)})

    def resolve(self, ticket_id: str, key: str, text: str) -> None:
        state, notes = self._config.resolved_state, shorten(_plain(text), MAX_DESCRIPTION)
        change = {"close_code": self._config.close_code, "close_notes": notes, "work_notes": _note(text, key)}
        self._update(ticket_id, {"state": state, **{name: value for name, value in change.items() if value}})

    def reopen(self, ticket_id: str, key: str, text: str) -> None:
        self._update(ticket_id, {"state": self._config.reopened_state, "work_notes": _note(text, key)})

    def set_severity(self, ticket_id: str, severity: Severity) -> None:
        self._update(ticket_id, self._weight(severity))

    # -- opening -----------------------------------------------------------------------------------------------------

    def _insert(self, fields: Mapping[str, str]) -> dict[str, Any]:
        answer = self._request("POST", f"table/{self._config.table}?{_ASKED}", fields)
        return self._made(_object(json_object(answer, "servicenow insert").get("result")), "insert")

    def _import(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """The row of the target table. A repeat that changes nothing is `ignored`; an error comes with 201, too."""
        config = self._config
        row = {f"{config.import_prefix}{name}": value for name, value in fields.items()}
        answer = json_object(self._request("POST", f"import/{config.import_set}", row), "servicenow import")
        results = [result for result in _objects(answer.get("result")) if result.get("table") == config.table]
        sys_id = next((str(result.get("sys_id")) for result in results if result.get("status") != "error"), "")
        if not _SYS_ID.fullmatch(sys_id):
            said = one_line(json.dumps(answer.get("result")), 300)
            remedy = (
                f"check the transform map of {config.import_set}: target {config.table}, coalesce on correlation_id"
            )
            raise Permanent(
                Reason.REJECTED, f"servicenow import: no row of {config.table} came of it: {said}; {remedy}"
            )
        return self._made(self._row(sys_id) or {}, "import")

    def _made(self, row: dict[str, Any], what: str) -> dict[str, Any]:
        if not _SYS_ID.fullmatch(_value(row, "sys_id")):
            said = f"servicenow {what}: the answer names no record"
            raise Transient(Reason.BAD_ANSWER, said, outcome_unknown=True)
        return row

    def _oldest(self, notice: Notice, opened: Ticket) -> Ticket:
        """One request can be inserted twice: of what has the key the oldest stays."""
        first, *newer = [one for one in self.find(notice.episode_key) if not one.locked] or [opened]
        key = safe_id(f"{notice.episode_key}-duplicate")
        for twin in newer:
            if twin.status == "open" and key not in twin.keys:
                self.resolve(twin.id, key, f"Duplicate of ticket {first.id}: {first.url}")
        return replace(first, twins=len(newer))

    def _weight(self, severity: Severity) -> dict[str, str]:
        """ServiceNow makes the priority of these two."""
        weighed = (("impact", self._config.impact), ("urgency", self._config.urgency))
        return {name: str(levels[severity]) for name, levels in weighed if severity in levels}

    def _reference(self, name: str) -> str:
        """The sys_id behind a name: a name itself would be stored as a reference to nothing."""
        given = str(getattr(self._config, name))
        if _SYS_ID.fullmatch(given):
            return given
        if name not in self._references:
            table, column = _REFERENCES[name]
            asked = {"sysparm_query": f"{column}={given}", "sysparm_fields": f"sys_id,{column}", "sysparm_limit": "3"}
            answer = self._request("GET", f"table/{table}?{urlencode(asked, quote_via=quote)}")
            rows = _objects(json_object(answer, f"servicenow {table}").get("result"))
            found = [str(row["sys_id"]) for row in rows if row.get(column) == given]
            if len(found) != 1:
                many = (
                    f"{len(found)} rows of {table} have" if found else f"no row of {table} that this account sees has"
                )
                remedy = f"give its sys_id as {name}"
                raise Permanent(Reason.REJECTED, f"servicenow: {many} {column} {one_line(given, 80)!r}; {remedy}")
            self._references[name] = found[0]
        return self._references[name]

    # -- reading and writing -----------------------------------------------------------------------------------------

    def _query(self, query: str) -> list[dict[str, Any]]:
        asked = urlencode({"sysparm_query": query, "sysparm_limit": MAX_FOUND}, quote_via=quote)
        answer = self._request("GET", f"table/{self._config.table}?{asked}&{_ASKED}")
        return _objects(json_object(answer, "servicenow search").get("result"))

    def _row(self, ticket_id: str) -> dict[str, Any] | None:
        """By its sys_id, or by its number as people know it."""
        if _SYS_ID.fullmatch(ticket_id):
            answer = self._request("GET", f"table/{self._config.table}/{ticket_id}?{_ASKED}", absent=True)
            return None if answer.status == 404 else _object(json_object(answer, "servicenow read").get("result"))
        if not _NUMBER.fullmatch(ticket_id):
            return None
        rows = [row for row in self._query(f"number={ticket_id}") if _value(row, "number") == ticket_id]
        return rows[0] if rows else None

    def _update(self, ticket_id: str, change: Mapping[str, str]) -> None:
        """One request: a crash cannot part a state from its note."""
        sys_id = self._sys_ids.get(ticket_id) or _value(self._row(ticket_id) or {}, "sys_id")
        if not sys_id:
            raise Permanent(Reason.NOT_FOUND, f"servicenow: {self._config.table} has no {ticket_id} any more")
        answer = self._request("PATCH", f"table/{self._config.table}/{sys_id}?{_ASKED}", change)
        row = _object(json_object(answer, "servicenow update").get("result"))
        wanted = change.get("state")
        if wanted and _value(row, "state") != wanted:
            remedy = "check resolved_state and reopened_state, and the business rules and data policies of the table"
            shown = f"{_value(row, 'state')!r}, not {wanted!r}"
            raise Permanent(Reason.REJECTED, f"servicenow: the state of {ticket_id} is {shown}; {remedy}")

    def _ticket(self, row: Mapping[str, Any]) -> Ticket:
        config, sys_id, state = self._config, _value(row, "sys_id"), _value(row, "state")
        ident = _value(row, "number") or sys_id
        if len(self._sys_ids) >= KNOWN_IDS:
            self._sys_ids.clear()
        self._sys_ids[ident] = sys_id
        code = _value(row, "close_code")
        is_final = state in config.closed_states or (
            state == config.resolved_state and code in config.wont_fix_close_codes
        )
        ended = "closed" if is_final else "resolved" if state == config.resolved_state else ""
        when = _value(row, "resolved_at") or _value(row, "closed_at")
        taken = _value(row, "assigned_to") if state != config.new_state else ""
        return Ticket(
            id=ident,
            url=f"{config.base_url.rstrip('/')}/{config.table}.do?sys_id={sys_id}",
            status=ended or "open",
            resolution=(code or state) if ended else None,
            resolved_at=datetime.fromisoformat(when).replace(tzinfo=UTC) if ended and when else None,
            keys=(_value(row, "correlation_display"), *_MARKED.findall(_shown(row, "work_notes"))),
            owner=taken or None,
            locked=state in config.locked_states,
        )

    def _request(
        self, method: str, path: str, body: Mapping[str, str] | None = None, *, absent: bool = False
    ) -> HttpAnswer:
        """One call. absent: a 404 is an answer, not a failure."""
        config = self._config
        content = {"Content-Type": "application/json"} if body is not None else {}
        http = config.http_config
        if config.username:
            basic = BasicAuth(username=config.username, password=config.password, password_file=config.password_file)
            http = http.model_copy(update={"basic_auth": basic})
        answer = self._context.http.request(
            method,
            f"{config.base_url.rstrip('/')}/api/now/{path}",
            headers={**login_headers(self._context, http), "Accept": "application/json", **content},
            body=json.dumps(body).encode() if body is not None else b"",
            timeout_s=min(config.timeout or TIMEOUT_S, TIMEOUT_S),
            ca_file=http.tls_config.ca_file,
        )
        who = f"servicenow {method} {path.partition('?')[0]}"
        if answer.status == 403:
            raise _forbidden(who, answer)
        if not (absent and answer.status == 404):
            remedy = f"check base_url and table {config.table!r}" if answer.status in (404, 410) else ""
            accepted(answer, self._context.clock.now(), who, remedy)
        return answer


def _forbidden(who: str, answer: HttpAnswer) -> Permanent:
    """ServiceNow answers 403 also where a policy or a rule of the table refuses the content."""
    try:
        error = _object(_object(json.loads(answer.body)).get("error"))
    except (ValueError, RecursionError):
        error = {}
    said = one_line(f"{error.get('message', '')}: {error.get('detail', '')}", 300)
    if any(sign in said for sign in _POLICY):
        remedy = "set what it asks for by close_code or fields, or let the account pass"
        return Permanent(Reason.REJECTED, f"{who}: HTTP 403: {said}; {remedy}")
    remedy = "check the credentials, and give the account the role itil, or read and write on the table"
    return Permanent(Reason.AUTH, f"{who}: HTTP 403: {said}; {remedy}")


def _plain(text: str) -> str:
    """Journals render what stands between `[code]` tags as HTML, and our mark may stand only where we set it."""
    return _CODE_TAG.sub(r"[ \1]", text).replace(_MARK, f"{_MARK.strip()}: ")


def _note(text: str, key: str) -> str:
    return f"{_plain(text)}\n\n{_MARK}{safe_id(key)}"


def _value(row: Mapping[str, Any], name: str) -> str:
    """What is stored, of a field that was asked for with sysparm_display_value=all."""
    return str(_object(row.get(name)).get("value") or "")


def _shown(row: Mapping[str, Any], name: str) -> str:
    """What people see: of a journal, all its entries."""
    return str(_object(row.get(name)).get("display_value") or "")


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
