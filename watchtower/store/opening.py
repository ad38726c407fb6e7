"""Which incident a new group episode belongs to: one that is open, one that goes on since its trouble came back, or a
new one. Part of the rules' transaction (see `store.groups`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from watchtower.model.alert import Alert, IncidentStatus
from watchtower.model.incident import IncidentEvent, describe, incident_key
from watchtower.model.instants import to_micros
from watchtower.model.labels import Labels
from watchtower.model.run import stable_id
from watchtower.store import dialect, incidents
from watchtower.store.schema.alerting import group_alerts, groups
from watchtower.store.schema.alerting import incidents as rows
from watchtower.store.statements import any_of, given, prepared
from watchtower.store.work import ventured

_LAST_HOLDING = prepared(
    select(rows)
    .join(groups, groups.c.incident_id == rows.c.id)
    .join(group_alerts, group_alerts.c.group_id == groups.c.id)
    .where(
        group_alerts.c.alert_id.in_(any_of("alert_ids")),
        rows.c.incident_key == given("key"),
        rows.c.resolved_at.is_not(None),
    )
    .order_by(rows.c.resolved_at.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class NewGroup:
    id: str
    group_key: str
    labels: Labels
    alert_ids: Sequence[str]


def assign(
    connection: Connection, new: Sequence[NewGroup], firing: Sequence[Alert], now: datetime, back: Mapping[str, str]
) -> tuple[dict[str, str], set[str]]:
    """The incident of each new group: one that holds an alert of it already, else the open one of its labels, else the
    one of what has come back, else a new one; and which of them were opened here for one alert, of which they say
    already all there is to say. firing: the alerts of the new groups; back: see groups.attach."""
    by_id = {alert.id: alert for alert in firing}
    holding = incidents.holding(connection, list(by_id))
    keys = {group.id: incident_key(group.labels, group.group_key) for group in new}
    by_key = incidents.lock_open(connection, set(keys.values()))
    assigned: dict[str, str] = {}
    opened: set[str] = set()
    for group in new:
        key = keys[group.id]
        found = next((holding[ident] for ident in group.alert_ids if ident in holding), None) or by_key.get(key)
        earlier = [back[ident] for ident in group.alert_ids if ident in back]
        if found is None and earlier and (found := _go_on(connection, key, earlier, now)) is not None:
            by_key[key] = found
        if found is None:
            found, is_ours = _open(connection, key, group, [by_id[ident] for ident in group.alert_ids], now)
            by_key[key] = found
            opened |= {found} if is_ours else set()
        assigned[group.id] = found
        holding |= dict.fromkeys(group.alert_ids, found)
    held = Counter(dict.fromkeys(opened, 0))
    for group in new:
        held[assigned[group.id]] += len(group.alert_ids)
    return assigned, {found for found in opened if held[found] == 1}


def _open(
    connection: Connection, key: str, group: NewGroup, firing: Sequence[Alert], now: datetime
) -> tuple[str, bool]:
    """The id of the incident, and whether it is new."""
    said = describe(firing, len(firing))
    incident_id = stable_id("incident", key, firing[0].id, now.isoformat())
    row = {
        "id": incident_id,
        "incident_key": key,
        "team": _common_team(firing),
        "status": IncidentStatus.TRIGGERED.value,
        "severity": said.severity.value,
        "title": said.title,
        "summary": said.summary,
        "labels": dict(group.labels),
        "started_at": now,
    }
    if dialect.insert_new(connection, rows, [row]):
        incidents.note(connection, incident_id, IncidentEvent(now, "triggered", said.title))
        return incident_id, True
    return incidents.lock_open(connection, [key])[key], False  # another replica came first


def _go_on(connection: Connection, key: str, earlier: Sequence[str], now: datetime) -> str | None:
    """The incident of these labels that held one of the earlier episodes, opened again; None if there is none."""
    row = next(iter(_LAST_HOLDING.all(connection, {"key": key, "alert_ids": earlier})), None)
    if row is None:
        return None
    acks: list[list[int]] = list(row.past_acks or ())
    if row.acknowledged_at is not None:  # it counts for what fired then
        acks.append([to_micros(row.acknowledged_at), to_micros(row.resolved_at)])
    values = {"status": IncidentStatus.TRIGGERED.value, "resolved_at": None, "past_acks": acks}
    again = update(rows).where(rows.c.id == row.id)
    again = again.values(**values, acknowledged_at=None, acknowledged_by=None, unacknowledged_at=None)
    # Another replica may open one of these labels in this moment; then that one is found by its key.
    if ventured(connection, lambda: connection.execute(again).rowcount):
        incidents.note(connection, row.id, IncidentEvent(now, "came_back", "It came back, so this goes on."))
        return str(row.id)
    return None


def _common_team(firing: Sequence[Alert]) -> str | None:
    teams = {alert.labels.get("team") for alert in firing}
    return teams.pop() if len(teams) == 1 else None
