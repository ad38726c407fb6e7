"""The page of error budgets."""

from dataclasses import dataclass

from dashboards.web.views.parts import Shell
from watchtower.model.alert import Severity


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
