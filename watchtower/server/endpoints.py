"""What an endpoint is: a method and path, the permission it needs, what it takes and what it answers.

Handlers are plain synchronous functions of a `Call`; they run in a worker thread, since they read the store.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from watchtower.errors import BadInput
from watchtower.model.access import Permission, Principal
from watchtower.server.authentication import Attempts, Authenticator, SignedIn
from watchtower.server.headers import RawHeaders
from watchtower.server.receiving import Report
from watchtower.server.services import Services
from watchtower.spool import Spooled
from watchtower.store import audit
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading.paging import MAX_LIMIT, Page, Window

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

Values = Mapping[str, Any] | None

MAX_API_BODY = 4 << 20  # SR-6

# Checked where it can be refused in words; these tell the OpenAPI document of it.
Moment = Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Limit = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_LIMIT})]


class Open(Enum):
    """Needs no permission. The routes that say so are the public surface, which a test compares with its table. SIGNED:
    the body carries the sender's signature instead, which the handler checks before anything else."""

    PUBLIC = "public"
    SIGNED = "signed"


class Problem(Exception):
    """Answered as RFC 9457 problem details, or as a page that says so."""

    def __init__(self, status: int, detail: str, *, slug: str = "", headers: RawHeaders | None = None) -> None:
        self.status = status
        self.detail = detail
        self.slug = slug
        self.headers = headers or []
        super().__init__(detail)


def not_found(what: str, ident: str) -> Problem:
    return Problem(404, f"there is no {what} {ident!r}, or it belongs to another team", slug="not_found")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated and permitted, its query and body read. now: aware UTC. client: the peer's address.
    signed_in: the session, None for a token. target: path and query as they were asked for; raw: the body as it came.
    receive: makes a body durable, as ingest does; returns when it is.
    """

    services: Services
    authenticator: Authenticator
    attempts: Attempts
    principal: Principal
    path: Mapping[str, str]
    query: msgspec.Struct | None
    body: msgspec.Struct | None
    request_id: str
    now: datetime
    client: str
    cookie: str
    headers: Mapping[str, str]
    signed_in: SignedIn | None = None
    is_bypassed: Callable[[], bool] = lambda: False  # whether events go to the spool at present
    receive: Callable[[Spooled], Report] = lambda record: Report(refusal="nothing is received here")
    target: str = ""
    raw: bytes = b""

    def asked(self, kind: type[S]) -> S:
        """The query string, read as the endpoint declares it."""
        assert isinstance(self.query, kind)
        return self.query

    def sent(self, kind: type[S]) -> S:
        """The body, read as the endpoint declares it."""
        assert isinstance(self.body, kind)
        return self.body

    def window(self, query: "ListQuery") -> Window:
        return Window(query.limit, query.cursor, query.from_, query.to, self.principal.team)

    def read(self, work: Callable[[Connection], T]) -> T:
        with self.services.database.read() as connection:
            return work(connection)

    def write(self, work: Callable[[Connection], tuple[T, Entry | None]]) -> T:
        """Do work, and write its audit entry in the same transaction."""

        def unit(connection: Connection) -> T:
            value, entry = work(connection)
            if entry is not None:
                audit.append(connection, self.services.keys.audit, entry)
            return value

        return self.services.database.write(unit, timeout_s=10.0)

    def entry(
        self,
        action: str,
        target: str,
        *,
        before: Values = None,
        after: Values = None,
    ) -> Entry:
        return Entry(
            self.now, self.principal.actor, action, target, self.principal.team, self.request_id, before, after
        )


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """limit: items of a page; cursor: `next_cursor` of the page before; from (inclusive), to (exclusive): RFC 3339."""

    limit: Limit = 100
    cursor: str | None = None
    from_: Moment | None = None
    to: Moment | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ValueError(f"limit {self.limit} is not between 1 and {MAX_LIMIT}")
        for name, instant in (("from", self.from_), ("to", self.to)):
            if instant is not None and instant.tzinfo is None:
                raise ValueError(f"{name} has no time zone; write 2026-03-02T08:00:00Z")


# -- what a handler may answer beside a struct --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Redirect:
    location: str
    status: int = 308
    headers: RawHeaders = field(default_factory=list[tuple[bytes, bytes]])


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that is ready to be sent."""

    body: bytes
    content_type: str
    status: int = 200
    headers: RawHeaders = field(default_factory=list[tuple[bytes, bytes]])


def html(text: str, status: int = 200) -> Raw:
    return Raw(text.encode("utf-8", "replace"), "text/html; charset=utf-8", status)


Answer = msgspec.Struct | Redirect | Raw
Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table. permission has no default: whoever adds a route must say who may use it.

    answers: the struct of the answer, None for pages and other text. statuses: problems it can answer with beside 400,
    401, 403 and 503. kind `page`: problems are pages too, and whoever is not signed in is led to /login.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    permission: Permission | Open
    handler: Handler
    summary: str
    answers: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    statuses: tuple[int, ...] = ()
    kind: Literal["api", "page", "text"] = "api"
    max_body: int = MAX_API_BODY


def cut_page(page: Page[T], convert: Callable[[T], S]) -> tuple[list[S], str | None]:
    return [convert(item) for item in page.items], page.next


def known(kind: type[Enum], *besides: str) -> msgspec.Meta:
    """Of a text that `one_of` checks: tells the OpenAPI document what is known. besides: what else may stand there."""
    return msgspec.Meta(extra_json_schema={"enum": [*besides, *(member.value for member in kind)]})


def one_of(name: str, values: list[str], known: type[Enum]) -> tuple[str, ...]:
    """values, checked against an enumeration. Raises BadInput."""
    names = [str(member.value) for member in known]
    for value in values:
        if value not in names:
            raise BadInput(f"{name} {value[:40]!r} is unknown; known: {', '.join(names)}")
    return tuple(values)
