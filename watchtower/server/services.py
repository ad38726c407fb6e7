"""What the server is given by the composition root, and the few numbers by which it is tuned."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from alerting.maintenance import Window
from rules.engine import Explained
from watchtower.config.oncall import OnCall
from watchtower.lives import Lives
from watchtower.model.delivery import Plan
from watchtower.model.fact import Fact
from watchtower.model.labels import Labels
from watchtower.model.rule import SubjectKey
from watchtower.ports import Clock, Collector, Hook
from watchtower.server.state_metrics import StateMetrics
from watchtower.spool import Spool
from watchtower.store.bills.desk import BillDesk
from watchtower.store.database import Database
from watchtower.store.facts import Appended, Quarantined
from watchtower.store.keys import Keys
from watchtower.store.span_batches import BatchRow

OPENLINEAGE_LIMIT = 16 << 20  # bytes, before and after decompression (SR-6, design §2a.10)
OTLP_LIMIT = 20 << 20


class Append(Protocol):
    """`store.facts.append`, with what the configuration in force adds to it. Done when it is durable."""

    def __call__(
        self, facts: Sequence[Fact], quarantined: Sequence[Quarantined] = (), batches: Sequence[BatchRow] = (), /
    ) -> "Future[Appended]": ...


@dataclass(frozen=True, slots=True)
class Settings:
    """external_url: how people reach the web UI, "" if unknown. secure: it is reached by TLS (here or at a proxy).
    access: False is `--no-auth`, for loopback only. patience_s: how long a request waits for the store before its
    event goes to the spool. metrics_public: anybody may read Watchtower's own metrics, though nothing of pipelines;
    metrics_pipelines: how many of them have series of their own, and as many datasets. proxies: networks whose word for
    who asks is taken, besides loopback.
    inflight_bytes: bodies that are being received or stored, all together."""

    external_url: str = ""
    secure: bool = False
    access: bool = True
    metrics_public: bool = False
    metrics_pipelines: int = 1_000
    proxies: tuple[str, ...] = ()
    patience_s: float = 0.25
    body_timeout_s: float = 30.0
    inflight_bytes: int = 64 << 20
    max_body_bytes: int = OPENLINEAGE_LIMIT
    max_otlp_bytes: int = OTLP_LIMIT
    learned_after: int = 10  # completed runs, design §2a.15
    max_age_s: float = 3600.0  # an event older than this on receipt is history, design §2a.5


@dataclass(slots=True)
class Services:
    """collectors: by kind; the ingest route of `openlineage` needs its own. reload: build, check and swap the
    configuration, raising ConfigError with all its faults. ready: further checks of `/readyz`, by name, each
    None or what is wrong. hooks: by name; plan: where Watchtower's own alerts go; owner_of: whom the configuration
    names for a subject with these labels; oncall: who is on call. maintenance: planned times. bills: where bills are
    handed in. explain: what every rule says of these subjects; writes nothing. round_trip_age_s: since the last one;
    stuck: kinds of work that hangs; advanced: told of each stage that goes on. refusal: why no event is taken at
    present, whatever the store says. lives: what earlier lives died of; take_again: store what was quarantined, if it
    is understood now. otlp_port: where only OTLP is answered. The mutable fields may be replaced at a reload; each
    request reads them once."""

    database: Database
    clock: Clock
    keys: Keys
    spool: Spool
    collectors: Mapping[str, Collector]
    append: Append
    settings: Settings = field(default_factory=Settings)
    reload: Callable[[], None] | None = None
    otlp_port: int | None = None
    ready: Mapping[str, Callable[[], str | None]] = field(default_factory=dict[str, Callable[[], str | None]])
    hooks: Mapping[str, Hook] = field(default_factory=dict[str, Hook])
    plan: Plan = lambda labels: ()
    explain: Callable[[Sequence[SubjectKey]], Sequence[Explained]] = lambda keys: ()
    owner_of: Callable[[Labels], str | None] = lambda labels: None
    oncall: OnCall = field(default_factory=OnCall)
    maintenance: Sequence[Window] = ()
    bills: BillDesk | None = None
    round_trip_age_s: Callable[[], float | None] = lambda: None
    stuck: Callable[[], Sequence[str]] = lambda: ()
    advanced: Callable[[str], None] = lambda stage: None
    refusal: Callable[[], str | None] = lambda: None
    lives: Lives = field(default_factory=lambda: Lives(None))
    take_again: Callable[[int, Quarantined], bool] | None = None
    state_metrics: StateMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.state_metrics = StateMetrics(self.database, self.clock, lambda: self.settings.metrics_pipelines)
