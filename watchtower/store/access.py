"""People, tokens, one-time links and sessions in the store.

A token reads `wt_<kind>_<id>_<secret>_<crc32>`: found by its id, checked by HMAC-SHA256 under a pepper that is not in
the store; the checksum lets a typing error be told from a wrong token without a look-up. One that pings a single check
is a UUID, as clients of healthchecks want it, and found by the beginning of its digest. Secrets are shown once.
"""

import hashlib
import hmac
import secrets
import string
import uuid
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from watchtower.errors import BadInput
from watchtower.model.access import Person, Role, Scope, Token
from watchtower.store import dialect
from watchtower.store.keys import Keys
from watchtower.store.schema.access import links, people, sessions, tokens

SESSION_LIFE = timedelta(hours=12)
SESSION_IDLE = timedelta(minutes=30)
LINK_LIFE = timedelta(hours=1)

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 12
_SECRET_LENGTH = 32  # of 62 characters: 190 bits
_NAME_LENGTH = 200
_KINDS = {frozenset({Scope.INGEST}): "ingest", frozenset({Scope.PING}): "ping"}


# -- tokens -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewToken:
    """text: the token itself, to be shown this once."""

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenDigest:
    """What a request's token is checked against."""

    token: Token
    digest: bytes = field(repr=False)


def create_token(
    connection: Connection,
    keys: Keys,
    *,
    name: str,
    scopes: Collection[Scope],
    created_by: str,
    now: datetime,
    source: str | None = None,
    team: str | None = None,
    expires_at: datetime | None = None,
    check: str | None = None,
) -> NewToken:
    """created_by: an actor; check: the one job that it may ping. Raises BadInput for a token that could never do
    anything."""
    if not scopes:
        raise BadInput(f"token {name!r} has no scope; give one of {', '.join(Scope)}")
    if not name.strip() or len(name) > _NAME_LENGTH:
        raise BadInput(f"a token needs a name of 1 to {_NAME_LENGTH} characters that tells where it is used")
    if expires_at is not None and expires_at <= now:
        raise BadInput(f"token {name!r} would have expired at {expires_at.isoformat()}; give a later time")
    if check is not None and set(scopes) != {Scope.PING}:
        raise BadInput(f"a token of the check {check!r} can only ping; give it the scope ping and no other")
    kind = "check" if check is not None else _KINDS.get(frozenset(scopes), "api")
    ident, text = _new_check(keys) if check is not None else _new_text(kind)
    token = Token(
        id=ident,
        kind=kind,
        name=name,
        scopes=frozenset(scopes),
        source=source,
        team=team,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
        check=check,
    )
    row = {
        "id": ident,
        "kind": kind,
        "name": name,
        "digest": token_digest(keys, text),
        "scopes": sorted(scopes),
        "source": source,
        "team": team,
        "check_name": check,
        "created_at": now,
        "created_by": created_by,
        "expires_at": expires_at,
    }
    connection.execute(tokens.insert(), row)
    return NewToken(token, text)


def token_id(text: str) -> str | None:
    """The id inside a token's text; None if it is not a token, or was mistyped."""
    body, _, checksum = text.rpartition("_")
    parts = body.split("_")
    if len(parts) != 4 or parts[0] != "wt" or not body.isascii():
        return None
    return parts[2] if f"{zlib.crc32(body.encode()):08x}" == checksum else None


def check_token_id(keys: Keys, secret: str) -> str:
    """The id of the token whose text is secret, a UUID in its canonical form: nothing of it stands in the id."""
    return token_digest(keys, secret).hex()[:_ID_LENGTH]


def token_digest(keys: Keys, text: str) -> bytes:
    return hmac.digest(keys.pepper, text.encode("utf-8", "surrogatepass"), hashlib.sha256)


def live_tokens(connection: Connection, now: datetime) -> dict[str, TokenDigest]:
    """All tokens that may be used, by id: what the server keeps in memory."""
    query = select(tokens).where(tokens.c.revoked_at.is_(None))
    query = query.where(or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now))
    return {row.id: TokenDigest(to_token(row), row.digest) for row in connection.execute(query)}


def get_token(connection: Connection, ident: str) -> Token | None:
    row = connection.execute(select(tokens).where(tokens.c.id == ident)).first()
    return to_token(row) if row else None


def revoke_token(connection: Connection, ident: str, now: datetime) -> Token | None:
    """The token as revoked, also if it was revoked before; None: there is none of this id."""
    connection.execute(update(tokens).where(tokens.c.id == ident, tokens.c.revoked_at.is_(None)).values(revoked_at=now))
    return get_token(connection, ident)


def note_uses(connection: Connection, uses: Mapping[str, datetime]) -> None:
    """Record when tokens were used last, by id."""
    if uses:
        connection.execute(
            update(tokens)
            .where(
                tokens.c.id == bindparam("b_id"),
                or_(
                    tokens.c.last_used_at.is_(None),
                    tokens.c.last_used_at < bindparam("b_at", type_=tokens.c.created_at.type),
                ),
            )
            .values(last_used_at=bindparam("b_at", type_=tokens.c.created_at.type)),
            [{"b_id": ident, "b_at": at} for ident, at in sorted(uses.items())],
        )


def to_token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        kind=row.kind,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        source=row.source,
        team=row.team,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        check=row.check_name,
    )


def _new_check(keys: Keys) -> tuple[str, str]:
    text = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    return check_token_id(keys, text), text


def _new_text(kind: str) -> tuple[str, str]:
    ident = _random(_ID_LENGTH)
    body = f"wt_{kind}_{ident}_{_random(_SECRET_LENGTH)}"
    return ident, f"{body}_{zlib.crc32(body.encode()):08x}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


# -- people -------------------------------------------------------------------------------------------------------


def put_person(connection: Connection, person: Person) -> None:
    """Add person, or change name, role and team of one who is there; one who was removed is back."""
    row = {
        "id": person.id,
        "name": person.name,
        "role": person.role.value,
        "team": person.team,
        "created_at": person.created_at,
        "removed_at": None,
    }
    dialect.upsert(connection, people, [row], keep=["created_at"])


def get_person(connection: Connection, ident: str) -> Person | None:
    row = connection.execute(select(people).where(people.c.id == ident, people.c.removed_at.is_(None))).first()
    return _to_person(row) if row else None


def list_people(connection: Connection) -> list[Person]:
    return [
        _to_person(row)
        for row in connection.execute(select(people).where(people.c.removed_at.is_(None)).order_by(people.c.id))
    ]


def remove_person(connection: Connection, ident: str, now: datetime) -> bool:
    """Remove ident and end all sessions and links of theirs, effective at once."""
    found = connection.execute(
        update(people).where(people.c.id == ident, people.c.removed_at.is_(None)).values(removed_at=now)
    )
    revoke_sessions_of(connection, ident, now)
    connection.execute(update(links).where(links.c.person_id == ident, links.c.used_at.is_(None)).values(used_at=now))
    return found.rowcount > 0


def _to_person(row: Row[Any]) -> Person:
    return Person(row.id, row.name, Role(row.role), row.team, row.created_at)


# -- one-time links and sessions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewSession:
    """cookie: the value for the browser, to be sent this once."""

    person: Person
    expires_at: datetime
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    person: Person
    last_seen_at: datetime
    expires_at: datetime


def create_link(
    connection: Connection, keys: Keys, person_id: str, now: datetime, *, life: timedelta = LINK_LIFE
) -> str:
    """The code of a one-time link by which person_id signs in: `<address>/login?code=<code>`."""
    code = secrets.token_urlsafe(32)
    row = {
        "digest": _secret_digest(keys, "link", code),
        "person_id": person_id,
        "created_at": now,
        "expires_at": now + life,
    }
    connection.execute(links.insert(), row)
    return code


def redeem_link(connection: Connection, keys: Keys, code: str, now: datetime) -> NewSession | None:
    """Use the link up and open a session; None if it is unknown, used or too old, or the person is gone."""
    digest = _secret_digest(keys, "link", code)
    used = connection.execute(
        update(links)
        .where(links.c.digest == digest, links.c.used_at.is_(None), links.c.expires_at > now)
        .values(used_at=now)
        .returning(links.c.person_id)
    ).first()
    person = get_person(connection, used.person_id) if used else None
    return open_session(connection, keys, person, now) if person else None


def open_session(connection: Connection, keys: Keys, person: Person, now: datetime) -> NewSession:
    cookie = secrets.token_urlsafe(32)
    expires_at = now + SESSION_LIFE
    connection.execute(
        sessions.insert(),
        {
            "digest": _secret_digest(keys, "session", cookie),
            "person_id": person.id,
            "created_at": now,
            "last_seen_at": now,
            "expires_at": expires_at,
        },
    )
    return NewSession(person, expires_at, cookie)


def find_session(connection: Connection, keys: Keys, cookie: str, now: datetime) -> Session | None:
    """The live session of cookie: not ended, not older than 12 h, not idle for 30 min, its person not removed."""
    query = (
        select(people, sessions.c.last_seen_at, sessions.c.expires_at)
        .join_from(sessions, people, people.c.id == sessions.c.person_id)
        .where(
            sessions.c.digest == _secret_digest(keys, "session", cookie),
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
            sessions.c.last_seen_at > now - SESSION_IDLE,
            people.c.removed_at.is_(None),
        )
    )
    row = connection.execute(query).first()
    return Session(_to_person(row), row.last_seen_at, row.expires_at) if row else None


def touch_session(connection: Connection, keys: Keys, cookie: str, now: datetime) -> None:
    digest = _secret_digest(keys, "session", cookie)
    connection.execute(
        update(sessions).where(sessions.c.digest == digest, sessions.c.last_seen_at < now).values(last_seen_at=now)
    )


def revoke_session(connection: Connection, keys: Keys, cookie: str, now: datetime) -> None:
    digest = _secret_digest(keys, "session", cookie)
    connection.execute(
        update(sessions).where(sessions.c.digest == digest, sessions.c.revoked_at.is_(None)).values(revoked_at=now)
    )


def revoke_sessions_of(connection: Connection, person_id: str, now: datetime) -> None:
    connection.execute(
        update(sessions)
        .where(sessions.c.person_id == person_id, sessions.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def form_token(keys: Keys, cookie: str) -> str:
    """The CSRF token of a session: bound to its cookie, so nothing needs to be stored."""
    return hmac.digest(keys.forms, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def _secret_digest(keys: Keys, use: str, secret: str) -> bytes:
    return hmac.digest(keys.pepper, f"{use}:{secret}".encode("utf-8", "surrogatepass"), hashlib.sha256)
