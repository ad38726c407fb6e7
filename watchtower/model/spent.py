"""What a job or a dataset cost by the bills, and how much it moved, day by day: what a cost per unit is made of.

Days are those of UTC, as bills count them. Amounts are exact; a cost per unit is a ratio, and as such a float.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from watchtower.model.cost import BillState, CostMetric, CostScope

DAYS = 120  # that are looked back


class Per(StrEnum):
    """Of which the cost is asked: 10^9 bytes or a million rows that were written, or a run that ended well."""

    GB = "gb"
    MILLION_ROWS = "million_rows"
    RUN = "run"

    @property
    def size(self) -> Decimal:
        return {Per.GB: Decimal(10**9), Per.MILLION_ROWS: Decimal(10**6), Per.RUN: Decimal(1)}[self]

    @property
    def words(self) -> str:
        return {Per.GB: "GB", Per.MILLION_ROWS: "million rows", Per.RUN: "run"}[self]


@dataclass(frozen=True)
class Asked:
    """Which charges are those of the subject, and by what they are divided."""

    scope: CostScope
    metric: CostMetric
    per: Per

    def __hash__(self) -> int:
        scope = self.scope
        return hash((tuple(sorted(scope.tags.items())), scope.service, scope.account, scope.source, self.per))


@dataclass(frozen=True, slots=True)
class Spent:
    """costs: of the days that had a charge; moved: bytes, rows or runs of the days that had any; bill: how far it
    reaches."""

    bill: BillState
    currency: str | None = None
    costs: Mapping[date, Decimal] = field(default_factory=dict[date, Decimal])
    moved: Mapping[date, int] = field(default_factory=dict[date, int])

    def by_day(self, per: Per) -> list[tuple[date, float]]:
        """Oldest first, of the days that the bill has told of whole and on which something was moved."""
        until = self.bill.covered_until
        return [
            (day, float(cost / (Decimal(self.moved[day]) / per.size)))
            for day, cost in sorted(self.costs.items())
            if self.moved.get(day) and until is not None and end_of(day) <= until
        ]


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)
