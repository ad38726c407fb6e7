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

# A group episode at one receiver: from the first firing alert until it is all clear.
groups = Table(
    "groups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_key", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("labels", Json, nullable=False),
    Column("incident_id", Text),
    Column("plan", Json, nullable=False),  # waits and intervals of the route, as planned last
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("last_flush_at", Instant),
    Index("ix_groups_key", "group_key", "receiver", "closed_at"),
    Index("ix_groups_incident", "incident_id"),
)

group_alerts = Table(
    "group_alerts",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("alert_id", Text, primary_key=True),
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
    Column("state", Text, nullable=False),
    Column("notice_id", Text),
    Column("provider_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_obligations_state", "state", "created_at"),
    Index("ix_obligations_group", "group_id", "destination", "state"),
    Index("ix_obligations_notice", "notice_id"),
)

# One message to one destination, with its attempts. Only the lowest open seq of (group, destination) may be sent.
notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", Instant),
    Column("outcome_unknown", Boolean, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("content", Json),  # the alerts as they were shown, and the rendered text
    Column("provider_id", Text),
    Column("error", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("group_id", "destination", "seq"),
    Index("ix_notices_state", "state", "created_at"),
)

# What a provider told us about one conversation: ticket id, channel and message, call.
conversations = Table(
    "conversations",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("group_hash", Text, nullable=False),
    Column("ref", Json, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Index("ix_conversations_hash", "group_hash", "destination", "closed_at"),
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
    Column("resolved_at", Instant),
    Index("ix_incidents_key", "incident_key", "resolved_at"),
    Index("ix_incidents_started", "started_at"),
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
