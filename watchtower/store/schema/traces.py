"""Spans: as they came in, what they say of each run, and the ones that are kept whole."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from watchtower.store.schema.base import Bytes, Instant, Json, RowId, metadata

# One durable row a request, which is what an exporter's 2xx promises; the walker folds it and takes it out.
span_batches = Table(
    "span_batches",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("source", Text),  # the only one that the sender's token may write; null: any
    Column("received_at", Instant, nullable=False),
    Column("spans", Integer, nullable=False),
    Column("walked", Integer, nullable=False),  # how many of them are folded already
    Column("body", Bytes, nullable=False),  # protobuf, as zstandard
)

# Which run a trace belongs to, as soon as one of its spans says so. Spans of a trace come in any order, children first.
traces = Table(
    "traces",
    metadata,
    Column("trace_id", Bytes, primary_key=True),
    Column("run_id", Text),  # the pipeline's run; null until it is known
    Column("job_id", Text),
    Column("source", Text),  # the only one whose runs it may join; null: any
    Column("claim", Json),  # of the span that begins first among those that name a run
    Column("join_at", Instant),  # when to look for its run again; null: it names none, or it is found, or given up
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("spans", BigInteger, nullable=False),
    Column("tallied", BigInteger, nullable=False),  # how many of them are in trace_operations
    Column("seen_at", Instant, nullable=False),  # when it was last heard of, by our clock
    Column("kept", Text),  # whether and why its spans stay: failed, slow, sampled, no; null: not decided yet
    Index("ix_traces_run", "run_id"),
    Index("ix_traces_job", "job_id"),
    Index("ix_traces_seen", "kept", "seen_at"),
    sqlite_with_rowid=False,
)
Index(
    "ix_traces_untallied",
    traces.c.seen_at,
    sqlite_where=traces.c.tallied != traces.c.spans,
    postgresql_where=traces.c.tallied != traces.c.spans,
)
Index(
    "ix_traces_join",
    traces.c.join_at,
    sqlite_where=traces.c.join_at.is_not(None),
    postgresql_where=traces.c.join_at.is_not(None),
)

operations = Table(
    "operations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Index("ix_operations_name", "service", "name"),
)

# All spans of one trace, by operation and task: made anew from them (model.tally) when more have come.
trace_operations = Table(
    "trace_operations",
    metadata,
    Column("trace_id", Bytes, primary_key=True),
    Column("operation_id", Text, primary_key=True),
    Column("task", Text, primary_key=True),  # "" where no task is known
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("own_errors", BigInteger, nullable=False),  # that no child span has, too
    Column("total_us", BigInteger, nullable=False),
    Column("own_us", BigInteger, nullable=False),
    Column("durations", Bytes, nullable=False),  # model.sketch of seconds
    Column("message", Text, nullable=False),  # of the first error
    Column("slowest_span", Bytes, nullable=False),
    Column("slowest_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# All spans of one hour, by operation, whatever run they belong to: what stays when traces are gone.
operation_hours = Table(
    "operation_hours",
    metadata,
    Column("operation_id", Text, primary_key=True),
    Column("hour", Integer, primary_key=True),  # hours since the epoch, UTC
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("total_us", BigInteger, nullable=False),
    Column("durations", Bytes, nullable=False),
    Index("ix_operation_hours_hour", "hour"),
    sqlite_with_rowid=False,
)

# Whole spans: of every trace for a while, then only of failed, slow and sampled runs. A span id may come again with
# another start (a task's next try), so the start is part of the key.
spans = Table(
    "spans",
    metadata,
    Column("trace_id", Bytes, primary_key=True),
    Column("span_id", Bytes, primary_key=True),
    Column("started_at", Instant, primary_key=True),
    Column("parent_span_id", Bytes),
    Column("operation_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("task", Text, nullable=False),  # "" where the span itself names none
    Column("duration_us", BigInteger, nullable=False),
    Column("is_error", Boolean, nullable=False),
    Column("message", Text, nullable=False),
    Column("attributes", Json, nullable=False),
    sqlite_with_rowid=False,
)
