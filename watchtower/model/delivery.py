"""What stands between a transition and its notice: what is owed, what was told, and what is decided about it.

The store loads these, `alerting` decides on them (pure functions of `now`), the store writes the decision down in the
same transaction. docs/delivery.md tells the whole story. All datetimes are aware UTC.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from watchtower.errors import Reason
from watchtower.model.alert import Alert, Notice, NoticeReason, ObligationState, Planned, Silence, TransitionKind
from watchtower.model.flapping import Spell
from watchtower.model.labels import Labels
from watchtower.model.run import stable_id

GIVE_UP_AFTER = timedelta(hours=72)  # a provider may be away for a weekend; earlier than this nothing is given up
OVERDUE_AFTER = timedelta(minutes=5)


class Superseded(StrEnum):
    """Why an obligation ended without a notice of its own. Closed: also a metric label and a field of the ledger."""

    SILENCED = "silenced"
    INHIBITED = "inhibited"
    MUTED = "muted"  # by a time interval of its route
    ACKNOWLEDGED = "acknowledged"  # a person has it already, so nobody else is rung
    RESOLVED_BEFORE_NOTICE = "resolved_before_notice"
    NEVER_TOLD = "never_told"  # resolved, and this destination had not been told that it fired
    SEND_RESOLVED_OFF = "send_resolved_off"
    ROUTE_CHANGED = "route_changed"
    RECEIVER_REMOVED = "receiver_removed"  # and planned anew by the routes in force
    ALREADY_TOLD = "already_told"
    CAPPED = "capped"  # the person was sent as much as the file allows for 24 hours; others are told of that
    MAINTENANCE = "maintenance"  # a planned time in which such alerts are kept quiet
    FLAPPING = "flapping"  # it comes and goes, and the destination was told so


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an alert must not be told now. by: id of the silence, alert or incident, name of the time interval or the
    maintenance, or fingerprint of what flaps."""

    reason: Superseded
    by: str


@dataclass(frozen=True, slots=True)
class Owed:
    """An open obligation that no notice has taken up."""

    id: str
    alert_id: str
    transition: TransitionKind


@dataclass(frozen=True, slots=True)
class Told:
    """What a destination knows of a group episode: ids of the alerts it was told to fire, and to be resolved.
    redialed: calls that were made again since the last notice of another reason. caused: those of which it was told the
    cause."""

    firing: frozenset[str]
    resolved: frozenset[str]
    at: datetime
    redialed: int = 0
    caused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversation:
    """One group episode at one destination.

    alerts: members, firing or resolved. told: as proven; expected: as it will be if the notice under way arrives (else
    equal to told). tried_at: when the last notice ended, delivered or dead. waiting: an unsent notice stands ready and
    takes up all that is owed when it is claimed. retired: the route in force leads here no longer; only what was told
    is still brought to its end. Of escalations: counts_from: by alert id, from when their waits count; opened_at: when
    the first notice for this destination was made; past_acks: acknowledgements of the incident that have ended, oldest
    first.
    """

    group_id: str
    group_key: str
    planned: Planned
    alerts: tuple[Alert, ...]
    owed: tuple[Owed, ...]
    told: Told | None
    expected: Told | None
    tried_at: datetime | None
    waiting: bool
    retired: bool
    incident_id: str | None
    acknowledged_at: datetime | None
    unacknowledged_at: datetime | None = None
    counts_from: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    opened_at: datetime | None = None
    past_acks: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """An obligation that ends as superseded."""

    obligation_id: str
    why: Suppression


@dataclass(frozen=True, slots=True)
class Flush:
    """What a group timer decides. notices: new ones, by destination; next_at: when time alone calls again."""

    notices: tuple[tuple[str, NoticeReason], ...]
    endings: tuple[Ending, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Source:
    """A firing alert, as inhibition sees it."""

    alert_id: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Sent:
    """What rang for one person in the last 24 hours, over all destinations. last_at: None if nothing did; lately: when
    by the method of this destination, newest first, as far as it counts for what is sent in one go."""

    count: int = 0
    last_at: datetime | None = None
    lately: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides whether and what to send, read in the transaction of the claim. frozen: the content that must
    be repeated unchanged because the provider may already have it under the same key. sent: to the person whom the
    destination wakes. flapping: by fingerprint, what of the conversation flaps."""

    conversation: Conversation
    silences: tuple[Silence, ...]
    sources: Callable[[], Sequence[Source]]
    frozen: "Content | None" = None
    sent: Callable[[], Sent] = Sent
    flapping: Callable[[], Mapping[str, Spell]] = dict[str, Spell]


@dataclass(frozen=True, slots=True)
class Content:
    """What a notice says: the alerts as they were shown, firing first. others: alerts and groups it stands for, too."""

    reason: NoticeReason
    alerts: tuple[Alert, ...]
    others: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a claimed notice does. content None and postpone_until None: it is superseded.

    still_quiet: alerts kept quiet for which nothing is owed any more: by what, now that an earlier cause has ended.
    renewed: alerts shown as firing for which nothing is owed any more (their silence ended, or the day's repeat after a
    dead letter): they are owed again. wake_at: when the group is to be looked at again: the mute that was met ends, a
    step of an escalation has its time. assume_told: nothing is sent, but the destination may know `frozen` all the
    same, so its end must be told. start_over: alerts whose escalation begins when they can be told again. raises: what
    others must be told of this decision, in the same transaction. gathers: it is the last message that the person gets
    for now, so it stands for all that waits for them as well.
    """

    content: Content | None = None
    endings: tuple[Ending, ...] = ()
    still_quiet: tuple[tuple[str, Suppression], ...] = ()
    renewed: tuple[str, ...] = ()
    wake_at: datetime | None = None
    postpone_until: datetime | None = None
    assume_told: bool = False
    start_over: tuple[str, ...] = ()
    raises: "Raised | None" = None
    gathers: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How a destination may be dealt with. lease_s: how long a claim holds; settle_s: as its channel says."""

    holder: str
    lease_s: float
    settle_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed notice. check: its last attempt's outcome is unknown, so look it up; do not send under this claim."""

    notice: Notice
    fence: int
    version: int
    check: bool
    unknowns: int


@dataclass(frozen=True, slots=True)
class Agenda:
    """The next moments of alerting, all read at once; what is in hand counts from the end of its lease. timers_at: of
    groups, silences, acknowledgements and flapping; notices_at: by destination, where anything waits."""

    timers_at: datetime | None
    notices_at: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended. again_at None: it is given up. unknown: the provider may have taken it."""

    reason: Reason
    message: str
    again_at: datetime | None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One obligation, as anybody may check it."""

    id: str
    episode: str
    alert_id: str
    fingerprint: str
    transition: TransitionKind
    occasion: int
    destination: str
    state: ObligationState
    reason: str | None
    suppressed_by: str | None
    provider_id: str | None
    attempts: int
    error: str | None
    incident_id: str | None
    notice_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Overdue:
    """An open obligation that nothing will move: the auditor's finding."""

    obligation_id: str
    destination: str
    since: datetime
    why: str


# -- names and times that rules' transactions and the flush must agree on ------------------------------------------


def obligation_id(alert_id: str, transition: TransitionKind, group_key: str, destination: str, occasion: int) -> str:
    return stable_id("obligation", alert_id, transition, group_key, destination, str(occasion))


def group_hash(group_key: str, receiver: str) -> str:
    """Stable over the episodes of one group at one receiver, by which a ticket is found again to be reopened."""
    return stable_id("group", group_key, receiver)


def episode_key(group_id: str, destination: str) -> str:
    """The provider's key of one group episode at one destination. Short, and without characters that labels of
    ticket systems forbid."""
    return "wt-" + stable_id("episode", group_id, destination)[:20]


def first_flush_at(planned: Sequence[Planned], now: datetime) -> datetime:
    """When a new group is told: after group_wait, or at once where the route says so for this alert."""
    wait = 0.0 if any(item.immediate for item in planned) else min(item.group_wait_s for item in planned)
    return now + timedelta(seconds=wait)


def next_tick(last_flush_at: datetime, group_interval_s: float, now: datetime) -> datetime:
    """The first multiple of group_interval after the last flush that is not before now (Alertmanager's ticker)."""
    if group_interval_s <= 0:
        return now
    ticks = max(1, math.ceil((now - last_flush_at).total_seconds() / group_interval_s))
    return last_flush_at + timedelta(seconds=ticks * group_interval_s)


def told_again_after(planned: Planned) -> timedelta:
    """The first moment after a notice at which time alone can call for another one."""
    repeat = repeat_after(planned)
    return repeat if planned.redial_s is None else min(repeat, timedelta(seconds=planned.redial_s))


def repeat_after(planned: Planned) -> timedelta:
    """repeat_interval, rounded up to a multiple of group_interval (Alertmanager's configuration documentation)."""
    if planned.group_interval_s <= 0:
        return timedelta(seconds=planned.repeat_interval_s)
    intervals = max(1, math.ceil(planned.repeat_interval_s / planned.group_interval_s))
    return timedelta(seconds=intervals * planned.group_interval_s)


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert that Watchtower raises about itself, and where it goes."""

    alert: Alert
    planned: tuple[Planned, ...]


# What a person asks for: the silence as it is (None: a new one) → the silences to write. May raise BadInput.
SilenceEdit = Callable[[Silence | None], Sequence[Silence]]
Plan = Callable[[Labels], Sequence[Planned]]
Decide = Callable[[Situation, datetime], Decision]
DecideFlush = Callable[[Sequence[Conversation], datetime], Flush]


@dataclass(frozen=True, slots=True)
class Way:
    """How a destination takes a notice."""

    terms: Terms
    decide: Decide


@dataclass(frozen=True, slots=True)
class Rush:
    """How alerting goes on in the very transaction that makes something due. way: to a destination that can take a
    notice now, None where one is under way or its provider fails. now: of the claims; start_by: the boot time until
    which what is claimed may be begun."""

    now: datetime
    start_by: float
    holder: str
    flush: DecideFlush
    way: Callable[[str], Way | None]
