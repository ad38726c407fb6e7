"""What pages show. All datetimes are aware UTC; texts come from senders and are escaped by the templates.

`now` stands in each view, so that ages are rendered without a clock.
"""

from dataclasses import dataclass
from datetime import datetime

from watchtower.model.alert import IncidentStatus, ObligationState, Severity
from watchtower.model.backtest import OfRule, Week
from watchtower.model.run import RunState
from watchtower.model.spending import BudgetState


@dataclass(frozen=True, slots=True)
class Shell:
    """What surrounds every page of someone who is signed in. person None: access control is off, or a token reads.
    refresh_s: 0 for a page that does not renew itself."""

    now: datetime
    person: str | None = None
    form_token: str = ""
    refresh_s: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """One run in a row of bars. duration_s None: not known. run_id: its page."""

    run_id: str
    state: RunState
    at: datetime | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class LinkView:
    """url: of our own pages, or checked to be plain http(s)."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """state: firing, recovering, unknown, resolved. why: one sentence with its numbers; cause: what the run's spans
    say of it, "" for nothing; stands: what its rule expects, and what ends it, in sentences."""

    name: str
    where: str
    severity: Severity
    state: str
    since: datetime
    ended: datetime | None
    why: str
    description: str
    cause: str
    facts: tuple[Fact, ...]
    lines: tuple[str, ...]
    error: str
    links: tuple[LinkView, ...]
    suppressed: bool
    found_late: bool
    flapping: bool
    stands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentCard:
    """One incident in a list. owner and team "" where nobody is known."""

    id: str
    severity: Severity
    status: IncidentStatus
    title: str
    since: datetime
    ended: datetime | None
    owner: str
    team: str
    why: str
    facts: tuple[Fact, ...]
    more_alerts: int
    acknowledged_by: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """id: of its page. completed of enough: how far learning has come."""

    id: str
    name: str
    namespace: str
    owner: str
    schedule: str
    last_at: datetime | None
    state: RunState | None
    broken: bool
    completed: int
    enough: int
    bars: tuple[Bar, ...]

    @property
    def is_learning(self) -> bool:
        return self.completed < self.enough


@dataclass(frozen=True, slots=True)
class PeriodBar:
    """One period in a row of bars. percent: of the limit; tone: class of the style sheet."""

    percent: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget against what was spent. tone, fill: classes of the style sheet, of the state and of the period that is
    shown; when: that period; spent: "" where it cannot be said; percent: of the limit, for drawing, as its thresholds
    are, ticks; share: the same in words. notes: what else is to be known, e.g. the days that were over."""

    name: str
    owner: str
    state: BudgetState
    tone: str
    fill: str
    when: str
    spent: str
    limit: str
    share: str
    percent: float
    ticks: tuple[float, ...]
    late: bool
    covered_until: datetime | None
    notes: tuple[str, ...]
    bars: tuple[PeriodBar, ...]


@dataclass(frozen=True, slots=True)
class SloRow:
    """An SLO against its budget. tone, state: of how it stands, class and words; percent: of the budget that is used,
    None while too little is known; used, left: the same in words; gone: when nothing is left at this pace. steps: the
    gravest that somebody is alerted of, (severity, why, what follows); corrected: times that do not count, in words."""

    name: str
    title: str
    target: str
    owner: str
    tone: str
    state: str
    percent: float | None
    used: str
    left: str
    gone: str
    burn_rate: str
    steps: tuple[tuple[Severity, str, str], ...]
    corrected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlosView:
    """rows: what has least left first."""

    shell: Shell
    rows: tuple[SloRow, ...]


@dataclass(frozen=True, slots=True)
class IngestView:
    """last_at: newest event of all pipelines; bypassed: events go to the spool at present."""

    last_at: datetime | None
    spool_bytes: int
    bypassed: bool
    quarantined: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class MaintenanceView:
    """A planned time that holds now. matchers: of the alerts that it keeps quiet."""

    name: str
    matchers: str
    reason: str
    author: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class NowView:
    """broken: open incidents, ranked by the caller. loose: alerts that fire but belong to no incident. pipelines: those
    heard of last; total: how many there are. budgets: those that may be seen. maintenance: what holds now."""

    shell: Shell
    broken: tuple[IncidentCard, ...]
    loose: tuple[AlertView, ...]
    resolved: tuple[IncidentCard, ...]
    pipelines: tuple[PipelineRow, ...]
    total: int
    total_broken: int
    total_learning: int
    ingest: IngestView
    base_url: str
    budgets: tuple[BudgetRow, ...] = ()
    maintenance: tuple[MaintenanceView, ...] = ()

    @property
    def has_reported(self) -> bool:
        return self.total > 0 or any(row.state is not BudgetState.WAITING for row in self.budgets)

    @property
    def total_well(self) -> int:
        return max(0, self.total - self.total_broken)


@dataclass(frozen=True, slots=True)
class MessageView:
    """One notice: what was (or will be) told to whom, and the provider's proof."""

    destination: str
    reason: str
    state: ObligationState
    attempts: int
    at: datetime
    proof: str
    error: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    at: datetime
    kind: str
    text: str
    actor: str


@dataclass(frozen=True, slots=True)
class CallView:
    """One step of an escalation: one person, in one way. told_at: last; next_at: None if nothing will come by time
    alone; timezone: of the person."""

    person: str
    method: str
    after_s: float
    told_at: datetime | None
    next_at: datetime | None
    timezone: str
    redialed: int


@dataclass(frozen=True, slots=True)
class ReaderView:
    """A dataset downstream, and who reads it."""

    dataset: str
    owner: str
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """Something that changed before. url: where it can be looked at, "" if nowhere."""

    at: datetime
    what: str
    url: str


@dataclass(frozen=True, slots=True)
class IncidentView:
    """changes: before it, newest first; calls: of escalations, in the order of their waits;
    may_respond: whoever looks may acknowledge it."""

    shell: Shell
    card: IncidentCard
    alerts: tuple[AlertView, ...]
    downstream: tuple[ReaderView, ...]
    messages: tuple[MessageView, ...]
    obligations: tuple[tuple[ObligationState, int], ...]
    tickets: tuple[LinkView, ...]
    timeline: tuple[TimelineRow, ...]
    calls: tuple[CallView, ...] = ()
    changes: tuple[ChangeView, ...] = ()
    may_respond: bool = False

    @property
    def next_call(self) -> CallView | None:
        waiting = [call for call in self.calls if call.next_at is not None]
        return min(waiting, key=lambda call: call.next_at or self.shell.now, default=None)


@dataclass(frozen=True, slots=True)
class TaskRow:
    run_id: str
    task: str
    attempt: int
    state: RunState
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    error: str


@dataclass(frozen=True, slots=True)
class RunView:
    shell: Shell
    id: str
    name: str
    namespace: str
    state: RunState
    facts: tuple[Fact, ...]
    cause: str
    error: str
    stack: str
    said: str
    tasks: tuple[TaskRow, ...]
    outputs: tuple[Fact, ...]
    links: tuple[LinkView, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class PipelinesView:
    """text, broken: what was asked for; next_url: of the following page, "" if there is none."""

    shell: Shell
    rows: tuple[PipelineRow, ...]
    text: str
    broken: bool
    next_url: str


@dataclass(frozen=True, slots=True)
class WatchRow:
    """One rule on one subject. result: ok, violation, learning, unknown or error; note: why it is not ok; next_at:
    when it looks again if nothing happens."""

    rule: str
    says: str
    result: str
    tone: str
    note: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """trigger, error: "" for nothing. planned: what it was meant for."""

    run_id: str
    name: str
    planned: datetime | None
    started_at: datetime | None
    duration_s: float | None
    state: RunState
    trigger: str
    error: str


@dataclass(frozen=True, slots=True)
class PipelineTask:
    """usual_s, slow_s: median and 95th percentile of its completed runs; None while there are too few."""

    name: str
    owner: str
    state: RunState | None
    last_at: datetime | None
    usual_s: float | None
    slow_s: float | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """others: pipelines that write what is read here, or read what is written here."""

    name: str
    namespace: str
    owner: str
    written: bool
    updated_at: datetime | None
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PipelineView:
    shell: Shell
    row: PipelineRow
    facts: tuple[Fact, ...]
    description: str
    links: tuple[LinkView, ...]
    bars: tuple[Bar, ...]
    alerts: tuple[AlertView, ...]
    incidents: tuple[IncidentCard, ...]
    watches: tuple[WatchRow, ...]
    runs: tuple[RunRow, ...]
    tasks: tuple[PipelineTask, ...]
    datasets: tuple[DatasetRow, ...]

    @property
    def reads(self) -> tuple[DatasetRow, ...]:
        return tuple(row for row in self.datasets if not row.written)

    @property
    def writes(self) -> tuple[DatasetRow, ...]:
        return tuple(row for row in self.datasets if row.written)


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert of a backtest. about: its subject; told: receivers; later: how it moved, in words, "" where it did
    not."""

    at: datetime
    ended: datetime | None
    rule: str
    severity: str
    about: str
    summary: str
    told: tuple[str, ...] = ()
    later: str = ""


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """rules, against: files, or words for the configuration in force; time: what was played; precision to difference:
    in words."""

    id: str
    made_at: datetime
    made_by: str
    rules: str
    against: str
    time: str
    alerts: int
    pages: int
    pages_a_week: str
    precision: str
    recall: str
    difference: str


@dataclass(frozen=True, slots=True)
class BacktestsView:
    """rows: the newest first. next_url: of the following page, "" if there is none."""

    shell: Shell
    rows: tuple[BacktestRow, ...]
    next_url: str


@dataclass(frozen=True, slots=True)
class TimelineLine:
    """One subject. told: who would have been told how often, in words."""

    name: str
    told: str
    alerts: tuple[Fired, ...]


@dataclass(frozen=True, slots=True)
class BacktestView:
    """lines: the loudest first; missed: incidents of which no alert told, with their times."""

    shell: Shell
    row: BacktestRow
    begins: datetime
    ends: datetime
    facts: tuple[Fact, ...]
    lines: tuple[TimelineLine, ...]
    more_lines: int
    weeks: tuple[Week, ...]
    rules: tuple[OfRule, ...]
    missed: tuple[Fact, ...]
    false: tuple[Fired, ...]
    only_here: tuple[Fired, ...]
    only_there: tuple[Fired, ...]
    moved: tuple[Fired, ...]
    alerts: tuple[Fired, ...]
    more_alerts: int


@dataclass(frozen=True, slots=True)
class LoginView:
    """code: of the link that was opened, "" if none; fault: why it did not open."""

    code: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ProblemView:
    status: int
    detail: str
    request_id: str
