"""When an escalation tells whom: steps that wait, calls that are made again, rounds that begin anew. Pure.

Waits count from the moment at which the group's oldest alert that nobody has was to be told for the first time; while
somebody has it, they stand still, so an acknowledgement that ends lets the escalation go on from where it stood. What
came due while nothing could be done (an outage, a clock that jumped) follows in order, one step a minute (promise P18).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchtower.model.alert import Alert
from watchtower.model.delivery import Conversation, Told
from watchtower.model.incident import is_open, since

PACE = timedelta(seconds=60)  # between two steps that are both overdue by more than this
_LATELY = timedelta(seconds=60)  # who was told this short before a round begins need not be told again for it


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of an escalation, for people. told_at: last; next_at: when it is told (again) if nobody takes the
    incident; None: not by time alone. tried_at: when the last attempt to tell it ended."""

    destination: str
    person: str
    after_s: float
    told_at: datetime | None
    next_at: datetime | None
    tried_at: datetime | None
    redialed: int

    @property
    def method(self) -> str:
        return self.destination.rpartition("/")[2]


def rungs(talks: Sequence[Conversation], now: datetime) -> list[Rung]:
    """What the escalations of an incident did and will do, in the order of their waits."""
    found = [_rung(talk, talk.planned.person, now) for talk in talks if talk.planned.person is not None]
    return sorted(found, key=lambda rung: (rung.after_s, rung.destination))


def _rung(talk: Conversation, person: str, now: datetime) -> Rung:
    moments: list[datetime | None] = []
    if not talk.retired and _open_to_all(talk):
        moments = [redials_at(talk, talk.told), next_round_at(talk, now), calls_at(talk) if held(talk, now) else None]
    return Rung(
        destination=talk.planned.destination,
        person=person,
        after_s=talk.planned.after_s,
        told_at=talk.told.at if talk.told else None,
        next_at=min((moment for moment in moments if moment is not None), default=None),
        tried_at=talk.tried_at,
        redialed=talk.told.redialed if talk.told else 0,
    )


def is_acknowledged(talk: Conversation, alert: Alert) -> bool:
    """Somebody has it: it fired before they took the incident."""
    return talk.acknowledged_at is not None and since(alert) <= talk.acknowledged_at


def calls_at(talk: Conversation) -> datetime | None:
    """When this step is told, if nobody takes the incident before; None: nothing fires that waits for it."""
    begun = [start for alert in _open_to_all(talk) if (start := _begins_at(talk, alert)) is not None]
    return min(begun) + timedelta(seconds=talk.planned.after_s) if begun else None


def held(talk: Conversation, now: datetime, until: datetime | None = None) -> frozenset[str]:
    """Ids of alerts that are not told here yet, since their time has not come. until: when it comes at the earliest."""
    if talk.planned.person is None or talk.planned.after_s <= 0:
        return frozenset()
    at = calls_at(talk)
    if at is not None and at <= now and (until is None or until <= now):
        return frozenset()
    told = talk.told.firing if talk.told else frozenset[str]()
    return frozenset(alert.id for alert in _open_to_all(talk) if alert.id not in told)


def paced(talks: Sequence[Conversation], now: datetime) -> dict[str, datetime]:
    """Destinations of one group whose step is overdue and must wait for another overdue one: until when."""
    steps = [talk for talk in talks if talk.planned.person is not None and not talk.retired]
    begun = [moment for talk in steps if (moment := _last_told(talk)) is not None]
    last = max(begun, default=None)
    waits: dict[str, datetime] = {}
    for level in sorted({talk.planned.after_s for talk in steps}):
        new = [talk for talk in steps if talk.planned.after_s == level and talk.opened_at is None]
        due = [at for talk in new if (at := calls_at(talk)) is not None and at <= now]
        if not due:
            continue
        if last is not None and now - min(due) > PACE and last + PACE > now:
            waits |= {talk.planned.destination: last + PACE for talk in new}
        else:
            last = now
    return waits


def must_redial(talk: Conversation, told: Told | None, now: datetime) -> bool:
    """It rang, nobody has it, and the time until the next call is over."""
    at = redials_at(talk, told)
    return at is not None and at <= now


def redials_at(talk: Conversation, told: Told | None) -> datetime | None:
    """When it rings again; None: not before there is news."""
    planned = talk.planned
    if planned.redial_s is None or told is None or told.redialed >= planned.redials:
        return None
    if not any(alert.id in told.firing for alert in _open_to_all(talk)):
        return None
    last = max(told.at, talk.tried_at) if talk.tried_at is not None else told.at
    return last + timedelta(seconds=planned.redial_s)


def must_begin_anew(talk: Conversation, told: Told | None, now: datetime) -> bool:
    """Another round has come to this step, and it was not told in it."""
    begun = [moment for moment in _rounds(talk) if moment <= now]
    return bool(begun) and told is not None and told.at < begun[-1] - _LATELY


def next_round_at(talk: Conversation, now: datetime) -> datetime | None:
    return next((moment for moment in _rounds(talk) if moment > now), None)


def _rounds(talk: Conversation) -> list[datetime]:
    """When the further rounds come to this step, in order."""
    planned, first = talk.planned, calls_at(talk)
    if first is None:
        return []
    return [first + timedelta(seconds=number * planned.round_s) for number in range(1, planned.rounds + 1)]


def _open_to_all(talk: Conversation) -> list[Alert]:
    """What fires and nobody has."""
    return [alert for alert in talk.alerts if is_open(alert) and not is_acknowledged(talk, alert)]


def _begins_at(talk: Conversation, alert: Alert) -> datetime | None:
    """From when the waits count for alert, without the time in which somebody had it. None: it was not told yet."""
    start = talk.counts_from.get(alert.id)
    if start is None:
        return None
    pauses = (max(timedelta(0), last - max(first, start)) for first, last in talk.past_acks if since(alert) <= first)
    return start + sum(pauses, timedelta(0))


def _last_told(talk: Conversation) -> datetime | None:
    moments = [talk.opened_at, talk.tried_at, talk.told.at if talk.told else None]
    return max((moment for moment in moments if moment is not None), default=None)
