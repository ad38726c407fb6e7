"""Notices without a message of their own: one that is sent to the same person in the same way stands for them.

In a storm the last message of a person's budget takes along what waits for that person (`alerting.storms`). Each of
these rides with it until it has ended, however often it has to be tried: while nobody can be told, an attempt costs
what one group costs and not what all of them do. Once it has arrived each rider is judged at its own turn, as if it
were sent in that moment: what the message stood for is delivered with its proof, the rest ends for reasons of its own
or is owed to the next one.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import and_, distinct, exists, func, or_, select, update

from watchtower.model.alert import Alert, Receipt, TransitionKind
from watchtower.model.delivery import Content, Decision, Sent
from watchtower.model.incident import is_open, since
from watchtower.store import caps, conversations, due, groups, intents
from watchtower.store.alert_rows import OPEN
from watchtower.store.conversations import OPEN_NOTICE
from watchtower.store.intents import Keep
from watchtower.store.notices import DELIVERED, DUE, SENDING, Hand, lane
from watchtower.store.schema.alerting import alerts, group_alerts, obligations
from watchtower.store.schema.alerting import notices as rows
from watchtower.store.statements import Row, any_of, given, prepared

MOST = 500  # that one message stands for; what is beyond waits for the next one
LOOKS_AGAIN = timedelta(seconds=5)  # a rider whose turn comes while its lead is under way
WAITS_ON = timedelta(seconds=60)  # and after the next attempt of a lead that has to wait: it wakes its riders itself
NOTHING = Sent()

_EARLIER = rows.alias("earlier")
_IS_FIRST = ~exists().where(
    _EARLIER.c.group_hash == rows.c.group_hash,
    _EARLIER.c.destination == rows.c.destination,
    _EARLIER.c.state.in_(OPEN_NOTICE),
    or_(_EARLIER.c.position < rows.c.position, and_(_EARLIER.c.position == rows.c.position, _EARLIER.c.id < rows.c.id)),
)
# Members of its group that fire, and of which the destination has been told or is to be.
_HELD = and_(
    group_alerts.c.group_id == rows.c.group_id,
    group_alerts.c.left_at.is_(None),
    alerts.c.id == group_alerts.c.alert_id,
    alerts.c.state.in_(OPEN),
    exists().where(
        obligations.c.alert_id == alerts.c.id,
        obligations.c.group_id == rows.c.group_id,
        obligations.c.destination == rows.c.destination,
        obligations.c.transition == TransitionKind.FIRING,
        obligations.c.state.in_((DUE, SENDING, DELIVERED)),
    ),
)
_WAITING = prepared(
    select(rows.c.id)
    .where(
        rows.c.person == given("person"),
        rows.c.destination.like(given("method")),
        rows.c.id != given("lead"),
        rows.c.state == DUE,
        rows.c.outcome_unknown.is_(False),
        rows.c.frozen.is_(False),
        rows.c.rides.is_(None),
        rows.c.look_first.is_not(True),  # it may have been told in the life after a backup
        _IS_FIRST,
        exists().where(_HELD),
    )
    .order_by(rows.c.created_at, rows.c.id)
    .limit(MOST)
    .with_for_update(skip_locked=True)
)
_TAKE = prepared(
    update(rows)
    .where(rows.c.id.in_(any_of("ids")))
    .values(rides=given("with_lead"), fence=rows.c.fence + 1, updated_at=given("now"))
)
_LET_GO = prepared(
    update(rows)
    .where(rows.c.rides == given("with_lead"), rows.c.state == DUE)
    .values(rides=None, fence=rows.c.fence + 1, updated_at=given("now"))
)
_RIDING = prepared(
    select(rows.c.destination, rows.c.group_hash).where(rows.c.rides == given("lead"), rows.c.state == DUE)
)
_STANDS_FOR = prepared(
    select(func.count().label("alerts"), func.count(distinct(rows.c.id)).label("notices"))
    .select_from(rows, group_alerts, alerts)
    .where(rows.c.rides == given("lead"), rows.c.state == DUE, _HELD)
)
_LEAD = prepared(select(rows).where(rows.c.id == given("lead")))


def gather(lead: Hand, content: Content) -> Content:
    """Let what waits for the same person ride with lead, beside what does so already; content with how much that is."""
    asked = {"person": lead.row.person, "method": caps.like_method(lead.row.destination), "lead": lead.row.id}
    ids = list(_WAITING.scalars(lead.connection, asked))
    if ids:
        _TAKE.run(lead.connection, {"ids": ids, "with_lead": lead.row.id, "now": lead.now})
    found = _STANDS_FOR.one(lead.connection, {"lead": lead.row.id})
    return replace(content, others=(found.alerts, found.notices))


def delivered(lead: Hand) -> None:
    """It has arrived: each of its riders has its turn now."""
    _wake(lead)


def let_go(lead: Hand) -> None:
    """It ended without arriving, or says something else next time: what rode with it is owed for itself again."""
    if _wake(lead):
        _LET_GO.run(lead.connection, {"with_lead": lead.row.id, "now": lead.now})


def turn(hand: Hand) -> Row | None:
    """A rider's own turn: its lead, if that has arrived. Else it waits on, or goes by itself again."""
    lead = _LEAD.first(hand.connection, {"lead": hand.row.rides})
    if lead is not None and lead.state == DELIVERED:
        return lead
    if lead is not None and lead.state == SENDING:
        hand.settle(hand.now + LOOKS_AGAIN)
    elif lead is not None and lead.state == DUE:
        hand.settle(max(hand.now, lead.not_before or hand.now) + WAITS_ON)
    else:
        go_alone(hand)
    return None


def go_alone(hand: Hand) -> None:
    hand.change(rides=None)
    hand.settle(hand.now)


def told_by(lead: Row, content: Content | None) -> Content | None:
    """What of content lead stood for: what was so when it was sent; None: nothing."""
    if content is None:
        return None
    known = tuple(alert for alert in content.alerts if _was_so(alert, lead.attempted_at))
    return replace(content, alerts=known) if any(map(is_open, known)) else None


def arrive(hand: Hand, lead: Row, decision: Decision, content: Content, keep: Keep | None) -> None:
    """The notice was told by lead, whose proof is its own. What came since is looked at anew."""
    shown = {alert.id for alert in content.alerts}
    intents.end(hand, decision.endings, keep)
    intents.keep_quiet(hand, decision.still_quiet)
    groups.start_over(hand.connection, hand.group.id, decision.start_over)
    renewed = tuple(alert_id for alert_id in decision.renewed if alert_id in shown)
    intents.take_up(hand, replace(decision, renewed=renewed), content)
    hand.change(
        state=DELIVERED,
        reason=content.reason.value,
        attempts=1,
        first_attempt_at=lead.first_attempt_at,
        attempted_at=lead.attempted_at,
        not_before=None,
        content=conversations.content_document(content),
        provider_id=lead.provider_id,
        error_reason=None,
        error=None,
    )
    hand.close_obligations(DELIVERED, provider_id=lead.provider_id)
    hand.note_told(Receipt(lead.provider_id), content)
    if decision.content is not None and len(decision.content.alerts) > len(shown):
        due.mark(hand.connection, due.GROUP, [hand.group.id], hand.now)
    if decision.wake_at is not None:
        due.mark(hand.connection, due.GROUP, [hand.group.id], decision.wake_at)
    hand.go_on()


def _was_so(alert: Alert, at: datetime) -> bool:
    return since(alert) <= at if is_open(alert) else alert.ends_at is not None and alert.ends_at <= at


def _wake(lead: Hand) -> bool:
    """Whether there are any."""
    by_lane: dict[str, set[str]] = defaultdict(set)
    for destination, group_hash in _RIDING.all(lead.connection, {"lead": lead.row.id}):
        by_lane[lane(destination)].add(group_hash)
    for name, hashes in sorted(by_lane.items()):
        due.mark(lead.connection, name, hashes, lead.now)
    return bool(by_lane)
