"""Real builds of dbt on DuckDB: their artifacts become a run, its models and its tests, bad ones and mended ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.house import House, running
from tests.e2e.environments import ensure

pytestmark = pytest.mark.e2e

PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\nseed-paths: [seeds]\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb, threads: 1}}}\n",
    "seeds/raw_orders.csv": "id,amount\n1,10\n2,20\n2,\n",
    "models/orders.sql": "select * from {{ ref('raw_orders') }}\n",
    "models/broken.sql": "select nothing from {{ ref('orders') }}\n",
    "models/schema.yml": """
version: 2
models:
  - name: orders
    config: {meta: {owner: data-platform}}
    columns:
      - {name: id, data_tests: [not_null, unique]}
      - {name: amount, data_tests: [{not_null: {config: {severity: warn}}}]}
""",
}


def build(dbt: Path, folder: Path) -> int:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    command = [str(dbt / "bin" / "dbt"), "build", "--project-dir", str(folder), "--profiles-dir", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False)
    return done.returncode


def ingest(house: House, folder: Path) -> None:
    told = {"PATH": os.environ["PATH"], "WATCHTOWER_URL": house.instance.url, "WATCHTOWER_TOKEN": house.ingest}
    command = [sys.executable, "-m", "watchtower", "ingest", "dbt", str(folder / "target"), "--namespace", "prod-dbt"]
    subprocess.run(command, env=told, check=True, timeout=120)


def firing(house: House) -> set[tuple[str, str | None]]:
    while house.instance.step():
        pass
    alerts = house.items("/api/v1/alerts?state=firing")
    return {(alert["labels"]["alertname"], alert["labels"].get("check")) for alert in alerts}


def test_what_fails_in_a_build_alerts_until_a_build_passes(tmp_path: Path) -> None:
    dbt, folder = ensure("dbt"), tmp_path / "shop"
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with running(tmp_path, "", live=False) as house:
        assert build(dbt, folder) == 1
        ingest(house, folder)
        ingest(house, folder)
        runs = {run["task"]: run for run in house.items("/api/v1/runs")}
        assert {task: run["state"] for task, run in runs.items()} == {
            None: "failed",
            "raw_orders": "succeeded",
            "orders": "succeeded",
            "broken": "skipped",
        }
        results = json.loads((folder / "target" / "run_results.json").read_text())
        assert runs[None]["native_run_id"] == results["metadata"]["invocation_id"]
        assert {run["parent_run_id"] for task, run in runs.items() if task} == {runs[None]["id"]}
        assert firing(house) == {
            ("RunFailed", None),
            ("QualityFailed", "unique_orders_id"),
            ("QualityWarned", "not_null_orders_amount"),
        }
        (folder / "seeds" / "raw_orders.csv").write_text("id,amount\n1,10\n2,20\n")
        (folder / "models" / "broken.sql").write_text("select id from {{ ref('orders') }}\n")
        assert build(dbt, folder) == 0
        ingest(house, folder)
        assert firing(house) == set()
