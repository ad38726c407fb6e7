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
    Column("metrics", Json, nullable=False),  # those of cost_days that the bill has
    Column("covered_from", Instant, nullable=False),
    Column("covered_until", Instant, nullable=False),  # the end (exclusive) of what the bill tells of
    Column("inexact", Boolean, nullable=False),  # the file held binary floats
    Column("final", Boolean, nullable=False),  # the provider says that the period is closed
    Column("dropped_tags", Json, nullable=False),  # keys with too many values for daily sums
    Column("empty", Json, nullable=False),  # lines without an amount, by metric
    Column("in_force", Boolean, nullable=False),
    Column("kept", Boolean, nullable=False),  # its daily sums are still there
    Column("path", Text),  # of the Parquet file, relative to the folder of bills; null: there are no lines
    Column("files", Json, nullable=False),
    UniqueConstraint("source", "period", "version"),
    Index("ix_bill_imports_loaded", "loaded_at"),
    Index("ix_bill_imports_in_force", "source", "in_force", "period"),
)

# What lines have in common, kept once over all imports.
cost_groups = Table(
    "cost_groups",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("tags", Json, nullable=False),
)

# The same tags, to look groups up by.
cost_tags = Table(
    "cost_tags",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("group_id", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

_AMOUNT = (
    # Whole units and two more integers of 18 digits behind the point each (10^-18, 10^-36), all of one sign, since
    # neither engine sums 38 digits. Read through `store.costs`, never by hand. Null: the bill has no such metric.
    *("billed_units", "billed_atto", "billed_rest"),
    *("effective_units", "effective_atto", "effective_rest"),
    *("list_units", "list_atto", "list_rest"),
)

# Exact sums of a day. Rows of an import that is not among bill_imports are staged: nothing counts them yet.
cost_days = Table(
    "cost_days",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("group_id", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    *[Column(name, BigInteger) for name in _AMOUNT],
    Column("rows", BigInteger, nullable=False),
    Column("provisional", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
