"""Bills: which versions there are, and what each day cost. The lines themselves are Parquet files beside the store."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint

from watchtower.store.schema.base import Instant, Json, RowId, metadata

# An import replaces its (source, period) as a whole, since providers restate. Earlier versions stay for "as known on".
bill_imports = Table(
    "bill_imports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("period", Text, nullable=False),  # billing period, YYYY-MM
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),  # of the content: the same bill again changes nothing
    Column("loaded_at", Instant, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("scale", Integer, nullable=False),  # digits behind the point, from the file
    Column("currencies", Json, nullable=False),
    Column("covered_from", Instant, nullable=False),
    Column("covered_until", Instant, nullable=False),  # the latest ChargePeriodEnd, exclusive
    Column("inexact", Boolean, nullable=False),  # the file held binary floats
    Column("final", Boolean, nullable=False),  # the provider says that the period is closed
    Column("in_force", Boolean, nullable=False),
    Column("path", Text),  # of the Parquet file, relative to the folder of bills; null: the source has no lines
    Column("files", Json, nullable=False),
    UniqueConstraint("source", "period", "version"),
    Index("ix_bill_imports_loaded", "loaded_at"),
    # One bill of a period is in force; also among replicas.
    Index("ix_bill_imports_in_force", "source", "in_force", "period"),
)

# What lines of one import have in common, kept once: the tags that costs are looked up by.
cost_groups = Table(
    "cost_groups",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("tags", Json, nullable=False),
)

# Exact sums of a day: whole units, and two more integers of 18 digits behind the point each (10^-18, 10^-36), all of
# one sign, since neither engine sums 38 digits. Read through `store.costs`, never by hand.
cost_days = Table(
    "cost_days",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("group_id", BigInteger, primary_key=True),
    Column("metric", Text, primary_key=True),  # billed, effective, list
    Column("currency", Text, primary_key=True),
    Column("units", BigInteger, nullable=False),
    Column("atto", BigInteger, nullable=False),
    Column("rest", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("provisional", Boolean, nullable=False),
    Index("ix_cost_days_day", "day"),
    sqlite_with_rowid=False,
)
