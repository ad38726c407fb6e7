"""Sources: how far each that is asked has been read, how it went, and what was wrong that others depend on; of those
that send when they did."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text

from watchtower.store.schema.base import Instant, Json, metadata

sources = Table(
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("every_s", Float, nullable=False),
    Column("pushes", Boolean, nullable=False),
    Column("declared_at", Instant),  # null: the configuration no longer holds it; its mark is kept, should it return
    Column("team", Text),
    Column("mark", Instant),  # everything before it, by the source's clock, is in the store
    Column("cursor", Text),
    Column("last_poll", Instant),
    Column("last_success", Instant),
    Column("last_event", Instant),
    Column("failures", Integer, nullable=False),  # in a row
    Column("failing_since", Instant),
    Column("error", Text),
    Column("retry_at", Instant),
    Column("recent", Text, nullable=False),  # one character for each of the last polls
    Column("seconds", Float),
    Column("records", Integer, nullable=False),  # that the last whole poll read
    Column("problems", Json, nullable=False),
    Column("coverage", Json, nullable=False),
)

troubles = Table(
    "troubles",
    metadata,
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("since", Instant, primary_key=True),
    Column("until", Instant),  # null while it stands
    Column("summary", Text, nullable=False),
    Column("concerns", Json, nullable=False),
    Index("ix_troubles_since", "since"),
)

senders = Table(
    "senders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("team", Text),
    Column("last_event", Instant, nullable=False),  # when its newest word came in, within a minute
    Column("lag_s", Float, nullable=False),  # how long that one had been on its way
    Column("awaited_since", Instant),  # since when Watchtower listens without a break
)

sender_days = Table(
    "sender_days",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # since the epoch, UTC
    Column("first", Instant, nullable=False),
    Column("last", Instant, nullable=False),
    Column("longest", BigInteger, nullable=False),  # microseconds between two words of this day
)
