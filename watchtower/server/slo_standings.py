"""How each SLO stands, for `/metrics`: judged anew where something changed, and a bounded number of them a reading.

To judge an SLO costs some 0.3 ms of CPU, so to judge thousands of them at a scrape would make it wait. What a standing
says changes when an event counts (its row in the due queue has another version then), and by time: each minute while
a window or a limit of time moves it, else each hour, by which a rolling period moves. What does not come into a reading
keeps its last standing until the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.slo.burn import burn_rate
from rules.slo.status import SloStatus, status
from rules.slo.words import window_words
from watchtower.store.database import Connection
from watchtower.store.reading import slos
from watchtower.telemetry import metrics
from watchtower.telemetry.exposition import Samples

MOST = 250  # judged in one reading, besides those that never were: 75 ms of CPU
_SOON = timedelta(minutes=1)
_LATER = timedelta(hours=1)
_PACE_MIN = 1_440  # the newest day tells the present pace


@dataclass(frozen=True, slots=True)
class _Standing:
    """version: of its row in the due queue when it was judged, at this moment. again: when time has changed it."""

    version: int
    at: datetime
    again: datetime
    samples: Samples


class SloStandings:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, _Standing] = {}

    def read(self, connection: Connection, now: datetime) -> Samples:
        versions = slos.versions(connection)
        self._known = {name: known for name, known in self._known.items() if name in versions}
        wanted = self._due(versions, now)
        for snapshot in slos.snapshots(connection, wanted) if wanted else ():
            found = status(snapshot, now)
            name = found.slo.name
            self._known[name] = _Standing(versions[name], now, _again(found, now), _samples(found))
        told = Samples()
        for name in versions:
            if name in self._known:
                told.extend(self._known[name].samples)
        return told

    def _due(self, versions: Mapping[str, int], now: datetime) -> list[str]:
        """Those that were never judged, and those that waited longest for it."""
        new = [name for name in versions if name not in self._known]
        due = [name for name, known in self._known.items() if known.version != versions[name] or known.again <= now]
        return [*new, *sorted(due, key=lambda name: self._known[name].at)[:MOST]]


def _again(found: SloStatus, now: datetime) -> datetime:
    """Bad events move the windows that hold them; slices of time and the age of data are judged by the clock."""
    reach = max([_PACE_MIN, *(step.long for step in found.steps)])
    moves = any(not line.counts_events or line.within(found.at - reach + 1, found.at + 1).bad for line in found.lines)
    return now + (_SOON if moves else _LATER)


def _samples(found: SloStatus) -> Samples:
    samples, slo = Samples(), found.slo
    labels = (slo.name, slo.team or "")
    for objective, budget in zip(slo.objectives, found.budgets, strict=True):
        of = (*labels, objective.indicator.name)
        samples.add(metrics.SLO_TARGET, float(objective.target), *of)
        samples.add(metrics.SLO_EVENTS, float(budget.counts.good), *of, "good")
        samples.add(metrics.SLO_EVENTS, float(budget.counts.bad), *of, "bad")
    if found.consumed is not None:
        samples.add(metrics.SLO_LEFT, float(1 - found.consumed), *labels)
    for window, rate in {window_words(step.long): burn_rate(slo, long) for step, long, _ in found.windows}.items():
        samples.add(metrics.SLO_BURN, float(rate), *labels, window)
    if found.exhausts_in is not None:
        samples.add(metrics.SLO_EXHAUSTION, found.exhausts_in.total_seconds(), *labels)
    return samples
