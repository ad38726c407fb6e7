"""The front page: what is broken, what is spent, all pipelines."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import AlertView, IncidentCard, PipelineRow, Shell
from watchtower.model.spending import BudgetState


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
    """broken: open incidents, the first that matter; open_incidents: how many there are. loose: alerts that fire but
    belong to no incident. pipelines: those heard of last; total: how many there are. budgets: those that may be seen.
    maintenance: what holds now."""

    shell: Shell
    broken: tuple[IncidentCard, ...]
    open_incidents: int
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
