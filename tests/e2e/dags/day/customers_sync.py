"""Customer profiles from the CRM. Its newest run is slow: the CRM throttles every page."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

CUSTOMERS = lake.table("customers")


@dag(
    **hourly("customers_sync", minute=0),
    description="Customer profiles that changed in the CRM, merged into the warehouse.",
    default_args={"owner": "customer-data", "retries": 1, "retry_delay": timedelta(seconds=3)},
    tags=["tier:2", "team:crm"],
)
def customers_sync() -> None:
    @task
    def fetch_profiles(*, logical_date: datetime) -> int:
        """Page through the profiles that changed in the past hour."""
        return lake.write("raw_profiles", logical_date, feeds.profiles(logical_date)).row_count

    @task(outlets=[CUSTOMERS])
    def merge_customers(fetched: int, *, logical_date: datetime, outlet_events: Any) -> int:
        """Keep the newest profile of each customer."""
        newest = {row["customer_id"]: row for row in lake.read("raw_profiles")}
        written = lake.write("customers", logical_date, list(newest.values()))
        outlet_events[CUSTOMERS].extra = {"row_count": written.row_count, "bytes": written.bytes}
        return fetched - written.row_count

    merge_customers(fetch_profiles())


customers_sync()
