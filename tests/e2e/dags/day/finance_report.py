"""Revenue by region, for the finance team. Its newest run starts late: the scheduler was down at its hour."""

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow.sdk import dag, task
from shop import lake
from shop.plan import hourly

ORDERS = lake.table("orders")
PAYMENTS = lake.table("payments")
REVENUE = lake.table("revenue_hourly")


@dag(
    **hourly("finance_report", minute=15),
    description="Revenue of the past hour by region, from orders and payments.",
    default_args={"owner": "finance-data", "retries": 1, "retry_delay": timedelta(seconds=3)},
    tags=["tier:1", "team:finance"],
)
def finance_report() -> None:
    @task(inlets=[ORDERS, PAYMENTS])
    def sum_revenue() -> dict[str, str]:
        """Sum the orders of the hour by region."""
        revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
        for order in lake.read("orders"):
            revenue[order["region"]] += Decimal(order["amount"])
        return {region: str(amount) for region, amount in revenue.items()}

    @task(outlets=[REVENUE])
    def publish_report(revenue: dict[str, str], *, logical_date: datetime, outlet_events: Any) -> None:
        """Publish one row per region."""
        rows = [{"region": region, "revenue": amount} for region, amount in sorted(revenue.items())]
        written = lake.write("revenue_hourly", logical_date, rows)
        outlet_events[REVENUE].extra = {"row_count": written.row_count, "bytes": written.bytes}

    publish_report(sum_revenue())


finance_report()
