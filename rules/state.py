"""The life of one alert: pending, firing, recovering, resolved; unknown keeps what was. Pure; gets now.

Prometheus' `for` and `keep_firing_for`, Grafana's recovering, with three rules of our own: an alert that cannot be
evaluated is kept (state unknown), never resolved; what is made of history alone is shown but causes no transition, so
nobody is told; and what began to be true long before it was first seen is marked found late.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from watchtower.model.alert import Alert, AlertState, Transition, TransitionKind
from watchtower.model.labels import Labels, fingerprint
from watchtower.model.rule import Rule, Violation
from watchtower.model.run import stable_id

# Detection takes milliseconds; what was true this long before it was seen waited for us (downtime, a late poll).
FOUND_LATE_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a violation: its labels and annotations, and to which subject it belongs."""

    subject: str
    labels: Labels
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """alert: the new state, the same object if nothing changed. wake_at: when `for` or `keep_firing_for` elapses."""

    alert: Alert
    transition: Transition | None = None
    wake_at: datetime | None = None


def opened(violation: Violation, rule: Rule, said: Said, now: datetime) -> Step:
    """A new episode: pending, or firing at once without `for`."""
    print_of = fingerprint(said.labels)
    alert = Alert(
        id=stable_id("alert", print_of, now.isoformat(), violation.since.isoformat()),
        fingerprint=print_of,
        rule=rule.name,
        subject=said.subject,
        labels=said.labels,
        annotations=said.annotations,
        state=AlertState.PENDING,
        active_since=now,
        value=violation.value,
        evidence=violation.evidence,
        found_late=(now - violation.since).total_seconds() > FOUND_LATE_AFTER_S,
        historical=violation.historical,
    )
    return _fired_when_due(alert, rule, now)


def seen_again(alert: Alert, violation: Violation, rule: Rule, said: Said, now: datetime) -> Step:
    """The violation still stands: evidence and words follow it. Labels do so only while nobody has been told, since
    they are what a group and its ticket are found by."""
    if alert.starts_at is None:
        alert = replace(alert, labels=said.labels, fingerprint=fingerprint(said.labels))
    if alert.historical and not violation.historical:
        alert = replace(alert, historical=False, active_since=now, starts_at=None)
    alert = replace(
        alert,
        annotations=said.annotations,
        value=violation.value,
        evidence=violation.evidence,
        clear_since=None,
        state=AlertState.PENDING if alert.starts_at is None else AlertState.FIRING,
    )
    return _fired_when_due(alert, rule, now)


def gone(alert: Alert, keep_firing_for_s: float, resolution: Mapping[str, Any], now: datetime) -> Step:
    """The violation is away: what was pending ends silently; what fired is recovering, then resolved."""
    if alert.starts_at is None:
        return Step(_ended(alert, resolution, now))
    clear_since = alert.clear_since or now
    ends_at = clear_since + timedelta(seconds=keep_firing_for_s)
    if now < ends_at:
        return Step(replace(alert, state=AlertState.FIRING, clear_since=clear_since), wake_at=ends_at)
    ended = _ended(replace(alert, clear_since=clear_since), resolution, now)
    return Step(ended, None if alert.historical else Transition(ended, TransitionKind.RESOLVED, now))


def unknown(alert: Alert, reason: str) -> Step:
    """Nothing can be said, so nothing ends. Recovery must be seen anew afterwards."""
    if alert.state is AlertState.UNKNOWN and alert.evidence.get("unknown") == reason:
        return Step(alert)
    evidence = {**alert.evidence, "unknown": reason}
    return Step(replace(alert, state=AlertState.UNKNOWN, clear_since=None, evidence=evidence))


def _fired_when_due(alert: Alert, rule: Rule, now: datetime) -> Step:
    fires_at = alert.active_since + timedelta(seconds=rule.for_s)
    if alert.starts_at is not None:
        return Step(alert)
    if now < fires_at:
        return Step(alert, wake_at=fires_at)
    fired = replace(alert, state=AlertState.FIRING, starts_at=now)
    return Step(fired, None if alert.historical else Transition(fired, TransitionKind.FIRING, now))


def _ended(alert: Alert, resolution: Mapping[str, Any], now: datetime) -> Alert:
    evidence = {name: value for name, value in alert.evidence.items() if name != "unknown"}
    if resolution:
        evidence["resolution"] = dict(resolution)
    return replace(alert, state=AlertState.RESOLVED, ends_at=now, evidence=evidence)
