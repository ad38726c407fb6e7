"""What several pages show. All datetimes are aware UTC; texts come from senders and are escaped by the templates."""

from dataclasses import dataclass
from datetime import datetime

from watchtower.model.alert import IncidentStatus, Severity
from watchtower.model.run import RunState


@dataclass(frozen=True, slots=True)
class Shell:
    """What surrounds every page of someone who is signed in. person None: access control is off, or a token reads.
    refresh_s: 0 for a page that does not renew itself."""

    now: datetime
    person: str | None = None
    form_token: str = ""
    refresh_s: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values that a list can be narrowed to."""

    value: str
    words: str
    chosen: bool


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
class DatasetRow:
    """id: of its page. others: pipelines that write what is read here, or read what is written here."""

    id: str
    name: str
    namespace: str
    owner: str
    written: bool
    updated_at: datetime | None
    others: tuple[str, ...]
