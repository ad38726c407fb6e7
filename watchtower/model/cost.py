"""Money, bills and budgets. Column names are FOCUS's (FinOps Open Cost and Usage Specification 1.0–1.2).

Money is an exact Decimal with its ISO 4217 currency, never a float; amounts of different currencies are never added.
Days are calendar days in UTC, as bills count them; ends are exclusive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str


class CostMetric(StrEnum):
    """Which of a charge's amounts is meant. `UnblendedCost` of AWS Cost Explorer is kept as billed."""

    BILLED = "billed"
    EFFECTIVE = "effective"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class CostScope:
    """Which charges: all conditions hold. Empty: every charge. source: name of the collector's configuration."""

    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    service: str | None = None
    account: str | None = None
    source: str | None = None


class BudgetPeriod(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Budget:
    """An entry of `budgets`. thresholds: shares of the limit, ascending, e.g. (0.8, 1.0); a threshold is broken by an
    amount *above* it. late_after_s: how long after the end of a day its bill may still be missing or change."""

    name: str
    scope: CostScope
    period: BudgetPeriod
    limit: Money
    thresholds: tuple[Decimal, ...] = (Decimal("1"),)
    metric: CostMetric = CostMetric.BILLED
    late_after_s: float = 172_800.0
    owner: str | None = None
    team: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class DayCost:
    """What a scope cost on one day. provisional: the provider may still add to it or restate it (the day was not over
    when the bill was made, or its period is not final)."""

    day: date
    amount: Decimal
    provisional: bool


@dataclass(frozen=True, slots=True)
class CostGroup:
    """What lines of a bill have in common: what costs are looked up by. account: sub-account, else billing account."""

    account: str
    service: str
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class DaySum:
    """What the lines of one group add to one day, exactly. amounts: of the metrics that the bill has; rows: lines;
    provisional: as of a DayCost."""

    day: date
    group: CostGroup
    currency: str
    amounts: Mapping[CostMetric, Decimal]
    rows: int
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class BillState:
    """How far the bills of a scope reach. covered_until: the end (exclusive) of the last day that every source of the
    scope has told of; None: there is no bill. loaded_at: of the newest import. problem: why the amounts cannot be used,
    e.g. two currencies."""

    covered_until: datetime | None
    loaded_at: datetime | None
    sources: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BillFile:
    """A file that a bill was read from. stamp: when it was changed, or its version where it lies; digest: SHA-256."""

    name: str
    size: int
    stamp: str
    digest: str


@dataclass(frozen=True, slots=True)
class Bill:
    """One billing period of one source, read and checked. period: YYYY-MM; digest: of the content, so that the same
    bill again changes nothing; rows: lines; scale: digits behind the point; covered_until: the end (exclusive) of what
    it tells of; inexact: the file held binary floats; final: the provider will not change it any more; metrics: those
    it has; dropped_tags: tag keys of too many values for daily sums; empty: lines without an amount, by metric."""

    source: str
    period: str
    digest: str
    rows: int
    scale: int
    currencies: tuple[str, ...]
    covered_from: datetime
    covered_until: datetime
    metrics: tuple[CostMetric, ...]
    inexact: bool = False
    final: bool = False
    dropped_tags: tuple[str, ...] = ()
    empty: Mapping[CostMetric, int] = field(default_factory=dict[CostMetric, int])
    files: tuple[BillFile, ...] = ()


@dataclass(frozen=True, slots=True)
class BillImport:
    """One version of a bill, as it is or was in force. kept: its daily sums are still there; path: of its lines,
    relative to the folder of bills."""

    id: str
    version: int
    loaded_at: datetime
    in_force: bool
    bill: Bill
    kept: bool = True
    path: str | None = None
