"""What rules see and what they answer: a snapshot of one subject in, violations and the next moment out.

A *subject* is what rules watch: a job, a task or a dataset. A rule kind is a pure function of (rule, snapshot, now);
the engine owns `for`, `keep_firing_for` and the life of the alert. All datetimes are aware UTC, durations seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from msgspec import structs

from watchtower.model.alert import Alert, Severity
from watchtower.model.business import BusinessCalendar
from watchtower.model.change import Change
from watchtower.model.companion import Beside, Companion
from watchtower.model.cost import BillState, Budget, DayCost
from watchtower.model.day_medians import DayMedians
from watchtower.model.follower import Follower
from watchtower.model.labels import Labels, Matcher
from watchtower.model.past import PastRun
from watchtower.model.run import Dataset, DatasetUpdate, Job, JobRef, Run
from watchtower.model.sender import Sender
from watchtower.model.series import Sample, Series
from watchtower.model.slo import Correction, Counted, Fresh, Slo
from watchtower.model.source import Source, Trouble
from watchtower.model.spent import Asked, Spent
from watchtower.model.timing import UNTIMED, Timings
from watchtower.model.trace import RunTrace, Usual


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured (or shipped) rule. options: the kind's own, already validated `Config` object.

    matchers apply to the subject's labels (`pipeline`, `task`, `dataset`, `namespace`, `source`, `owner`, `team`,
    `tag_*`). A rule watches tasks only if a matcher names `task`. declared: written by the operator, not shipped.
    """

    name: str
    kind: str
    options: Any
    matchers: tuple[Matcher, ...] = ()
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    severity: Severity = Severity.TICKET
    labels: Labels = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    runbook_url: str | None = None
    declared: bool = False


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """kind: `job`, `dataset`, `series`, `budget`, `slo`, `source` or `round_trip`; id: of that thing. Text form
    `job:<id>`, as in the due queue."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @staticmethod
    def parse(text: str) -> "SubjectKey":
        kind, _, ident = text.partition(":")
        return SubjectKey(kind, ident)


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One job (or task) with its recent past.

    past: the newest runs of this job, at most 130, newest first by (nominal_start or started_at or first_seen),
    historical ones included and marked. runs: those of them that can still matter one by one, whole and in the same
    order: the newest ones, every one from the oldest failure on that no later success has cleared, and those that are
    open, behind the others also such as are older than all of past.
    attempts: of tasks, keyed by run id, oldest first: all of a run that is open or did not succeed, else those that
    are still open and those that are not the first of their task; empty for a task subject. alerts: of this subject,
    not resolved. traces: by run id, of those among the newest runs that ended badly, took long or are still open, where
    there are spans; usual: the operations of the job's good runs, empty where traces is. timings: of the tasks of its
    last good runs, only where a rule reads them. troubles: of what the job needs, newest first. beside: what rules name
    that look at something beside it. spent: what bills say of it, where a rule asks. calendar: the days on which it has
    business, where the configuration says so. asked_until: how far its orchestrator was read when it was last asked,
    where some run ended by another word alone. followers: who came in its place, where it is missing.
    days: what it took on each of its last days, of a job whose past is a few of them, where a rule reads that.
    formerly: what it was called, or where it ran, before, if the configuration says so; former: the runs that it had
    there before it was first heard of here, newest first, as many as past lacks. They teach what is usual, and nothing
    else is asked of them.
    """

    key: SubjectKey
    job: Job
    past: tuple[PastRun, ...]
    runs: tuple[Run, ...]
    attempts: Mapping[str, tuple[Run, ...]]
    alerts: tuple[Alert, ...]
    traces: Mapping[str, RunTrace] = field(default_factory=dict[str, RunTrace])
    usual: Usual = field(default_factory=Usual)
    timings: Timings = UNTIMED
    troubles: tuple[Trouble, ...] = ()
    beside: Mapping[Companion, Beside] = field(default_factory=dict[Companion, Beside])
    spent: Mapping[Asked, Spent] = field(default_factory=dict[Asked, Spent])
    calendar: BusinessCalendar | None = None
    asked_until: datetime | None = None
    followers: tuple[Follower, ...] = ()
    days: DayMedians = field(default_factory=DayMedians)
    formerly: Companion | None = None
    former: tuple[PastRun, ...] = ()

    @property
    def team(self) -> str | None:
        return self.job.team

    @property
    def labels(self) -> dict[str, str]:
        environment = next((run.environment for run in self.runs if run.environment), None)
        placed = {"environment": environment} if environment else {}
        return {**job_labels(self.job), **placed}

    def owned_by(self, owner: str | None, team: str | None) -> "JobSnapshot":
        """As the configuration says; what it does not say stays."""
        job = self.job
        owner, team = owner or job.owner, team or job.team
        if (owner, team) == (job.owner, job.team):  # nearly always
            return self
        return replace(self, job=structs.replace(job, owner=owner, team=team))


@dataclass(frozen=True, slots=True)
class DatasetSnapshot:
    """One dataset. updates: newest first, at most 200, and as many again of what the data itself said. writers: jobs
    that wrote it lately. troubles: why there may be no news of it, newest first. beside, spent: as of jobs."""

    key: SubjectKey
    dataset: Dataset
    updates: tuple[DatasetUpdate, ...]
    writers: tuple[Job, ...]
    alerts: tuple[Alert, ...]
    troubles: tuple[Trouble, ...] = ()
    beside: Mapping[Companion, Beside] = field(default_factory=dict[Companion, Beside])
    spent: Mapping[Asked, Spent] = field(default_factory=dict[Asked, Spent])

    @property
    def team(self) -> str | None:
        return self.dataset.team

    @property
    def labels(self) -> dict[str, str]:
        return dataset_labels(self.dataset)

    def owned_by(self, owner: str | None, team: str | None) -> "DatasetSnapshot":
        """What nobody claims belongs to whoever wrote it last."""
        dataset, writer = self.dataset, next(iter(self.writers), None)
        owner = owner or dataset.owner or (writer.owner if writer else None)
        team = team or dataset.team or (writer.team if writer else None)
        return replace(self, dataset=replace(dataset, owner=owner, team=team))


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """One series. samples: newest first, at most 500. job: the one it tells of. changes: that concern the job, newest
    first, since the oldest of samples. calendar: the days on which that job has business."""

    key: SubjectKey
    series: Series
    samples: tuple[Sample, ...]
    job: Job | None
    alerts: tuple[Alert, ...]
    changes: tuple[Change, ...] = ()
    calendar: BusinessCalendar | None = None

    @property
    def team(self) -> str | None:
        return self.series.team

    @property
    def labels(self) -> dict[str, str]:
        ref = self.series.ref
        job = _job_labels(ref.job) if ref.job else {"source": self.series.source}
        tags = _tags(self.job.tags) if self.job else {}
        return {**ref.labels, **job, "series": ref.name, **_owned(self.series.owner, self.series.team), **tags}

    def owned_by(self, owner: str | None, team: str | None) -> "SeriesSnapshot":
        """What nobody claims belongs to whoever owns the job it tells of."""
        series, job = self.series, self.job
        owner = owner or series.owner or (job.owner if job else None)
        team = team or series.team or (job.team if job else None)
        return replace(self, series=replace(series, owner=owner, team=team))


@dataclass(frozen=True, slots=True)
class BudgetSnapshot:
    """One budget. days: of its scope, oldest first, of this month and the one before; days without a charge are
    missing. told: when the bill first reached the end of a day, for the days among these that it reaches. declared_at:
    since when the configuration holds the budget."""

    key: SubjectKey
    budget: Budget
    days: tuple[DayCost, ...]
    bill: BillState
    alerts: tuple[Alert, ...]
    declared_at: datetime
    told: Mapping[date, datetime] = field(default_factory=dict[date, datetime])

    @property
    def team(self) -> str | None:
        return self.budget.team

    @property
    def labels(self) -> dict[str, str]:
        scope = self.budget.scope
        said = {"service": scope.service, "account": scope.account, "source": scope.source}
        labels = {"budget": self.budget.name, **{name: value for name, value in said.items() if value}}
        return {**labels, **_owned(self.budget.owner, self.budget.team), **_tags(scope.tags)}

    def owned_by(self, owner: str | None, team: str | None) -> "BudgetSnapshot":
        budget = self.budget
        return replace(self, budget=replace(budget, owner=budget.owner or owner, team=budget.team or team))


@dataclass(frozen=True, slots=True)
class SloSnapshot:
    """One SLO. parts: what was counted, by objective; corrections: times that do not count."""

    key: SubjectKey
    slo: Slo
    parts: tuple[Counted | Fresh, ...]
    corrections: tuple[Correction, ...]
    alerts: tuple[Alert, ...]

    @property
    def team(self) -> str | None:
        return self.slo.team

    @property
    def labels(self) -> dict[str, str]:
        slo = self.slo
        labels = {"slo": slo.name, **({"service": slo.service} if slo.service else {})}
        return {**labels, **_owned(slo.owner, slo.team), **_tags(slo.labels)}

    def owned_by(self, owner: str | None, team: str | None) -> "SloSnapshot":
        slo = self.slo
        return replace(self, slo=replace(slo, owner=slo.owner or owner, team=slo.team or team))


@dataclass(frozen=True, slots=True)
class RoundTripSnapshot:
    """One made-up event of Watchtower's own (model.round_trip)."""

    key: SubjectKey
    alerts: tuple[Alert, ...]

    @property
    def team(self) -> str | None:
        return None

    @property
    def labels(self) -> dict[str, str]:
        return {"source": "watchtower", "trip": self.key.id}

    def owned_by(self, owner: str | None, team: str | None) -> "RoundTripSnapshot":
        return self


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """One source that is asked. pushed_at: when the newest event came that anybody sent of its namespace; untold: runs
    that began since, as far as they are counted; both only where it is said to push. owner: as the configuration has
    it."""

    key: SubjectKey
    source: Source
    alerts: tuple[Alert, ...]
    pushed_at: datetime | None = None
    untold: int = 0
    owner: str | None = None

    @property
    def team(self) -> str | None:
        return self.source.team

    @property
    def labels(self) -> dict[str, str]:
        source = self.source
        labels = {"source": source.name, "namespace": source.namespace, "collector": source.kind}
        return {**labels, **_owned(self.owner, source.team)}

    def owned_by(self, owner: str | None, team: str | None) -> "SourceSnapshot":
        return replace(self, source=replace(self.source, team=team), owner=owner)


@dataclass(frozen=True, slots=True)
class SenderSnapshot:
    """One source that sends. asked: its namespace is that of a source that is asked, too, which would be heard of
    without it; untold: runs that such asking told of, and that began since it was quiet, as far as they are counted;
    pushes: such a source is said to send as well. owner: as the configuration has it."""

    key: SubjectKey
    sender: Sender
    alerts: tuple[Alert, ...]
    asked: bool = False
    untold: int = 0
    pushes: bool = False
    owner: str | None = None

    @property
    def team(self) -> str | None:
        return self.sender.team

    @property
    def labels(self) -> dict[str, str]:
        labels = {"source": self.sender.source, "namespace": self.sender.namespace}
        return {**labels, **_owned(self.owner, self.sender.team)}

    def owned_by(self, owner: str | None, team: str | None) -> "SenderSnapshot":
        return replace(self, sender=replace(self.sender, team=team), owner=owner)


Snapshot = (
    JobSnapshot
    | DatasetSnapshot
    | SeriesSnapshot
    | BudgetSnapshot
    | SloSnapshot
    | SourceSnapshot
    | SenderSnapshot
    | RoundTripSnapshot
)


def job_labels(job: Job) -> dict[str, str]:
    return {**_job_labels(job.ref), **_owned(job.owner, job.team), **_tags(job.tags)}


def dataset_labels(dataset: Dataset) -> dict[str, str]:
    labels = {"namespace": dataset.ref.namespace, "dataset": dataset.ref.name}
    return {**labels, **_owned(dataset.owner, dataset.team), **_tags(dataset.tags)}


def _job_labels(ref: JobRef) -> dict[str, str]:
    labels = {"source": ref.source, "namespace": ref.namespace, "pipeline": ref.pipeline}
    return {**labels, "task": ref.task} if ref.task else labels


def _owned(owner: str | None, team: str | None) -> dict[str, str]:
    return {name: value for name, value in (("owner", owner), ("team", team)) if value}


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    """For matchers only."""
    return {f"tag_{name}": value for name, value in tags.items()}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken expectation, now. since: when it began to be true. began: when what is wrong began, where that was
    earlier: what was changed is looked for before it. labels: beyond the subject's own, e.g. `task` of
    a failed task; keep them few and stable (never run ids). summary: one sentence with its numbers, for people.
    evidence: facts for the ticket (run_id, attempt, expected, seen, error, log url …), JSON values only. historical:
    made of historical facts only, so it must never page. yields_to: a kind whose violation on the same subject takes
    this one in as evidence, unless this one already fires (a failure supersedes the deadline that it breaks)."""

    since: datetime
    summary: str
    value: float | None = None
    labels: Labels = field(default_factory=dict[str, str])
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    historical: bool = False
    yields_to: str | None = None
    began: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A rule's answer on one subject. next_at: the next moment at which time alone could change it; None: only new
    facts can. At any moment between now and next_at the violations are equal to these, word for word: the due queue
    rests on it. unknown: why nothing can be said (open alerts are then kept, state `unknown`, never resolved).
    learning: why a learned rule is still silent, e.g. "7 of 10 completed runs". resolution: how it became well, e.g.
    the run that came late; added to the evidence of alerts that end by this evaluation."""

    violations: tuple[Violation, ...] = ()
    next_at: datetime | None = None
    unknown: str | None = None
    learning: str | None = None
    resolution: Mapping[str, Any] = field(default_factory=dict[str, Any])
