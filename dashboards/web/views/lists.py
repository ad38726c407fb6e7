"""Lists that are looked through: incidents of all times, and what was owed to whom."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import Choice, IncidentCard, Shell
from watchtower.model.alert import ObligationState


@dataclass(frozen=True, slots=True)
class IncidentsView:
    """The newest first. text: what was searched for; statuses: what it may be narrowed to; next_url: of the following
    page, "" if there is none."""

    shell: Shell
    rows: tuple[IncidentCard, ...]
    text: str
    statuses: tuple[Choice, ...]
    next_url: str

    @property
    def narrowed(self) -> bool:
        return bool(self.text) or not self.statuses[0].chosen


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """An obligation: what one transition of one alert owes to one destination. incident_id "" for an alert that belongs
    to none; what: the transition in words; settled_s: from when it was owed to its end, None before; note: why it ended
    otherwise, or what keeps it."""

    destination: str
    incident_id: str
    title: str
    what: str
    state: ObligationState
    attempts: int
    owed_at: datetime
    settled_s: float | None
    proof: str
    note: str


@dataclass(frozen=True, slots=True)
class DeliveriesView:
    """The newest first. totals: how many stand in each state, of all there are."""

    shell: Shell
    rows: tuple[DeliveryRow, ...]
    totals: tuple[tuple[ObligationState, int], ...]
    destination: str
    states: tuple[Choice, ...]
    next_url: str
