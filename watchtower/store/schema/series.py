"""Series and their samples."""

from sqlalchemy import Boolean, Column, Float, Index, Table, Text

from watchtower.store.schema.base import Instant, Json, metadata

series = Table(
    "series",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("job_id", Text),
    Column("job_source", Text),
    Column("namespace", Text),
    Column("pipeline", Text),
    Column("task", Text),
    Column("labels", Json, nullable=False),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("unit", Text),
    Column("unit_at", Instant),  # when the unit was told, so that the newest word wins in any order of arrival
    Column("is_delta", Boolean, nullable=False),
    Column("team", Text),
    Column("first_seen", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Index("ix_series_name", "name", "id"),
    Index("ix_series_job", "job_id"),
)

# Clustered by series and time: a rule reads the newest of one series. A repeat of (series, at) is the same sample; of
# two values the larger wins, so that the order of arrival does not matter.
samples = Table(
    "samples",
    metadata,
    Column("series_id", Text, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("value", Float, nullable=False),
    Column("start", Instant),
    Column("run", Text),
    Column("stats", Json),
    Column("historical", Boolean, nullable=False),
    Index("ix_samples_at", "at"),
    sqlite_with_rowid=False,
)
