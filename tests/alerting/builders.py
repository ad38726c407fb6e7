"""Alerts and their transitions in the shape in which the rules engine commits them, with plausible defaults."""

from dataclasses import replace
from datetime import datetime

from watchtower.model.alert import Alert, AlertState, Transition, TransitionKind
from watchtower.model.labels import fingerprint
from watchtower.model.rule import SubjectKey
from watchtower.model.run import stable_id
from watchtower.ports import Outcome, Planner


def firing_alert(at: datetime, *, name: str = "RunFailed", summary: str = "it failed", **labels: str) -> Alert:
    """An episode that began at `at`. The same labels and moment make the same episode."""
    named = {"alertname": name, "severity": "ticket", **labels}
    return Alert(
        id=stable_id("alert", fingerprint(named), at.isoformat()),
        fingerprint=fingerprint(named),
        rule=name,
        subject="job:1",
        labels=named,
        annotations={"summary": summary},
        state=AlertState.FIRING,
        active_since=at,
        starts_at=at,
    )


def resolved_alert(alert: Alert, at: datetime) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, ends_at=at)


def fires(planner: Planner, *alerts: Alert) -> Outcome:
    """What the rules engine commits when alerts begin to fire."""
    changes = tuple(
        (Transition(alert, TransitionKind.FIRING, alert.starts_at or alert.active_since), planner.plan(alert.labels))
        for alert in alerts
    )
    return Outcome(SubjectKey("job", "1"), 1, None, alerts, changes)


def resolves(planner: Planner, *alerts: Alert) -> Outcome:
    """What it commits when alerts (already in state resolved) are over."""
    changes = tuple(
        (Transition(alert, TransitionKind.RESOLVED, alert.ends_at or alert.active_since), planner.plan(alert.labels))
        for alert in alerts
    )
    return Outcome(SubjectKey("job", "1"), 1, None, alerts, changes)
