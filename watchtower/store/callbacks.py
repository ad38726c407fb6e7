"""What providers call back with, written down: each act and report once, with what came of it for its incident.

Every function that writes is part of one short transaction, with the audit entry of what a person did. The believing
and reading of callbacks is done by hooks (`ports.Hook`), before any of this.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select, update

from watchtower.model.alert import Incident, IncidentStatus, Notice
from watchtower.model.hook import Acknowledge, HookResult, Outcome, Reply, Report, reference
from watchtower.model.incident import IncidentEdit, IncidentEvent
from watchtower.store import dialect, incidents
from watchtower.store.conversations import content_of
from watchtower.store.database import Database
from watchtower.store.groups import planned_of
from watchtower.store.notices import DELIVERED, SENDING, Hand
from watchtower.store.schema.alerting import callbacks, groups, notices

REPLY_WITHIN = timedelta(days=2)  # to a text; older ones are no longer what anybody means
_CHOICES = 3
_NOTICES = 500  # that are looked through for a reply

Change = Callable[[str], IncidentEdit]  # actor → what acknowledging does to the incident


@dataclass(frozen=True, slots=True)
class Acted:
    """result: for the answer; before, actor: for the audit entry, None where nothing was changed."""

    result: HookResult
    before: Incident | None = None
    actor: str = ""


def acknowledge(connection: Connection, act: Acknowledge, now: datetime, change: Change) -> Acted:
    """Somebody has it. A key pressed for an episode that is over acknowledges nothing that came after it."""
    known = _earlier(connection, act.event)
    if known is not None:
        return _repeated(connection, known)
    incident_id, actor = act.incident_id, act.by
    if act.notice_id:
        row = _notice_row(connection, act.notice_id)
        if row is None:
            return Acted(HookResult(Outcome.UNKNOWN))
        if row.closed_at is not None:
            return Acted(HookResult(Outcome.OVER, _incident(connection, row.incident_id)))
        incident_id, actor = row.incident_id or "", _actor(row, act.by)
    return _take(connection, _Meant(act.event, incident_id, act.notice_id, actor), now, change)


def reply(connection: Connection, act: Reply, now: datetime, change: Change) -> Acted:
    """Somebody answered a text. Whatever comes of it is kept: the same text once more must not mean something else."""
    known = _earlier(connection, act.event)
    if known is not None:
        return _repeated(connection, known)
    rows = _told(connection, act.destinations, now - REPLY_WITHIN)
    meant = [row for row in rows if reference(row.key) == act.code] if act.code else rows
    still = [row for row in meant if row.closed_at is None]
    open_ = {row.incident_id: row for row in reversed(still)}  # of each incident the newest notice
    held = {ident: found for ident in open_ if (found := incidents.get(connection, ident)) is not None}
    waiting = [ident for ident, one in held.items() if one.status is IncidentStatus.TRIGGERED]
    chosen = waiting or ([*held] if act.code else [])
    if len(chosen) == 1:
        row = open_[chosen[0]]
        return _take(connection, _Meant(act.event, chosen[0], row.id, _actor(row, act.by)), now, change)
    result = _unclear(open_, held, chosen, told=bool(meant))
    _keep(connection, act.event, "", result, now)
    return Acted(result)


def report(connection: Connection, act: Report, now: datetime) -> Acted:
    """What became of a message or call. A later report counts more than an earlier one, whenever they come in."""
    row = _notice_row(connection, act.notice_id)
    if row is None:
        return Acted(HookResult(Outcome.UNKNOWN))
    newest = _newest_sequence(connection, act.provider_id)
    result = HookResult(Outcome.RECORDED, notice=_notice(connection, row, now))
    event = f"{act.provider_id}/{act.status}"
    if not _keep(connection, event, row.id, result, now, sequence=act.sequence):
        return Acted(HookResult(Outcome.REPEATED))
    if act.text and row.incident_id:
        kind = "not_reached" if act.failed else "reached"
        text = f"{row.destination}: {act.text}"
        incidents.note(connection, row.incident_id, IncidentEvent(act.at, kind, text))
    overtaken = act.sequence is not None and newest is not None and act.sequence < newest
    if overtaken:
        return Acted(HookResult(Outcome.OVER))
    if act.failed and row.state == DELIVERED:  # the ledger shows it beside the proof that the provider had taken it
        connection.execute(update(notices).where(notices.c.id == row.id).values(error=act.text, updated_at=now))
    return Acted(result)


def recall(connection: Connection, notice_id: str, now: datetime) -> HookResult:
    """What a notice said, for whoever wants to hear it again."""
    row = _notice_row(connection, notice_id)
    if row is None:
        return HookResult(Outcome.UNKNOWN)
    incident = _incident(connection, row.incident_id)
    outcome = Outcome.RECORDED if row.closed_at is None else Outcome.OVER
    return HookResult(outcome, incident, _notice(connection, row, now))


class SqlProofs:
    """Implements ports.Proofs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def named(self, notice_id: str) -> Sequence[str]:
        query = (
            select(callbacks.c.provider_id)
            .where(callbacks.c.notice_id == notice_id)
            .order_by(callbacks.c.at, callbacks.c.id)
        )
        with self._database.read() as connection:
            return list(dict.fromkeys(connection.execute(query).scalars()))

    def foreign(self, provider_ids: Collection[str], notice_id: str) -> frozenset[str]:
        ids = sorted(provider_ids)
        reported = select(callbacks.c.provider_id).where(
            callbacks.c.provider_id.in_(ids), callbacks.c.notice_id.not_in(("", notice_id))
        )
        receipts = [receipt_id(ident) for ident in ids]
        delivered = select(notices.c.provider_id).where(notices.c.provider_id.in_(receipts), notices.c.id != notice_id)
        with self._database.read() as connection:
            found = {*connection.execute(reported).scalars()}
            found |= {name.partition(":")[2] for name in connection.execute(delivered).scalars()}
        return frozenset(found)


def receipt_id(provider_id: str) -> str:
    """As a receipt of a channel names it."""
    return f"twilio:{provider_id}"


# -- parts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Meant:
    """Who takes which incident, told by which notice, in which callback."""

    event: str
    incident_id: str
    notice_id: str
    actor: str


def _take(connection: Connection, meant: _Meant, now: datetime, change: Change) -> Acted:
    before = _incident(connection, meant.incident_id)
    if before is None:
        return Acted(HookResult(Outcome.UNKNOWN))
    if before.status is IncidentStatus.RESOLVED:
        return Acted(HookResult(Outcome.OVER, before))
    if not _keep(connection, meant.event, meant.notice_id, HookResult(Outcome.RECORDED, before), now):
        return Acted(HookResult(Outcome.REPEATED, before))
    after = incidents.edit(connection, meant.incident_id, change(meant.actor))
    return Acted(HookResult(Outcome.RECORDED, after), before, meant.actor)


def _unclear(open_: dict[str, Row[Any]], held: dict[str, Incident], chosen: Sequence[str], *, told: bool) -> HookResult:
    """Nothing was acknowledged: why."""
    if len(chosen) > 1:
        choices = tuple((reference(open_[ident].key), held[ident].title) for ident in chosen[:_CHOICES])
        return HookResult(Outcome.AMBIGUOUS, choices=choices)
    if held:
        return HookResult(Outcome.ALREADY, next(iter(held.values())))
    return HookResult(Outcome.OVER if told else Outcome.UNKNOWN)


def _earlier(connection: Connection, event: str) -> Row[Any] | None:
    """What this very callback did when it came before."""
    return connection.execute(select(callbacks).where(callbacks.c.id == event)).first()


def _repeated(connection: Connection, known: Row[Any]) -> Acted:
    outcome = Outcome(known.outcome)
    shown = Outcome.REPEATED if outcome is Outcome.RECORDED else outcome
    return Acted(HookResult(shown, _incident(connection, known.incident_id)))


def _keep(
    connection: Connection,
    event: str,
    notice_id: str,
    result: HookResult,
    now: datetime,
    *,
    sequence: int | None = None,
) -> bool:
    """Remember a callback; False: another replica was faster."""
    provider_id, _, what = event.partition("/")
    row = {
        "id": event,
        "provider_id": provider_id,
        "notice_id": notice_id,
        "event": what,
        "sequence": sequence,
        "outcome": result.outcome.value,
        "incident_id": result.incident.id if result.incident else None,
        "at": now,
    }
    return dialect.insert_new(connection, callbacks, [row]) == 1


def _newest_sequence(connection: Connection, provider_id: str) -> int | None:
    query = (
        select(callbacks.c.sequence)
        .where(callbacks.c.provider_id == provider_id, callbacks.c.sequence.is_not(None))
        .order_by(callbacks.c.sequence.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


_OF_GROUP = (groups.c.incident_id, groups.c.closed_at, groups.c.plan)


def _notice_row(connection: Connection, notice_id: str) -> Row[Any] | None:
    """A notice with what its group says of it."""
    query = select(notices, *_OF_GROUP).join(groups, groups.c.id == notices.c.group_id)
    return connection.execute(query.where(notices.c.id == notice_id)).first()


def _told(connection: Connection, destinations: Collection[str], since: datetime) -> list[Row[Any]]:
    """Notices that these destinations have, or may have, newest first."""
    query = (
        select(notices, *_OF_GROUP)
        .join(groups, groups.c.id == notices.c.group_id)
        .where(
            notices.c.destination.in_(sorted(destinations)),
            or_(notices.c.state.in_((DELIVERED, SENDING)), notices.c.outcome_unknown),
            notices.c.created_at >= since,
            groups.c.incident_id.is_not(None),
        )
        .order_by(notices.c.created_at.desc(), notices.c.position.desc(), notices.c.id)
        .limit(_NOTICES)
    )
    return list(connection.execute(query))


def _notice(connection: Connection, row: Row[Any], now: datetime) -> Notice | None:
    """None while it has no content yet."""
    if row.content is None:
        return None
    group = connection.execute(select(groups).where(groups.c.id == row.group_id)).one()
    return Hand(connection, row, group, 0, now).notice(content_of(row.content), row.attempts)


def _actor(row: Row[Any], by: str) -> str:
    """The person whom the destination reaches, where its plan names one."""
    document = row.plan.get(row.destination)
    person = planned_of(document).person if document else None
    return f"person:{person}" if person else by


def _incident(connection: Connection, incident_id: str | None) -> Incident | None:
    return incidents.get(connection, incident_id) if incident_id else None
