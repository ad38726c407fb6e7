"""Stock levels. Somebody paused it four slots before the end of the day: its last runs are missing."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from shop import feeds, lake
from shop.plan import hourly

INVENTORY = lake.table("inventory")


@dag(
    **hourly("inventory_snapshot", minute=2),
    description="Stock level of every article, once an hour.",
    default_args={"owner": "supply-chain-data", "retries": 1, "retry_delay": timedelta(seconds=3)},
    tags=["tier:2", "team:supply-chain"],
)
def inventory_snapshot() -> None:
    @task
    def read_stock(*, logical_date: datetime) -> int:
        """Read the stock level of every article."""
        return lake.write("raw_stock", logical_date, feeds.stock(logical_date)).row_count

    @task(outlets=[INVENTORY])
    def store_snapshot(articles: int, *, logical_date: datetime, outlet_events: Any) -> int:
        """Store the snapshot; says how many articles are sold out."""
        levels = lake.read("raw_stock")[:articles]
        written = lake.write("inventory", logical_date, levels)
        outlet_events[INVENTORY].extra = {"row_count": written.row_count, "bytes": written.bytes}
        return sum(row["on_hand"] == "0" for row in levels)

    store_snapshot(read_stock())


inventory_snapshot()
