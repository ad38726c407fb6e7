"""Who may do what: permissions, the roles and token scopes that bundle them, and the principal of one request.

A permission is an action; *where* it may be done is the principal's `team` and `source`. Whatever is not granted is
denied. Roles: promises SR-10 of the plan; an ingest token can write events and read nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    INGEST = "ingest:write"
    PING = "pings:write"  # say that a check began, ended or failed: what a ping URL can do
    OBSERVED_READ = "observed:read"  # runs, jobs, datasets
    ALERTS_READ = "alerts:read"  # alerts, incidents, silences
    COSTS_READ = "costs:read"  # bills and budgets
    LEDGER_READ = "ledger:read"  # deliveries and the ledger of obligations
    METRICS_READ = "metrics:read"
    AUDIT_READ = "audit:read"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    PEOPLE_WRITE = "people:write"
    INCIDENTS_RESPOND = "incidents:respond"
    SILENCES_WRITE = "silences:write"
    DELIVERIES_REPLAY = "deliveries:replay"
    SLOS_CORRECT = "slos:correct"  # say that a time does not count
    BACKTESTS_KEEP = "backtests:keep"
    QUARANTINE = "quarantine:replay"  # see and try again what could not be understood: bodies of any team
    CONFIG_RELOAD = "config:reload"


OPERATOR = "operator"  # id of the person behind the first link of an installation


class Scope(StrEnum):
    """What a token may be given. `respond` includes `read`, which includes `metrics`; `admin` includes everything."""

    INGEST = "ingest"
    PING = "ping"  # its text stands in URLs, so it can do nothing else
    METRICS = "metrics"  # for a Prometheus: `/metrics` and nothing else
    READ = "read"
    RESPOND = "respond"
    ADMIN = "admin"


class Role(StrEnum):
    VIEWER = "viewer"
    RESPONDER = "responder"
    EDITOR = "editor"
    TEAM_ADMIN = "team-admin"
    AUDITOR = "auditor"
    ADMIN = "admin"


_READ = frozenset(
    {
        *(Permission.OBSERVED_READ, Permission.ALERTS_READ, Permission.COSTS_READ, Permission.LEDGER_READ),
        Permission.METRICS_READ,
    }
)
_RESPOND = _READ | {Permission.INCIDENTS_RESPOND, Permission.SILENCES_WRITE}
_EDIT = _RESPOND | {Permission.DELIVERIES_REPLAY, Permission.SLOS_CORRECT, Permission.BACKTESTS_KEEP}
_ALL = frozenset(Permission)

SCOPE_PERMISSIONS: dict[Scope, frozenset[Permission]] = {
    Scope.INGEST: frozenset({Permission.INGEST}),
    Scope.PING: frozenset({Permission.PING}),
    Scope.METRICS: frozenset({Permission.METRICS_READ}),
    Scope.READ: _READ,
    Scope.RESPOND: _RESPOND,
    Scope.ADMIN: _ALL,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READ,
    Role.RESPONDER: _RESPOND,
    Role.EDITOR: _EDIT,
    Role.TEAM_ADMIN: _EDIT | {Permission.TOKENS_READ, Permission.TOKENS_WRITE},
    Role.AUDITOR: _READ | {Permission.AUDIT_READ, Permission.TOKENS_READ},
    Role.ADMIN: _ALL,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who signs in. id: the only name that audit entries and acknowledgements use."""

    id: str
    name: str
    role: Role
    team: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: without its secret. source, team: where it may be used; None: everywhere. check: the one
    job that it may ping; its text is a UUID then."""

    id: str
    kind: str
    name: str
    scopes: frozenset[Scope]
    source: str | None
    team: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    check: str | None = None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def permissions(self) -> frozenset[Permission]:
        return frozenset(permission for scope in self.scopes for permission in SCOPE_PERMISSIONS[scope])


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. actor: `person:<id>`, `token:<id>` or `local` (access control is off). team: only what is
    this team's may be seen and changed; None: all. source: an ingest token's facts must be of this source. check: the
    one job that may be pinged."""

    actor: str
    permissions: frozenset[Permission]
    team: str | None = None
    source: str | None = None
    check: str | None = None

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


LOCAL = Principal("local", _ALL)
