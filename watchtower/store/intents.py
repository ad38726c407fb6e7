"""From a decision about a notice to the intent to send it: what is read for the one, and what is written of the other.

Every function is part of the transaction of a claim (`store.outbox`).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

from sqlalchemy import Connection, func, select, update

from watchtower.model.alert import TransitionKind
from watchtower.model.delivery import Content, Decision, Ending, Situation, Superseded, Suppression, Terms, Work
from watchtower.store import alerts, caps, conversations, dialect, flapping, groups, notices, silences
from watchtower.store.audit import Entry
from watchtower.store.notices import Hand
from watchtower.store.schema.alerting import obligations
from watchtower.store.statements import any_of, given, prepared

PLANNED_QUIET = frozenset({Superseded.SILENCED, Superseded.MAINTENANCE, Superseded.INHIBITED, Superseded.MUTED})
Keep = Callable[[Connection, Entry], object]  # writes an entry of the audit, in the same transaction

_TAKE_UP = prepared(
    update(obligations)
    .where(
        obligations.c.group_id == given("of_group"),
        obligations.c.destination == given("of_destination"),
        obligations.c.state == notices.DUE,
        obligations.c.alert_id.in_(any_of("alert_ids")),
    )
    .values(
        state=notices.SENDING,
        notice_id=given("to_notice"),
        updated_at=given("now"),
        attempts=obligations.c.attempts + given("counted"),
    )
)
_ATTEMPT = prepared(
    update(obligations)
    .where(obligations.c.notice_id == given("of_notice"), obligations.c.state == notices.SENDING)
    .values(attempts=obligations.c.attempts + 1)
)


def situation(hand: Hand) -> Situation:
    talk = hand.conversation()
    return Situation(
        conversation=talk,
        silences=silences.active(hand.connection, hand.now),
        sources=lambda: alerts.firing_sources(hand.connection),
        frozen=hand.content() if hand.row.frozen else None,
        sent=cache(lambda: caps.sent_by(hand.connection, hand.row, talk.planned, hand.now)),
        flapping=cache(lambda: flapping.spells(hand.connection, talk.alerts, hand.row.destination, hand.now)),
    )


def keep_quiet(hand: Hand, still_quiet: Sequence[tuple[str, Suppression]]) -> None:
    """One cause of silence has ended and another one goes on: the end of that one must wake the group."""
    for alert_id, why in still_quiet:
        mine = (
            obligations.c.group_id == hand.group.id,
            obligations.c.destination == hand.row.destination,
            obligations.c.alert_id == alert_id,
            obligations.c.transition == TransitionKind.FIRING,
        )
        last = select(func.max(obligations.c.occasion)).where(*mine).scalar_subquery()
        hand.connection.execute(
            update(obligations)
            .where(*mine, obligations.c.state == notices.SUPERSEDED, obligations.c.occasion == last)
            .values(reason=why.reason.value, suppressed_by=why.by or None, updated_at=hand.now)
        )


def end(hand: Hand, endings: Sequence[Ending], keep: Keep | None) -> None:
    """Obligations that need no notice of their own. What was kept quiet by what people planned is audited, too."""
    notices.end(hand.connection, endings, hand.now)
    if keep is None:
        return
    planned: dict[Suppression, list[str]] = defaultdict(list)
    for ending in endings:
        if ending.why.reason in PLANNED_QUIET:
            planned[ending.why].append(ending.obligation_id)
    for why, ids in planned.items():
        said = {"reason": why.reason.value, "by": why.by, "destination": hand.row.destination, "obligations": ids}
        keep(hand.connection, Entry(hand.now, "system", "alert.suppressed", f"group:{hand.group.id}", after=said))


def write(hand: Hand, decision: Decision, content: Content, terms: Terms) -> Work:
    """Write down what is about to be sent; from here on it may have been. After a restore it is looked up first: it may
    have been sent in the life that followed the backup."""
    take_up(hand, decision, content)
    attempts = hand.row.attempts + 1
    look_first = bool(hand.row.look_first)
    fence = hand.change(
        state=notices.SENDING,
        reason=content.reason.value,
        attempts=attempts,
        first_attempt_at=hand.row.first_attempt_at or hand.now,
        attempted_at=hand.now,
        lease_until=hand.now + timedelta(seconds=terms.lease_s),
        not_before=None,
        look_first=None,
        content=conversations.content_document(content),
    )
    return Work(hand.notice(content, attempts), fence, hand.version, check=look_first, unknowns=hand.row.unknowns)


def take_up(hand: Hand, decision: Decision, content: Content) -> None:
    """All that is owed for the alerts shown is now this notice's; of what it repeats unchanged it is so already."""
    mine = {
        "of_group": hand.group.id,
        "of_destination": hand.row.destination,
        "to_notice": hand.row.id,
        "now": hand.now,
    }
    # At a notice's first attempt nothing is its own but what it takes up now.
    is_first = hand.row.attempts == 0 and not hand.row.frozen and not decision.renewed
    if not hand.row.frozen:
        for some in dialect.chunks([alert.id for alert in content.alerts]):
            _TAKE_UP.run(hand.connection, mine | {"alert_ids": some, "counted": int(is_first)})
        _renew(hand, decision.renewed)
    if not is_first:
        _ATTEMPT.run(hand.connection, {"of_notice": hand.row.id})


def _renew(hand: Hand, alert_ids: Sequence[str]) -> None:
    """Owe alerts again whose obligation had ended without being told."""
    if not alert_ids:
        return
    last = (
        select(obligations.c.alert_id, func.max(obligations.c.occasion).label("occasion"))
        .where(
            obligations.c.group_id == hand.group.id,
            obligations.c.destination == hand.row.destination,
            obligations.c.transition == TransitionKind.FIRING,
            obligations.c.alert_id.in_(alert_ids),
        )
        .group_by(obligations.c.alert_id)
    )
    occasions = {row.alert_id: row.occasion + 1 for row in hand.connection.execute(last)}
    place = ((hand.group.id, hand.group.group_key), hand.row.destination)
    rows = [
        groups.obligation(*place, alert_id, TransitionKind.FIRING, hand.now, occasion=occasions.get(alert_id, 0))
        | {"state": notices.SENDING, "notice_id": hand.row.id}
        for alert_id in alert_ids
    ]
    dialect.insert_new(hand.connection, obligations, rows)
