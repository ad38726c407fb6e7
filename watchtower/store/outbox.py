"""The outbox in the store: group timers become notices, and notices are claimed to be sent.

Every function here is part of one short transaction; nothing is sent in it. The intent to send (state `sending`, fence,
lease) is committed before a connection is made. How an attempt ended is written by `store.attempts`. What is decided
about groups and notices is decided by pure functions handed in by `alerting` (docs/delivery.md).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from watchtower.model.delivery import Agenda, Conversation, Decide, DecideFlush, Decision, Rush, Superseded, Terms, Work
from watchtower.model.incident import is_open, urgency
from watchtower.model.labels import party_of
from watchtower.store import alerts, conversations, due, groups, intents, notices, riders
from watchtower.store.intents import Keep
from watchtower.store.notices import Hand, lane
from watchtower.store.schema.alerting import groups as group_rows
from watchtower.store.schema.alerting import notices as notices_table
from watchtower.store.schema.observed import due as due_rows
from watchtower.store.statements import Row, any_of, given, prepared
from watchtower.store.touched import Opened, Touched

_GROUPS = prepared(
    select(group_rows).where(group_rows.c.id.in_(any_of("ids"))).order_by(group_rows.c.id).with_for_update()
)
_FLUSHED = prepared(update(group_rows).where(group_rows.c.id.in_(any_of("ids"))).values(last_flush_at=given("now")))
_TIMERS = (due.GROUP, due.SILENCE, due.ACK, due.FLAP)
_NONE_OPENED: Mapping[str, Opened] = {}
_PER_CLAIM = 50  # notices of one transaction that may turn out to need no sending


def agenda(connection: Connection, destinations: Collection[str]) -> Agenda:
    """The next moments of all timers, and of what waits for destinations."""
    by_lane = {lane(destination): destination for destination in destinations}
    free_at = due.free_at(connection, [*_TIMERS, *by_lane])
    return Agenda(
        min((free_at[name] for name in _TIMERS if name in free_at), default=None),
        {by_lane[name]: at for name, at in free_at.items() if name in by_lane},
    )


def free_leases(connection: Connection, now: datetime) -> int:
    """End every lease now: for the only process of a store at its start, when whoever held them is dead. An attempt
    that was cut off waits for its provider's settle time only. The number of such attempts."""
    connection.execute(update(due_rows).where(due_rows.c.lease_until > now).values(lease_until=now))
    cut_off = update(notices_table).where(notices_table.c.state == notices.SENDING, notices_table.c.lease_until > now)
    count = connection.execute(cut_off.values(lease_until=now)).rowcount
    waiting = select(notices_table.c.destination, notices_table.c.group_hash).where(
        notices_table.c.state == notices.SENDING
    )
    for destination, group_hash in connection.execute(waiting).all():
        due.mark(connection, lane(destination), [group_hash], now)
    return count


def flush(connection: Connection, now: datetime, limit: int, holder: str, decide: DecideFlush) -> int:
    """Let up to limit due groups say what must be told; the number of groups."""
    claimed = due.claim(connection, due.GROUP, now, limit, holder, is_leased=False)
    if claimed:
        flush_claimed(connection, claimed, now, decide)
    return len(claimed)


def at_once(connection: Connection, touched: Touched, rush: Rush, *, keep: Keep | None = None) -> list[Work]:
    """Go on with those of these groups that are due, in the transaction that made them so: one notice for each
    destination that can take one, the intent to send it written. What is left over stays due."""
    claimed = due.claim(
        connection, due.GROUP, rush.now, len(touched), rush.holder, among=touched.keys(), is_leased=False
    )
    if not claimed:
        return []
    works: list[Work] = []
    opened = {item.subject: here for item in claimed if (here := touched[item.subject]) is not None}
    for destination, told in flush_claimed(connection, claimed, rush.now, rush.flush, opened).items():
        way = rush.way(destination)
        if way is not None:
            _, work = claim(connection, destination, rush.now, way.terms, way.decide, keep=keep, told=told)
            works += [] if work is None else [work]
    return works


@dataclass(frozen=True, slots=True)
class _Known:
    """Of a group that this transaction has opened and flushed: its row, and its conversation with one destination."""

    group: Row
    talk: Conversation


def flush_claimed(
    connection: Connection,
    claimed: Sequence[due.Claimed],
    now: datetime,
    decide: DecideFlush,
    opened: Mapping[str, Opened] = _NONE_OPENED,
) -> dict[str, dict[str, _Known | None]]:
    """Let groups whose due rows are in hand say what must be told; by destination and hash the groups that have
    something new for it. opened: those of them that this transaction has opened, by id."""
    read = [item.subject for item in claimed if item.subject not in opened]
    rows = [*(each.row for each in opened.values()), *(_GROUPS.all(connection, {"ids": read}) if read else ())]
    groups.begin_escalations(connection, [row for row in rows if row.id not in opened], now)
    held = conversations.load(connection, rows, opened)
    next_moments: dict[str, datetime | None] = {}
    told: dict[str, dict[str, _Known | None]] = defaultdict(dict)
    for row in rows:
        decision = decide(held[row.id], now)
        notices.end(connection, decision.endings, now)
        places = [(row.id, destination) for destination, _ in decision.notices]
        conversations.open_rows(connection, places, {row.id: row.group_hash}, now)
        alerts_held = [alert for talk in held[row.id] for alert in talk.alerts]
        party = party_of(alerts_held[0].labels if alerts_held else row.labels)
        place = due.Place(urgency(alert for alert in alerts_held if is_open(alert)), party)
        for destination, reason in decision.notices:
            notices.add(connection, row, destination, reason, now, among=place)
            told[destination][row.group_hash] = None
            if row.id in opened and not decision.endings:
                talk = next(each for each in held[row.id] if each.planned.destination == destination)
                told[destination][row.group_hash] = _Known(row, replace(talk, waiting=True, opened_at=now))
        next_moments[row.id] = decision.next_at
    _FLUSHED.run(connection, {"ids": [row.id for row in rows], "now": now})
    # Whoever was told of nothing yet has nothing to let go of.
    groups.leave(connection, [row.id for row in rows if row.closed_at is None and row.last_flush_at is not None], now)
    due.settle(
        connection, due.GROUP, [(item.subject, item.version, next_moments.get(item.subject)) for item in claimed]
    )
    closed = {row.id for row in rows if row.closed_at is not None}
    due.drop_idle(connection, due.GROUP, [item.subject for item in claimed if item.subject in closed])
    return told


def claim(
    connection: Connection,
    destination: str,
    now: datetime,
    terms: Terms,
    decide: Decide,
    *,
    keep: Keep | None = None,
    told: Mapping[str, _Known | None] | None = None,
) -> tuple[int, Work | None]:
    """Take the next notice of destination that must be sent or looked up, and commit to it. keep: the audit; told: by
    hash the only groups that are meant, as this transaction has just flushed them; None: any.

    Answers how many due rows were handled, and the work. Silences, inhibitions and time intervals are judged here, in
    the transaction that decides to send. (0, None): nothing is due.
    """
    for handled in range(1, _PER_CLAIM + 1):
        among = None if told is None else told.keys()
        claimed = due.claim(connection, lane(destination), now, 1, terms.holder, lease_s=terms.lease_s, among=among)
        if not claimed:
            return handled - 1, None
        known = told.get(claimed[0].subject) if told and handled == 1 else None
        work = _Claim(connection, destination, claimed[0], now, terms, keep, known).take(decide)
        if work is not None:
            return handled, work
    return _PER_CLAIM, None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claimed row of a destination's lane."""

    connection: Connection
    destination: str
    item: due.Claimed
    now: datetime
    terms: Terms
    keep: Keep | None
    known: _Known | None = None

    def take(self, decide: Decide) -> Work | None:
        row = notices.first_open(self.connection, self.item.subject, self.destination)
        # An earlier episode of the same group may still have something to tell, and goes first.
        known = self.known if self.known is not None and row and row.group_id == self.known.group.id else None
        if known is not None:
            group: Row | None = known.group
        else:
            group = conversations.group_row(self.connection, row.group_id) if row is not None else None
        if row is None or group is None:
            due.finish(self.connection, lane(self.destination), self.item.subject, self.item.version)
            return None
        hand = Hand(self.connection, row, group, self.item.version, self.now, known.talk if known else None)
        if row.rides is not None:
            self._ride(hand, decide)
            return None
        if row.state == notices.SENDING:
            _find_abandoned(hand, self.terms)
            return None
        if row.not_before is not None and row.not_before > self.now:
            hand.settle(row.not_before)
            return None
        if row.outcome_unknown:
            made = hand.notice(hand.content(), row.attempts)
            return Work(made, hand.change(), self.item.version, check=True, unknowns=row.unknowns)
        return self._carry_out(hand, decide, decide(intents.situation(hand), self.now))

    def _ride(self, hand: Hand, decide: Decide) -> None:
        lead = riders.turn(hand)
        if lead is None:
            return
        decision = decide(replace(intents.situation(hand), sent=lambda: riders.NOTHING), self.now)
        content = riders.told_by(lead, decision.content)
        if content is None:
            riders.go_alone(hand)
        else:
            riders.arrive(hand, lead, decision, content, self.keep)

    def _carry_out(self, hand: Hand, decide: Decide, decision: Decision) -> Work | None:
        intents.end(hand, decision.endings, self.keep)
        intents.keep_quiet(hand, decision.still_quiet)
        groups.start_over(self.connection, hand.group.id, decision.start_over)
        if decision.raises is not None:
            alerts.raise_once(self.connection, decision.raises, self.now)
        if decision.wake_at is not None:
            due.mark(self.connection, due.GROUP, [hand.group.id], decision.wake_at)
        if decision.postpone_until is not None:
            riders.let_go(hand)
            hand.change(not_before=decision.postpone_until)
            hand.settle(decision.postpone_until)
            return None
        if decision.content is None:
            _give_way(hand, decision)
            return None
        content = decision.content
        if decision.gathers and not hand.row.look_first:
            content = riders.gather(hand, content)
        elif not hand.row.frozen:  # else the same is said again, and stands for the same
            riders.let_go(hand)
        return intents.write(hand, decision, content, self.terms)


def _give_way(hand: Hand, decision: Decision) -> None:
    """Nothing is to be sent. If the destination may know it all the same, its end is told to it."""
    if decision.assume_told:
        hand.close_obligations(notices.SUPERSEDED, reason=Superseded.RESOLVED_BEFORE_NOTICE.value)
        where = (hand.group.id, hand.row.destination)
        conversations.note_told(hand.connection, where, hand.content(), hand.now, None)
        due.mark(hand.connection, due.GROUP, [hand.group.id], hand.now)
    riders.let_go(hand)
    hand.change(state=notices.SUPERSEDED)
    hand.go_on()


def _find_abandoned(hand: Hand, terms: Terms) -> None:
    """An attempt's lease ran out: its process died or stood still. Nobody knows whether the provider has the notice;
    what was sent in the last moment of the lease can stay invisible for the settle time after it."""
    if hand.row.lease_until > hand.now:
        hand.settle(hand.row.lease_until)
        return
    visible_at = hand.row.lease_until + timedelta(seconds=terms.settle_s)
    hand.change(
        state=notices.DUE,
        outcome_unknown=True,
        unknowns=hand.row.unknowns + 1,
        not_before=visible_at,
        error_reason="unknown",
        error="the sender stopped before the outcome was known",
    )
    hand.settle(max(hand.now, visible_at))
