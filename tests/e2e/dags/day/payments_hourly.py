"""Card payments of the past hour. Its newest run fails: the acquirer's file carries an amount with a decimal comma."""

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

ORDERS = lake.table("orders")
PAYMENTS = lake.table("payments")


@dag(
    **hourly("payments_hourly", minute=8),
    description="Settled card payments of the past hour, matched with orders.",
    default_args={"owner": "finance-data", "retries": 2, "retry_delay": timedelta(seconds=3)},
    tags=["tier:1", "team:finance"],
)
def payments_hourly() -> None:
    @task
    def fetch_settlements(*, logical_date: datetime) -> int:
        """Fetch the acquirer's settlement file of the hour."""
        return lake.write("raw_settlements", logical_date, feeds.settlements(logical_date)).row_count

    @task
    def parse_settlements(fetched: int) -> str:
        """Sum the settled amounts; an amount that is no number stops the load."""
        total = Decimal(0)
        for line, row in enumerate(lake.read("raw_settlements"), start=2):
            try:
                total += Decimal(row["amount"])
            except InvalidOperation as error:
                raise ValueError(
                    f"settlement file line {line}: amount {row['amount']!r} is not a decimal number"
                ) from error
        return f"{total} EUR in {fetched} settlements"

    @task(inlets=[ORDERS], outlets=[PAYMENTS])
    def load_payments(parsed: str, *, logical_date: datetime, outlet_events: Any) -> str:
        """Load the payments into the warehouse."""
        written = lake.write("payments", logical_date, lake.read("raw_settlements"))
        outlet_events[PAYMENTS].extra = {"row_count": written.row_count, "bytes": written.bytes}
        return parsed

    load_payments(parse_settlements(fetch_settlements()))


payments_hourly()
