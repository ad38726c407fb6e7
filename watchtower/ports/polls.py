"""What is asked for: pollers, the sources they make of a configuration, and what they are given."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, ClassVar, Protocol

from watchtower.errors import Permanent, Reason
from watchtower.model.source import KnownRun, Page, Window
from watchtower.ports.clock import Clock
from watchtower.ports.collectors import Decoded, Received
from watchtower.ports.http import HttpClient


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
    http: HttpClient
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
