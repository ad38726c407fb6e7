"""What rules are, and what their engine asks of the store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from watchtower.model.alert import Alert, Planned, Transition
from watchtower.model.change import Change
from watchtower.model.companion import Beside, Wanted
from watchtower.model.day_medians import DayMedians
from watchtower.model.follower import Follower
from watchtower.model.labels import Labels
from watchtower.model.rule import Evaluation, Rule, Snapshot, SubjectKey
from watchtower.model.run import Job, JobRef
from watchtower.model.spent import Asked, Spent
from watchtower.model.timing import Timings


class RuleKind(Protocol):
    """One way for things to be wrong. subject: `job` or `dataset`, unless the options of a rule have a `subject`;
    Config: pydantic model of the kind's own options; clears: what ends it, in words that follow "it is over when". A
    kind of jobs that needs `JobSnapshot.timings` says so with `reads_timings = True`, one that reads `days` of busy
    jobs with `reads_days = True`; others do not pay for them. One that is to be asked again with `followers`, where it
    finds a pipeline missing, says `asks_who_follows = True`. Options with `companions` or `asked` say what is looked at
    beside the subject, and what the bills are asked; those with `changed_within` that what was changed before is named
    with what was found."""

    kind: ClassVar[str]
    subject: ClassVar[str]
    Config: ClassVar[type[Any]]
    clears: ClassVar[str]

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """Pure. now: aware UTC. Violations carry no `for` logic; the engine applies it."""
        ...

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        """What the rule expects, in one sentence with its numbers; of this subject's own numbers with a snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class DueSubject:
    """A claimed row of the due queue; version is what the evaluation must still find when it commits. urgent: somebody
    may have to know at once."""

    key: SubjectKey
    version: int
    at: datetime
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one evaluation of one subject writes, in one transaction. alerts: new state of each alert touched;
    transitions with their planned destinations; next_at: when to look again by time alone. party: whose turn the
    subject takes, gravity: the rank of what its rules may tell (model.incident.urgency); None: as was known before."""

    key: SubjectKey
    version: int
    next_at: datetime | None
    alerts: tuple[Alert, ...]
    transitions: tuple[tuple[Transition, tuple[Planned, ...]], ...]
    party: str | None = None
    gravity: int | None = None


class Planner(Protocol):
    """Pure: where an alert with these labels must go under the configuration in force."""

    def plan(self, labels: Labels) -> tuple[Planned, ...]: ...


class RuleStore(Protocol):
    """What the rules engine asks of the store. `Outcome`s whose version is stale keep their subject due now."""

    def claim_due_subjects(self, now: datetime, limit: int) -> list[DueSubject]: ...

    def snapshots(self, keys: Sequence[SubjectKey]) -> Mapping[SubjectKey, Snapshot]: ...

    def timings(self, pipelines: Mapping[JobRef, Sequence[str]]) -> Mapping[JobRef, Timings]:
        """Of each pipeline the tasks of these runs."""
        ...

    def companions(self, wanted: Collection[Wanted]) -> Mapping[Wanted, Beside]:
        """What rules look at beside a subject."""
        ...

    def day_medians(self, job_ids: Collection[str]) -> Mapping[str, DayMedians]:
        """What runs took on each of the last days, of jobs of which that is known."""
        ...

    def spent(self, key: SubjectKey, asked: Collection[Asked]) -> Mapping[Asked, Spent]:
        """What the bills say of one job or dataset."""
        ...

    def changed(self, jobs: Sequence[Job], moment: datetime, within: timedelta) -> Sequence[Change]:
        """What was changed that concerns one of jobs, at or before moment and not more than within before it."""
        ...

    def followers(self, ref: JobRef, since: datetime) -> tuple[Follower, ...]:
        """Pipelines that came since ref ran last, and share something with it."""
        ...

    def commit_outcomes(self, outcomes: Sequence[Outcome], now: datetime) -> None: ...
