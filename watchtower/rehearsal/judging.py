"""What a backtest is worth: measured against incidents that somebody wrote down, and against other rules. Pure.

An alert tells of an incident if it bears all labels that the incident names, and fired at some time between its
beginning and its end, both inclusive. An alert that tells of none is a false one; an incident of which no alert tells
was missed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from watchtower.config.labelled import LabelledIncident
from watchtower.model.alert import Alert, Severity
from watchtower.rehearsal.backtest import Fired, Span
from watchtower.rehearsal.weighing import began

# What an alert is about, whatever the severity and the labels that its rule adds.
_IDENTITY = (
    *("alertname", "kind", "source", "namespace", "pipeline", "task", "dataset", "series", "check", "problem"),
    *("budget", "period"),
)


@dataclass(frozen=True, slots=True)
class Score:
    """alerts: that fired, of them true ones; incidents: within the span, of them caught ones. precision and recall:
    between 0 and 1, None where there is nothing to divide by. delay_s: the median of how long after an incident began
    its first alert fired, 0 for one that fired before it."""

    alerts: int
    true: int
    incidents: int
    caught: int
    delay_s: float | None

    @property
    def precision(self) -> float | None:
        return self.true / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        return self.caught / self.incidents if self.incidents else None


@dataclass(frozen=True, slots=True)
class Judged:
    """pages: as if only alerts of severity page counted."""

    all: Score
    pages: Score
    missed: tuple[LabelledIncident, ...]
    false: tuple[Alert, ...]


def judge(fired: Fired, incidents: Iterable[LabelledIncident], span: Span) -> Judged:
    """Incidents that lie outside of span are left out."""
    within = [each for each in incidents if each.begins <= span.ends and each.ends >= span.begins]
    first = _first_alerts(fired.alerts, within, span)
    told = {id(alert) for alerts in first.values() for alert in alerts}
    pages = [alert for alert in fired.alerts if alert.severity is Severity.PAGE]
    return Judged(
        all=_score(fired.alerts, within, span),
        pages=_score(pages, within, span),
        missed=tuple(incident for number, incident in enumerate(within) if not first[number]),
        false=tuple(alert for alert in fired.alerts if id(alert) not in told),
    )


def _score(alerts: Sequence[Alert], incidents: Sequence[LabelledIncident], span: Span) -> Score:
    found = _first_alerts(alerts, incidents, span)
    delays = [
        max(0.0, (min(map(began, found[number])) - incident.begins).total_seconds())
        for number, incident in enumerate(incidents)
        if found[number]
    ]
    true = {id(alert) for told in found.values() for alert in told}
    return Score(len(alerts), len(true), len(incidents), len(delays), median(delays) if delays else None)


def _first_alerts(alerts: Sequence[Alert], incidents: Sequence[LabelledIncident], span: Span) -> dict[int, list[Alert]]:
    """By number of the incident, the alerts that tell of it."""
    return {
        number: [alert for alert in alerts if tells_of(alert, incident, span.ends)]
        for number, incident in enumerate(incidents)
    }


def tells_of(alert: Alert, incident: LabelledIncident, until: datetime) -> bool:
    """until: what has not ended by then fires still."""
    if any(alert.labels.get(name) != value for name, value in incident.labels.items()):
        return False
    return began(alert) <= incident.ends and (alert.ends_at or until) >= incident.begins


@dataclass(frozen=True, slots=True)
class Moved:
    """The same, told earlier (negative) or later, by so many seconds; of the beginning and, where both are over, of
    the end."""

    before: Alert
    after: Alert
    begins_s: float
    ends_s: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """only_before and only_after: what fired under one of two configurations alone; same: how many fired and ended at
    the same moments."""

    only_before: tuple[Alert, ...]
    only_after: tuple[Alert, ...]
    moved: tuple[Moved, ...]
    same: int


def compare(before: Fired, after: Fired, until: datetime) -> Difference:
    """Alerts are the same if they have the same name and subject and, at some time, both fired; of several the one
    whose beginning is nearest. Severity and the labels that rules add do not count."""
    left: dict[tuple[str, ...], list[Alert]] = defaultdict(list)
    for alert in after.alerts:
        left[_about(alert)].append(alert)
    gone: list[Alert] = []
    moved: list[Moved] = []
    same = 0
    for alert in before.alerts:
        among = [each for each in left[_about(alert)] if _overlap(alert, each, until)]
        if not among:
            gone.append(alert)
            continue
        twin = min(among, key=lambda each: abs((began(each) - began(alert)).total_seconds()))
        left[_about(alert)].remove(twin)
        change = _moved(alert, twin)
        if change.begins_s or change.ends_s or (alert.ends_at is None) is not (twin.ends_at is None):
            moved.append(change)
        else:
            same += 1
    new = sorted((alert for alerts in left.values() for alert in alerts), key=began)
    return Difference(tuple(gone), tuple(new), tuple(moved), same)


def _about(alert: Alert) -> tuple[str, ...]:
    return tuple(alert.labels.get(name, "") for name in _IDENTITY)


def _overlap(one: Alert, other: Alert, until: datetime) -> bool:
    return began(one) <= (other.ends_at or until) and began(other) <= (one.ends_at or until)


def _moved(before: Alert, after: Alert) -> Moved:
    ends = (after.ends_at - before.ends_at).total_seconds() if before.ends_at and after.ends_at else None
    return Moved(before, after, (began(after) - began(before)).total_seconds(), ends)
