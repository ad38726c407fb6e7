"""What people once did about alerts, as it is on record: acknowledgements, and which incident is about an alert."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from watchtower.model.alert import Incident
from watchtower.store import dialect
from watchtower.store.incidents import to_incident
from watchtower.store.schema.alerting import alerts, group_alerts, groups, incident_events, incidents

_WITHOUT_END = timedelta(hours=4)  # as long as an acknowledgement holds by itself


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """by had the incident about the alerts with these fingerprints, from at until then (aware UTC)."""

    at: datetime
    until: datetime
    by: str
    fingerprints: frozenset[str]


def acknowledgements(connection: Connection) -> list[Acknowledged]:
    """All that are on record, the oldest first."""
    query = select(incidents).where(or_(incidents.c.acknowledged_at.is_not(None), incidents.c.past_acks.is_not(None)))
    found: list[Acknowledged] = []
    for row in connection.execute(query):
        incident = to_incident(row)
        about = frozenset(_fingerprints(connection, incident.id))
        by = _actors(connection, incident.id)
        found += [
            Acknowledged(begins, ends, by.get(begins) or incident.acknowledged_by or "unknown", about)
            for begins, ends in _times(incident)
        ]
    return sorted(found, key=lambda each: each.at)


def open_about(connection: Connection, fingerprints: Collection[str]) -> str | None:
    """The open incident that holds one of these alerts."""
    for some in dialect.chunks(sorted(fingerprints)):
        query = (
            select(incidents.c.id)
            .join(groups, groups.c.incident_id == incidents.c.id)
            .join(group_alerts, group_alerts.c.group_id == groups.c.id)
            .join(alerts, alerts.c.id == group_alerts.c.alert_id)
            .where(alerts.c.fingerprint.in_(some), incidents.c.resolved_at.is_(None))
            .order_by(incidents.c.started_at, incidents.c.id)
        )
        found: str | None = connection.scalars(query.limit(1)).first()
        if found is not None:
            return found
    return None


def _times(incident: Incident) -> list[tuple[datetime, datetime]]:
    times = list(incident.past_acks)
    if incident.acknowledged_at is not None:
        ends = incident.ack_until or incident.resolved_at or incident.acknowledged_at + _WITHOUT_END
        times.append((incident.acknowledged_at, ends))
    return times


def _fingerprints(connection: Connection, incident_id: str) -> Collection[str]:
    query = (
        select(alerts.c.fingerprint)
        .join(group_alerts, group_alerts.c.alert_id == alerts.c.id)
        .join(groups, groups.c.id == group_alerts.c.group_id)
        .where(groups.c.incident_id == incident_id)
    )
    return connection.scalars(query.distinct()).all()


def _actors(connection: Connection, incident_id: str) -> dict[datetime, str]:
    query = select(incident_events.c.at, incident_events.c.actor).where(
        incident_events.c.incident_id == incident_id,
        incident_events.c.kind == "acknowledged",
        incident_events.c.actor.is_not(None),
    )
    return {row.at: row.actor for row in connection.execute(query)}
