"""A deployment is told, a pipeline fails, and its alert says so: through a whole Watchtower."""

import hashlib
import hmac
import json
from pathlib import Path

from tests.app.house import HTTP, House, running, until
from tests.collectors.test_ci import WORKFLOW
from tests.server.test_spooling import locked
from watchtower.clock import ManualClock
from watchtower.model.instants import from_micros

CONFIG = """
collectors:
  ci:
    hooks: {github: {system: github, secret: "file:secret"}}
    concerns: [{repository: "acme/*", pipelines: ["orders*"]}]
"""


def deliver(house: House, payload: object, secret: bytes = b"s3cret") -> int:
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signature, "X-GitHub-Event": "workflow_run", "Content-Type": "application/json"}
    return HTTP.request("POST", f"{house.instance.url}/hooks/github", body=body, headers=headers).status


def test_an_alert_names_the_change_before_the_failure(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    clock = ManualClock(from_micros(1772438400_000000))  # 2026-03-02 08:00 UTC
    with running(tmp_path, CONFIG, clock=clock, live=False) as house:
        assert deliver(house, WORKFLOW, b"wrong") == 403
        assert deliver(house, WORKFLOW) == 200
        assert deliver(house, WORKFLOW) == 200, "GitHub may send it again"
        (change,) = house.items("/api/v1/changes")
        assert (change["commit"], change["pipelines"]) == (WORKFLOW["workflow_run"]["head_sha"], ["orders*"])
        house.fail("orders_daily", "0af76519-0000-43dd-8448-eb211c80319c")
        house.fail("payroll", "0af76519-0001-43dd-8448-eb211c80319c")
        house.instance.step()
        summaries = {
            alert["labels"]["pipeline"]: (alert["annotations"]["summary"], alert["evidence"].get("changed"))
            for alert in house.items("/api/v1/alerts")
        }
        assert summaries["orders_daily"] == (
            "orders_daily failed (deployed 12m before: commit acb5820c by grace)",
            'deployed 12m before: commit acb5820c "Fix rounding" by grace (github, acme/orders)',
        )
        assert summaries["payroll"] == ("payroll failed", None)
        (run,) = house.items("/api/v1/runs?pipeline=orders_daily")
        page = HTTP.request(
            "GET", f"{house.instance.url}/runs/{run['id']}", headers={"Authorization": f"Bearer {house.reader}"}
        )
        assert "commit acb5820c" in page.data.decode()


def test_what_is_told_while_the_store_is_away_is_kept(tmp_path: Path) -> None:
    """GitHub never sends it again by itself."""
    (tmp_path / "secret").write_text("s3cret")
    clock = ManualClock(from_micros(1772438400_000000))
    with running(tmp_path, CONFIG, clock=clock, live=False) as house:
        with locked(house.instance.database):
            assert deliver(house, WORKFLOW) == 200
            assert house.instance.spool.size_bytes > 0
        until(lambda: house.items("/api/v1/changes"), "the spool is replayed")
