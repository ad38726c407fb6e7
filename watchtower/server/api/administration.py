"""Tokens, the audit chain, and the reload of the configuration."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from watchtower.errors import BadInput, ConfigError
from watchtower.model.access import SCOPE_PERMISSIONS, Scope, Token
from watchtower.server.endpoints import Call, ListQuery, Moment, Problem, cut_page, known, not_found, one_of
from watchtower.store import access, audit
from watchtower.store.access import NewToken
from watchtower.store.audit import Entry, Head
from watchtower.store.database import Connection
from watchtower.store.reading import alerting
from watchtower.store.reading.alerting import AuditRow

_GIVEN = SCOPE_PERMISSIONS[Scope.INGEST] | SCOPE_PERMISSIONS[Scope.PING]  # to whoever may make tokens at all


class TokenItem(msgspec.Struct, frozen=True):
    """source, team: where it may be used; null: everywhere. check: the one job that it may ping."""

    id: str
    kind: str
    name: str
    scopes: list[str]
    source: str | None
    team: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    check: str | None


class TokenList(msgspec.Struct, frozen=True):
    items: list[TokenItem]
    next_cursor: str | None


class TokenQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """live: only those that may be used now."""

    live: bool = False


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    scopes: list[Annotated[str, known(Scope)]]
    source: str | None = None
    team: str | None = None
    expires_at: Moment | None = None
    check: str | None = None

    def __post_init__(self) -> None:
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at has no time zone; write 2026-03-02T08:00:00Z")


class CreatedToken(TokenItem, frozen=True):
    """token: the secret itself, shown this once; ping_url: what to ask for with it, where it pings."""

    token: str
    ping_url: str | None


def list_tokens(call: Call) -> TokenList:
    query = call.asked(TokenQuery)
    live_at = call.now if query.live else None
    return TokenList(
        *cut_page(call.read(lambda c: alerting.list_tokens(c, call.window(query), live_at=live_at)), token_item)
    )


def get_token(call: Call) -> TokenItem:
    ident = call.path["id"]
    token = call.read(lambda c: access.get_token(c, ident))
    if token is None or call.principal.team not in (None, token.team):
        raise not_found("token", ident)
    return token_item(token)


def create_token(call: Call) -> CreatedToken:
    """Nobody gives away more than they have."""
    body = call.sent(TokenBody)
    scopes = [Scope(name) for name in one_of("scope", body.scopes, Scope)]
    for scope in scopes:
        if not SCOPE_PERMISSIONS[scope] <= call.principal.permissions | _GIVEN:
            raise Problem(403, f"you may not give the scope {scope.value!r}: it allows more than you may do")
    if call.principal.team not in (None, body.team):
        raise BadInput(f"you may only make tokens of team {call.principal.team!r}; set team to it")

    def work(connection: Connection) -> tuple[NewToken, Entry]:
        made = access.create_token(
            connection,
            call.services.keys,
            name=body.name,
            scopes=scopes,
            created_by=call.principal.actor,
            now=call.now,
            source=body.source,
            team=body.team,
            expires_at=body.expires_at,
            check=body.check,
        )
        return made, call.entry("token.create", f"token:{made.token.id}", after=_for_audit(made.token))

    made = call.write(work)
    call.authenticator.refresh()
    told = msgspec.structs.asdict(token_item(made.token))
    return CreatedToken(**told, token=made.text, ping_url=_ping_url(call, made))


def _ping_url(call: Call, made: NewToken) -> str | None:
    if Scope.PING not in made.token.scopes:
        return None
    base = f"{call.services.settings.external_url}/ping/{made.text}"
    return base if made.token.check else f"{base}/SLUG?create=1"


def revoke_token(call: Call) -> TokenItem:
    ident = call.path["id"]

    def work(connection: Connection) -> tuple[Token, Entry]:
        before = access.get_token(connection, ident)
        if before is None or call.principal.team not in (None, before.team):
            raise not_found("token", ident)
        after = access.revoke_token(connection, ident, call.now)
        assert after is not None
        return after, call.entry("token.revoke", f"token:{ident}", before=_for_audit(before))

    revoked = call.write(work)
    call.authenticator.refresh()
    return token_item(revoked)


def token_item(token: Token) -> TokenItem:
    return TokenItem(
        id=token.id,
        kind=token.kind,
        name=token.name,
        scopes=sorted(scope.value for scope in token.scopes),
        source=token.source,
        team=token.team,
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        check=token.check,
    )


def _for_audit(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(scope.value for scope in token.scopes),
        "source": token.source,
        "team": token.team,
        **({"check": token.check} if token.check else {}),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
    }


# -- audit --------------------------------------------------------------------------------------------------------


class AuditItem(msgspec.Struct, frozen=True):
    """digest: of this row and, through the chain, of all before it."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    team: str | None
    request_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    digest: str


class AuditList(msgspec.Struct, frozen=True):
    items: list[AuditItem]
    next_cursor: str | None


class AuditQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    actor: str | None = None
    action: str | None = None
    target: str | None = None


def list_audit(call: Call) -> AuditList:
    query = call.asked(AuditQuery)
    page = call.read(
        lambda c: alerting.list_audit(
            c, call.window(query), actor=query.actor, action=query.action, target=query.target
        )
    )
    return AuditList(*cut_page(page, _audit_item))


def _audit_item(row: AuditRow) -> AuditItem:
    entry = row.entry
    return AuditItem(
        seq=row.seq,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        team=entry.team,
        request_id=entry.request_id,
        before=dict(entry.before) if entry.before is not None else None,
        after=dict(entry.after) if entry.after is not None else None,
        digest=row.digest.hex(),
    )


class VerifyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """head: one that was noted earlier, which the chain must still contain."""

    head: str | None = None


class AuditVerdict(msgspec.Struct, frozen=True):
    """fault: the first thing that is wrong, null if the chain is whole; head: `<seq>:<digest>`, to be noted down."""

    rows: int
    fault: str | None
    head: str


def verify_audit(call: Call) -> AuditVerdict:
    """Recompute the whole chain."""
    head = call.asked(VerifyQuery).head
    try:
        exported = Head.parse(head) if head else None
    except ValueError as error:
        raise BadInput(f"head {head!r} is not <seq>:<digest> as an earlier verification gave it") from error
    found = call.read(lambda c: audit.verify(c, call.services.keys.audit, exported=exported))
    return AuditVerdict(found.rows, found.fault, str(found.head))


# -- configuration ------------------------------------------------------------------------------------------------


class Reloaded(msgspec.Struct, frozen=True):
    status: str = "reloaded"


def reload(call: Call) -> Reloaded:
    """Build and check the new configuration, then swap it in; on a fault the one in force stays."""
    if call.services.reload is None:
        raise Problem(409, "this server runs without a configuration file", slug="no_config")
    try:
        call.services.reload()
    except ConfigError as error:
        refused = call.entry("config.reload", "config", after={"refused": str(error)[:2_000]})
        call.write(lambda _: (None, refused))
        raise Problem(422, f"the configuration in force stays: {error}", slug="config") from error
    call.write(lambda _: (None, call.entry("config.reload", "config")))
    return Reloaded()
