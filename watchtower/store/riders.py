"""Notices without a message of their own: one that is sent to the same person in the same way stands for them.

In a storm the last message of a person's budget takes along what waits for that person (`alerting.storms`). Each of
these rides with it: its obligations are `sending` while that one is under way, end as delivered with that one's proof,
or are owed again if it did not arrive. Groups that somebody else has locked are passed by, so nothing waits here.
"""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from watchtower.model.alert import Receipt
from watchtower.model.delivery import Content, Decide, Sent, Terms
from watchtower.model.incident import is_open
from watchtower.store import caps, conversations, due, groups, intents, notices
from watchtower.store.intents import Keep
from watchtower.store.notices import DELIVERED, DUE, SENDING, Hand, lane
from watchtower.store.schema.alerting import groups as group_rows
from watchtower.store.schema.alerting import notices as rows
from watchtower.store.statements import Row, given, prepared

MOST = 500  # that one message stands for; what is beyond waits for the next one
LOOKS_AGAIN = timedelta(seconds=5)  # a rider whose turn comes while its lead is under way
NOTHING = Sent()

_WAITING = prepared(
    select(rows)
    .where(
        rows.c.person == given("person"),
        rows.c.destination.like(given("method")),
        rows.c.id != given("lead"),
        rows.c.state == DUE,
        rows.c.outcome_unknown.is_(False),
        rows.c.frozen.is_(False),
        rows.c.rides.is_(None),
        rows.c.look_first.is_not(True),  # it may have been told in the life after a backup
    )
    .order_by(rows.c.created_at, rows.c.id)
    .limit(MOST)
    .with_for_update(skip_locked=True)
)
_GROUP = prepared(select(group_rows).where(group_rows.c.id == given("group_id")).with_for_update(skip_locked=True))
_RIDERS = prepared(select(rows).where(rows.c.rides == given("lead"), rows.c.state == SENDING).order_by(rows.c.id))
_LEAD = prepared(select(rows).where(rows.c.id == given("lead")))


def gather(lead: Hand, content: Content, decide: Decide, terms: Terms, keep: Keep | None) -> Content:
    """Let what waits for the same person ride with lead; content with how much that is."""
    asked = {"person": lead.row.person, "method": caps.like_method(lead.row.destination), "lead": lead.row.id}
    taken = [_taken(lead, row, decide, terms, keep) for row in _WAITING.all(lead.connection, asked)]
    riding = [alerts for alerts in taken if alerts is not None]
    return replace(content, others=(sum(riding), len(riding)))


def _taken(lead: Hand, row: Row, decide: Decide, terms: Terms, keep: Keep | None) -> int | None:
    """How many alerts that fire the notice of row shows, which rides from now on; None: it does not."""
    group = _GROUP.first(lead.connection, {"group_id": row.group_id})
    if group is None:
        return None
    first = notices.first_open(lead.connection, group.group_hash, row.destination)
    if first is None or first.id != row.id:
        return None
    hand = Hand(lead.connection, row, group, 0, lead.now)
    decision = decide(replace(intents.situation(hand), sent=lambda: NOTHING), lead.now)
    if decision.content is None:
        return None
    intents.end(hand, decision.endings, keep)
    intents.keep_quiet(hand, decision.still_quiet)
    groups.start_over(hand.connection, group.id, decision.start_over)
    intents.write(hand, decision, decision.content, terms, rides=lead.row.id)
    return sum(map(is_open, decision.content.alerts))


def delivered(lead: Hand, receipt: Receipt) -> None:
    """What rode with lead has arrived with it."""
    for hand in _riders(lead):
        _arrived(hand, receipt.provider_id)
        due.mark(hand.connection, lane(hand.row.destination), [hand.group.group_hash], hand.now)


def let_go(lead: Hand) -> None:
    """lead did not arrive, or says something else next time: what rode with it is owed for itself again."""
    for hand in _riders(lead):
        _let_go(hand)
        due.mark(hand.connection, lane(hand.row.destination), [hand.group.group_hash], hand.now)


def follow(hand: Hand) -> None:
    """A rider's own turn: it waits for the end of its lead, or finds that the lead has ended without it."""
    lead = _LEAD.first(hand.connection, {"lead": hand.row.rides})
    if lead is not None and lead.state == DELIVERED:
        _arrived(hand, lead.provider_id)
        hand.go_on()
    elif lead is not None and (lead.state == SENDING or (lead.state == DUE and (lead.outcome_unknown or lead.frozen))):
        hand.settle(hand.now + LOOKS_AGAIN)
    else:
        _let_go(hand)
        hand.settle(hand.now)


def _riders(lead: Hand) -> list[Hand]:
    if lead.content().others == (0, 0):
        return []
    found: list[Hand] = []
    for row in _RIDERS.all(lead.connection, {"lead": lead.row.id}):
        group = conversations.group_row(lead.connection, row.group_id)
        if group is not None:
            found.append(Hand(lead.connection, row, group, 0, lead.now))
    return found


def _arrived(hand: Hand, provider_id: str) -> None:
    hand.change(state=DELIVERED, provider_id=provider_id, error_reason=None, error=None)
    hand.close_obligations(DELIVERED, provider_id=provider_id)
    hand.note_told(Receipt(provider_id))


def _let_go(hand: Hand) -> None:
    hand.change(state=DUE, rides=None, attempts=0, first_attempt_at=None, attempted_at=None, not_before=None)
    hand.hand_back()
