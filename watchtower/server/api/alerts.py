"""Alerts: what is wrong, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from rules.explaining import Explanation, explain
from watchtower.model.alert import Alert, AlertState, Severity
from watchtower.model.rule import SubjectKey
from watchtower.server.endpoints import Call, ListQuery, known, not_found, one_of
from watchtower.store.database import Connection
from watchtower.store.reading import alerting
from watchtower.store.reading.alerting import AlertFilter


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
        return AlertList(alert_items(connection, page.items), page.next)

    return call.read(read)


def get_alert(call: Call) -> AlertItem:
    """The newest episode of the alert with this fingerprint."""
    fingerprint = call.path["fingerprint"]

    def read(connection: Connection) -> AlertItem | None:
        alert = alerting.newest_alert(connection, fingerprint, call.principal.team)
        return alert_items(connection, [alert])[0] if alert else None

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
    [item] = call.read(lambda c: alert_items(c, [said.alert]))
    told = {name: getattr(said, name) for name in ExplanationItem.__struct_fields__ if name != "alert"}
    return ExplanationItem(alert=item, **told)


def explanations(call: Call, alerts: Sequence[Alert]) -> list[Explanation]:
    """One of each, in their order."""
    keys = list(dict.fromkeys(SubjectKey.parse(alert.subject) for alert in alerts))
    known = {each.judgement.key: each for each in call.services.explain(keys)}
    return [explain(alert, known.get(SubjectKey.parse(alert.subject)), call.now) for alert in alerts]


def alert_items(connection: Connection, alerts: list[Alert]) -> list[AlertItem]:
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
