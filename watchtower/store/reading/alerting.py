"""Lists of alerts and what came of them: incidents, silences, deliveries, the ledger; and of tokens and the audit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from watchtower.model.access import Token
from watchtower.model.alert import Alert, Incident, ObligationState, Silence
from watchtower.model.delivery import LedgerEntry
from watchtower.store import access as access_rows
from watchtower.store import alert_rows, ledger, shown
from watchtower.store import incidents as incident_rows
from watchtower.store import silences as silence_rows
from watchtower.store.audit import Entry
from watchtower.store.reading.paging import Page, Window, holding, matching, paged, within
from watchtower.store.schema.access import audit, tokens
from watchtower.store.schema.alerting import (
    alerts,
    conversations,
    groups,
    incidents,
    notices,
    obligations,
    silences,
)


@dataclass(frozen=True, slots=True)
class AlertFilter:
    states: Sequence[str] = ()
    severity: str | None = None
    rule: str | None = None
    subject: str | None = None
    fingerprint: str | None = None
    team: str | None = None


def list_alerts(connection: Connection, wanted: AlertFilter, window: Window) -> Page[Alert]:
    """Newest first, by the moment at which the violation began to be seen."""
    query = matching(
        select(alerts).where(shown.ALERTS),
        {
            alerts.c.state: tuple(wanted.states),
            alerts.c.severity: wanted.severity,
            alerts.c.rule: wanted.rule,
            alerts.c.subject: wanted.subject,
            alerts.c.fingerprint: wanted.fingerprint,
            alerts.c.team: wanted.team,
        },
    )
    query = within(matching(query, {alerts.c.team: window.team}), alerts.c.active_since, window)
    return paged(connection, query, [alerts.c.active_since, alerts.c.id], window, alert_rows.to_alert)


def newest_alert(connection: Connection, fingerprint: str, team: str | None) -> Alert | None:
    """The newest episode of the alert with this fingerprint."""
    page = list_alerts(connection, AlertFilter(fingerprint=fingerprint), Window(limit=1, team=team))
    return page.items[0] if page.items else None


def suppressors(connection: Connection, alert_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """What keeps each alert from being told at present: ids of silences, alerts, incidents, names of intervals."""
    query = (
        select(obligations.c.alert_id, obligations.c.suppressed_by)
        .join_from(obligations, alerts, alerts.c.id == obligations.c.alert_id)
        .where(
            obligations.c.alert_id.in_(list(alert_ids)),
            obligations.c.suppressed_by.is_not(None),
            obligations.c.state == ObligationState.SUPERSEDED.value,
            alerts.c.ends_at.is_(None),
        )
        .distinct()
        .order_by(obligations.c.suppressed_by)
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(query):
        found[row.alert_id] = (*found.get(row.alert_id, ()), row.suppressed_by)
    return found


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """text: a part of its title or its summary, in any case."""

    statuses: Sequence[str] = ()
    severity: str | None = None
    team: str | None = None
    text: str = ""


def list_incidents(connection: Connection, wanted: IncidentFilter, window: Window) -> Page[Incident]:
    query = matching(
        select(incidents),
        {
            incidents.c.status: tuple(wanted.statuses),
            incidents.c.severity: wanted.severity,
            incidents.c.team: wanted.team,
        },
    )
    if wanted.text:
        query = query.where(holding(wanted.text, incidents.c.title, incidents.c.summary))
    query = within(matching(query, {incidents.c.team: window.team}), incidents.c.started_at, window)
    return paged(connection, query, [incidents.c.started_at, incidents.c.id], window, incident_rows.to_incident)


def get_incident(connection: Connection, incident_id: str, team: str | None) -> Incident | None:
    query = matching(select(incidents).where(incidents.c.id == incident_id), {incidents.c.team: team})
    row = connection.execute(query).first()
    return incident_rows.to_incident(row) if row else None


def titles(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Of incidents, by id."""
    query = select(incidents.c.id, incidents.c.title).where(incidents.c.id.in_(sorted(ids)))
    return {row.id: row.title for row in connection.execute(query)}


def list_silences(connection: Connection, window: Window, *, active_at: datetime | None = None) -> Page[Silence]:
    """The last to end first. active_at: only those that hold at this moment."""
    query = select(silences)
    if active_at is not None:
        query = query.where(silences.c.starts_at <= active_at, silences.c.ends_at > active_at)
    query = within(query, silences.c.ends_at, window)
    return paged(connection, query, [silences.c.ends_at, silences.c.id], window, silence_rows.to_silence)


# -- the ledger ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    states: Sequence[str] = ()
    destination: str | None = None
    episode: str | None = None
    incident_id: str | None = None
    alert_id: str | None = None


def list_obligations(
    connection: Connection, wanted: LedgerFilter, window: Window, *, oldest_first: bool = False
) -> Page[LedgerEntry]:
    query = matching(
        ledger.entries(),
        {
            obligations.c.state: tuple(wanted.states),
            obligations.c.destination: wanted.destination,
            obligations.c.group_id: wanted.episode,
            obligations.c.alert_id: wanted.alert_id,
            groups.c.incident_id: wanted.incident_id,
            alerts.c.team: window.team,
        },
    )
    query = within(query, obligations.c.created_at, window)
    order = [obligations.c.created_at, obligations.c.id]
    return paged(connection, query, order, window, ledger.to_entry, descending=not oldest_first)


def get_obligation(connection: Connection, obligation_id: str, team: str | None) -> LedgerEntry | None:
    query = matching(ledger.entries().where(obligations.c.id == obligation_id), {alerts.c.team: team})
    row = connection.execute(query).first()
    return ledger.to_entry(row) if row else None


def ledger_totals(connection: Connection, team: str | None) -> dict[ObligationState, int]:
    """How many obligations stand in each state: together all that there ever were within retention."""
    query = select(obligations.c.state, func.count()).where(shown.OBLIGATIONS).group_by(obligations.c.state)
    if team is not None:
        query = query.join(alerts, alerts.c.id == obligations.c.alert_id).where(alerts.c.team == team)
    counted: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return {state: counted.get(state.value, 0) for state in ObligationState}


@dataclass(frozen=True, slots=True)
class Message:
    """One notice as it was sent (or is to be): the proof of delivery that people look at."""

    id: str
    destination: str
    receiver: str
    state: ObligationState
    reason: str
    attempts: int
    first_attempt_at: datetime | None
    provider_id: str | None
    duplicates: int
    error: str | None
    created_at: datetime
    updated_at: datetime


def messages_of(connection: Connection, incident_id: str, limit: int = 200) -> list[Message]:
    """All notices of an incident, newest first."""
    query = (
        select(notices)
        .join_from(notices, groups, groups.c.id == notices.c.group_id)
        .where(groups.c.incident_id == incident_id)
        .order_by(notices.c.created_at.desc(), notices.c.id)
        .limit(limit)
    )
    return [
        Message(
            id=row.id,
            destination=row.destination,
            receiver=row.receiver,
            state=ObligationState(row.state),
            reason=row.reason,
            attempts=row.attempts,
            first_attempt_at=row.first_attempt_at,
            provider_id=row.provider_id,
            duplicates=row.duplicates,
            error=row.error,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in connection.execute(query)
    ]


def conversations_of(connection: Connection, incident_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(destination, what its provider said: ticket id and address, channel and message …), by destination."""
    query = (
        select(conversations.c.destination, conversations.c.ref)
        .join_from(conversations, groups, groups.c.id == conversations.c.group_id)
        .where(groups.c.incident_id == incident_id)
        .order_by(conversations.c.destination, conversations.c.opened_at)
    )
    return [(row.destination, row.ref) for row in connection.execute(query)]


# -- access -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditRow:
    seq: int
    entry: Entry
    digest: bytes


def list_audit(
    connection: Connection,
    window: Window,
    *,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
) -> Page[AuditRow]:
    """Newest first."""
    query = matching(
        select(audit), {audit.c.actor: actor, audit.c.action: action, audit.c.target: target, audit.c.team: window.team}
    )
    return paged(connection, within(query, audit.c.at, window), [audit.c.seq], window, _to_audit)


def list_tokens(connection: Connection, window: Window, *, live_at: datetime | None = None) -> Page[Token]:
    """Newest first. live_at: only those that may be used at this moment."""
    query = matching(select(tokens), {tokens.c.team: window.team})
    if live_at is not None:
        query = query.where(tokens.c.revoked_at.is_(None))
        query = query.where(tokens.c.expires_at.is_(None) | (tokens.c.expires_at > live_at))
    query = within(query, tokens.c.created_at, window)
    return paged(connection, query, [tokens.c.created_at, tokens.c.id], window, access_rows.to_token)


def _to_audit(row: Row[Any]) -> AuditRow:
    entry = Entry(row.at, row.actor, row.action, row.target, row.team, row.request_id, row.before, row.after)
    return AuditRow(row.seq, entry, row.digest)
