"""Data tests fail and pass again, through a whole Watchtower and its command line."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.app.house import House, running
from tests.collectors.quality.test_dbt import MANIFEST, RESULTS
from watchtower.clock import ManualClock

NOW = datetime.fromisoformat("2026-03-02T08:01:00+00:00")


def ingest(house: House, *words: str) -> "subprocess.CompletedProcess[str]":
    told = {"WATCHTOWER_URL": house.instance.url, "WATCHTOWER_TOKEN": house.ingest, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "watchtower", "ingest", *words]
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=120, check=False)


def firing(house: House) -> dict[str, list[str]]:
    while house.instance.step():
        pass
    found: dict[str, list[str]] = {}
    for alert in house.items("/api/v1/alerts?state=firing"):
        found.setdefault(alert["labels"]["alertname"], []).append(alert["annotations"]["summary"])
    return found


def write(folder: Path, name: str, document: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))


def test_a_build_of_dbt_is_a_run_and_its_tests_alert_until_they_pass(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(target, "run_results.json", RESULTS)
    write(target, "manifest.json", MANIFEST)
    clock = ManualClock(NOW)
    with running(tmp_path, "", clock=clock, live=False) as house:
        for _ in range(2):
            done = ingest(house, "dbt", str(target), "--namespace", "prod-dbt")
            assert done.returncode == 0, done.stderr
        tasks = {run["task"]: run["state"] for run in house.items("/api/v1/runs")}
        assert tasks == {None: "failed", "orders": "succeeded", "broken": "failed", "after": "skipped"}
        alerts = firing(house)
        assert alerts["QualityFailed"] == ["test not_null_orders_id of orders.id (shop) failed: 3 failing rows"]
        assert alerts["QualityWarned"] == ["test soft (shop) warns: 1 failing row"]
        assert alerts["RunFailed"][0].startswith("shop failed at task broken (attempt 1)")
        clock.advance(600)
        later = json.loads(json.dumps(RESULTS).replace("T08:0", "T08:1").replace("0af76519", "1af76519"))
        for result in later["results"]:
            result["status"] = "pass" if result["unique_id"].startswith("test") else "success"
        write(target, "run_results.json", later)
        assert ingest(house, "dbt", str(target), "--namespace", "prod-dbt").returncode == 0
        assert firing(house) == {}


def test_results_of_other_tools_come_by_their_own_kind(tmp_path: Path) -> None:
    write(tmp_path / "soda", "scan.json", {"checks": [{"name": "rows > 0", "table": "orders", "outcome": "fail"}]})
    with running(tmp_path, "", clock=ManualClock(NOW), live=False) as house:
        done = ingest(house, "soda", str(tmp_path / "soda" / "scan.json"), "--job", "orders")
        assert done.returncode == 0, done.stderr
        assert firing(house) == {"QualityFailed": ["test rows > 0 of orders (orders) failed"]}


def test_a_wrong_file_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    write(tmp_path, "x.json", {"a": 1})
    with running(tmp_path, "", clock=ManualClock(NOW), live=False) as house:
        done = ingest(house, "soda", str(tmp_path / "x.json"))
        assert (done.returncode, "x.json: want the results of a scan of Soda" in done.stderr.replace("\n", " ")) == (
            2,
            True,
        )
        missing = ingest(house, "dbt", str(tmp_path))
        assert missing.returncode == 2
        assert "cannot be read" in missing.stderr


def test_an_assertion_of_an_openlineage_event_alerts_until_it_holds(tmp_path: Path) -> None:
    def tell(house: House, run: str, *, holds: bool) -> None:
        said = {"assertions": [{"assertion": "not_null", "column": "id", "success": holds}]}
        written = {"namespace": "w", "name": "orders", "outputFacets": {"dataQualityAssertions": said}}
        house.store(house.event("START", "load", run), house.event("COMPLETE", "load", run, outputs=[written]))

    clock = ManualClock(NOW)
    with running(tmp_path, "", clock=clock, live=False) as house:
        tell(house, "0191f5d2-0000-7000-8000-000000000001", holds=False)
        assert firing(house) == {"QualityFailed": ["test not_null of orders.id (load) failed"]}
        clock.advance(600)
        tell(house, "0191f5d2-0000-7000-8000-000000000002", holds=True)
        assert firing(house) == {}
