"""A whole Watchtower with probes: a run that succeeds while its data stays old is told until the data comes."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.app.house import House, running, until

TABLES = """
collectors:
  dataset_probe:
    sources:
      - name: warehouse
        url: {url}
        namespace: warehouse
        every: 5s
        tables: [{{table: orders, updated_at: changed, dataset: shop.orders}}]
datasets:
  - {{dataset: shop.orders, namespace: warehouse, fail_after: 1d, severity: ticket}}
"""


def shop(file: Path, changed: datetime) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS orders (id integer, changed text)")
        connection.execute("INSERT INTO orders VALUES (1, ?)", (changed.isoformat(),))


def alert(house: House, name: str, state: str = "firing") -> dict[str, Any] | None:
    found = (each for each in house.items("/api/v1/alerts") if each["labels"]["alertname"] == name)
    return next((each for each in found if each["state"] == state), None)


def test_a_run_that_succeeds_while_its_data_stays_old_is_told_until_new_data_is_there(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    shop(tmp_path / "shop.db", now - timedelta(days=3))
    with running(tmp_path, TABLES.format(url=f"sqlite:///{tmp_path / 'shop.db'}")) as house:
        until(lambda: alert(house, "DatasetStale"), "the alert about old data", 60)
        written = {"namespace": "warehouse", "name": "shop.orders"}
        run = "0191f5d2-0000-7000-8000-000000000001"
        house.post(
            house.event("START", "orders_daily", run),
            house.event("COMPLETE", "orders_daily", run, outputs=[written]),
        )
        until(lambda: house.items("/api/v1/runs?state=succeeded"), "the run that succeeded", 60)
        shop(tmp_path / "shop.db", datetime.now(UTC))
        resolved = until(lambda: alert(house, "DatasetStale", "resolved"), "new data to end the alert", 60)
        assert "has no new data since" in resolved["annotations"]["summary"]
        assert (resolved["starts_at"] < resolved["ends_at"], resolved["labels"]["dataset"]) == (True, "shop.orders")
