"""Change markers: what was deployed when, and what it concerns."""

from sqlalchemy import Column, Index, Table, Text

from watchtower.store.schema.base import Instant, Json, metadata

changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("commit_id", Text),
    Column("actor", Text),
    Column("url", Text),
    Column("environment", Text),
    Column("repository", Text),
    Column("pipelines", Json, nullable=False),
    Column("team", Text),
    Index("ix_changes_at", "at"),
)
