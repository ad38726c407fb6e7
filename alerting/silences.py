"""Silences: what they keep quiet, and how they may be set, changed and ended. Pure.

Source: `silence/silence.go` of Alertmanager (canUpdate, Set, expire, validateSilence) and its API: a change that would
rewrite the past ends the old silence and makes a new one, so that the history of a silence stays true.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watchtower.errors import BadInput
from watchtower.model.alert import Silence
from watchtower.model.incident import IncidentEvent
from watchtower.model.labels import Labels, Matcher


class SilenceState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for. id None: a new silence."""

    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    id: str | None = None


def state_of(silence: Silence, now: datetime) -> SilenceState:
    if now < silence.starts_at:
        return SilenceState.PENDING
    return SilenceState.ACTIVE if now < silence.ends_at else SilenceState.EXPIRED


def silenced_by(labels: Labels, silences: Sequence[Silence], now: datetime) -> str | None:
    """The id of a silence that keeps an alert with labels quiet now."""
    return next((silence.id for silence in silences if silence.silences(labels, now)), None)


def quiet_event(silence: Silence, now: datetime) -> IncidentEvent:
    """What the timeline of an incident says of a silence that was set on its page."""
    text = f"Kept quiet until {silence.ends_at:%Y-%m-%d %H:%M} UTC: {silence.comment}"
    return IncidentEvent(now, "silenced", text, silence.created_by)


def put(before: Silence | None, wanted: Wanted, now: datetime, new_id: str) -> list[Silence]:
    """The silences to write; the last one is the one that was asked for. Raises BadInput.

    before: the silence wanted.id, None if there is none. new_id: used if the change needs a silence of its own.
    """
    _validate(wanted, now)
    if wanted.id is not None and before is None:
        raise BadInput(f"silence {wanted.id!r}: there is no such silence; leave out the id to make a new one")
    if before is not None and _may_update(before, wanted, now):
        return [
            replace(
                before,
                starts_at=wanted.starts_at,
                ends_at=wanted.ends_at,
                created_by=wanted.created_by,
                comment=wanted.comment,
                updated_at=now,
            )
        ]
    made = Silence(
        id=new_id,
        matchers=wanted.matchers,
        starts_at=max(wanted.starts_at, now),
        ends_at=wanted.ends_at,
        created_by=wanted.created_by,
        comment=wanted.comment,
        created_at=now,
        updated_at=now,
    )
    return [*expire(before, now), made] if before is not None else [made]


def expire(silence: Silence | None, now: datetime) -> list[Silence]:
    """End a silence now. One that has ended stays as it is. Raises BadInput if there is none."""
    if silence is None:
        raise BadInput("there is no such silence; see `watchtower silence`")
    state = state_of(silence, now)
    if state is SilenceState.EXPIRED:
        return []
    starts_at = now if state is SilenceState.PENDING else silence.starts_at
    return [replace(silence, starts_at=starts_at, ends_at=now, updated_at=now)]


def _may_update(before: Silence, wanted: Wanted, now: datetime) -> bool:
    if sorted(map(str, before.matchers)) != sorted(map(str, wanted.matchers)):
        return False
    state = state_of(before, now)
    if state is SilenceState.ACTIVE:  # whole seconds: clients send back what they were shown
        return int(before.starts_at.timestamp()) == int(wanted.starts_at.timestamp()) and wanted.ends_at >= now
    return state is SilenceState.PENDING and wanted.starts_at >= now


def _validate(wanted: Wanted, now: datetime) -> None:
    if not wanted.matchers:
        raise BadInput("a silence needs at least one matcher")
    if all(matcher.matches({}) for matcher in wanted.matchers):
        raise BadInput("a silence needs at least one matcher that an empty value does not match, else it hides all")
    if wanted.ends_at <= wanted.starts_at:
        raise BadInput(f"a silence must end ({wanted.ends_at.isoformat()}) after it starts")
    if wanted.ends_at < now:
        raise BadInput(f"a silence cannot end in the past ({wanted.ends_at.isoformat()})")
