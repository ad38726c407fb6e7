"""What an incident says of itself: severity, title and summary, told by the alerts it holds. Pure.

Rules' transactions open and update incidents, so this stands below both the store and `alerting`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchtower.model.alert import Alert, AlertState, Incident, Severity
from watchtower.model.labels import Labels
from watchtower.model.run import stable_id

_ORDER = (Severity.PAGE, Severity.TICKET, Severity.INFO)
_LINES = 5  # of a summary; the incident's page has the rest


@dataclass(frozen=True, slots=True)
class Description:
    severity: Severity
    title: str
    summary: str


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One line of an incident's timeline. kind: triggered, told, acknowledged, …; actor: a person."""

    at: datetime
    kind: str
    text: str
    actor: str | None = None


# What a person does: the incident as it is → as it shall be, and what the timeline says. Pure; may raise BadInput.
IncidentEdit = Callable[[Incident], tuple[Incident, IncidentEvent | None]]


def incident_key(group_labels: Labels, group_key: str) -> str:
    """One open incident per set of group labels. Groups without labels are told apart by their route."""
    named = sorted(group_labels.items())
    return stable_id("incident", *(part for pair in named for part in pair)) if named else stable_id("route", group_key)


def describe(alerts: Sequence[Alert], total: int) -> Description:
    """alerts: the foremost of the incident, at least one; total: how many different ones it has.

    What still fires comes first, the worst and oldest on top.
    """
    ranked = sorted(alerts, key=_rank)
    first, rest = ranked[0], total - 1
    title = _headline(first) + (f" (+{rest} more)" if rest else "")
    lines = dict.fromkeys(map(_line, ranked))
    shown = list(lines)[:_LINES]
    if total > len(shown):
        shown.append(f"and {total - len(shown)} more")
    return Description(worse(*(alert.severity for alert in ranked)), title, "\n".join(shown))


def worse(*severities: Severity) -> Severity:
    return min(severities, key=_ORDER.index)


def rank_of(severity: Severity) -> int:
    """0 goes first: a page."""
    return _ORDER.index(severity)


def urgency(alerts: Iterable[Alert]) -> int:
    """How soon they must be told, among others that wait: 0 where one of them is a page, then 1 for tickets, 2."""
    return min((rank_of(alert.severity) for alert in alerts), default=len(_ORDER) - 1)


def is_open(alert: Alert) -> bool:
    """It fires, or nothing can be said of it; a vanished job must not read as resolved."""
    return alert.state in (AlertState.FIRING, AlertState.UNKNOWN)


def since(alert: Alert) -> datetime:
    """When it began to fire; whoever acknowledges later than this has it."""
    return alert.starts_at or alert.active_since


def _rank(alert: Alert) -> tuple[bool, int, datetime, str]:
    return (not is_open(alert), _ORDER.index(alert.severity), since(alert), alert.id)


def cause_of(alert: Alert) -> str:
    """What the spans of its run say, in one sentence; "" while nothing is known."""
    return str(alert.evidence.get("cause") or "")


def _line(alert: Alert) -> str:
    summary, cause = alert.annotations.get("summary") or _headline(alert), cause_of(alert)
    return f"{summary}\nCause: {cause}" if cause else summary


def _headline(alert: Alert) -> str:
    labels = alert.labels
    parts = [labels[name] for name in ("pipeline", "task", "dataset", "budget", "slo") if labels.get(name)]
    name = labels.get("alertname", alert.rule)
    return f"{name}: {' · '.join(parts)}" if parts else name
