"""What bills come from: their formats, the folders and queries that bring them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from watchtower.model.cost import Bill, CostMetric, DaySum
from watchtower.ports.clock import Clock


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
