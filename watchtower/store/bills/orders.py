"""What an import is asked for and what it answers. Without the engine, which is loaded when the first bill comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

from watchtower.errors import BadInput
from watchtower.model.cost import BillImport
from watchtower.ports import BillFormat

MOST_FAULTS: Final = 100  # that are listed


class BadBill(BadInput):
    """The bill is refused whole, and nothing of it is kept. faults: one line of text each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults[:MOST_FAULTS])
        more = f"\n… and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        super().__init__("\n".join(self.faults) + more)


@dataclass(frozen=True, slots=True)
class Order:
    """Files that make up one bill of each period in them. names: how people know them, in the order of paths, with
    their stamps; period: of all lines, over their own; tags: the keys that daily sums keep, all for none."""

    source: str
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    stamps: tuple[str, ...]
    format: BillFormat
    period: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one period. totals and before: of the amounts billed, by currency."""

    bill: BillImport
    changed: bool
    totals: dict[str, Decimal]
    before: dict[str, Decimal] | None = None
    version_before: int | None = None


Step = Callable[[str], None]


class Brings(Protocol):
    """What `importing.Importer` does."""

    def run(self, order: Order, step: Step = ...) -> list[Result]: ...
