"""Silences: what is kept quiet, by whom, for how long and why."""

from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import msgspec

from alerting import silences as silence_acts
from watchtower.errors import BadInput
from watchtower.model.alert import Silence
from watchtower.model.labels import OPERATORS, Matcher
from watchtower.server.endpoints import Call, ListQuery, Moment, not_found
from watchtower.store import incidents as incident_store
from watchtower.store import silences as silence_store
from watchtower.store.audit import Entry
from watchtower.store.database import Connection
from watchtower.store.reading import alerting


class MatcherItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """op: =, !=, =~ or !~; regular expressions are anchored."""

    name: str
    value: str
    op: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(OPERATORS)})] = "="


class SilenceItem(msgspec.Struct, frozen=True):
    """state: pending, active or expired."""

    id: str
    state: str
    matchers: list[MatcherItem]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    created_at: datetime
    updated_at: datetime


class SilenceList(msgspec.Struct, frozen=True):
    items: list[SilenceItem]
    next_cursor: str | None


class SilenceQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from and to: of ends_at. active: only those that hold now."""

    active: bool = False


class SilenceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """id: of a silence to change; without it a new one is made. starts_at: now, if left out. The author is whoever
    sends this."""

    matchers: list[MatcherItem]
    ends_at: Moment
    comment: str
    starts_at: Moment | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if any(instant is not None and instant.tzinfo is None for instant in (self.starts_at, self.ends_at)):
            raise ValueError("a time has no time zone; write 2026-03-02T08:00:00Z")


def list_silences(call: Call) -> SilenceList:
    """A principal of one team sees the silences of that team only."""
    query = call.asked(SilenceQuery)
    page = call.read(
        lambda c: alerting.list_silences(c, call.window(query), active_at=call.now if query.active else None)
    )
    shown = [silence for silence in page.items if is_of_team(silence.matchers, call.principal.team)]
    return SilenceList([_silence_item(silence, call.now) for silence in shown], page.next)


def get_silence(call: Call) -> SilenceItem:
    silence_id = call.path["id"]
    silence = call.read(lambda c: silence_store.get(c, silence_id))
    if silence is None or not is_of_team(silence.matchers, call.principal.team):
        raise not_found("silence", silence_id)
    return _silence_item(silence, call.now)


def put_silence(call: Call) -> SilenceItem:
    return put(call, call.sent(SilenceBody))


def put(call: Call, body: SilenceBody, incident_id: str | None = None) -> SilenceItem:
    """incident_id: of the incident in whose timeline it is told."""
    matchers = tuple(Matcher(item.name, item.op, item.value) for item in body.matchers)
    _check_team(matchers, call.principal.team)
    wanted = silence_acts.Wanted(
        matchers, body.starts_at or call.now, body.ends_at, call.principal.actor, body.comment, body.id
    )
    new_id = uuid4().hex

    def work(connection: Connection) -> tuple[Silence, Entry]:
        before = silence_store.get(connection, body.id) if body.id is not None else None
        if before is not None:
            _check_team(before.matchers, call.principal.team)
        written = silence_store.revise(connection, body.id, lambda old: silence_acts.put(old, wanted, call.now, new_id))
        after = written[-1]
        if incident_id is not None:
            incident_store.note(connection, incident_id, silence_acts.quiet_event(after, call.now))
        action = "silence.create" if before is None else "silence.change"
        return after, call.entry(
            action, f"silence:{after.id}", before=_for_audit(before) if before else None, after=_for_audit(after)
        )

    return _silence_item(call.write(work), call.now)


def end_silence(call: Call, named: str | None = None) -> SilenceItem:
    """named: the id, where the path has another one."""
    silence_id = call.path["id"] if named is None else named

    def work(connection: Connection) -> tuple[Silence, Entry]:
        before = silence_store.get(connection, silence_id)
        if before is None or not is_of_team(before.matchers, call.principal.team):
            raise not_found("silence", silence_id)
        written = silence_store.revise(connection, silence_id, lambda old: silence_acts.expire(old, call.now))
        after = written[-1] if written else before
        return after, call.entry(
            "silence.end", f"silence:{silence_id}", before=_for_audit(before), after=_for_audit(after)
        )

    return _silence_item(call.write(work), call.now)


def is_of_team(matchers: tuple[Matcher, ...], team: str | None) -> bool:
    """It can only ever silence alerts of this team."""
    return team is None or any(item.name == "team" and item.op == "=" and item.value == team for item in matchers)


def _check_team(matchers: tuple[Matcher, ...], team: str | None) -> None:
    if not is_of_team(matchers, team):
        raise BadInput(f'this silence could reach other teams; add the matcher team="{team}"')


def _silence_item(silence: Silence, now: datetime) -> SilenceItem:
    return SilenceItem(
        id=silence.id,
        state=silence_acts.state_of(silence, now).value,
        matchers=[MatcherItem(item.name, item.value, item.op) for item in silence.matchers],
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        created_by=silence.created_by,
        comment=silence.comment,
        created_at=silence.created_at,
        updated_at=silence.updated_at,
    )


def _for_audit(silence: Silence) -> dict[str, Any]:
    return {
        "matchers": [str(item) for item in silence.matchers],
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "comment": silence.comment,
    }
