"""SLOs as the configuration in force declares them, what was counted of each, and times that do not count."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from watchtower.store.schema.base import Bytes, Instant, Json, RowId, metadata

slos = Table(
    "slos",
    metadata,
    Column("name", Text, primary_key=True),
    Column("document", Json, nullable=False),
    Column("counted", Text, nullable=False),  # digest of what is counted: another one is counted anew
    Column("team", Text),  # of the document, else as `ownership` has it: a scope of access
    Column("declared_at", Instant, nullable=False),
)

# Events of one objective (`part`) on a UTC day: how many were good and bad, and in which minutes (model.slo_days).
slo_counts = Table(
    "slo_counts",
    metadata,
    Column("slo", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("day", Integer, primary_key=True),  # since the epoch
    Column("good", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("body", Bytes, nullable=False),
    sqlite_with_rowid=False,
)

slo_corrections = Table(
    "slo_corrections",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("slo", Text, nullable=False),
    Column("start", Instant, nullable=False),
    Column("end", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("planned", Boolean, nullable=False),  # it stands in the configuration, and goes with its entry there
    Index("ix_slo_corrections_slo", "slo"),
)
