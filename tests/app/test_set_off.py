"""A purchase order sets an import off, which fails: as a user sees it, from CloudEvents to the page and the ticket."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.app.house import HTTP, House, running, until
from watchtower.clock import SystemClock

CONFIG = """
collectors:
  events:
    map:
      - type: com.shop.import.*
        job: =order-import
        run: data.id
        set_off_by: data.cause
        environment: data.stage
        error: data.error
"""
ORDER = {"type": "purchase_order.created", "source": "shop", "id": "4711"}


def tell(house: House, path: str, body: Any, content_type: str = "application/json") -> None:
    """Back when it is in the store: a slow one leaves it to the spool first."""
    headers = {"Authorization": f"Bearer {house.ingest}", "Content-Type": content_type}
    answer = HTTP.request("POST", f"{house.instance.url}{path}", body=json.dumps(body).encode(), headers=headers)
    assert answer.status in (200, 202), answer.data
    if answer.status == 202:
        until(lambda: house.instance.spool.size_bytes == 0, "what waits in the spool is stored")


def happened(number: int, what: str, at: datetime, **data: Any) -> dict[str, Any]:
    return {
        **{"specversion": "1.0", "id": f"e-{number}", "source": "/imports", "type": f"com.shop.import.{what}"},
        **{"time": at.isoformat(), "data": {"id": "i-1", "cause": ORDER, "stage": "prod", **data}},
    }


def test_what_set_a_run_off_is_in_its_alert_and_on_its_page(tmp_path: Path) -> None:
    began = SystemClock().now() - timedelta(minutes=2)
    with running(tmp_path, CONFIG) as house:
        table = {"namespace": "postgres://w:5432", "name": "suppliers", "rows": 42}
        written = {"job": "sync", "run": "s-1", "event": "complete", "at": (began - timedelta(hours=1)).isoformat()}
        tell(house, "/api/v1/events", {**written, "outputs": [table]})
        tell(house, "/api/v1/events", happened(1, "start", began), "application/cloudevents+json")
        read = {"job": "order-import", "run": "i-1", "event": "running", "inputs": [table]}
        tell(house, "/api/v1/events", {**read, "at": (began + timedelta(seconds=5)).isoformat()})
        failed = happened(2, "fail", began + timedelta(minutes=1), error="unknown supplier")
        tell(house, "/api/v1/events", failed, "application/cloudevents+json")
        (alert,) = until(lambda: house.items("/api/v1/alerts?state=firing"), "the failure")
        assert alert["evidence"]["set_off_by"] == ["purchase_order.created 4711 of shop"]
        assert alert["labels"]["environment"] == "prod"
        (run,) = house.items("/api/v1/runs?pipeline=order-import&environment=prod&trigger=event")
        (origin,) = run["origins"]
        assert (origin["kind"], origin["name"], origin["namespace"], origin["run"]) == (
            *("event", "purchase_order.created"),
            *("shop", "4711"),
        )
        (found,) = house.get(f"/api/v1/runs/{run['id']}")["inputs"]
        assert (found["dataset"]["name"], found["row_count"]) == ("suppliers", 42)
        assert datetime.fromisoformat(found["written_at"]) == began - timedelta(hours=1)
        page = house.page(f"/runs/{run['id']}")
        assert "purchase_order.created 4711 of shop" in page
        assert "What it read, as it was when it began" in page
        assert "42 rows" in page
