"""Orders of the past hour: from the shop database into the warehouse. Healthy all day; others build on it."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

ORDERS = lake.table("orders")


@dag(
    **hourly("orders_hourly", minute=5),
    description="Orders of the past hour, cleaned and loaded into the warehouse.",
    default_args={"owner": "data-platform", "retries": 2, "retry_delay": timedelta(seconds=3)},
    tags=["tier:1", "team:commerce"],
)
def orders_hourly() -> None:
    @task
    def extract_orders(*, logical_date: datetime) -> int:
        """Read the orders of the hour from the shop database."""
        return lake.write("raw_orders", logical_date, feeds.orders(logical_date)).row_count

    @task
    def check_orders(extracted: int) -> int:
        """Refuse an hour without orders or with a double order id."""
        order_ids = {row["order_id"] for row in lake.read("raw_orders")}
        if len(order_ids) != extracted:
            raise ValueError(f"{extracted} orders, but {len(order_ids)} distinct order ids")
        return extracted

    @task(outlets=[ORDERS])
    def load_orders(checked: int, *, logical_date: datetime, outlet_events: Any) -> None:
        """Load the checked orders into the warehouse."""
        written = lake.write("orders", logical_date, lake.read("raw_orders")[:checked])
        outlet_events[ORDERS].extra = {"row_count": written.row_count, "bytes": written.bytes}

    load_orders(check_orders(extract_orders()))


orders_hourly()
