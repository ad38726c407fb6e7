"""The pages of pipelines and of their runs."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import AlertView, Bar, DatasetRow, Fact, IncidentCard, LinkView, PipelineRow, Shell
from watchtower.model.run import RunState


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
    inputs: tuple[Fact, ...]
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
