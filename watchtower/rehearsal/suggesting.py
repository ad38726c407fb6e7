"""Rules that history speaks for: limits of what was usual, each said with what it would have told.

The limits are those that the learned rules use (`rules.baseline`), made round and written down, so that they stay when
what is usual drifts. Nothing is proposed of fewer than ten completed runs or writings.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import yaml

from rules.baseline import MIN_SAMPLES, Baseline
from rules.history import history_of
from rules.kinds.missing_run import START_WITHIN_S
from rules.schedules.learned import learn
from rules.updates import fresh_updates
from watchtower.config.labelled import LabelledIncident
from watchtower.model.duration import format_duration
from watchtower.model.instants import from_micros
from watchtower.model.past import PastRun
from watchtower.model.rule import DatasetSnapshot, JobSnapshot, Snapshot
from watchtower.model.run import JobRef, Trigger
from watchtower.rehearsal.backtest import Fired, Span
from watchtower.rehearsal.judging import tells_of

# What limits are rounded up to, by how long they are; seconds.
_STEPS = ((120, 10), (3_600, 60), (21_600, 300), (172_800, 3_600))
_COARSEST_S = 21_600
_LEAST_ROWS = 0.5  # of the median: the learned rule of volume asks for more, and of each writer apart
_FLAKY = 2  # failures that the next run made good are no chance any more
_MOSTLY = 0.8  # of its failures
_SAYS = {
    "duration": "at most {}",
    "deadline": "within {}",
    "missing_run": "begins within {} of its time",
    "queue_time": "starts at most {} after it is queued",
    "run_failure": "told from {} failures in a row on",
    "freshness": "at most {}",
    "volume": "at least {} rows",
}
_ALERTS_A_WEEK = 1.0  # more than so many are noise, and no suggestion


@dataclass(frozen=True, slots=True)
class Proposal:
    """options: of the kind, as they are written; subject: what people call it; samples: how many runs or writings it
    is made of."""

    alert: str
    kind: str
    match: Mapping[str, str]
    options: Mapping[str, str | int]
    subject: str
    samples: int

    @property
    def says(self) -> str:
        (limit,) = self.options.values()
        said = "never empty" if self.kind == "volume" and limit == 1 else _SAYS[self.kind].format(limit)
        return f"{self.kind} of {self.subject}: {said}"

    @property
    def written(self) -> dict[str, Any]:
        return {"alert": self.alert, "kind": self.kind, "match": dict(self.match), **self.options}


@dataclass(frozen=True, slots=True)
class TooShort:
    """Why nothing is proposed of a subject."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Weighed:
    """fired: alerts that the proposal would have made; caught: of so many incidents that concern its subject."""

    proposal: Proposal
    fired: int
    caught: int
    incidents: int
    is_noisy: bool


def propose(snapshots: Iterable[Snapshot], since: datetime) -> tuple[list[Proposal], list[TooShort]]:
    """Of what happened from since on."""
    proposals: list[Proposal] = []
    too_short: list[TooShort] = []
    for snapshot in snapshots:
        if isinstance(snapshot, JobSnapshot) and snapshot.job.ref.task is None:
            found = _of_job(snapshot, since)
        elif isinstance(snapshot, DatasetSnapshot):
            found = _of_dataset(snapshot, since)
        else:
            continue
        for each in found:
            (proposals if isinstance(each, Proposal) else too_short).append(each)  # pyright: ignore[reportArgumentType]
    return _with_own_names(proposals), too_short


def _of_job(snapshot: JobSnapshot, since: datetime) -> Iterator[Proposal | TooShort]:
    ref = snapshot.job.ref
    match = {"pipeline": ref.pipeline, "namespace": ref.namespace}
    runs = _runs(snapshot, since)
    done = [run for run in runs if run.has_succeeded and run.duration_s is not None]
    took = _took(done)
    if took is None:
        yield TooShort(ref.name, f"{len(done)} of {MIN_SAMPLES} completed runs")
        return
    limit = format_duration(_round_up(took.usual_limit))
    yield Proposal(_name(ref.pipeline, "Slow"), "duration", match, {"max": limit}, ref.name, took.count)
    after = Baseline.of(_after_due_s(run) for run in done if run.ended_us is not None)
    if after is not None and (snapshot.job.schedule or learn(sorted(run.position for run in runs))):
        within = format_duration(_round_up(after.usual_limit))
        options = {"finish_within": within}
        yield Proposal(_name(ref.pipeline, "Late"), "deadline", match, options, ref.name, after.count)
    starts = Baseline.of(_starts_late_s(snapshot, runs))
    if starts is not None:
        options = {"start_within": format_duration(_round_up(max(START_WITHIN_S, starts.usual_limit)))}
        yield Proposal(_name(ref.pipeline, "Missing"), "missing_run", match, options, ref.name, starts.count)
    waits = Baseline.of(_waited_s(runs))
    if waits is not None:
        options = {"max": format_duration(_round_up(waits.usual_limit))}
        yield Proposal(_name(ref.pipeline, "Queued"), "queue_time", match, options, ref.name, waits.count)
    if _is_flaky(runs):
        yield Proposal(_name(ref.pipeline, "Failing"), "run_failure", match, {"fail_after": 2}, ref.name, len(runs))


def usual_durations(snapshots: Iterable[Snapshot], since: datetime) -> dict[JobRef, float]:
    """How many seconds a run of each pipeline may take, as `propose` says it, where enough of them are known."""
    found: dict[JobRef, float] = {}
    for snapshot in snapshots:
        if isinstance(snapshot, JobSnapshot) and snapshot.job.ref.task is None:
            took = _took([run for run in _runs(snapshot, since) if run.has_succeeded])
            if took is not None:
                found[snapshot.job.ref] = _round_up(took.usual_limit)
    return found


def _runs(snapshot: JobSnapshot, since: datetime) -> list[PastRun]:
    return [run for run in snapshot.past if run.position >= since and run.trigger != Trigger.BACKFILL]


def _took(done: Sequence[PastRun]) -> Baseline | None:
    return Baseline.of(run.duration_s for run in done if run.duration_s is not None)


def _starts_late_s(snapshot: JobSnapshot, runs: Sequence[PastRun]) -> Iterator[float]:
    """How long after its time each run began. Nothing where no schedule is declared: one that is learned from the
    starts knows how they scatter, before and after."""
    schedule = history_of(snapshot).declared
    if schedule is None:
        return
    for run in runs:
        is_planned = run.started_us is not None and run.trigger in (None, Trigger.SCHEDULE)
        begun = from_micros(run.started_us or 0) if is_planned else None
        slot = schedule.before(begun) if begun else None
        if begun and slot:
            yield (begun - slot).total_seconds()


def _waited_s(runs: Sequence[PastRun]) -> Iterator[float]:
    """How long each waited for its start, of those of which somebody told when they were queued."""
    for run in runs:
        if run.queued_us is not None and run.started_us is not None:
            yield max(0, run.started_us - run.queued_us) / 1e6


def _is_flaky(runs: Sequence[PastRun]) -> bool:
    """Failures come now and then, and the next run nearly always makes them good. runs: newest first."""
    ended = [run.has_succeeded for run in reversed(runs) if run.has_run]
    streaks = [len(list(same)) for well, same in groupby(ended) if not well]
    return len(streaks) >= _FLAKY and sum(length == 1 for length in streaks) >= _MOSTLY * len(streaks)


def _after_due_s(run: PastRun) -> float:
    return max(0.0, ((run.ended_us or 0) - run.position_us) / 1e6)


def _of_dataset(snapshot: DatasetSnapshot, since: datetime) -> Iterator[Proposal | TooShort]:
    ref = snapshot.dataset.ref
    match = {"dataset": ref.name, "namespace": ref.namespace}
    updates = [update for update in fresh_updates(snapshot.updates) if update.at >= since]
    gaps = Baseline.of((later.at - earlier.at).total_seconds() for earlier, later in pairwise(updates))
    if gaps is None:
        yield TooShort(ref.name, f"{max(0, len(updates) - 1)} of {MIN_SAMPLES} gaps between its updates")
        return
    limit = format_duration(_round_up(gaps.usual_limit))
    yield Proposal(_name(ref.name, "Stale"), "freshness", match, {"fail_after": limit}, ref.name, gaps.count)
    counts = [update.row_count for update in updates if update.row_count is not None]
    rows = Baseline.of(map(float, counts))
    least = _round_down(rows.median * _LEAST_ROWS) if rows else 0
    if rows and least and rows.quantile(0.05) > least:
        yield Proposal(_name(ref.name, "Small"), "volume", match, {"min": least}, ref.name, rows.count)
    elif rows and min(counts):
        yield Proposal(_name(ref.name, "Empty"), "volume", match, {"min": 1}, ref.name, rows.count)


def as_yaml(proposals: Sequence[Proposal]) -> str:
    """A section `rules`, one rule a line, ready to be pasted."""
    lines = [yaml.safe_dump(each.written, default_flow_style=True, sort_keys=False, width=10_000) for each in proposals]
    return "rules:\n" + "".join(f"  - {line}" for line in lines)


def weigh(
    proposals: Sequence[Proposal], fired: Fired, incidents: Sequence[LabelledIncident], span: Span
) -> list[Weighed]:
    """What each would have told within span, on the very days it is made of."""
    weeks = max(1.0, (span.ends - span.begins).total_seconds() / 604_800)
    weighed: list[Weighed] = []
    for each in proposals:
        alerts = [alert for alert in fired.alerts if alert.rule == each.alert]
        about = [item for item in incidents if all(each.match.get(k, v) == v for k, v in item.labels.items())]
        about = [item for item in about if item.begins <= span.ends and item.ends >= span.begins]
        caught = sum(any(tells_of(alert, item, span.ends) for alert in alerts) for item in about)
        noise = len(alerts) - caught
        weighed.append(Weighed(each, len(alerts), caught, len(about), noise > _ALERTS_A_WEEK * weeks))
    return weighed


def _with_own_names(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Two pipelines of one name lie in two namespaces; two rules cannot share one."""
    seen: dict[str, int] = {}
    named: list[Proposal] = []
    for each in proposals:
        seen[each.alert] = number = seen.get(each.alert, 0) + 1
        name = each.alert if number == 1 else f"{each.alert}{number}"
        named.append(Proposal(name, each.kind, each.match, each.options, each.subject, each.samples))
    return named


def _name(subject: str, suffix: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", subject)
    return "".join(word[0].upper() + word[1:] for word in words) + suffix


def _round_up(seconds: float) -> float:
    step = next((step for below, step in _STEPS if seconds < below), _COARSEST_S)
    return float(-(-seconds // step) * step)


def _round_down(count: float) -> int:
    """To two digits."""
    step = 10 ** max(0, len(str(int(count))) - 2)
    return int(count // step * step)
