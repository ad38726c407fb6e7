"""Notices as rows: one in hand during its transaction, and the few ways in which its row and its obligations change.

Every change gives the notice a new fence, so that whoever held it before cannot write about it any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select, update

from watchtower.model.alert import Notice, NoticeReason, ObligationState, Receipt
from watchtower.model.delivery import Content, Conversation, Ending, episode_key, told_again_after
from watchtower.model.incident import IncidentEvent, is_open, since
from watchtower.model.run import stable_id
from watchtower.store import conversations, due
from watchtower.store.conversations import OPEN_NOTICE
from watchtower.store.incidents import note
from watchtower.store.schema.alerting import groups, incidents, notices, obligations
from watchtower.store.statements import Row, change, given, prepared

DUE = ObligationState.DUE.value
SENDING = ObligationState.SENDING.value
DELIVERED = ObligationState.DELIVERED.value
SUPERSEDED = ObligationState.SUPERSEDED.value
DEAD = ObligationState.DEAD_LETTER.value

_HERE = and_(notices.c.destination == given("destination"), notices.c.group_hash == given("group_hash"))
_FIRST_OPEN = prepared(
    select(notices)
    .where(_HERE, notices.c.state.in_(OPEN_NOTICE))
    .order_by(notices.c.position, notices.c.id)
    .limit(1)
    .with_for_update()
)
_INCIDENT = prepared(
    select(incidents.c.acknowledged_at, incidents.c.acknowledged_by, incidents.c.ack_until).where(
        incidents.c.id == given("incident_id")
    )
)
_LAST = prepared(
    select(
        select(func.coalesce(func.max(notices.c.seq), 0))
        .where(notices.c.group_id == given("group_id"), notices.c.destination == given("destination"))
        .scalar_subquery()
        .label("seq"),
        select(func.coalesce(func.max(notices.c.position), 0)).where(_HERE).scalar_subquery().label("position"),
    )
)
_INSERT = prepared(notices.insert())


def lane(destination: str) -> str:
    """One lane of the due queue for each destination, so that a slow one never stands before another."""
    return f"{due.DELIVER}:{destination}"


@dataclass(frozen=True, slots=True)
class Hand:
    """A notice in hand within a transaction, its group's row locked. version: of its claimed row in the due queue;
    talk: its conversation, where this transaction knows it already."""

    connection: Connection
    row: Row
    group: Row
    version: int
    now: datetime
    talk: Conversation | None = None

    def change(self, **values: Any) -> int:
        """Change the notice; its new fence."""
        fence: int = self.row.fence + 1
        change(self.connection, notices, {"id": self.row.id}, fence=fence, updated_at=self.now, **values)
        return fence

    def settle(self, at: datetime) -> None:
        """Not now, but at `at`."""
        due.settle(self.connection, lane(self.row.destination), [(self.group.group_hash, self.version, at)])

    def go_on(self) -> None:
        """The notice has ended: the next one of the conversation, if there is one, may go."""
        following = first_open(self.connection, self.group.group_hash, self.row.destination)
        name = lane(self.row.destination)
        if following is not None:
            due.settle(self.connection, name, [(self.group.group_hash, self.version, self.now)])
        else:
            due.finish(self.connection, name, self.group.group_hash, self.version)

    def conversation(self) -> Conversation:
        if self.talk is not None:
            return self.talk
        found = conversations.load(self.connection, [self.group])[self.group.id]
        return next(item for item in found if item.planned.destination == self.row.destination)

    def content(self) -> Content:
        return conversations.content_of(self.row.content)

    def close_obligations(self, state: str, *, provider_id: str | None = None, reason: str | None = None) -> None:
        """What the notice had taken up ends."""
        taken = {"notice_id": self.row.id, "state": SENDING}
        change(
            self.connection, obligations, taken,
            state=state, provider_id=provider_id, reason=reason, updated_at=self.now,
        )  # fmt: skip

    def note_told(self, receipt: Receipt, content: Content | None = None) -> None:
        """The destination knows what the notice says (content: where its row does not have it yet); receipt is its
        proof."""
        content, group = content or self.content(), self.group
        where = (group.id, self.row.destination)
        told = conversations.note_told(self.connection, where, content, self.now, receipt)
        document = group.plan[self.row.destination]
        if told.firing and group.closed_at is None and not document.get("retired"):
            again = self.now + told_again_after(conversations.planned_of(document))
            due.mark(self.connection, due.GROUP, [group.id], again)
        if group.incident_id is not None and content.reason is not NoticeReason.ACKNOWLEDGED:
            text = f"{self.row.destination} was told ({content.reason.value.replace('_', ' ')}): {receipt.provider_id}"
            note(self.connection, group.incident_id, IncidentEvent(self.now, "told", text))

    def hand_back(self) -> None:
        """What the notice had taken up is owed again; its next attempt shows the group as it then stands."""
        taken = {"notice_id": self.row.id, "state": SENDING}
        change(self.connection, obligations, taken, state=DUE, updated_at=self.now)

    def notice(self, content: Content, attempt: int) -> Notice:
        row, group = self.row, self.group
        ref, previous = conversations.refs(self.connection, group, row.destination, self.now)
        return Notice(
            id=row.id,
            key=row.key,
            episode_key=episode_key(group.id, row.destination),
            group_hash=group.group_hash,
            destination=row.destination,
            receiver=row.receiver,
            reason=content.reason,
            seq=row.seq,
            attempt=attempt,
            first_attempt_at=row.first_attempt_at or self.now,
            now=self.now,
            group_labels=group.labels,
            alerts=content.alerts,
            incident_id=group.incident_id,
            ref=ref,
            previous_ref=previous,
            external_url="",
            group_key=group.group_key,
            acknowledged_by=self._who_has(content),
            others=content.others,
        )

    def _who_has(self, content: Content) -> str | None:
        """The actor who has all that fires, for a destination that shows it."""
        planned: Mapping[str, Any] = self.group.plan.get(self.row.destination, {})
        if not planned.get("shows_acks") or self.group.incident_id is None:
            return None
        incident = _INCIDENT.first(self.connection, {"incident_id": self.group.incident_id})
        if incident is None or incident.acknowledged_at is None or incident.ack_until is None:
            return None
        news = [alert for alert in content.alerts if is_open(alert) and since(alert) > incident.acknowledged_at]
        return None if news else str(incident.acknowledged_by)


def first_open(connection: Connection, group_hash: str, destination: str) -> Row | None:
    """The only notice of the conversation that may be sent now."""
    return _FIRST_OPEN.first(connection, {"group_hash": group_hash, "destination": destination})


def add(
    connection: Connection, group: Row, destination: str, reason: NoticeReason, now: datetime, *, among: due.Place
) -> None:
    """Queue a notice. What it says is decided when it is claimed. among: its place among what waits for destination."""
    place = {"group_id": group.id, "group_hash": group.group_hash, "destination": destination}
    last = _LAST.one(connection, place)
    seq: int = last.seq + 1
    key = f"{episode_key(group.id, destination)}-{seq}"
    row = {
        **place,
        "id": stable_id("notice", key),
        "position": last.position + 1,
        "receiver": group.receiver,
        "person": _wakes(group, destination),
        "seq": seq,
        "state": DUE,
        "reason": reason.value,
        "key": key,
        "attempts": 0,
        "outcome_unknown": False,
        "unknowns": 0,
        "frozen": False,
        "look_first": group.restored,
        "fence": 0,
        "duplicates": 0,
        "created_at": now,
        "updated_at": now,
    }
    _INSERT.run(connection, row)
    due.mark_ranked(connection, lane(destination), group.group_hash, now, among)


def _wakes(group: Row, destination: str) -> str | None:
    """The person whose telephone this is."""
    planned: Mapping[str, Any] = group.plan.get(destination, {})
    return planned.get("person") if planned.get("daily_cap") is not None else None


def end(connection: Connection, endings: Sequence[Ending], now: datetime) -> None:
    """Obligations that need no notice of their own."""
    if not endings:
        return
    connection.execute(
        update(obligations)
        .where(obligations.c.id == bindparam("b_id"), obligations.c.state == DUE)
        .values(state=SUPERSEDED, reason=bindparam("b_reason"), suppressed_by=bindparam("b_by"), updated_at=now),
        [
            {"b_id": ending.obligation_id, "b_reason": ending.why.reason.value, "b_by": ending.why.by or None}
            for ending in endings
        ],
    )


def told(connection: Connection, incident_id: str) -> list[Notice]:
    """The notices of an incident that were delivered, oldest first, each with the content that was sent."""
    members = select(groups).where(groups.c.incident_id == incident_id)
    held = {group.id: group for group in connection.execute(members)}
    query = (
        select(notices)
        .where(notices.c.group_id.in_(held), notices.c.state == DELIVERED)
        .order_by(notices.c.first_attempt_at, notices.c.position, notices.c.id)
    )
    hands = [
        Hand(connection, row, held[row.group_id], 0, row.first_attempt_at or row.created_at)
        for row in connection.execute(query).all()
    ]
    return [hand.notice(hand.content(), hand.row.attempts) for hand in hands]
