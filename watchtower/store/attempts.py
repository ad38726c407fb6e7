"""How an attempt ended: delivered, failed for now, given up, or shown to have never arrived.

Only the holder of the newest fence may say so. Each function is part of one short transaction; False means that a newer
claim holds the notice and finds out by itself.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from watchtower.model.alert import NoticeReason, Receipt
from watchtower.model.delivery import Failure, Work, told_again_after
from watchtower.store import conversations, due, groups, riders
from watchtower.store.conversations import OPEN_NOTICE
from watchtower.store.notices import DEAD, DELIVERED, DUE, Hand, lane
from watchtower.store.schema.alerting import notices, obligations
from watchtower.store.statements import given, prepared

_HELD = prepared(
    select(notices)
    .where(notices.c.id == given("notice_id"), notices.c.fence == given("fence"), notices.c.state.in_(OPEN_NOTICE))
    .with_for_update()
)


def delivered(connection: Connection, work: Work, receipt: Receipt, now: datetime) -> bool:
    """The provider has it."""
    hand = _hold(connection, work, now)
    if hand is None:
        return False
    hand.change(
        state=DELIVERED,
        outcome_unknown=False,
        provider_id=receipt.provider_id,
        duplicates=hand.row.duplicates + receipt.duplicates,
        error_reason=None,
        error=None,
    )
    hand.close_obligations(DELIVERED, provider_id=receipt.provider_id)
    hand.note_told(receipt)
    riders.delivered(hand)
    hand.go_on()
    return True


def failed(connection: Connection, work: Work, failure: Failure, now: datetime) -> bool:
    """The provider has not taken it, or nobody knows. again_at None: it is given up and becomes a dead letter."""
    hand = _hold(connection, work, now)
    if hand is None:
        return False
    said: dict[str, Any] = {"error_reason": failure.reason.value, "error": failure.message}
    unknowns = hand.row.unknowns + (failure.unknown and not work.check)
    if failure.again_at is None:
        hand.change(state=DEAD, outcome_unknown=False, unknowns=unknowns, **said)
        hand.close_obligations(DEAD, reason=failure.reason.value)
        _plan_next_try(hand)
        riders.let_go(hand)
        hand.go_on()
        return True
    hand.change(state=DUE, outcome_unknown=failure.unknown, unknowns=unknowns, not_before=failure.again_at, **said)
    if not failure.unknown and not hand.row.frozen:
        hand.hand_back()
    hand.settle(failure.again_at)
    return True


def absent(connection: Connection, work: Work, now: datetime, *, keyed: bool) -> bool:
    """A look-up showed that the provider does not have it; or it folds repeats by key (keyed), so that the same content
    may and must be sent again under the same key. It is due again."""
    hand = _hold(connection, work, now)
    if hand is None:
        return False
    hand.change(state=DUE, outcome_unknown=False, frozen=keyed, not_before=None)
    if not keyed:
        hand.hand_back()
    hand.settle(now)
    return True


def replay(connection: Connection, notice_id: str, now: datetime) -> bool:
    """Let a dead letter be tried again with its key; its obligations are open again. False: it is not a dead letter.

    If what it says has been overtaken, it ends as superseded.
    """
    row = connection.execute(select(notices).where(notices.c.id == notice_id).with_for_update()).first()
    group = conversations.group_row(connection, row.group_id) if row is not None else None
    if row is None or group is None or row.state != DEAD:
        return False
    hand = Hand(connection, row, group, 0, now)
    hand.change(
        state=DUE, first_attempt_at=None, attempted_at=None, not_before=None, unknowns=0, error_reason=None, error=None
    )
    connection.execute(
        update(obligations)
        .where(obligations.c.notice_id == notice_id, obligations.c.state == DEAD)
        .values(state=DUE, reason=None, updated_at=now)
    )
    due.mark(connection, lane(row.destination), [group.group_hash], now)
    return True


def _hold(connection: Connection, work: Work, now: datetime) -> Hand | None:
    """The notice of work, if nobody has claimed it since."""
    row = _HELD.first(connection, {"notice_id": work.notice.id, "fence": work.fence})
    group = conversations.group_row(connection, row.group_id) if row is not None else None
    return Hand(connection, row, group, work.version, now) if row is not None and group is not None else None


def _plan_next_try(hand: Hand) -> None:
    """What still fires is told anew at the next repeat, in the hope that somebody mended the destination."""
    group, destination = hand.group, hand.row.destination
    conversations.tried(hand.connection, group.id, destination, NoticeReason(hand.row.reason), hand.now)
    if group.closed_at is None and destination in group.plan:
        again = hand.now + told_again_after(groups.planned_of(group.plan[destination]))
        due.mark(hand.connection, due.GROUP, [group.id], again)
