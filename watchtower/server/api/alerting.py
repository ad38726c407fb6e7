"""Alerts, incidents and silences: what is wrong, who has it, and what is kept quiet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

import msgspec

from alerting import escalation
from alerting import incidents as incident_acts
from alerting import silences as silence_acts
from rules.explaining import Explanation, explain
from watchtower.errors import BadInput
from watchtower.model.alert import Alert, AlertState, Incident, IncidentStatus, Severity, Silence
from watchtower.model.incident import IncidentEdit
from watchtower.model.labels import OPERATORS, Matcher
from watchtower.model.rule import SubjectKey
from watchtower.server.api.ledger import DeliveryItem, delivery_item
from watchtower.server.api.observed import DatasetName, JobName
from watchtower.server.endpoints import Call, ListQuery, Moment, Problem, cut_page, known, not_found, one_of
from watchtower.store import conversations
from watchtower.store import incidents as incident_store
from watchtower.store import silences as silence_store
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading import alerting, observed
from watchtower.store.reading.alerting import AlertFilter, IncidentFilter, LedgerFilter
from watchtower.store.reading.paging import MAX_LIMIT, Window

MAX_ACK_HOURS = 72.0


# -- alerts -------------------------------------------------------------------------------------------------------


class AlertItem(msgspec.Struct, frozen=True):
    """One episode of an alert. suppressed_by: silences, alerts, incidents, time intervals or its own fingerprint (it
    flaps) that keep it quiet; flapping_since: it comes and goes, or did so when it ended."""

    id: str
    fingerprint: str
    rule: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    suppressed_by: list[str]
    recovering: bool
    active_since: datetime
    starts_at: datetime | None
    ends_at: datetime | None
    value: float | None
    evidence: dict[str, Any]
    found_late: bool
    historical: bool
    flapping_since: datetime | None


class AlertList(msgspec.Struct, frozen=True):
    items: list[AlertItem]
    next_cursor: str | None


class AlertQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """state may be given more than once. from and to: of active_since."""

    state: list[Annotated[str, known(AlertState)]] = msgspec.field(default_factory=list[str])
    severity: Annotated[str, known(Severity)] | None = None
    rule: str | None = None
    subject: str | None = None
    fingerprint: str | None = None
    team: str | None = None


def list_alerts(call: Call) -> AlertList:
    query = call.asked(AlertQuery)
    wanted = AlertFilter(
        states=one_of("state", query.state, AlertState),
        severity=one_of("severity", [query.severity], Severity)[0] if query.severity is not None else None,
        rule=query.rule,
        subject=query.subject,
        fingerprint=query.fingerprint,
        team=query.team,
    )

    def read(connection: Connection) -> AlertList:
        page = alerting.list_alerts(connection, wanted, call.window(query))
        return AlertList(_alert_items(connection, page.items), page.next)

    return call.read(read)


def get_alert(call: Call) -> AlertItem:
    """The newest episode of the alert with this fingerprint."""
    fingerprint = call.path["fingerprint"]

    def read(connection: Connection) -> AlertItem | None:
        alert = alerting.newest_alert(connection, fingerprint, call.principal.team)
        return _alert_items(connection, [alert])[0] if alert else None

    found = call.read(read)
    if found is None:
        raise not_found("alert", fingerprint)
    return found


class ExplanationItem(msgspec.Struct, frozen=True):
    """Why an alert stands, as the rules see it at this moment. alert: with what was evaluated just now, even if it is
    not stored yet; expects: the rule in one sentence with its waits, "" where it is gone; limit: where the kind has
    one; since: when it began to be wrong; stands: what that comes to; clears: what ends it. fires_at: of a pending one,
    if it stays wrong; clears_at: not before this moment, null: as soon as that happens; looks_at: when time alone could
    change the answer."""

    alert: AlertItem
    expects: str
    why: str
    value: float | None
    limit: float | None
    since: datetime
    stands: str
    clears: str
    fires_at: datetime | None
    clears_at: datetime | None
    looks_at: datetime | None


def explain_alert(call: Call) -> ExplanationItem:
    """Of the newest episode of the alert with this fingerprint."""
    fingerprint = call.path["fingerprint"]
    alert = call.read(lambda c: alerting.newest_alert(c, fingerprint, call.principal.team))
    if alert is None:
        raise not_found("alert", fingerprint)
    [said] = explanations(call, [alert])
    [item] = call.read(lambda c: _alert_items(c, [said.alert]))
    told = {name: getattr(said, name) for name in ExplanationItem.__struct_fields__ if name != "alert"}
    return ExplanationItem(alert=item, **told)


def explanations(call: Call, alerts: Sequence[Alert]) -> list[Explanation]:
    """One of each, in their order."""
    keys = list(dict.fromkeys(SubjectKey.parse(alert.subject) for alert in alerts))
    known = {each.judgement.key: each for each in call.services.explain(keys)}
    return [explain(alert, known.get(SubjectKey.parse(alert.subject)), call.now) for alert in alerts]


def _alert_items(connection: Connection, alerts: list[Alert]) -> list[AlertItem]:
    quiet = alerting.suppressors(connection, [alert.id for alert in alerts])
    return [
        AlertItem(
            id=alert.id,
            fingerprint=alert.fingerprint,
            rule=alert.rule,
            labels=dict(alert.labels),
            annotations=dict(alert.annotations),
            state=alert.state.value,
            suppressed_by=list(quiet.get(alert.id, ())),
            recovering=alert.recovering,
            active_since=alert.active_since,
            starts_at=alert.starts_at,
            ends_at=alert.ends_at,
            value=alert.value,
            evidence=dict(alert.evidence),
            found_late=alert.found_late,
            historical=alert.historical,
            flapping_since=alert.flapping_since,
        )
        for alert in alerts
    ]


# -- incidents ----------------------------------------------------------------------------------------------------


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
    """A dataset that the broken pipelines write, and who reads it."""

    dataset: DatasetName
    owner: str | None
    readers: list[JobName]


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
    """alerts: firing first; impact: one step downstream in the lineage that was seen; escalation: in the order of its
    waits; deliveries: newest first, at most 1,000."""

    alerts: list[AlertItem]
    cause: CauseItem | None
    impact: list[DownstreamItem]
    tickets: list[TicketItem]
    escalation: list[EscalationItem]
    deliveries: list[DeliveryItem]
    timeline: list[TimelineItem]


class IncidentList(msgspec.Struct, frozen=True):
    items: list[IncidentItem]
    next_cursor: str | None


class IncidentQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """status may be given more than once. from and to: of started_at."""

    status: list[Annotated[str, known(IncidentStatus)]] = msgspec.field(default_factory=list[str])
    severity: Annotated[str, known(Severity)] | None = None
    team: str | None = None


def list_incidents(call: Call) -> IncidentList:
    query = call.asked(IncidentQuery)
    severity = one_of("severity", [query.severity], Severity)[0] if query.severity is not None else None
    wanted = IncidentFilter(one_of("status", query.status, IncidentStatus), severity, query.team)
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
        alerts=_alert_items(connection, alerts),
        cause=_cause(first) if first else None,
        impact=_impact(connection, alerts),
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


def _impact(connection: Connection, alerts: list[Alert]) -> list[DownstreamItem]:
    job_ids = sorted({alert.subject.removeprefix("job:") for alert in alerts if alert.subject.startswith("job:")})
    return [
        DownstreamItem(
            DatasetName(dataset.ref.namespace, dataset.ref.name),
            dataset.owner,
            [JobName(job.ref.namespace, job.ref.name) for job in readers],
        )
        for dataset, readers in observed.downstream(connection, job_ids)
    ]


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


# -- silences -----------------------------------------------------------------------------------------------------


class MatcherItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """op: =, !=, =~ or !~; regular expressions are anchored."""

    name: str
    value: str
    op: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(OPERATORS)})] = "="


class SilenceItem(msgspec.Struct, frozen=True):
    """state: pending, active or expired."""

    id: str
    state: str
    matchers: list[MatcherItem]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    created_at: datetime
    updated_at: datetime


class SilenceList(msgspec.Struct, frozen=True):
    items: list[SilenceItem]
    next_cursor: str | None


class SilenceQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from and to: of ends_at. active: only those that hold now."""

    active: bool = False


class SilenceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """id: of a silence to change; without it a new one is made. starts_at: now, if left out. The author is whoever
    sends this."""

    matchers: list[MatcherItem]
    ends_at: Moment
    comment: str
    starts_at: Moment | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if any(instant is not None and instant.tzinfo is None for instant in (self.starts_at, self.ends_at)):
            raise ValueError("a time has no time zone; write 2026-03-02T08:00:00Z")


def list_silences(call: Call) -> SilenceList:
    """A principal of one team sees the silences of that team only."""
    query = call.asked(SilenceQuery)
    page = call.read(
        lambda c: alerting.list_silences(c, call.window(query), active_at=call.now if query.active else None)
    )
    shown = [silence for silence in page.items if is_of_team(silence.matchers, call.principal.team)]
    return SilenceList([_silence_item(silence, call.now) for silence in shown], page.next)


def get_silence(call: Call) -> SilenceItem:
    silence_id = call.path["id"]
    silence = call.read(lambda c: silence_store.get(c, silence_id))
    if silence is None or not is_of_team(silence.matchers, call.principal.team):
        raise not_found("silence", silence_id)
    return _silence_item(silence, call.now)


def put_silence(call: Call) -> SilenceItem:
    body = call.sent(SilenceBody)
    matchers = tuple(Matcher(item.name, item.op, item.value) for item in body.matchers)
    _check_team(matchers, call.principal.team)
    wanted = silence_acts.Wanted(
        matchers, body.starts_at or call.now, body.ends_at, call.principal.actor, body.comment, body.id
    )
    new_id = uuid4().hex

    def work(connection: Connection) -> tuple[Silence, Entry]:
        before = silence_store.get(connection, body.id) if body.id is not None else None
        if before is not None:
            _check_team(before.matchers, call.principal.team)
        written = silence_store.revise(connection, body.id, lambda old: silence_acts.put(old, wanted, call.now, new_id))
        after = written[-1]
        action = "silence.create" if before is None else "silence.change"
        return after, call.entry(
            action, f"silence:{after.id}", before=_for_audit(before) if before else None, after=_for_audit(after)
        )

    return _silence_item(call.write(work), call.now)


def end_silence(call: Call) -> SilenceItem:
    silence_id = call.path["id"]

    def work(connection: Connection) -> tuple[Silence, Entry]:
        before = silence_store.get(connection, silence_id)
        if before is None or not is_of_team(before.matchers, call.principal.team):
            raise not_found("silence", silence_id)
        written = silence_store.revise(connection, silence_id, lambda old: silence_acts.expire(old, call.now))
        after = written[-1] if written else before
        return after, call.entry(
            "silence.end", f"silence:{silence_id}", before=_for_audit(before), after=_for_audit(after)
        )

    return _silence_item(call.write(work), call.now)


def is_of_team(matchers: tuple[Matcher, ...], team: str | None) -> bool:
    """It can only ever silence alerts of this team."""
    return team is None or any(item.name == "team" and item.op == "=" and item.value == team for item in matchers)


def _check_team(matchers: tuple[Matcher, ...], team: str | None) -> None:
    if not is_of_team(matchers, team):
        raise BadInput(f'this silence could reach other teams; add the matcher team="{team}"')


def _silence_item(silence: Silence, now: datetime) -> SilenceItem:
    return SilenceItem(
        id=silence.id,
        state=silence_acts.state_of(silence, now).value,
        matchers=[MatcherItem(item.name, item.value, item.op) for item in silence.matchers],
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        created_by=silence.created_by,
        comment=silence.comment,
        created_at=silence.created_at,
        updated_at=silence.updated_at,
    )


def _for_audit(silence: Silence) -> dict[str, Any]:
    return {
        "matchers": [str(item) for item in silence.matchers],
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "comment": silence.comment,
    }
