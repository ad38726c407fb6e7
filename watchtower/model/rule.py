"""What rules see and what they answer: a snapshot of one subject in, violations and the next moment out.

A *subject* is what rules watch: a job, a task or a dataset. A rule kind is a pure function of (rule, snapshot, now);
the engine owns `for`, `keep_firing_for` and the life of the alert. All datetimes are aware UTC, durations seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from watchtower.model.alert import Alert, Severity
from watchtower.model.labels import Labels, Matcher
from watchtower.model.run import Dataset, DatasetUpdate, Job, Run


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
    """kind: `job` or `dataset`; id: of the job or dataset. Text form `job:<id>`, as in the due queue."""

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

    runs: of this job itself, newest first by (nominal_start or started_at or first_seen), at most `history` of them
    (200), historical ones included and marked. attempts: task attempts of the newest top-level runs and of all open
    ones, keyed by run id, oldest first; empty for a task subject. alerts: of this subject, not resolved.
    """

    key: SubjectKey
    job: Job
    runs: tuple[Run, ...]
    attempts: Mapping[str, tuple[Run, ...]]
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class DatasetSnapshot:
    """One dataset. updates: newest first, at most 200. writers: jobs that wrote it lately."""

    key: SubjectKey
    dataset: Dataset
    updates: tuple[DatasetUpdate, ...]
    writers: tuple[Job, ...]
    alerts: tuple[Alert, ...]


Snapshot = JobSnapshot | DatasetSnapshot


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken expectation, now. since: when it began to be true. labels: beyond the subject's own, e.g. `task` of
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
