"""What is told to Watchtower: collectors decode it, and say what was refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from watchtower.model.fact import Fact
from watchtower.model.trace import SpanBatch


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


@runtime_checkable
class WithHooks(Protocol):
    """A collector to which others send by `/hooks/<name>`: hooks of its own making, by name."""

    def hooks(self) -> Mapping[str, Any]: ...
