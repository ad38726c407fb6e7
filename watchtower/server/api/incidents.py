"""Incidents: alerts that belong together, who has them, and who was told."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from alerting import escalation
from alerting import incidents as incident_acts
from watchtower.model.alert import Alert, Incident, IncidentStatus, Severity
from watchtower.model.incident import IncidentEdit
from watchtower.server.api.alerts import AlertItem, alert_items
from watchtower.server.api.changes import ChangeItem, change_item
from watchtower.server.api.datasets import HeldUpItem, held_up_item
from watchtower.server.api.ledger import DeliveryItem, delivery_item
from watchtower.server.api.observed import DatasetName, JobName
from watchtower.server.endpoints import Call, ListQuery, Problem, cut_page, known, not_found, one_of
from watchtower.server.impact import Hit, held_up_by, hit_by
from watchtower.store import conversations
from watchtower.store import incidents as incident_store
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, changed
from watchtower.store.reading.alerting import IncidentFilter, LedgerFilter
from watchtower.store.reading.paging import MAX_LIMIT, Window

MAX_ACK_HOURS = 72.0


class TimelineItem(msgspec.Struct, frozen=True):
    at: datetime
    kind: str
    text: str
    actor: str | None


class CauseItem(msgspec.Struct, frozen=True):
    """The alert that began first. sentence: the operation that differs most from its usual, if its run sent spans;
    the figures are in `evidence.cause_evidence`."""

    fingerprint: str
    since: datetime
    summary: str
    sentence: str | None
    evidence: dict[str, Any]


class DownstreamItem(msgspec.Struct, frozen=True):
    """A dataset that comes of the broken pipelines, and who reads it. steps: 1 for what they write themselves;
    next_expected: when new data is usually there, of the nearest 12."""

    dataset: DatasetName
    dataset_id: str
    owner: str | None
    readers: list[JobName]
    steps: int
    next_expected: datetime | None


class TicketItem(msgspec.Struct, frozen=True):
    destination: str
    id: str
    url: str | None


class EscalationItem(msgspec.Struct, frozen=True):
    """One step of an escalation: a person and a method. told_at: last; next_at: when it is told, or told again, if
    nobody acknowledges the incident; redialed: calls made again since then."""

    destination: str
    person: str
    name: str
    method: str
    after_s: float
    told_at: datetime | None
    next_at: datetime | None
    redialed: int


class IncidentItem(msgspec.Struct, frozen=True):
    id: str
    status: str
    severity: str
    title: str
    summary: str
    labels: dict[str, str]
    started_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledged_until: datetime | None
    resolved_at: datetime | None


class IncidentDetail(IncidentItem, frozen=True):
    """alerts: firing first; changes: in the day before it began, newest first, possible causes and no proof;
    held_up_by: what is wrong first on the way of its data, before the pipelines that it is about; impact: downstream in
    the lineage that was seen, the nearest first; escalation: in the order of its waits; deliveries: newest
    first, at most 1,000."""

    alerts: list[AlertItem]
    cause: CauseItem | None
    changes: list[ChangeItem]
    held_up_by: list[HeldUpItem]
    impact: list[DownstreamItem]
    tickets: list[TicketItem]
    escalation: list[EscalationItem]
    deliveries: list[DeliveryItem]
    timeline: list[TimelineItem]


class IncidentList(msgspec.Struct, frozen=True):
    items: list[IncidentItem]
    next_cursor: str | None


class IncidentQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """status may be given more than once. q: a part of the title or the summary. from and to: of started_at."""

    status: list[Annotated[str, known(IncidentStatus)]] = msgspec.field(default_factory=list[str])
    severity: Annotated[str, known(Severity)] | None = None
    team: str | None = None
    q: str = ""


def list_incidents(call: Call) -> IncidentList:
    query = call.asked(IncidentQuery)
    severity = one_of("severity", [query.severity], Severity)[0] if query.severity is not None else None
    wanted = IncidentFilter(one_of("status", query.status, IncidentStatus), severity, query.team, query.q.strip())
    page = call.read(lambda c: alerting.list_incidents(c, wanted, call.window(query)))
    return IncidentList(*cut_page(page, incident_item))


def get_incident(call: Call) -> IncidentDetail:
    incident_id = call.path["id"]

    def read(connection: Connection) -> IncidentDetail | None:
        incident = alerting.get_incident(connection, incident_id, call.principal.team)
        return _detail(call, connection, incident) if incident else None

    found = call.read(read)
    if found is None:
        raise not_found("incident", incident_id)
    return found


def _detail(call: Call, connection: Connection, incident: Incident) -> IncidentDetail:
    alerts = incident_store.alerts_of(connection, incident.id)
    first = min(alerts, key=lambda alert: alert.active_since, default=None)
    wanted, window = LedgerFilter(incident_id=incident.id), Window(limit=MAX_LIMIT)
    deliveries = alerting.list_obligations(connection, wanted, window).items
    return IncidentDetail(
        **msgspec.structs.asdict(incident_item(incident)),
        alerts=alert_items(connection, alerts),
        cause=_cause(first) if first else None,
        changes=[change_item(each) for each in changed.before_incident(connection, alerts, incident.started_at)],
        held_up_by=[held_up_item(each) for each in held_up_by(call, connection, alerts)],
        impact=[_hit(each) for each in hit_by(call, connection, alerts)],
        tickets=_tickets(connection, incident.id),
        escalation=_escalation(call, connection, incident.id),
        deliveries=[delivery_item(entry) for entry in deliveries],
        timeline=[
            TimelineItem(event.at, event.kind, event.text, event.actor)
            for event in incident_store.timeline(connection, incident.id)
        ],
    )


def _escalation(call: Call, connection: Connection, incident_id: str) -> list[EscalationItem]:
    people = call.services.oncall.people
    return [
        EscalationItem(
            destination=rung.destination,
            person=rung.person,
            name=people[rung.person].name if rung.person in people else rung.person,
            method=rung.method,
            after_s=rung.after_s,
            told_at=rung.told_at,
            next_at=rung.next_at,
            redialed=rung.redialed,
        )
        for rung in escalation.rungs(conversations.of_incident(connection, incident_id), call.now)
    ]


def _cause(alert: Alert) -> CauseItem:
    evidence = dict(alert.evidence)
    summary = alert.annotations.get("summary", alert.rule)
    return CauseItem(alert.fingerprint, alert.active_since, summary, evidence.get("cause"), evidence)


def _hit(hit: Hit) -> DownstreamItem:
    ref = hit.fed.dataset.ref
    return DownstreamItem(
        dataset=DatasetName(ref.namespace, ref.name),
        dataset_id=hit.fed.dataset.id,
        owner=hit.owner,
        readers=[JobName(reader.namespace, reader.name) for reader in hit.fed.readers],
        steps=hit.fed.steps,
        next_expected=hit.next_at,
    )


def _tickets(connection: Connection, incident_id: str) -> list[TicketItem]:
    """What ticket systems said of themselves: `ticket` (and `url`) in the reference of a conversation."""
    found: list[TicketItem] = []
    for destination, ref in alerting.conversations_of(connection, incident_id):
        ticket = ref.get("ticket")
        if ticket is not None:
            found.append(TicketItem(destination, str(ticket), ref.get("url")))
    return found


def incident_item(incident: Incident) -> IncidentItem:
    return IncidentItem(
        id=incident.id,
        status=incident.status.value,
        severity=incident.severity.value,
        title=incident.title,
        summary=incident.summary,
        labels=dict(incident.labels),
        started_at=incident.started_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_until=incident.ack_until,
        resolved_at=incident.resolved_at,
    )


class AckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """hours: after which everybody is told again, at most 72."""

    hours: float = incident_acts.ACK_FOR / timedelta(hours=1)

    def __post_init__(self) -> None:
        if not 0 < self.hours <= MAX_ACK_HOURS:
            raise ValueError(f"hours {self.hours} is not above 0 and at most {MAX_ACK_HOURS:g}")


def acknowledge(call: Call) -> IncidentItem:
    return take(call, timedelta(hours=call.sent(AckBody).hours))


def take(call: Call, ack_for: timedelta) -> IncidentItem:
    """Whoever asks has the incident from now on."""
    by = call.principal.actor
    return _edit(call, "incident.acknowledge", lambda i: incident_acts.acknowledge(i, by, call.now, ack_for=ack_for))


def unacknowledge(call: Call) -> IncidentItem:
    by = call.principal.actor
    return _edit(call, "incident.unacknowledge", lambda i: incident_acts.unacknowledge(i, by, call.now))


def _edit(call: Call, action: str, change: IncidentEdit) -> IncidentItem:
    incident_id = call.path["id"]

    def work(connection: Connection) -> tuple[Incident, Entry]:
        before = alerting.get_incident(connection, incident_id, call.principal.team)
        if before is None:
            raise not_found("incident", incident_id)
        if before.status is IncidentStatus.RESOLVED:
            raise Problem(409, f"incident {incident_id!r} is resolved already", slug="resolved")
        after = incident_store.edit(connection, incident_id, change)
        states = [{"status": one.status.value, "acknowledged_by": one.acknowledged_by} for one in (before, after)]
        return after, call.entry(action, f"incident:{incident_id}", before=states[0], after=states[1])

    return incident_item(call.write(work))
