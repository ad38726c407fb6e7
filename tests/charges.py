"""Bills as importers hand them to the store: what one source says that each day cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from watchtower.model.cost import Bill, CostGroup, CostMetric, DaySum
from watchtower.model.spending import DAY, midnight
from watchtower.store import costs
from watchtower.store.database import Database

PROD = {"Environment": "prod-data-pipeline"}


@dataclass(frozen=True, slots=True)
class Line:
    """What charges of one kind cost on one day. amount: a text, never a float."""

    day: date
    amount: str
    tags: Mapping[str, str] = field(default_factory=lambda: PROD)
    service: str = "AmazonS3"
    account: str = "111122223333"
    currency: str = "USD"
    metric: CostMetric = CostMetric.BILLED
    provisional: bool = False

    @property
    def sum(self) -> DaySum:
        group = CostGroup(self.account, self.service, self.tags)
        return DaySum(self.day, group, self.currency, {self.metric: Decimal(self.amount)}, 1, self.provisional)


def bring(
    database: Database,
    lines: Sequence[Line],
    loaded_at: datetime,
    *,
    covered_until: datetime | None = None,
    source: str = "aws-main",
) -> None:
    """The whole of each month that lines are of, in force from now on. covered_until: default the end of the newest
    day."""
    until = covered_until or midnight(max(line.day for line in lines) + DAY)
    for month in sorted({line.day.replace(day=1) for line in lines}):
        of_month = [line for line in lines if line.day.replace(day=1) == month]
        known = Bill(
            source=source,
            period=f"{month:%Y-%m}",
            digest=f"{loaded_at} {of_month}",
            rows=len(of_month),
            scale=36,
            currencies=tuple(sorted({line.currency for line in of_month})),
            covered_from=midnight(month),
            covered_until=until,
            metrics=tuple(CostMetric),
        )
        costs.write_import(database, known, [line.sum for line in of_month], loaded_at)
