"""What people do to incidents: acknowledge, take it back; and what time does: an acknowledgement runs out. Pure.

Source: acknowledgement time-outs of PagerDuty and Grafana OnCall; 4 h by default (the house's repeat interval of a
page), after which everybody is told again.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from watchtower.errors import BadInput
from watchtower.model.alert import Incident, IncidentStatus
from watchtower.model.incident import IncidentEvent

ACK_FOR = timedelta(hours=4)
PAST_ACKS = 100  # of one incident that are remembered


def acknowledge(
    incident: Incident, by: str, now: datetime, *, ack_for: timedelta = ACK_FOR
) -> tuple[Incident, IncidentEvent]:
    """by has it: nobody is rung any more for what fires now, until `ack_for` is over. Again by the same or another
    person: it counts from now. Raises BadInput for a resolved incident."""
    if incident.status is IncidentStatus.RESOLVED:
        raise BadInput(f"incident {incident.id!r} is resolved since {incident.resolved_at}; nothing to acknowledge")
    until = now + ack_for
    changed = replace(
        _with_past(incident, now),
        status=IncidentStatus.ACKNOWLEDGED,
        acknowledged_at=now,
        acknowledged_by=by,
        ack_until=until,
        unacknowledged_at=None,
    )
    return changed, IncidentEvent(now, "acknowledged", f"Acknowledged until {until:%Y-%m-%d %H:%M} UTC.", by)


def unacknowledge(incident: Incident, by: str, now: datetime) -> tuple[Incident, IncidentEvent | None]:
    """Taken back: everybody is told again. Of what is not acknowledged nothing changes."""
    if incident.status is not IncidentStatus.ACKNOWLEDGED:
        return incident, None
    return _triggered(incident, now), IncidentEvent(now, "unacknowledged", "The acknowledgement was taken back.", by)


def run_out(incident: Incident, now: datetime) -> tuple[Incident, IncidentEvent | None]:
    """The acknowledgement ends by time, if its time has come."""
    if incident.status is not IncidentStatus.ACKNOWLEDGED or incident.ack_until is None or incident.ack_until > now:
        return incident, None
    text = f"The acknowledgement of {incident.acknowledged_by} ran out; everybody is told again."
    return _triggered(incident, now), IncidentEvent(now, "ack_expired", text)


def _with_past(incident: Incident, now: datetime) -> Incident:
    """The acknowledgement that ends now, if there is one, is remembered: escalations stood still meanwhile."""
    if incident.acknowledged_at is None or incident.status is not IncidentStatus.ACKNOWLEDGED:
        return incident
    past = (*incident.past_acks, (incident.acknowledged_at, now))
    return replace(incident, past_acks=past[-PAST_ACKS:])


def _triggered(incident: Incident, now: datetime) -> Incident:
    return replace(
        _with_past(incident, now),
        status=IncidentStatus.TRIGGERED,
        acknowledged_at=None,
        acknowledged_by=None,
        ack_until=None,
        unacknowledged_at=now,
    )
