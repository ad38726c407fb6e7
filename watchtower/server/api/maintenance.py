"""Maintenance: the planned times of the configuration, and which of them hold now."""

from datetime import datetime

import msgspec

from alerting.maintenance import Window
from watchtower.server.api.silences import MatcherItem, is_of_team
from watchtower.server.endpoints import Call


class MaintenanceItem(msgspec.Struct, frozen=True):
    """active: it holds now, until ends_at. A window that does not hold now says nothing of ends_at."""

    name: str
    active: bool
    matchers: list[MatcherItem]
    reason: str
    author: str
    ends_at: datetime | None


class MaintenanceList(msgspec.Struct, frozen=True):
    """In the order of the file."""

    items: list[MaintenanceItem]


class MaintenanceQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """active: only those that hold now."""

    active: bool = False


def list_maintenance(call: Call) -> MaintenanceList:
    """A principal of one team sees the windows of that team only."""
    query = call.asked(MaintenanceQuery)
    team = call.principal.team
    items = [_item(each, call.now) for each in call.services.maintenance if is_of_team(each.matchers, team)]
    return MaintenanceList([item for item in items if item.active or not query.active])


def _item(window: Window, now: datetime) -> MaintenanceItem:
    ends_at = window.ends_at(now)
    return MaintenanceItem(
        name=window.name,
        active=ends_at is not None,
        matchers=[MatcherItem(each.name, each.value, each.op) for each in window.matchers],
        reason=window.reason,
        author=window.author,
        ends_at=ends_at,
    )
