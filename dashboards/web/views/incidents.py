"""The page of one incident."""

from dataclasses import dataclass
from datetime import datetime

from dashboards.web.views.parts import AlertView, Choice, IncidentCard, LinkView, Shell
from watchtower.model.alert import ObligationState


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
    """A dataset downstream, and who reads it. id: of its page; next_at: when new data is usually there, None where that
    is not known."""

    id: str
    dataset: str
    owner: str
    readers: tuple[str, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldUpView:
    """What is wrong before it. url: of the pipeline's page, "" for one of another team; what: in a sentence without its
    full stop."""

    pipeline: str
    url: str
    what: str


@dataclass(frozen=True, slots=True)
class ChangeView:
    """Something that changed before. url: where it can be looked at, "" if nowhere."""

    at: datetime
    what: str
    url: str


@dataclass(frozen=True, slots=True)
class QuietView:
    """A silence that holds now. matchers: of the alerts that it keeps quiet; may_end: whoever looks may end it."""

    id: str
    matchers: str
    reason: str
    author: str
    ends_at: datetime
    may_end: bool


@dataclass(frozen=True, slots=True)
class SilenceView:
    """What is asked before an incident is kept quiet. matchers: of the silence; reached: how many it matches of the
    alerts that are not over."""

    shell: Shell
    incident_id: str
    title: str
    matchers: tuple[str, ...]
    reached: int
    alerts: int
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class IncidentView:
    """held_up: what is wrong first on the way of its data; changes: before it, newest first; calls: of escalations, in
    the order of their waits; quiet: what keeps it quiet now; may_respond, may_silence: whoever looks may acknowledge
    it, or keep it quiet."""

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
    held_up: tuple[HeldUpView, ...] = ()
    quiet: tuple[QuietView, ...] = ()
    may_respond: bool = False
    may_silence: bool = False

    @property
    def next_call(self) -> CallView | None:
        waiting = [call for call in self.calls if call.next_at is not None]
        return min(waiting, key=lambda call: call.next_at or self.shell.now, default=None)
