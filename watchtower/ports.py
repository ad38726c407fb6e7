"""Where the layers meet: what collectors, rules, alerting, dashboards and the store ask of one another.

The peers never import each other; `watchtower.app` puts the real parts behind these protocols. The extension
contract for outsiders is the plug-in protocols: Collector, Poller, BillCollector, RuleKind, Channel, TicketSystem.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from socket import socket
from typing import Any, ClassVar, Protocol, runtime_checkable

from watchtower.errors import Permanent, Reason
from watchtower.model.alert import Alert, Incident, Notice, Planned, Receipt, Severity, Silence, Transition
from watchtower.model.companion import Beside, Companion
from watchtower.model.cost import Bill, CostMetric, DaySum
from watchtower.model.delivery import (
    Agenda,
    Decide,
    DecideFlush,
    Failure,
    Overdue,
    Plan,
    Raised,
    SilenceEdit,
    Terms,
    Work,
)
from watchtower.model.fact import Fact
from watchtower.model.hook import HookAct, HookAnswer, HookRequest, HookResult
from watchtower.model.incident import IncidentEdit
from watchtower.model.labels import Labels
from watchtower.model.rule import Evaluation, Rule, Snapshot, SubjectKey
from watchtower.model.run import JobRef
from watchtower.model.source import KnownRun, Page, Window
from watchtower.model.timing import Timings
from watchtower.model.trace import SpanBatch


class Clock(Protocol):
    """The only source of time. Intervals are measured by boottime (seconds; goes on while the machine sleeps)."""

    def now(self) -> datetime:
        """Aware UTC wall time."""
        ...

    def boottime(self) -> float: ...


# -- collectors ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """How a body came in. source: the configured or derived source id, if the entry point fixes it; replay: the
    sender says these are historical; received_at: the original time of receipt."""

    received_at: datetime
    source: str | None = None
    replay: bool = False
    max_age_s: float = 3600.0
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that cannot be folded. permanent: answer 4xx; else it is kept in quarantine and answered 2xx. index:
    its place in the list that was sent, from 0."""

    reason: str
    message: str
    body: bytes
    permanent: bool = False
    index: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Items of a body that were not taken, and are not kept either: the sender is told so. reason: as that of a
    Reject; message: of the first of them."""

    reason: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """skipped: paths of fields that were there but could not be read and were left out, e.g.
    `run.facets.airflow.task.retries`; names of the format's own fields only, each once. batches: spans, to be walked
    once they are stored. refused: what only formats have that tell their senders of it, as OTLP does."""

    facts: tuple[Fact, ...]
    rejects: tuple[Reject, ...] = ()
    skipped: tuple[str, ...] = ()
    batches: tuple[SpanBatch, ...] = ()
    refused: tuple[Refused, ...] = ()


class Collector(Protocol):
    """Turns bytes into facts. decode is pure and never raises for bad content: what cannot be read is a Reject.
    One whose input names no source of its own says `of_token = True`: then Received.source is that of the token. One
    that has an attribute `source_of` is given namespace → source by it, as the configuration has it."""

    kind: ClassVar[str]
    Config: ClassVar[type[Any]]

    def decode(self, body: bytes, received: Received) -> Decoded: ...


# -- polls --------------------------------------------------------------------------------------------------------


class KnownRuns(Protocol):
    """What the store has of runs, by the orchestrator's own ids: every generation of each, the oldest first."""

    def __call__(
        self, source: str, namespace: str, native_run_ids: Collection[str]
    ) -> Mapping[tuple[str, str], Sequence[KnownRun]]:
        """By (pipeline, native run id); what is not known is missing."""
        ...


def no_connection(host: str, port: int, timeout_s: float) -> socket:
    """PollContext.dial where nothing but HTTP is spoken."""
    raise Permanent(Reason.REFUSED_ADDRESS, f"{host}:{port}: nothing but HTTP is spoken here")


@dataclass(frozen=True, slots=True)
class PollContext:
    """What the composition root gives to a poller. http: the guarded client, for answers of up to 16 MiB; check: raises
    Permanent if the guard refuses a URL, for vendors' SDKs; source_of: the source that jobs of a namespace belong to,
    so that what is polled and what is pushed meet; base_dir: where relative paths start; dial: host, port, seconds → a
    connection that the guard allows, for what speaks no HTTP."""

    clock: Clock
    http: "HttpClient"
    check: Callable[[str], None]
    source_of: Callable[[str], str]
    known_runs: KnownRuns
    base_dir: Path
    dial: Callable[[str, int, float], socket] = no_connection


class PolledSource(Protocol):
    """One orchestrator that is asked. name: of the source, unique; namespace: of its jobs; lookback_s: how far back its
    very first poll reads.

    read does I/O, holds one page at a time, and gives the pages of one poll; it raises Transient (with retry_after_s
    where the source said so), Permanent or ConfigError with a message that names the call and the remedy. decode is
    pure, and never raises for bad content. Both are called from one thread at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    @property
    def lookback_s(self) -> float: ...

    def read(self, window: Window) -> Iterator[Page]: ...

    def decode(self, record: bytes, received: Received) -> Decoded: ...


class Poller(Protocol):
    """Asks orchestrators of one kind, every so often: one source for each that is configured. An instance is made of
    its Config."""

    kind: ClassVar[str]
    Config: ClassVar[type[Any]]

    def sources(self, context: PollContext) -> Sequence[PolledSource]:
        """Raises ConfigError that names what is missing."""
        ...


# -- bills --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BillFormat:
    """Which columns of a table say what in a bill. columns: all that the format knows, as it spells them; required:
    those without which it is no bill; amounts: of the metrics, and decimals: further columns that are kept as exact
    numbers; the pairs are begin and end (exclusive); account: the first that says something counts; invoice: a line
    that names one is final."""

    name: str
    columns: tuple[str, ...]
    required: tuple[str, ...]
    amounts: Mapping[CostMetric, str]
    decimals: tuple[str, ...]
    currency: str
    billing_period: tuple[str, str]
    charge_period: tuple[str, str]
    account: tuple[str, ...]
    service: str
    tags: str
    invoice: str


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file where a provider put it. name: below the place; stamp: changes whenever the content may have changed;
    changed_at: when that was last."""

    name: str
    size: int
    stamp: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Export:
    """Files that make up one bill of each period in them."""

    name: str
    files: tuple[PlacedFile, ...]

    @property
    def changed_at(self) -> datetime:
        return max(file.changed_at for file in self.files)


@dataclass(frozen=True, slots=True)
class BillContext:
    """What the composition root gives to a collector of bills. check: raises Permanent if the guard of outbound
    addresses refuses a URL; base_dir: where relative paths start."""

    clock: Clock
    check: Callable[[str], None]
    base_dir: Path


class FileFeed(Protocol):
    """A place where a provider leaves exports. name: of the source. Calls raise Transient or Permanent. tags: keys
    that daily sums keep; empty: all of them."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    @property
    def format(self) -> BillFormat: ...

    @property
    def tags(self) -> tuple[str, ...]: ...

    def exports(self) -> Sequence[Export]:
        """What lies there, oldest first."""
        ...

    def fetch(self, file: PlacedFile, folder: Path) -> Path:
        """A copy of file below folder, or the file itself where it lies on this machine."""
        ...


class QueryFeed(Protocol):
    """A provider that answers with the costs of days instead of lines."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    def bills(self, now: datetime) -> Sequence[tuple[Bill, Sequence[DaySum]]]: ...


class BillCollector(Protocol):
    """Brings bills by itself, every so often: one feed for each configured source. An instance is made of its Config.
    One that reads files names their format in a class variable `format`."""

    kind: ClassVar[str]
    Config: ClassVar[type[Any]]

    def feeds(self, context: BillContext) -> Sequence[FileFeed | QueryFeed]:
        """Raises ConfigError that names what is missing."""
        ...


# -- rules --------------------------------------------------------------------------------------------------------


class RuleKind(Protocol):
    """One way for things to be wrong. subject: `job` or `dataset`; Config: pydantic model of the kind's own options.
    A kind of jobs that needs `JobSnapshot.timings` says so with `reads_timings = True`; others do not pay for them."""

    kind: ClassVar[str]
    subject: ClassVar[str]
    Config: ClassVar[type[Any]]

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        """Pure. now: aware UTC. Violations carry no `for` logic; the engine applies it."""
        ...

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        """What the rule expects, in one sentence with its numbers; of this subject's own numbers with a snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class DueSubject:
    """A claimed row of the due queue; version is what the evaluation must still find when it commits."""

    key: SubjectKey
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one evaluation of one subject writes, in one transaction. alerts: new state of each alert touched;
    transitions with their planned destinations; next_at: when to look again by time alone."""

    key: SubjectKey
    version: int
    next_at: datetime | None
    alerts: tuple[Alert, ...]
    transitions: tuple[tuple[Transition, tuple[Planned, ...]], ...]


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

    def companions(self, wanted: Collection[tuple[Companion, str]]) -> Mapping[tuple[Companion, str], Beside]:
        """wanted: each with the namespace of the subject beside which it is looked at."""
        ...

    def commit_outcomes(self, outcomes: Sequence[Outcome], now: datetime) -> None: ...


# -- alerting -----------------------------------------------------------------------------------------------------


class AlertingStore(Protocol):
    """What alerting asks of the store. Every method is one transaction; the functions handed in are pure and decide
    inside of it. `record_*` answer False when a newer claim holds the notice: then its holder finds out by itself."""

    def agenda(self, destinations: Collection[str]) -> Agenda: ...

    def end_silences(self, now: datetime) -> int:
        """Look again at what silences that are over kept quiet; their number."""
        ...

    def end_flapping(self, now: datetime) -> int:
        """Look again at what was not told because it flapped, and is stable now; the number of such alerts."""
        ...

    def end_acknowledgements(self, change: IncidentEdit, now: datetime) -> int: ...

    def flush(self, now: datetime, holder: str, decide: DecideFlush) -> int: ...

    def claim(self, destination: str, now: datetime, terms: Terms, decide: Decide) -> tuple[int, Work | None]:
        """How many due rows were handled, and a notice to send or to look up. (0, None): nothing is due."""
        ...

    def record_delivered(self, work: Work, receipt: Receipt, now: datetime, clears: str) -> bool:
        """clears: fingerprint of the alert that told of this destination's failure."""
        ...

    def record_failed(self, work: Work, failure: Failure, now: datetime, raises: Raised | None) -> bool:
        """raises: what must be told of a dead letter, in the same transaction."""
        ...

    def record_absent(self, work: Work, now: datetime, *, keyed: bool) -> bool: ...

    def replan(self, plan: Plan, destinations: Collection[str], now: datetime) -> int: ...

    def revise_silence(self, silence_id: str | None, change: SilenceEdit) -> list[Silence]: ...

    def edit_incident(self, incident_id: str, change: IncidentEdit) -> Incident: ...

    def overdue(self, now: datetime) -> list[Overdue]: ...

    def replay(self, notice_id: str, now: datetime) -> bool: ...


class Channel(Protocol):
    """Carries notices to one destination. An instance is made per configured destination, with its own Config.

    deliver raises Transient or Permanent; it may be called again with the same notice.key after an unknown outcome,
    but only after look_up said None. settle_s: how long a sent request may stay invisible to look_up.
    can_look_up: look_up can find what an earlier attempt left. keyed: the receiver folds repeats of one key, so after
    an unknown outcome the same content is sent again under it. Neither: a repeat may be seen twice, and after two
    unknown outcomes nothing is sent a third time (docs/delivery.md). rings: a notice wakes a person (SMS, call,
    pager), so what fired and resolved while the provider was away is not told to it at all.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    settle_s: ClassVar[float]
    can_look_up: ClassVar[bool]
    keyed: ClassVar[bool] = False
    rings: ClassVar[bool] = False

    def deliver(self, notice: Notice) -> Receipt: ...

    def look_up(self, notice: Notice) -> Receipt | None: ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its desk shows it. status: open, resolved, closed; resolution as the desk words it; owner: the
    person who took it, None while it is nobody's or still its reporter's. locked: it takes no comment any more."""

    id: str
    url: str
    status: str
    resolution: str | None = None
    resolved_at: datetime | None = None
    keys: tuple[str, ...] = ()  # notice keys whose effect the ticket already shows
    owner: str | None = None
    twins: int = 0  # further tickets that the desk made of the request that opened it; they are closed
    locked: bool = False


class TicketSystem(Protocol):
    """A help desk. `alerting.tickets.desk` turns it into a Channel by one common table of when to open, comment,
    resolve and reopen; an implementation only speaks the desk's API. Every call raises Transient or Permanent. find:
    oldest first, of any status; it knows the key of the notice that opened a ticket, get may not."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    settle_s: ClassVar[float]

    def find(self, episode_key: str) -> list[Ticket]: ...

    def get(self, ticket_id: str) -> Ticket | None: ...

    def open(self, notice: Notice, subject: str, text: str) -> Ticket: ...

    def comment(self, ticket_id: str, key: str, text: str) -> None: ...

    def resolve(self, ticket_id: str, key: str, text: str) -> None: ...

    def reopen(self, ticket_id: str, key: str, text: str) -> None: ...

    def set_severity(self, ticket_id: str, severity: Severity) -> None: ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class HttpClient(Protocol):
    """The guarded outbound client (watchtower.outbound). Raises Transient/Permanent with outcome_unknown set rightly:
    False while nothing can have reached the server, True after the first byte was sent. Never follows redirects."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10.0,
        ca_file: str | None = None,
    ) -> HttpAnswer: ...

    def check(self, url: str) -> None:
        """Raise Permanent(REFUSED_ADDRESS) with the line to add to `outbound.allow` if the guard refuses url."""
        ...


@dataclass(frozen=True, slots=True)
class Callbacks:
    """How providers reach Watchtower. url: `server.external_url` and `/hooks`; key: signs what they are given."""

    url: str
    key: bytes = field(repr=False)


class Proofs(Protocol):
    """What is known of a provider's ids from its callbacks and receipts, for a look-up that its API can only narrow
    down. Raises StoreError while it cannot be said."""

    def named(self, notice_id: str) -> Sequence[str]:
        """Ids that the provider itself has tied to this notice, oldest first."""
        ...

    def foreign(self, provider_ids: Collection[str], notice_id: str) -> frozenset[str]:
        """Those of provider_ids that are known to belong to other notices."""
        ...


class People(Protocol):
    """Who is behind what a provider names; None: nobody who is known."""

    def person_by_phone(self, number: str) -> str | None: ...

    def person_by_slack(self, member: str) -> str | None: ...


class NoPeople:
    """Nobody is known."""

    def person_by_phone(self, number: str) -> str | None:
        return None

    def person_by_slack(self, member: str) -> str | None:
        return None


class NoProofs:
    """Nothing is known: where there is no store."""

    def named(self, notice_id: str) -> Sequence[str]:
        return ()

    def foreign(self, provider_ids: Collection[str], notice_id: str) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What the composition root gives to a channel's, a hook's or a ticket system's factory. callbacks: None where no
    provider can reach Watchtower, since `server.external_url` is not configured."""

    http: HttpClient
    clock: Clock
    external_url: str
    secret: Callable[[str], str] = field(default=lambda reference: reference)  # reads `env:NAME`, `file:PATH` …
    callbacks: Callbacks | None = None
    proofs: Proofs = field(default_factory=NoProofs)
    people: People = field(default_factory=NoPeople)


class Hook(Protocol):
    """Callbacks of one provider, at `/hooks/<name>`. A channel whose provider calls back names its hook in a class
    variable `Hook`; one is made for all destinations that name it.

    read is pure but for secrets: it checks the signature over the raw body first and raises HookRefused for whatever
    it does not believe. What it returns is committed, and only then does answer say so.
    """

    name: ClassVar[str]

    def __init__(self, destinations: Mapping[str, Any], context: ChannelContext) -> None:
        """destinations: by name, the validated Config of each."""
        ...

    def read(self, request: HookRequest, now: datetime) -> HookAct: ...

    def answer(self, request: HookRequest, act: HookAct, result: HookResult) -> HookAnswer: ...


@runtime_checkable
class WithHooks(Protocol):
    """A collector to which others send by `/hooks/<name>`: hooks of its own making, by name."""

    def hooks(self) -> Mapping[str, Any]: ...
