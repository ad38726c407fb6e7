"""Where notices go: channels, ticket systems, callbacks, and what they are made with."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from watchtower.model.alert import Notice, Receipt, Severity
from watchtower.model.hook import HookAct, HookAnswer, HookRequest, HookResult
from watchtower.ports.clock import Clock
from watchtower.ports.http import HttpClient


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
