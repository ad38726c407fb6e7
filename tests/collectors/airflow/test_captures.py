"""What a real Airflow 3.3 said to its API and by OpenLineage at the same time: the same runs, under the same names."""

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.airflow import run_ids
from collectors.openlineage.instants import parse_instant

CAPTURES = Path(__file__).resolve().parents[4] / "shared" / "captures"
pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="the captures stand beside the checkout")


def events() -> list[dict[str, Any]]:
    files = sorted((CAPTURES / "airflow3_openlineage").glob("[1-6]*/*.json"))
    return [json.loads(file.read_text())["body"] for file in files]


def test_the_run_ids_of_recorded_events_are_computed_from_what_the_api_says() -> None:
    checked = 0
    for event in events():
        facets, namespace = event["run"]["facets"], event["job"]["namespace"]
        facet = facets.get("airflow") or facets.get("airflowDagRun")
        if facet is None:
            continue  # what a person marked by hand
        run = facet["dagRun"]
        at = parse_instant(run.get("logical_date") or run["run_after"])
        assert at is not None
        if "taskInstance" not in facet:
            computed = run_ids.dag_run_id(namespace, run["dag_id"], run["clear_number"], at)
        else:
            instance = facet["taskInstance"]
            computed = run_ids.task_run_id(
                namespace,
                run["dag_id"],
                facet["task"]["task_id"],
                try_number=instance["try_number"],
                map_index=instance.get("map_index", -1),
                instant=at,
            )
        assert computed == event["run"]["runId"]
        checked += 1
    assert checked > 60
