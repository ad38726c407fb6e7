"""Which events an objective counts, and whether each was good. Pure: over rows of runs as the store has them.

History (a replay, a backfill, what came long after its time) counts for nothing, as in `/metrics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from watchtower.model.instants import from_micros
from watchtower.model.labels import Labels, Matcher, all_match
from watchtower.model.past import PastRun
from watchtower.model.run import Job, JobRef, RunState, Trigger
from watchtower.model.slo import Indicator, Sli, Slo

_MINUTE_US = 60_000_000
_BAD = frozenset(state.value for state in RunState if state.is_bad)
_GOOD = RunState.SUCCEEDED.value
_BACKFILL = Trigger.BACKFILL.value
_NAMES = frozenset({"source", "namespace", "pipeline", "task"})

Key = tuple[str, int]  # name of an SLO, place of one of its objectives


@dataclass(frozen=True, slots=True)
class Watched:
    """An objective that counts runs. watches_tasks: it names tasks; else it counts runs of pipelines."""

    key: Key
    indicator: Indicator

    @property
    def watches_tasks(self) -> bool:
        return any(matcher.name == "task" for matcher in self.indicator.matchers)

    @property
    def by_labels(self) -> tuple[Matcher, ...]:
        """What it asks of the job that can change: who owns it, and its tags."""
        return tuple(each for each in self.indicator.matchers if each.name not in _NAMES)

    def fits(self, labels: Labels) -> bool:
        """labels: of a job whose names fit."""
        return all_match(self.by_labels, labels)


@dataclass(slots=True)
class Watching:
    """All of them, and which of them count the runs of a job by its names, found out once for each job."""

    watched: tuple[Watched, ...] = ()
    _of_job: dict[tuple[str, str, str, str | None], tuple[Watched, ...]] = field(default_factory=dict[Any, Any])

    def of_job(self, source: str, namespace: str, pipeline: str, task: str | None) -> tuple[Watched, ...]:
        place = (source, namespace, pipeline, task)
        found = self._of_job.get(place)
        if found is None:
            found = self._of_job[place] = tuple(each for each in self.watched if counts_job(each, JobRef(*place)))
        return found


def watching(slos: Sequence[Slo]) -> Watching:
    return Watching(
        tuple(
            Watched((slo.name, place), objective.indicator)
            for slo in slos
            for place, objective in enumerate(slo.objectives)
            if objective.indicator.sli.of_runs
        )
    )


def counts_job(watched: Watched, job: JobRef) -> bool:
    """By its names alone."""
    if watched.watches_tasks != bool(job.task):
        return False
    names = {"source": job.source, "namespace": job.namespace, "pipeline": job.pipeline, "task": job.task or ""}
    return all_match((each for each in watched.indicator.matchers if each.name in _NAMES), names)


def labels_of(job: Job) -> dict[str, str]:
    """As matchers of rules see it."""
    owned = {"owner": job.owner or "", "team": job.team or ""}
    return {**owned, **{f"tag_{name}": value for name, value in job.tags.items()}}


def event_of(indicator: Indicator, run: PastRun) -> tuple[int, bool] | None:
    """(minute, good) of a run that ended; None of one that does not count: open, skipped, called off, history."""
    if run.historical or run.trigger == _BACKFILL or (run.state != _GOOD and run.state not in _BAD):
        return None
    moment = run.ended_us or run.started_us or run.first_seen_us
    return moment // _MINUTE_US, run.state == _GOOD and _is_in_time(indicator, run)


def _is_in_time(indicator: Indicator, run: PastRun) -> bool:
    """A run whose start or end is not known is not late."""
    if indicator.sli is not Sli.LATENCY:
        return True
    if indicator.finish_by:
        return run.ended_us is None or from_micros(run.ended_us) <= due_at(indicator, run.position)
    seconds, limit = run.duration_s, indicator.value
    if seconds is None or limit is None:
        return True
    return seconds < limit if indicator.op == "lt" else seconds <= limit


def due_at(indicator: Indicator, position: datetime) -> datetime:
    """The first time of day `finish_by`, in its zone, after the moment the run was meant for."""
    zone, clock = ZoneInfo(indicator.zone), time.fromisoformat(indicator.finish_by)
    local = position.astimezone(zone)
    due = datetime.combine(local.date(), clock, zone)
    return due if due > local else datetime.combine(local.date() + timedelta(days=1), clock, zone)
