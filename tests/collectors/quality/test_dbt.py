"""dbt's artifacts, as version 1.11 writes them → a run with its models, tests and freshness."""

from typing import Any

import pytest

from collectors.quality import Unread
from collectors.quality.dbt import events


def result(ident: str, status: str, **more: Any) -> dict[str, Any]:
    timing = [
        {"name": "compile", "started_at": "2026-03-02T08:00:00Z", "completed_at": "2026-03-02T08:00:01Z"},
        {"name": "execute", "started_at": "2026-03-02T08:00:01Z", "completed_at": "2026-03-02T08:00:03Z"},
    ]
    return {"unique_id": ident, "status": status, "timing": timing, "message": None, "failures": None, **more}


RESULTS: dict[str, Any] = {
    "metadata": {"invocation_id": "0af76519-16cd-43dd-8448-eb211c80319c", "generated_at": "2026-03-02T08:00:05Z"},
    "args": {"which": "build"},
    "results": [
        result("model.shop.orders", "success", adapter_response={"rows_affected": 12}),
        result("model.shop.broken", "error", message="Catalog Error: no such table"),
        result("model.shop.after", "skipped"),
        result("test.shop.not_null_orders_id.8cf57", "fail", failures=3, message="Got 3 results"),
        result("test.shop.unique_orders_id.beb6e", "pass", failures=0),
        result("test.shop.soft.1234", "fail", failures=1),
    ],
}
MANIFEST: dict[str, Any] = {
    "metadata": {"project_name": "shop"},
    "nodes": {
        "model.shop.orders": {
            "resource_type": "model", "name": "orders", "schema": "main", "database": "wh",
            "config": {"meta": {"owner": "data"}}},
        "test.shop.not_null_orders_id.8cf57": {
            "resource_type": "test", "name": "not_null_orders_id", "column_name": "id",
            "attached_node": "model.shop.orders"},
        "test.shop.soft.1234": {"resource_type": "test", "name": "soft", "config": {"severity": "warn"}},
    },
}  # fmt: skip
SOURCES: dict[str, Any] = {
    "results": [{"unique_id": "source.shop.raw.orders", "status": "error", "snapshotted_at": "2026-03-02T08:00:04Z"}]
}


def test_a_build_is_a_run_with_tasks_and_results() -> None:
    whole, *rest = events(RESULTS, MANIFEST, SOURCES, namespace="prod-dbt")
    assert whole["job"] == "shop"
    assert (whole["event"], whole["namespace"], whole["started_at"]) == ("fail", "prod-dbt", "2026-03-02T08:00:01Z")
    assert whole["error"] == "broken, not_null_orders_id, soft did not pass"
    tasks = {one["task"]: one for one in rest if "task" in one}
    assert {name: one["event"] for name, one in tasks.items()} == {
        "orders": "complete",
        "broken": "fail",
        "after": "skip",
    }
    assert tasks["broken"]["error"] == "Catalog Error: no such table"
    assert tasks["orders"]["outputs"] == [{"namespace": "dbt://wh", "name": "main.orders", "rows": 12}]
    assert tasks["orders"]["owner"] == "data"
    results = [one for one in rest if "check" in one and one.get("table")]
    checks = {one["check"]: (one["status"], one.get("severity"), one["table"], one.get("column")) for one in results}
    assert checks == {
        "not_null_orders_id": ("fail", None, "orders", "id"),
        "freshness": ("error", None, "raw.orders", None),
    }
    soft = next(one for one in rest if one.get("check") == "soft")
    assert (soft["severity"], soft["failures"]) == ("warn", 1)


def test_without_a_manifest_names_come_from_the_ids() -> None:
    whole, *rest = events(RESULTS)
    assert whole["job"] == "shop"
    assert [one.get("task") or one["check"] for one in rest][:4] == ["orders", "broken", "after", "not_null_orders_id"]
    assert events(RESULTS, job="mine")[0]["job"] == "mine"


def test_a_build_that_went_well_is_complete() -> None:
    assert events({**RESULTS, "results": RESULTS["results"][:1]})[0]["event"] == "complete"


EXPOSURES: dict[str, Any] = {
    **MANIFEST,
    "sources": {
        "source.shop.raw.clicks": {"name": "clicks", "identifier": "clicks_v2", "schema": "raw", "database": "wh"}},
    "exposures": {
        "exposure.shop.weekly": {
            "name": "weekly", "label": "Weekly orders", "type": "dashboard", "url": "https://bi.example.com/weekly",
            "owner": {"name": "Ada", "email": "ada@example.com"},
            "depends_on": {"nodes": ["model.shop.orders", "source.shop.raw.clicks"]}},
        "exposure.shop.board": {
            "name": "board", "type": "dashboard", "owner": {"email": "bob@example.com"},
            "depends_on": {"nodes": ["model.shop.orders", "model.shop.after"]}},
        "exposure.shop.other": {"name": "other", "type": "ml", "depends_on": {"nodes": ["model.shop.elsewhere"]}},
        "exposure.shop.odd": {"name": "odd", "depends_on": None},
    },
}  # fmt: skip


def test_exposures_are_jobs_that_read_what_they_depend_on() -> None:
    found = {one["job"]: one for one in events(RESULTS, EXPOSURES) if "/" in one.get("job", "")}
    assert set(found) == {"dashboard/weekly", "dashboard/board"}  # of the others nothing was made anew
    weekly, board = found["dashboard/weekly"], found["dashboard/board"]
    assert (weekly["event"], weekly["owner"], weekly["description"]) == ("complete", "Ada", "Weekly orders")
    assert weekly["url"] == "https://bi.example.com/weekly"
    assert [each["name"] for each in weekly["inputs"]] == ["main.orders", "raw.clicks_v2"]
    assert (board["event"], board["error"]) == ("upstream_failed", "after did not pass")
    assert board["owner"] == "bob@example.com"
    assert len({one["run"] for one in events(RESULTS, EXPOSURES)}) == 3


@pytest.mark.parametrize("document", [None, [], {}, {"results": {}}])
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(Unread, match=r"run_results\.json"):
        events(document)
