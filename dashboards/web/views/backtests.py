"""The pages of backtests that were kept."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import Fact, Shell
from watchtower.model.backtest import OfRule, Week


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
    """rows: the newest first. next_url: of the following page, "" if there is none. only_team: of whoever sees one team
    alone, who is shown none; "" for all others."""

    shell: Shell
    rows: tuple[BacktestRow, ...]
    next_url: str
    only_team: str = ""


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
