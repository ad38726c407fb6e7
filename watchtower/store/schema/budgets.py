"""Budgets as the configuration in force declares them: what rules, pages and the API judge by."""

from sqlalchemy import Column, Table, Text

from watchtower.store.schema.base import Instant, Json, metadata

budgets = Table(
    "budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("document", Json, nullable=False),
    Column("team", Text),  # of the document, else as `ownership` has it: a scope of access
    Column("declared_at", Instant, nullable=False),  # since when the configuration holds it
)
