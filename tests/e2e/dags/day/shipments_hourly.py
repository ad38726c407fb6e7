"""Parcels on their way. Healthy; once in the day a first try loses its connection and the retry succeeds."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

ORDERS = lake.table("orders")
SHIPMENTS = lake.table("shipments")


@dag(
    **hourly("shipments_hourly", minute=10),
    description="Parcel scans of the past hour, joined with orders.",
    default_args={"owner": "supply-chain-data", "retries": 2, "retry_delay": timedelta(seconds=3)},
    tags=["tier:2", "team:supply-chain"],
)
def shipments_hourly() -> None:
    @task
    def fetch_parcels(*, logical_date: datetime, ti: Any) -> int:
        """Fetch the carrier's scans of the hour."""
        return lake.write("raw_parcels", logical_date, feeds.parcels(logical_date, ti.try_number)).row_count

    @task(inlets=[ORDERS], outlets=[SHIPMENTS])
    def join_orders(fetched: int, *, logical_date: datetime, outlet_events: Any) -> int:
        """Join the scans with the orders they belong to."""
        written = lake.write("shipments", logical_date, lake.read("raw_parcels")[:fetched])
        outlet_events[SHIPMENTS].extra = {"row_count": written.row_count, "bytes": written.bytes}
        return len(lake.read("orders"))

    join_orders(fetch_parcels())


shipments_hourly()
