"""A dataset was not updated for too long: is the data new, which is another question than whether a job ran.

A warn and a fail limit per dataset (Dagster's `warn_window` < `fail_window`); each is an alert of its own, the warning
one step less severe, and the warning stays while the failure lasts, so that nothing is "resolved" by getting worse.
Without limits the cadence of its updates is learned. Backfills and rewrites of older partitions do not make a dataset
fresh (Dagster discussion #34023). With `by: data` only the time that the data itself tells counts, whoever wrote it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.baseline import Baseline
from rules.changes import ChangeOptions
from rules.options import Seconds
from rules.troubles import troubles_within, with_troubles
from rules.updates import cadence_of, fresh_updates, newest_data
from rules.words import iso, length_words, moment_words, subject_words
from watchtower.model.alert import Severity
from watchtower.model.rule import DatasetSnapshot, Evaluation, Rule, Snapshot, Violation

_LESS_SEVERE = {Severity.PAGE: Severity.TICKET, Severity.TICKET: Severity.INFO, Severity.INFO: Severity.INFO}


class FreshnessConfig(ChangeOptions):
    """Neither limit: learned from the cadence of updates."""

    warn_after: Seconds | None = Field(default=None, description="age of the newest data that is worth a warning")
    fail_after: Seconds | None = Field(default=None, description="age of the newest data that is too old")
    by: Literal["update", "data"] = Field(
        default="update", description="data: by its own time alone, not by the runs that wrote it"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "FreshnessConfig":
        if self.warn_after is not None and self.fail_after is not None and self.warn_after >= self.fail_after:
            raise ValueError(f"warn_after ({self.warn_after:g} s) must be less than fail_after ({self.fail_after:g} s)")
        return self


class Freshness:
    kind: ClassVar[str] = "freshness"
    subject: ClassVar[str] = "dataset"
    clears: ClassVar[str] = "new data has been written"
    Config: ClassVar[type[FreshnessConfig]] = FreshnessConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, DatasetSnapshot):
            return Evaluation()
        snapshot = _counted(rule.options, snapshot)
        limits = _limits(rule, snapshot)
        if isinstance(limits, str):
            return Evaluation(learning=limits)
        broken = [limit for limit in limits if limit.at <= now]
        return Evaluation(
            violations=tuple(_violation(limit, snapshot) for limit in broken),
            next_at=min((limit.at for limit in limits if limit.at > now), default=None),
            resolution={} if broken else _resolution(snapshot),
        )

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: FreshnessConfig = rule.options
        who = subject_words(snapshot)
        said = [f"warns after {_both(options.warn_after)}"] if options.warn_after else []
        said += [f"fails after {_both(options.fail_after)}"] if options.fail_after else []
        if said:
            by = ", by the time that it tells itself" if options.by == "data" else ""
            return f"{who}: {' and '.join(said)} without new data{by}.{_too_short(options, snapshot)}"
        if isinstance(snapshot, DatasetSnapshot):
            limits = _limits(rule, _counted(options, snapshot))
            if isinstance(limits, str):
                return f"{who}: the cadence of its updates is being learned ({limits})."
            return f"{who}: new data is expected by {moment_words(limits[0].at)} ({limits[0].reason})."
        return f"{who}: new data must come about as often as it used to."


def _too_short(options: FreshnessConfig, snapshot: Snapshot | None) -> str:
    """Where the data usually comes less often than it may be old: it is too old each time, and nothing is wrong."""
    limit_s = options.fail_after or options.warn_after
    if limit_s is None or not isinstance(snapshot, DatasetSnapshot):
        return ""
    moments = tuple(dict.fromkeys(update.at for update in fresh_updates(_counted(options, snapshot).updates)))
    usual = Baseline.of((later - earlier).total_seconds() for earlier, later in pairwise(moments))
    if usual is None or usual.median <= limit_s:
        return ""
    return f" New data usually comes every {length_words(usual.median)}, so that it is too old each time in between."


@dataclass(frozen=True, slots=True)
class Limit:
    """at: the moment from which the data is too old. since: its newest update. severity None: the rule's own."""

    level: str
    at: datetime
    since: datetime
    reason: str
    severity: Severity | None = None


def _counted(options: FreshnessConfig, snapshot: DatasetSnapshot) -> DatasetSnapshot:
    """With those updates alone that count. What the data itself told, by an event or a probe, names no job."""
    if options.by == "update":
        return snapshot
    told = tuple(update for update in snapshot.updates if update.job_id is None)
    return replace(snapshot, updates=told, dataset=replace(snapshot.dataset, updated_at=None))


def _limits(rule: Rule, snapshot: DatasetSnapshot) -> list[Limit] | str:
    """What is too old when, or why nothing can be said."""
    options: FreshnessConfig = rule.options
    newest = newest_data(snapshot.updates)
    if options.warn_after is None and options.fail_after is None:
        return _learned(snapshot)
    if newest:
        since = newest.at
    elif snapshot.dataset.updated_at:
        since = snapshot.dataset.updated_at
    elif snapshot.dataset.declared and snapshot.dataset.first_seen:
        since = snapshot.dataset.first_seen
    else:
        return "its own time was never told" if options.by == "data" else "no update of it was ever seen"
    limits: list[Limit] = []
    warns_apart = options.fail_after is None or rule.severity is not Severity.INFO
    if options.warn_after is not None and warns_apart:
        less = _LESS_SEVERE[rule.severity]
        limits.append(_after(options.warn_after, "warn", since, less))
    if options.fail_after is not None:
        limits.append(_after(options.fail_after, "fail", since, None))
    return limits


def _after(limit_s: float, level: str, since: datetime, severity: Severity | None) -> Limit:
    return Limit(level, since + timedelta(seconds=limit_s), since, f"limit {length_words(limit_s)}", severity)


def _learned(snapshot: DatasetSnapshot) -> list[Limit] | str:
    found = cadence_of(snapshot.updates)
    return found if isinstance(found, str) else [Limit("fail", found.late_at, found.since, found.words)]


def _violation(limit: Limit, snapshot: DatasetSnapshot) -> Violation:
    newest = newest_data(snapshot.updates)
    evidence: dict[str, Any] = {
        "level": limit.level,
        "last_update": iso(limit.since),
        "expected": iso(limit.at),
        "limit": (limit.at - limit.since).total_seconds(),
        "reason": limit.reason,
        "since": iso(limit.at),
        "run_id": newest.run_id if newest else None,
        "partition": newest.partition if newest else None,
        "writers": sorted(job.ref.name for job in snapshot.writers)[:10],
    }
    evidence = {name: value for name, value in evidence.items() if value is not None and value != []}
    known = newest or snapshot.dataset.updated_at
    what = "has no new data since" if known else "was never updated since it was declared,"
    length = length_words((limit.at - limit.since).total_seconds())
    name, last = snapshot.dataset.ref.name, moment_words(limit.since)
    return Violation(
        since=limit.at,
        summary=f"{name} {what} {last}, longer than {length} ({limit.reason})",
        value=(limit.at - limit.since).total_seconds(),
        labels={"severity": limit.severity.value} if limit.severity else {},
        evidence=with_troubles(evidence, troubles_within(snapshot, limit.at)),
    )


def _resolution(snapshot: DatasetSnapshot) -> dict[str, Any]:
    newest = newest_data(snapshot.updates)
    return {"run_id": newest.run_id, "updated_at": iso(newest.at)} if newest else {}


def _both(seconds: float) -> str:
    return f"{length_words(seconds)} ({seconds:.0f} s)"
