"""Backtests that were kept: when, of which rules, what came of it in numbers, and the whole report."""

from sqlalchemy import Column, Index, Table, Text

from watchtower.store.schema.base import Bytes, Instant, Json, metadata

backtests = Table(
    "backtests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("rules", Text),
    Column("against", Text),
    Column("summary", Json, nullable=False),
    Column("report", Bytes, nullable=False),
    Index("ix_backtests_made_at", "made_at"),
)
