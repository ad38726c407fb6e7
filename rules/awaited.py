"""What somebody who waits for a dataset wants to know: how old is it, when does it come, and what holds it up. Pure.

What holds it up is the first thing wrong on the way that the data takes: a pipeline behind which nothing is wrong. When
it comes is said only where something runs: that run's usual length, and how long the data usually takes from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from rules.baseline import median
from rules.updates import cadence_of, fresh_updates
from rules.words import moment_words
from watchtower.model.duration import spoken
from watchtower.model.lineage import Stage
from watchtower.model.run import DatasetUpdate, Job, Run, RunState

_MOST = 3  # causes
_TAUGHT_BY = 20  # updates, of how long data takes on its way
# Alerts that tell of runs which do not come, or not to their end.
_HOLDS_UP = frozenset({"absence", "deadline", "duration", "missing_run", "orphan", "queue_time", "run_failure"})


class DataState(StrEnum):
    """due: its time has come, and it is not late yet by what is usual. unknown: nothing says when it should come."""

    FRESH = "fresh"
    DUE = "due"
    LATE = "late"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something wrong on the way. what: one sentence without its full stop."""

    job: Job
    since: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Awaited:
    """since: of the newest data; next_at: when new data is usually here, or must be; why: how that is known, or why it
    is not; late_s: how long after that it is now, None while it is not late. causes: the first to begin comes first.
    expected_at: when it will probably come; else after: the pipeline that must run first, and takes_s: how long it
    usually takes from the beginning of that run."""

    state: DataState
    since: datetime | None
    next_at: datetime | None
    why: str
    late_s: float | None = None
    causes: tuple[Cause, ...] = ()
    expected_at: datetime | None = None
    after: str = ""
    takes_s: float | None = None


def awaited(
    updates: Sequence[DatasetUpdate], stages: Sequence[Stage], limits: Sequence[datetime], now: datetime
) -> Awaited:
    """updates: newest first. stages: what it comes from, the nearest first. limits: when rules say that it is too
    old."""
    fresh = fresh_updates(updates)
    since = fresh[-1].at if fresh else None
    cadence = cadence_of(updates)
    limit = min(limits, default=None)
    if isinstance(cadence, str):
        next_at, late_at, why = limit, limit, "as its rule says" if limit else cadence
    else:
        next_at, why = cadence.next_at, f"learned: {cadence.words}"
        late_at = min(cadence.usually_by, limit) if limit else cadence.usually_by
    state = _state(next_at, late_at, now)
    found = Awaited(state, since, next_at, why)
    return _on_its_way(found, fresh, stages, now)


def sentences(found: Awaited, name: str, timezone: str | None) -> tuple[str, ...]:
    """For whoever waits for the data. timezone: in which its times are told; UTC where none is known."""
    return (*_how_it_stands(found, name, timezone), *_what_follows(found, timezone))


def _how_it_stands(found: Awaited, name: str, timezone: str | None) -> Iterable[str]:
    if found.since is None:
        yield f"{name} was never seen to be written."
    else:
        yield f"{name} is fresh as of {_minute(found.since, timezone)}."
    if found.next_at is None:
        yield f"When new data should come is not known yet: {found.why}."
        return
    at = f"{_minute(found.next_at, timezone)} ({found.why})"
    if found.state is DataState.FRESH:
        yield f"New data is expected at {at}."
    elif found.state is DataState.DUE:
        yield f"New data was expected at {at}; it is not unusually late yet."
    else:
        yield f"New data is late by {spoken(found.late_s or 0)}: it was expected at {at}."


def _what_follows(found: Awaited, timezone: str | None) -> Iterable[str]:
    held_up = "It is held up" if found.state is DataState.LATE else "It may be held up"
    if found.causes:
        yield f"{held_up}: {'; '.join(cause.what for cause in found.causes)}."
    if found.expected_at and found.expected_at != found.next_at:
        yield f"A run is under way; new data will probably be there at {_minute(found.expected_at, timezone)}."
    elif found.after and found.takes_s is not None:
        yield f"It usually comes {spoken(found.takes_s)} after a run of {found.after} begins; none is under way."


def _state(next_at: datetime | None, late_at: datetime | None, now: datetime) -> DataState:
    if next_at is None or late_at is None:
        return DataState.UNKNOWN
    if now >= late_at:
        return DataState.LATE
    return DataState.DUE if now >= next_at else DataState.FRESH


def _on_its_way(found: Awaited, fresh: Sequence[DatasetUpdate], stages: Sequence[Stage], now: datetime) -> Awaited:
    is_late = found.state is DataState.LATE
    late_s = (now - min(found.next_at, now)).total_seconds() if is_late and found.next_at else None
    causes = first_causes(stages, found.since)
    running = next((stage for stage in stages if _under_way(stage, found.since)), None)
    if is_late and not causes and not running:
        causes = _nothing_began(stages, found.since)
    expected_at = _expected(running, fresh, now) if running else None
    if expected_at is None and found.state is DataState.FRESH and not causes:
        expected_at = found.next_at
    waits_for = next((stage for stage in stages if causes and stage.job.id == causes[0].job.id), None)
    held_by = waits_for if expected_at is None else None
    return replace(
        found,
        late_s=late_s,
        causes=causes,
        expected_at=expected_at,
        after=held_by.job.ref.pipeline if held_by else "",
        takes_s=_takes(held_by, fresh) if held_by else None,
    )


def first_causes(stages: Sequence[Stage], since: datetime | None) -> tuple[Cause, ...]:
    """What is wrong with a pipeline behind which nothing is. since: of the newest data; what ended before it is no
    cause."""
    wrong = {stage.job.id: cause for stage in stages if (cause := _wrong(stage, since))}
    needs = {stage.job.id: stage.needs for stage in stages}
    first = [cause for job_id, cause in wrong.items() if not _behind(job_id, needs) & wrong.keys()]
    return tuple(sorted(first, key=lambda cause: (cause.since, cause.job.id))[:_MOST])


def _behind(job_id: str, needs: Mapping[str, Iterable[str]]) -> set[str]:
    """All that it needs, and what that needs; not itself, though it may stand in a circle."""
    found: set[str] = set()
    waiting = list(needs.get(job_id, ()))
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += needs.get(each, ())
    return found - {job_id}


def _wrong(stage: Stage, since: datetime | None) -> Cause | None:
    newest = stage.runs[-1] if stage.runs else None
    if newest and newest.state.is_bad and (since is None or _end(newest) > since):
        return Cause(stage.job, _end(newest), _failed_words(newest))
    told = next((alert for alert in stage.alerts if alert.labels.get("kind") in _HOLDS_UP), None)
    if told is None:
        return None
    return Cause(stage.job, told.active_since, told.annotations.get("summary") or told.rule)


def _nothing_began(stages: Sequence[Stage], since: datetime | None) -> tuple[Cause, ...]:
    """Of what writes it itself, where nothing else is known to be wrong."""
    writer = next((stage for stage in stages if stage.steps == 1), None)
    if writer is None or since is None or any(_begin(run) > since for run in writer.runs):
        return ()
    begun = f"no run of {writer.job.ref.pipeline} has begun since {_minute(since, writer.job.timezone)}"
    return (Cause(writer.job, since, begun),)


def _failed_words(run: Run) -> str:
    message = run.error.message.strip() if run.error else ""
    what = f"{run.job.pipeline} {run.state.value.replace('_', ' ')} at {_minute(_end(run))}"
    return f"{what}: {message.splitlines()[0][:200]}" if message else what


def _under_way(stage: Stage, since: datetime | None) -> bool:
    newest = stage.runs[-1] if stage.runs else None
    return newest is not None and newest.state is RunState.RUNNING and (since is None or _begin(newest) > since)


def _expected(stage: Stage, fresh: Sequence[DatasetUpdate], now: datetime) -> datetime | None:
    """None where nothing teaches it, or the run already takes longer than it usually does."""
    takes_s = _takes(stage, fresh)
    at = _begin(stage.runs[-1]) + timedelta(seconds=takes_s) if takes_s is not None else None
    return at if at is not None and at > now else None


def _takes(stage: Stage, fresh: Sequence[DatasetUpdate]) -> float | None:
    """Seconds from the beginning of a run of it to new data, as a median of those that ended well; None: too few."""
    good = [run for run in stage.runs if run.state is RunState.SUCCEEDED and run.started_at]
    taken: list[float] = []
    for update in fresh[-_TAUGHT_BY:]:
        before = [run for run in good if _end(run) <= update.at]
        if before:
            taken.append((update.at - _begin(before[-1])).total_seconds())
    return median(sorted(taken)) if len(taken) >= _MOST else None


def _begin(run: Run) -> datetime:
    return run.started_at or run.first_seen


def _end(run: Run) -> datetime:
    return run.ended_at or run.last_event_at


def _minute(moment: datetime, timezone: str | None = None) -> str:
    return moment_words(moment.replace(second=0, microsecond=0), timezone)
