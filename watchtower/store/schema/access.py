"""Who may do what: people, tokens, one-time links, sessions, the audit chain. Of secrets only the HMAC is stored."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from watchtower.store.schema.base import Bytes, Instant, Json, metadata

people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("team", Text),
    Column("created_at", Instant, nullable=False),
    Column("removed_at", Instant),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Bytes, nullable=False),  # HMAC-SHA256 of the whole token under the pepper
    Column("scopes", Json, nullable=False),
    Column("source", Text),
    Column("team", Text),
    Column("check_name", Text),  # the one job that it may ping
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)

links = Table(
    "links",
    metadata,
    Column("digest", Bytes, primary_key=True),
    Column("person_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Bytes, primary_key=True),
    Column("person_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Index("ix_sessions_person", "person_id"),
)

# Append-only. seq has no gaps; digest = HMAC(key, digest of the row before ‖ this row), so that an edit, a removal, an
# insertion or another order is found.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("team", Text),
    Column("request_id", Text),
    Column("before", Json),
    Column("after", Json),
    Column("digest", Bytes, nullable=False),
    Index("ix_audit_at", "at"),
)
