"""Alerts and what must come of them: groups, obligations, notices, incidents, silences."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text, UniqueConstraint

from watchtower.store.schema.base import Instant, Json, RowId, metadata

# One row an episode of an alert; the open one of a fingerprint has ends_at null.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("team", Text),
    Column("severity", Text, nullable=False),
    Column("labels", Json, nullable=False),
    Column("annotations", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("active_since", Instant, nullable=False),
    Column("starts_at", Instant),
    Column("ends_at", Instant),
    Column("clear_since", Instant),
    Column("value", Float),
    Column("evidence", Json),
    Column("found_late", Boolean, nullable=False),
    Column("historical", Boolean, nullable=False),
    Column("flapping_since", Instant),  # of the spell in which it ended, or still is
    Column("trouble_since", Instant),  # it came back: when that began of which it is part
    Column("rings_from", Instant),  # it came back: from when on it wakes those whom that woke before
    Column("updated_at", Instant, nullable=False),
    Index("ix_alerts_subject", "subject", "state"),
    Index("ix_alerts_state", "state", "starts_at"),
    Index("ix_alerts_fingerprint", "fingerprint", "active_since"),
)

# Append-only history; never dropped silently.
transitions = Table(
    "transitions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("alert_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("value", Float),
    Column("evidence", Json),
    UniqueConstraint("alert_id", "kind", "at"),
)

# Alerts that come and go, while they do so: what they are told of is decided by it (watchtower.model.flapping).
flapping = Table(
    "flapping",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),  # unless it changes before; then it is remembered for within_s
    Column("within_s", Float, nullable=False),
)

# A group episode at one receiver: from the first firing alert until it is all clear.
groups = Table(
    "groups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_key", Text, nullable=False),
    Column("group_hash", Text, nullable=False),  # of key and receiver: the same over episodes
    Column("receiver", Text, nullable=False),
    Column("labels", Json, nullable=False),
    Column("incident_id", Text),
    Column("plan", Json, nullable=False),  # by destination: waits and intervals of the route, as planned last
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("last_flush_at", Instant),
    Column("restored", Boolean),  # it stood in a backup: whatever is told next may have been told since
    Index("ix_groups_incident", "incident_id"),
)
# Two replicas that see the first alert of a group at the same moment must meet in one episode.
Index(
    "uq_groups_open",
    groups.c.group_key,
    groups.c.receiver,
    unique=True,
    sqlite_where=groups.c.closed_at.is_(None),
    postgresql_where=groups.c.closed_at.is_(None),
)

group_alerts = Table(
    "group_alerts",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("alert_id", Text, primary_key=True),
    Column("joined_at", Instant, nullable=False),
    Column("counts_from", Instant),  # from when the waits of escalations count: told for the first time, or meant to be
    Column("left_at", Instant),  # resolved, and everybody was told: it stays for the history, not for the next notice
    Index("ix_group_alerts_alert", "alert_id"),
)

# What each transition owes to each destination. Ends as delivered, superseded or dead_letter; nothing else is an end.
obligations = Table(
    "obligations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("alert_id", Text, nullable=False),
    Column("transition", Text, nullable=False),
    Column("occasion", Integer, nullable=False),  # 0, and one more each time a silence ends while the alert fires
    Column("state", Text, nullable=False),
    Column("notice_id", Text),
    Column("provider_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("suppressed_by", Text),  # silence, alert, incident or time interval that stood in the way
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_obligations_created", "created_at", "id"),
    Index("ix_obligations_alert", "alert_id"),
    Index("ix_obligations_suppressed_by", "suppressed_by"),
    Index("ix_obligations_state", "state", "created_at"),
    Index("ix_obligations_group", "group_id", "destination", "state"),
    Index("ix_obligations_notice", "notice_id"),
)

# One message to one destination, with its attempts. Only the open one of the lowest position within (group_hash,
# destination) may be sent: order holds over the episodes of a group too, so that a ticket is closed before it reopens.
notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("group_hash", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("person", Text),  # whom it wakes: counted for the daily cap
    Column("rides", Text),  # the notice that stands for this one, which has no message of its own
    Column("seq", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", Instant),
    Column("attempted_at", Instant),  # last: after an outage it is the retries that wake people
    Column("not_before", Instant),  # backoff, Retry-After, settle time: a mark of the conversation cannot shorten it
    Column("lease_until", Instant),  # of the attempt under way; after it, its outcome is unknown
    Column("outcome_unknown", Boolean, nullable=False),
    Column("unknowns", Integer, nullable=False),  # attempts whose outcome was not known when they ended
    Column("frozen", Boolean, nullable=False),  # the receiver may have this content under this key: repeat it as it is
    Column("look_first", Boolean),  # of a restored group: looked up before its first attempt
    Column("fence", BigInteger, nullable=False),
    Column("content", Json),  # the alerts as they were shown
    Column("provider_id", Text),
    Column("duplicates", Integer, nullable=False),  # visible effects beyond the first that a look-up met
    Column("error_reason", Text),
    Column("error", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("group_id", "destination", "seq"),
    Index("ix_notices_position", "group_hash", "destination", "position"),
    Index("ix_notices_state", "state", "created_at"),
    Index("ix_notices_person", "person", "first_attempt_at"),
    Index("ix_notices_lately", "person", "attempted_at"),
)
Index(
    "ix_notices_rides",
    notices.c.rides,
    sqlite_where=notices.c.rides.is_not(None),
    postgresql_where=notices.c.rides.is_not(None),
)

# What a provider told us about one conversation: ticket id, channel and message, call.
conversations = Table(
    "conversations",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("group_hash", Text, nullable=False),
    Column("ref", Json, nullable=False),
    Column("told_firing", Json),  # ids of alerts this destination was told to fire; null: it was told nothing yet
    Column("told_resolved", Json),
    Column("told_causes", Json),  # ids of alerts whose cause it was told
    Column("told_at", Instant),
    Column("tried_at", Instant),  # when the last notice ended, delivered or dead
    Column("redialed", Integer),  # calls made again since the last notice of another reason
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Index("ix_conversations_hash", "group_hash", "destination", "closed_at"),
)

# What a provider called back with: each row one act or report, so that a repeat is known as one.
callbacks = Table(
    "callbacks",
    metadata,
    Column("id", Text, primary_key=True),  # the provider's id and what happened: `CA…/completed`
    Column("provider_id", Text, nullable=False),
    Column("notice_id", Text, nullable=False),  # "" where none was meant
    Column("event", Text, nullable=False),
    Column("sequence", Integer),  # the provider's own order of its reports
    Column("outcome", Text, nullable=False),
    Column("incident_id", Text),
    Column("at", Instant, nullable=False),
    Index("ix_callbacks_notice", "notice_id"),
    Index("ix_callbacks_provider", "provider_id"),
    Index("ix_callbacks_at", "at"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident_key", Text, nullable=False),
    Column("team", Text),
    Column("status", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("labels", Json, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Text),
    Column("ack_until", Instant),
    Column("unacknowledged_at", Instant),
    Column("past_acks", Json),  # [from, to] in microseconds of each acknowledgement that has ended
    Column("resolved_at", Instant),
    Index("ix_incidents_started", "started_at"),
)
Index(
    "uq_incidents_open",
    incidents.c.incident_key,
    unique=True,
    sqlite_where=incidents.c.resolved_at.is_(None),
    postgresql_where=incidents.c.resolved_at.is_(None),
)

incident_events = Table(
    "incident_events",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("incident_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text),
    Column("text", Text, nullable=False),
    Index("ix_incident_events_incident", "incident_id", "at"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", Text, primary_key=True),
    Column("matchers", Json, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_silences_ends", "ends_at"),
)
