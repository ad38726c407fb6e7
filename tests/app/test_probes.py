"""A whole Watchtower with probes: a run that succeeds while its data stays old is told until the data comes."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.house import House, running, until
from tests.simulators.http import HttpSimulator, Recorded, Reply
from watchtower.clock import SystemClock
from watchtower.config import load
from watchtower.config.asked import polled_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "probes.yaml"

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
        house.store(
            house.event("START", "orders_daily", run),
            house.event("COMPLETE", "orders_daily", run, outputs=[written]),
        )
        until(lambda: house.items("/api/v1/runs?state=succeeded"), "the run that succeeded", 60)
        shop(tmp_path / "shop.db", datetime.now(UTC))
        resolved = until(lambda: alert(house, "DatasetStale", "resolved"), "new data to end the alert", 60)
        assert "has no new data since" in resolved["annotations"]["summary"]
        assert (resolved["starts_at"] < resolved["ends_at"], resolved["labels"]["dataset"]) == (True, "shop.orders")


FILES = """
collectors:
  object_probe:
    sources:
      - name: landing
        place: landing
        namespace: landing
        every: 5s
        files: [{name: "orders/{date:%Y-%m-%d}.csv", dataset: orders_files, due: "0 0 * * *"}]
datasets:
  - {dataset: orders_files, namespace: landing, fail_after: 12h}
"""


def test_a_source_file_that_was_renamed_is_named_as_the_cause_of_the_dataset_that_is_late(tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    today = datetime.now(UTC)
    folder = tmp_path / "landing" / "orders"
    folder.mkdir(parents=True)
    for name in (f"{old:%Y-%m-%d}.csv", f"{today:%Y-%m-%d}.csv.part"):
        (folder / name).write_text("1,2")
        os.utime(folder / name, (old.timestamp(), old.timestamp()))

    def cause(house: House) -> str | None:
        return (alert(house, "DatasetStale") or {"annotations": {}})["annotations"].get("cause")

    with running(tmp_path, FILES) as house:
        said = until(lambda: cause(house), "the cause of the alert", 60)
        assert "is not there, due by" in said
        assert "was it renamed? (landing, since " in said
        (source,) = (each for each in house.items("/api/v1/sources") if each["name"] == "landing")
        assert "is not there" in source["problems"][0]["summary"]


NEEDS = """
outbound: {{allow: [127.0.0.0/8]}}
collectors:
  dependency_probe:
    sources:
      - {{name: orders-api, http: "{url}/health", every: 5s, failures: 1, needed_by: ["orders_*"]}}
"""


class Down(HttpSimulator):
    def answer(self, request: Recorded) -> Reply:
        return Reply(503)


def test_a_run_that_fails_while_an_api_is_down_names_it_as_the_cause(tmp_path: Path) -> None:
    def cause(house: House) -> str | None:
        return (alert(house, "RunFailed") or {"annotations": {}})["annotations"].get("cause")

    with Down(datetime.now(UTC)) as api, running(tmp_path, NEEDS.format(url=api.url)) as house:
        house.fail("orders_daily")
        said = until(lambda: cause(house), "the cause of the alert", 60)
        assert said.startswith(f"{api.url}/health answers 503 (orders-api, since ")


def test_the_example_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://reader@warehouse.example.com/shop")
    config = load(EXAMPLE)
    made = polled_of(config, SystemClock(), lambda source, namespace, native_run_ids: {})
    assert [each.name for each in made] == ["warehouse", "landing", "orders-api", "orders-api-certificate"]
