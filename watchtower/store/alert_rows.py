"""Alerts as rows: how they are read and written, for everything in the store that deals with them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.alert import Alert, AlertState
from watchtower.store import dialect
from watchtower.store.schema.alerting import alerts
from watchtower.store.statements import Row, any_of, prepared

_BY_ID = prepared(select(alerts).where(alerts.c.id.in_(any_of("ids"))))
NOTED = ("flapping_since", "trouble_since", "rings_from")  # by store.flapping; who evaluates rules knows nothing of it
OPEN = (AlertState.FIRING.value, AlertState.UNKNOWN.value)


def load(connection: Connection, ids: Iterable[str]) -> dict[str, Alert]:
    found: dict[str, Alert] = {}
    for some in dialect.chunks(sorted(set(ids))):
        for row in _BY_ID.all(connection, {"ids": some}):
            found[row.id] = to_alert(row)
    return found


def to_alert(row: Row) -> Alert:
    return Alert(
        id=row.id,
        fingerprint=row.fingerprint,
        rule=row.rule,
        subject=row.subject,
        labels=row.labels,
        annotations=row.annotations,
        state=AlertState(row.state),
        active_since=row.active_since,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        clear_since=row.clear_since,
        value=row.value,
        evidence=row.evidence or {},
        found_late=row.found_late,
        historical=row.historical,
        flapping_since=row.flapping_since,
        trouble_since=row.trouble_since,
        rings_from=row.rings_from,
    )


def to_row(alert: Alert, now: datetime) -> dict[str, Any]:
    return {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "subject": alert.subject,
        "team": alert.labels.get("team"),
        "severity": alert.severity.value,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "active_since": alert.active_since,
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "clear_since": alert.clear_since,
        "value": alert.value,
        "evidence": dict(alert.evidence),
        "found_late": alert.found_late,
        "historical": alert.historical,
        "flapping_since": alert.flapping_since,
        "trouble_since": alert.trouble_since,
        "rings_from": alert.rings_from,
        "updated_at": now,
    }
