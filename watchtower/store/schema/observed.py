"""What was observed: facts, and the state that is folded from them."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, UniqueConstraint, text

from watchtower.store.schema.base import Bytes, Instant, Json, RowId, metadata

# Append-only. (minute, digest) leads with the event time, so that new keys land on neighbouring pages: 6 times the
# write rate of a random text key.
facts = Table(
    "facts",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("minute", BigInteger, nullable=False),
    Column("digest", Bytes, nullable=False),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_time", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("historical", Boolean, nullable=False),
    Column("body", Bytes, nullable=False),
    UniqueConstraint("minute", "digest"),
)

# One row a run and one an attempt of a task. `stamps` holds, per merged field, whose word it is and when it was said:
# the fold needs it to give the same row for any order of events.
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("task", Text),
    Column("parent_run_id", Text),
    Column("root_run_id", Text),
    Column("state", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("final", Boolean),
    Column("native_run_id", Text),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer),
    Column("map_index", Integer),
    Column("trigger", Text),
    Column("actor", Text),
    Column("environment", Text),
    Column("code_version", Text),
    Column("nominal_start", Instant),
    Column("nominal_end", Instant),
    Column("queued_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("wall_s", Float),
    Column("error", Json),
    Column("external_url", Text),
    Column("trace_id", Text),
    Column("ol_run_id", Text),
    Column("tags", Json),
    Column("task_states", Json),
    Column("output", Text),
    Column("first_seen", Instant, nullable=False),
    Column("last_event_at", Instant, nullable=False),
    Column("position", Instant, nullable=False),  # nominal start, else start, else first event: the order of runs
    Column("historical", Boolean, nullable=False),
    Column("origins", Json),  # what set it off
    Column("words", Json),  # what each source said of the state; null while only one has spoken
    Column("stamps", Json, nullable=False),
    # All that baselines and learned schedules read of a past run (model.past): no page of the table is touched.
    Index(
        "ix_runs_job",
        *("job_id", "position", "id", "state", "trigger", "historical"),
        *("nominal_start", "nominal_end", "started_at", "ended_at", "first_seen", "queued_at"),
    ),
    Index("ix_runs_position", "position"),
)

# The few runs that are open or did not end well: most end well, and that is not written to one more place. Who looks
# for them says it in these words, or the engine does not see that the index has all of them.
NOT_SUCCEEDED = text("state <> 'succeeded'")
Index(
    "ix_runs_state",
    *(runs.c.state, runs.c.job_id, runs.c.position, runs.c.id),
    sqlite_where=NOT_SUCCEEDED,
    postgresql_where=NOT_SUCCEEDED,
)

# Runs of pipelines have no parent, and are not written to one more place for it.
_has_parent = runs.c.parent_run_id.is_not(None)
Index("ix_runs_parent", runs.c.parent_run_id, sqlite_where=_has_parent, postgresql_where=_has_parent)

# What a trace may name. Runs that have no such id of their own cost nothing here.
_has_native = runs.c.native_run_id.is_not(None) & runs.c.task.is_(None)
_has_trace = runs.c.trace_id.is_not(None)
Index("ix_runs_native", runs.c.native_run_id, sqlite_where=_has_native, postgresql_where=_has_native)
Index("ix_runs_trace", runs.c.trace_id, sqlite_where=_has_trace, postgresql_where=_has_trace)

# The names by which a run is known, but for the one that its id is made from (store.identities), and the ids of runs
# that were merged into another.
run_aliases = Table(
    "run_aliases",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Index("ix_run_aliases_run", "run_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("task", Text),
    Column("owner", Text),
    Column("team", Text),
    Column("tags", Json),
    Column("description", Text),
    Column("job_type", Text),
    Column("integration", Text),
    Column("schedule", Text),
    Column("timezone", Text),
    Column("external_url", Text),
    Column("upstream_tasks", Json),
    Column("paused", Boolean),
    Column("paused_at", Instant),
    Column("first_seen", Instant),
    Column("last_seen", Instant),
    Column("declared", Boolean, nullable=False),
    Column("stamps", Json, nullable=False),
    Index("ix_jobs_name", "namespace", "pipeline", "task"),
    Index("ix_jobs_pipeline", "pipeline"),
)

# Which pipelines are new: what came in the place of one that is missing.
_is_pipeline = jobs.c.task.is_(None)
Index("ix_jobs_first_seen", jobs.c.first_seen, sqlite_where=_is_pipeline, postgresql_where=_is_pipeline)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("owner", Text),
    Column("team", Text),
    Column("tags", Json),
    Column("description", Text),
    Column("fields", Json),
    Column("versions", Json),  # [first told, last told, fields] of the last few forms of it
    Column("first_seen", Instant),
    Column("updated_at", Instant),
    Column("declared", Boolean, nullable=False),
    Column("stamps", Json, nullable=False),
    Index("ix_datasets_name", "namespace", "name"),
)

# One row for each writing of a dataset by a run that ended well.
dataset_updates = Table(
    "dataset_updates",
    metadata,
    Column("dataset_id", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),  # "" where no run is known
    Column("partition", Text, primary_key=True),  # "" where the source names none
    Column("job_id", Text),
    Column("at", Instant),  # null until the writing run is known to have ended well
    Column("row_count", BigInteger),
    Column("size_bytes", BigInteger),
    Column("file_count", BigInteger),
    Column("checksum", Text),
    Column("facets", Json),
    Column("historical", Boolean, nullable=False),
    Column("measured", Boolean, nullable=False),  # at is what the data itself says
    Column("stamps", Json, nullable=False),
    Index("ix_dataset_updates_at", "dataset_id", "at"),
    Index(
        *("ix_dataset_updates_measured", "dataset_id", "at"),
        sqlite_where=text("measured"),
        postgresql_where=text("measured"),
    ),
    Index("ix_dataset_updates_run", "run_id"),
)

# Which job reads and writes which dataset, and when it last did: the lineage graph.
job_datasets = Table(
    "job_datasets",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("dataset_id", Text, primary_key=True),
    Column("direction", Text, primary_key=True),  # "in" | "out"
    Column("last_at", Instant, nullable=False),
    Index("ix_job_datasets_dataset", "dataset_id", "direction"),
)

# Every durable timer of the system. A mark bumps `version`; an evaluation sets the next `at` only if `version` is
# unchanged: no wake-up is lost. lane: rules, group, deliver, silence, …
due = Table(
    "due",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("at", Instant),  # null: nothing is planned, only a mark wakes it
    Column("version", BigInteger, nullable=False),
    Column("lease_until", Instant),
    Column("holder", Text),
    # 0 for pages, 1 for tickets, 2 for the rest: of what alerting tells, and of what is urgent to rules. Else null.
    Column("rank", Integer),
    Column("gravity", Integer),  # the rank that a subject of rules has when it is urgent; null: not known yet
    Column("party", Text, nullable=False, server_default="others"),  # whose turn it takes; never empty
    Index("ix_due_at", "lane", "at"),
    Index("ix_due_turns", "lane", "party", "at"),
)
_has_rank = due.c.rank.is_not(None)
Index(
    "ix_due_rank",
    *(due.c.lane, due.c.rank, due.c.party, due.c.at),
    sqlite_where=_has_rank,
    postgresql_where=_has_rank,
)
_is_leased = due.c.lease_until.is_not(None)
Index("ix_due_leased", due.c.lane, sqlite_where=_is_leased, postgresql_where=_is_leased)

# Log-bucketed histograms of one closed day of one subject: what stays of raw runs after retention.
sketches = Table(
    "sketches",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("day", Integer, primary_key=True),  # days since the epoch, UTC
    Column("count", BigInteger, nullable=False),
    Column("body", Bytes, nullable=False),
)

# What could not be folded, kept with its original time of receipt, to be replayed.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("collector", Text, nullable=False),
    Column("source", Text),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("digest", Bytes, nullable=False, unique=True),
    Column("attempts", Integer, nullable=False),
    Column("body", Bytes, nullable=False),
)

# Scheduled work that must run once among replicas.
claims = Table(
    "claims",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text),
    Column("until", Instant),
    Column("last_done", Instant),
)

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

# The steps this store has taken. digest: of the step as it was applied, to know a store that took another one.
migrations = Table(
    "migrations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("applied_at", Instant, nullable=False),
)
