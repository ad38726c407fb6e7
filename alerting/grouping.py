"""Groups: their key and labels as Alertmanager writes them, and what a group's timer decides. Pure.

Sources: `dispatch/dispatch.go` (getGroupLabels, GroupKey, the flush of an aggregation group) and
`model/labelset_string.go` of Prometheus' common library.
"""

from collections.abc import Sequence
from datetime import datetime

from alerting import escalation
from alerting.dedup import needs_notification
from watchtower.model.alert import Alert, NoticeReason, TransitionKind
from watchtower.model.delivery import Conversation, Ending, Flush, Superseded, Suppression, Told, repeat_after
from watchtower.model.incident import cause_of, is_open
from watchtower.model.labels import Labels

ALL = "..."  # in group_by: every label

_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def group_labels(labels: Labels, group_by: Sequence[str]) -> dict[str, str]:
    """The labels by which an alert is grouped; a label that it does not have is left out."""
    if ALL in group_by:
        return dict(labels)
    return {name: labels[name] for name in group_by if name in labels}


def group_key(route_key: str, labels: Labels) -> str:
    """As in Alertmanager's webhooks: `{}/{team="data"}:{pipeline="orders"}`."""
    pairs = ", ".join(f"{name}={_quoted(labels[name])}" for name in sorted(labels))
    return f"{route_key}:{{{pairs}}}"


def flush(held: Sequence[Conversation], now: datetime) -> Flush:
    """What a due group must tell, one conversation for each of its destinations. Mutes are judged later, at the claim.

    A notice that waits already takes up all that is owed when it is claimed, so none is added to it.
    """
    notices: list[tuple[str, NoticeReason]] = []
    endings: list[Ending] = []
    paced = escalation.paced(held, now)
    for conversation in held:
        if conversation.waiting:
            continue
        reason = _reason(conversation, now, paced.get(conversation.planned.destination))
        if reason is not None:
            notices.append((conversation.planned.destination, reason))
        else:
            endings += settled(conversation, conversation.expected, taken(conversation), frozenset())
    moments = [*paced.values()]
    moments += [moment for conversation in held if (moment := _next_look(conversation, now)) is not None]
    return Flush(tuple(notices), tuple(endings), min(moments, default=None))


def taken(conversation: Conversation) -> dict[str, Suppression]:
    """Of a step of an escalation: the alerts that it need not tell any more, since somebody has them."""
    if conversation.planned.person is None:
        return {}
    told = conversation.told.firing if conversation.told else frozenset[str]()
    why = Suppression(Superseded.ACKNOWLEDGED, conversation.incident_id or "")
    return {
        alert.id: why
        for alert in conversation.alerts
        if is_open(alert) and alert.id not in told and escalation.is_acknowledged(conversation, alert)
    }


def settled(
    conversation: Conversation, told: Told | None, quiet: dict[str, Suppression], shown: frozenset[str]
) -> list[Ending]:
    """What of the owed needs no notice of its own. quiet: alerts that must not be told now; shown: ids in the notice
    that is about to be sent, which takes up all that is owed for them."""
    by_id = {alert.id: alert for alert in conversation.alerts}
    firing = told.firing if told else frozenset[str]()
    resolved = told.resolved if told else frozenset[str]()
    endings: list[Ending] = []
    for owed in conversation.owed:
        alert = by_id.get(owed.alert_id)
        if owed.alert_id in shown:
            continue
        if alert is None or owed.alert_id in resolved:
            why = Suppression(Superseded.ALREADY_TOLD, "")
        elif owed.transition is TransitionKind.FIRING:
            why = _why_not_firing(alert, firing, quiet)
        else:
            why = _why_not_resolved(alert, firing, send_resolved=conversation.planned.send_resolved)
        if why is not None:
            endings.append(Ending(owed.id, why))
    return endings


def ended(conversation: Conversation, told: Told | None) -> list[Alert]:
    """Resolved alerts that would be news: their firing was told, or is still owed."""
    owed = {item.alert_id for item in conversation.owed if item.transition is TransitionKind.FIRING}
    known = owed | (told.firing if told else frozenset[str]())
    past = told.resolved if told else frozenset[str]()
    return [alert for alert in conversation.alerts if not is_open(alert) and alert.id in known and alert.id not in past]


def must_remind(conversation: Conversation, told: Told | None) -> bool:
    """An acknowledgement ended after this destination was last told: it is told again at once."""
    since = conversation.unacknowledged_at
    return since is not None and conversation.acknowledged_at is None and told is not None and told.at < since


def must_show(conversation: Conversation, told: Told | None) -> bool:
    """Somebody has it since this destination was last told, which shows so."""
    since = conversation.acknowledged_at
    return conversation.planned.shows_acks and since is not None and told is not None and told.at < since


def must_tell_cause(conversation: Conversation, told: Told | None) -> bool:
    """The cause of what was told became known since. Once for each alert: that it changes is shown with the next
    notice. Whoever is on call is not woken by it."""
    if told is None or conversation.planned.person is not None:
        return False
    new = told.firing - told.caused
    return any(alert.id in new and is_open(alert) and cause_of(alert) for alert in conversation.alerts)


def _reason(conversation: Conversation, now: datetime, paced_until: datetime | None) -> NoticeReason | None:
    told = conversation.expected
    firing = {alert.id for alert in conversation.alerts if is_open(alert)}
    firing -= escalation.held(conversation, now, paced_until) | taken(conversation).keys()
    if conversation.retired:
        firing &= told.firing if told else frozenset[str]()
    reason = needs_notification(
        told,
        firing=firing,
        resolved={alert.id for alert in ended(conversation, told)},
        send_resolved=conversation.planned.send_resolved,
        repeat_after=repeat_after(conversation.planned),
        now=now,
    )
    if reason is NoticeReason.REPEAT and (conversation.retired or conversation.acknowledged_at is not None):
        reason = None
    if reason is None and firing and not conversation.retired:
        return told_again(conversation, told, now)
    return reason


def told_again(conversation: Conversation, told: Told | None, now: datetime) -> NoticeReason | None:
    """Why a destination that knows everything is told again all the same."""
    if must_remind(conversation, told) or escalation.must_begin_anew(conversation, told, now):
        return NoticeReason.REPEAT
    if must_tell_cause(conversation, told):
        return NoticeReason.CAUSE_FOUND
    if must_show(conversation, told):
        return NoticeReason.ACKNOWLEDGED
    return NoticeReason.REDIAL if escalation.must_redial(conversation, told, now) else None


def _next_look(conversation: Conversation, now: datetime) -> datetime | None:
    """When time alone may call for a notice: the next repeat, counted from the last notice that ended, or what an
    escalation does next."""
    if conversation.retired or not any(is_open(alert) for alert in conversation.alerts):
        return None
    steps = [
        escalation.calls_at(conversation) if escalation.held(conversation, now) else None,
        escalation.redials_at(conversation, conversation.expected),
        escalation.next_round_at(conversation, now),
        _next_repeat(conversation, now),
    ]
    return min((moment for moment in steps if moment is not None and moment > now), default=None)


def _next_repeat(conversation: Conversation, now: datetime) -> datetime | None:
    ends = [conversation.tried_at, conversation.expected.at if conversation.expected else None]
    last = max((moment for moment in ends if moment is not None), default=None)
    if last is None:
        return None
    after = repeat_after(conversation.planned)
    return last + after if last + after > now else now + after


def _why_not_firing(alert: Alert, firing: frozenset[str], quiet: dict[str, Suppression]) -> Suppression | None:
    if not is_open(alert):
        return _flapped(alert) or Suppression(Superseded.RESOLVED_BEFORE_NOTICE, "")
    if alert.id in quiet:
        return quiet[alert.id]
    return Suppression(Superseded.ALREADY_TOLD, "") if alert.id in firing else None


def _why_not_resolved(alert: Alert, firing: frozenset[str], *, send_resolved: bool) -> Suppression | None:
    if is_open(alert):
        return None
    if alert.id not in firing:
        return _flapped(alert) or Suppression(Superseded.NEVER_TOLD, "")
    return None if send_resolved else Suppression(Superseded.SEND_RESOLVED_OFF, "")


def _flapped(alert: Alert) -> Suppression | None:
    return Suppression(Superseded.FLAPPING, alert.fingerprint) if alert.flapping_since is not None else None


def _quoted(value: str) -> str:
    """As Go's %q writes it."""
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
