"""Bills for tests: lines as a provider would write them, and orders to import them."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from collectors.billing.columns import FOCUS
from watchtower.store.bills.orders import Order

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "EffectiveCost",
    "ListCost",
    "ServiceName",
    "SubAccountId",
    "Tags",
)


def line(day: int = 1, cost: str = "1", **changes: str) -> dict[str, str]:
    """One charge of a day in September 2024."""
    return {
        "BilledCost": cost,
        "BillingAccountId": "payer",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2024-09-01T00:00:00Z",
        "BillingPeriodEnd": "2024-10-01T00:00:00Z",
        "ChargePeriodStart": f"2024-09-{day:02d}T10:00:00Z",
        "ChargePeriodEnd": f"2024-09-{day:02d}T11:00:00Z",
        "EffectiveCost": cost,
        "ListCost": cost,
        "ServiceName": "EC2",
        "SubAccountId": "acct-1",
        "Tags": '{"Environment": "prod"}',
        **changes,
    }


def text(lines: Sequence[Mapping[str, str]], columns: Sequence[str] = COLUMNS, delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[each.get(column, "") for column in columns] for each in lines])
    return out.getvalue()


def order(*paths: Path, source: str = "aws", period: str | None = None, tags: tuple[str, ...] = ()) -> Order:
    stamps = tuple(str(path.stat().st_mtime_ns) for path in paths)
    return Order(source, paths, tuple(path.name for path in paths), stamps, FOCUS, period, tags)
