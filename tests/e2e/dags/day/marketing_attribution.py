"""Which campaign an order came from. Its newest run hangs: the model server never takes the batch."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

ORDERS = lake.table("orders")
CUSTOMERS = lake.table("customers")
ATTRIBUTION = lake.table("attribution")


@dag(
    **hourly("marketing_attribution", minute=24),
    description="Orders of the past hour, attributed to campaigns.",
    default_args={"owner": "growth-analytics", "retries": 1, "retry_delay": timedelta(seconds=3)},
    tags=["tier:3", "team:growth"],
)
def marketing_attribution() -> None:
    @task(inlets=[ORDERS, CUSTOMERS])
    def score_orders(*, logical_date: datetime) -> int:
        """Hand the orders of the hour to the attribution model."""
        orders = lake.read("orders")
        feeds.wait_for_attribution_model(logical_date)
        return len(orders)

    @task(outlets=[ATTRIBUTION])
    def store_attribution(scored: int, *, logical_date: datetime, outlet_events: Any) -> None:
        """Store one row per order."""
        rows = [{"order_id": row["order_id"], "campaign": "unknown"} for row in lake.read("orders")[:scored]]
        written = lake.write("attribution", logical_date, rows)
        outlet_events[ATTRIBUTION].extra = {"row_count": written.row_count, "bytes": written.bytes}

    store_attribution(score_orders())


marketing_attribution()
