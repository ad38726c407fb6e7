"""Alerts, their transitions, and what alerting makes of them: groups, notices, obligations, incidents, silences.

Vocabulary of Alertmanager; *obligation*, *group episode* and *notice* are Watchtower's (docs/delivery.md).
All datetimes are aware UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchtower.model.flapping import FlapLimits
from watchtower.model.labels import Labels, Matcher


class Severity(StrEnum):
    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of one alert: from the first violation until it is resolved. A later violation is a new episode.

    id: of this episode; fingerprint: of the labels, the same over episodes. active_since: when the violation began to
    be seen (`for` counts from here); starts_at: when it began to fire; clear_since: when the violation went away while
    `keep_firing_for` still holds it (recovering). evidence: run ids, attempts, times, numbers; never labels.
    flapping_since: it comes and goes, and has done so since then (watchtower.model.flapping). Of what came back soon
    after its end: trouble_since: when that began which came back; rings_from: from when on it wakes whom that woke.
    """

    id: str
    fingerprint: str
    rule: str
    subject: str
    labels: Labels
    annotations: Mapping[str, str]
    state: AlertState
    active_since: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    clear_since: datetime | None = None
    value: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    found_late: bool = False
    historical: bool = False
    flapping_since: datetime | None = None
    trouble_since: datetime | None = None
    rings_from: datetime | None = None

    @property
    def recovering(self) -> bool:
        return self.state is AlertState.FIRING and self.clear_since is not None

    @property
    def severity(self) -> Severity:
        return Severity(self.labels.get("severity", Severity.TICKET))


class TransitionKind(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert began to fire or was resolved at `at`. Each writes one obligation per destination."""

    alert: Alert
    kind: TransitionKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """Where one transition must go: one destination of one receiver, reached by one route.

    group_key: route and group labels, as Alertmanager makes it; destination: stable name within the config, e.g.
    `team/webhook[0]`; waits in seconds. immediate: the first notice of a new `page` group leaves at once. after_s: a
    step of an escalation, told only once the group has stood this long and nobody has acknowledged it; redial_s and
    the rest: as in Call. shows_acks: what was told there is changed when somebody acknowledges it. flap: when alerts
    with these labels flap.
    """

    receiver: str
    destination: str
    group_key: str
    group_labels: Labels
    group_wait_s: float
    group_interval_s: float
    repeat_interval_s: float
    send_resolved: bool
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    immediate: bool = False
    after_s: float = 0.0
    redial_s: float | None = None
    redials: int = 0
    person: str | None = None
    round_s: float = 0.0
    rounds: int = 0
    severities: tuple[str, ...] = ()
    daily_cap: int | None = None
    last_resort: bool = False
    burst: int | None = None
    burst_s: float = 300.0
    shows_acks: bool = False
    flap: FlapLimits | None = None

    def concerns(self, labels: Labels) -> bool:
        """Whether an alert with these labels is told here."""
        return not self.severities or labels.get("severity", Severity.TICKET) in self.severities


@dataclass(frozen=True, slots=True)
class Call:
    """How an escalation tells one person at one destination; times in seconds. after_s: from the first telling of the
    group; redial_s: it rings again after this time until it is acknowledged, at most `redials` times; round_s: the
    escalation begins again after this time, `rounds` times. severities: of the alerts that it is for. daily_cap: how
    much the person is sent in 24 hours by what rings; None where nothing rings. last_resort: nothing wakes this person
    after it. burst: how often the person is told in this way within burst_s seconds; None: without a limit."""

    person: str | None = None
    after_s: float = 0.0
    redial_s: float | None = None
    redials: int = 0
    round_s: float = 0.0
    rounds: int = 0
    severities: tuple[str, ...] = ()
    daily_cap: int | None = None
    last_resort: bool = False
    burst: int | None = None
    burst_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Silence:
    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    created_at: datetime
    updated_at: datetime

    def is_active(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at

    def silences(self, labels: Labels, now: datetime) -> bool:
        return self.is_active(now) and all(matcher.matches(labels) for matcher in self.matchers)


class ObligationState(StrEnum):
    """Every obligation ends as delivered, superseded (with reason) or dead_letter; nothing else is an end."""

    DUE = "due"
    SENDING = "sending"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    DEAD_LETTER = "dead_letter"


class NoticeReason(StrEnum):
    """Why this notice is sent now; shown to people and counted."""

    FIRST = "first"
    NEW_ALERTS = "new_alerts"
    RESOLVED_ALERTS = "resolved_alerts"
    ALL_RESOLVED = "all_resolved"
    REPEAT = "repeat"
    REDIAL = "redial"
    ACKNOWLEDGED = "acknowledged"  # what was told shows who has it; nothing new is said
    CAUSE_FOUND = "cause_found"  # spans came after the failure was told: once for each alert, and nothing rings
    FIRED_AND_RESOLVED = "fired_and_resolved"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is sent to one destination: the group as it stood when the attempt was claimed.

    key: stable over all attempts of this notice, the provider's idempotency key; episode_key: stable over all notices
    of one group episode at one destination, by which a ticket or message is found again; group_hash: stable over
    episodes of the same group, for reopening; group_key: as Alertmanager writes it. ref: what the provider told us at
    earlier notices of this episode (ticket id, channel and message ts); previous_ref: of the episode before, if it
    ended within the reopen window. attempt: 1-based. acknowledged_by: the actor who has all that fires, for channels
    that show it. others: what else this message stands for: (alerts, groups) that get none of their own.
    """

    id: str
    key: str
    episode_key: str
    group_hash: str
    destination: str
    receiver: str
    reason: NoticeReason
    seq: int
    attempt: int
    first_attempt_at: datetime
    now: datetime
    group_labels: Labels
    alerts: tuple[Alert, ...]  # firing first, then those resolved since the last notice
    incident_id: str | None
    ref: Mapping[str, Any]
    previous_ref: Mapping[str, Any] | None
    external_url: str
    group_key: str = ""
    acknowledged_by: str | None = None
    others: tuple[int, int] = (0, 0)

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.alerts if alert.state is not AlertState.RESOLVED)

    @property
    def resolved(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.alerts if alert.state is AlertState.RESOLVED)

    @property
    def is_resolved(self) -> bool:
        return not self.firing

    @property
    def status(self) -> str:
        return "resolved" if self.is_resolved else "firing"

    @property
    def severity(self) -> Severity:
        order = (Severity.PAGE, Severity.TICKET, Severity.INFO)
        return min((alert.severity for alert in self.firing or self.alerts), key=order.index, default=Severity.INFO)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's proof. provider_id: shown in the ledger; ref: kept for the next notice of the episode, merged over
    the earlier one. duplicates: visible effects beyond the first that a look-up met."""

    provider_id: str
    ref: Mapping[str, Any] = field(default_factory=dict[str, Any])
    duplicates: int = 0


class IncidentStatus(StrEnum):
    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    id: str
    status: IncidentStatus
    severity: Severity
    title: str
    summary: str
    labels: Labels
    started_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    ack_until: datetime | None = None
    unacknowledged_at: datetime | None = None  # when an acknowledgement ran out or was taken back: all are told again
    past_acks: tuple[tuple[datetime, datetime], ...] = ()  # from, to of those that have ended, oldest first
