"""Whether a destination must be told anything, given what it was told already. Pure.

Source: `needsUpdate` of Alertmanager's `notify/dedup_stage.go`. Its notification log is our `Told`; alerts stand for
themselves by the id of their episode.
"""

from collections.abc import Set
from datetime import datetime, timedelta

from watchtower.model.alert import NoticeReason
from watchtower.model.delivery import Told


def needs_notification(
    told: Told | None,
    *,
    firing: Set[str],
    resolved: Set[str],
    send_resolved: bool,
    repeat_after: timedelta,
    now: datetime,
) -> NoticeReason | None:
    """Why a notice is needed now; None: it is not. firing, resolved: alert ids of the group that may be shown.

    Unlike Alertmanager's log, `told` is of one group episode, so an entry that holds no firing alert means that other
    alerts of the episode could not be told yet.
    """
    if told is None:
        return NoticeReason.FIRST if firing else None
    if not firing <= told.firing:
        return NoticeReason.NEW_ALERTS if told.firing else NoticeReason.FIRST
    if not send_resolved:
        return _repeat(told, firing, repeat_after, now)
    if not firing:
        return NoticeReason.ALL_RESOLVED if told.firing else None
    if not resolved <= told.resolved:
        return NoticeReason.RESOLVED_ALERTS
    return _repeat(told, firing, repeat_after, now)


def _repeat(told: Told, firing: Set[str], repeat_after: timedelta, now: datetime) -> NoticeReason | None:
    """The repeat falls due exactly after repeat_after (Alertmanager: at the group's first flush past it)."""
    return NoticeReason.REPEAT if firing and now >= told.at + repeat_after else None
