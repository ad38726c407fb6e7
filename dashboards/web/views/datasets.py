"""The pages of datasets, for those who wait for one."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import AlertView, Bar, Fact, LinkView, Shell
from dashboards.web.views.pipelines import WatchRow
from watchtower.model.run import RunState


@dataclass(frozen=True, slots=True)
class ListedDataset:
    """id: of its page. tone, state: class of the style sheet and word; wrong: what fires of it, "" for nothing."""

    id: str
    name: str
    namespace: str
    owner: str
    updated_at: datetime | None
    tone: str
    state: str
    wrong: str


@dataclass(frozen=True, slots=True)
class DatasetsView:
    """text: what was asked for; next_url: of the following page, "" if there is none."""

    shell: Shell
    rows: tuple[ListedDataset, ...]
    text: str
    next_url: str


@dataclass(frozen=True, slots=True)
class StageRow:
    """A pipeline that the data passes. url: its page, "" for one of another team. steps: 1 for one that writes it."""

    url: str
    name: str
    namespace: str
    steps: int
    state: RunState | None
    at: datetime | None
    holds_up: bool
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class UpdateRow:
    """run_id: of the page of the run that wrote it, "" where none is known. note: what is particular about it."""

    at: datetime
    run_id: str
    rows: int | None
    size: int | None
    partition: str
    note: str


@dataclass(frozen=True, slots=True)
class DatasetView:
    """tone, state: class of the style sheet and word. said: how it stands, in sentences, the first one first to be
    read. held_up: what is wrong first on its way, with the page of its pipeline. fields: its columns, (name, type)."""

    shell: Shell
    name: str
    namespace: str
    description: str
    tone: str
    state: str
    said: tuple[str, ...]
    held_up: tuple[LinkView, ...]
    facts: tuple[Fact, ...]
    alerts: tuple[AlertView, ...]
    watches: tuple[WatchRow, ...]
    stages: tuple[StageRow, ...]
    readers: tuple[LinkView, ...]
    updates: tuple[UpdateRow, ...]
    fields: tuple[Fact, ...]
