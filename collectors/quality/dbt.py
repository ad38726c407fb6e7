"""dbt's artifacts → events: models, seeds and snapshots as tasks of one run, tests and source freshness as results.

Source: docs.getdbt.com, "Run results JSON file" (v4 to v6), "Manifest JSON file", "Sources JSON file". The run is the
invocation, the pipeline the project; an exposure is a job that reads what it depends on. A repeat of the same files is
the same facts.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from collectors.quality.told import Json, Unread, count, event, fields, objects, part

_STATES: Final[Mapping[str, str]] = {
    "success": "complete",
    "error": "fail",
    "runtime error": "fail",
    "skipped": "skip",
    "partial success": "fail",
}
_TESTS: Final = frozenset({"test", "unit_test"})


def events(
    results: Any, manifest: Any = None, sources: Any = None, *, job: str | None = None, namespace: str | None = None
) -> list[dict[str, Any]]:
    """job: else the project's name. namespace: of the pipeline. Raises Unread."""
    if not isinstance(part(results, "results"), list):
        raise Unread("want run_results.json of dbt: an object with `results`")
    nodes: Any = part(manifest, "nodes") or {}
    name = job or part(manifest, "metadata", "project_name") or _project(results)
    run = str(part(results, "metadata", "invocation_id") or "")
    ended = part(results, "metadata", "generated_at")
    place = {"job": name, "run": run, **({"namespace": namespace} if namespace else {})}
    found: list[dict[str, Any]] = []
    for each in objects(results, "results"):
        found += _of_result(each, part(nodes, str(part(each, "unique_id"))), place, ended)
    found += _freshness(sources, manifest, place)
    found += _exposures(results, manifest, place)
    bad = [each for each in objects(results, "results") if part(each, "status") in ("error", "fail", "runtime error")]
    return [_whole(results, place, bad, nodes), *found]


def _whole(results: Json, place: Json, bad: list[Json], nodes: Any) -> dict[str, Any]:
    begun = [moment for each in objects(results, "results") if (moment := _timing(each)[0])]
    named = [_name(each, part(nodes, str(part(each, "unique_id")))) for each in bad]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    error = f"{', '.join(named[:5])}{more} did not pass" if bad else None
    return {
        **place,
        "event": "fail" if bad else "complete",
        "at": part(results, "metadata", "generated_at"),
        "started_at": min(begun, default=None),
        "error": error,
        "code_version": part(results, "metadata", "env", "DBT_GIT_SHA"),
        "tags": {"command": part(results, "args", "which")} if part(results, "args", "which") else None,
    }


def _of_result(each: Json, node: Any, place: Json, ended: Any) -> Iterator[dict[str, Any]]:
    kind = part(node, "resource_type") or str(part(each, "unique_id") or "").partition(".")[0]
    began, done = _timing(each)
    status = str(part(each, "status") or "")
    if kind in _TESTS:
        if status in ("pass", "warn", "fail", "error"):
            yield event(
                _name(each, node),
                status,
                severity="warn" if str(part(node, "config", "severity")).lower() == "warn" else None,
                table=_table(node),
                column=part(node, "column_name") or part(node, "test_metadata", "kwargs", "column_name"),
                failures=count(part(each, "failures")),
                at=done or ended,
                tool="dbt",
                **place,
            )
    elif status in _STATES:
        rows = count(part(each, "adapter_response", "rows_affected"))
        yield {
            **place,
            "task": _name(each, node),
            "event": _STATES[status],
            "final": True,
            "at": done or ended,
            "started_at": began,
            "error": part(each, "message") if _STATES[status] == "fail" else None,
            "owner": part(node, "config", "meta", "owner") or part(node, "meta", "owner"),
            "outputs": [{**dataset, "rows": rows}] if (dataset := _dataset(node)) and status == "success" else None,
        }


def _freshness(sources: Any, manifest: Any, place: Json) -> list[dict[str, Any]]:
    """Of `dbt source freshness`."""
    found: list[dict[str, Any]] = []
    for each in objects(sources, "results"):
        ident, status = str(part(each, "unique_id") or ""), str(part(each, "status") or "")
        if ident and status in ("pass", "warn", "error"):
            table = ".".join(ident.split(".")[2:]) or ident
            at = part(each, "snapshotted_at")
            found.append(event("freshness", status, table=table, at=at, tool="dbt", **place))
    return found


def _exposures(results: Json, manifest: Any, place: Json) -> Iterator[dict[str, Any]]:
    """Of what this build made anew: an exposure is as good as the worst of the nodes that it depends on."""
    states = {str(part(each, "unique_id")): str(part(each, "status")) for each in objects(results, "results")}
    for ident, exposure in fields(manifest, "exposures").items():
        on = part(exposure, "depends_on", "nodes")
        needed = [str(node) for node in cast("list[Any]", on)] if isinstance(on, list) else []
        made = [node for node in needed if node in states]
        if not made:
            continue
        bad = [node.rpartition(".")[2] for node in made if states[node] != "success"]
        reads = (part(manifest, "nodes", node) or part(manifest, "sources", node) for node in needed)
        yield {
            **place,
            "job": f"{part(exposure, 'type') or 'exposure'}/{part(exposure, 'name')}",
            "run": f"{place['run']}/{ident}",
            "event": "upstream_failed" if bad else "complete",
            "at": part(results, "metadata", "generated_at"),
            "error": f"{', '.join(bad[:5])} did not pass" if bad else None,
            "inputs": [dataset for node in reads if (dataset := _dataset(node))],
            "owner": part(exposure, "owner", "name") or part(exposure, "owner", "email"),
            "description": part(exposure, "label") or part(exposure, "description"),
            "url": part(exposure, "url"),
        }


def _name(each: Json, node: Any) -> str:
    """`model.shop.stg_orders` → stg_orders; a test's id ends with a digest."""
    parts = str(part(each, "unique_id") or "").split(".")
    return str(part(node, "name") or (parts[2] if len(parts) > 2 else parts[-1]))


def _table(node: Any) -> str | None:
    """The model or source that a test is about: the one it is attached to, else the first it depends on."""
    attached = part(node, "attached_node") or part(node, "depends_on", "nodes", 0)
    return ".".join(str(attached).split(".")[2:]) if attached else None


def _dataset(node: Any) -> dict[str, Any] | None:
    """Of a model, seed or snapshot, or of a source."""
    schema, alias = part(node, "schema"), part(node, "alias") or part(node, "identifier") or part(node, "name")
    if not (schema and alias) or part(node, "config", "materialized") == "ephemeral":
        return None
    database = part(node, "database")
    return {"namespace": f"dbt://{database or 'default'}", "name": f"{schema}.{alias}"}


def _timing(each: Json) -> tuple[str | None, str | None]:
    """Begin and end of its execution."""
    steps = {part(step, "name"): step for step in objects(each, "timing")}
    step = steps.get("execute") or steps.get("compile")
    return part(step, "started_at"), part(step, "completed_at")


def _project(results: Json) -> str:
    """Of the first node; run results name no project."""
    for each in objects(results, "results"):
        parts = str(part(each, "unique_id") or "").split(".")
        if len(parts) > 2:
            return parts[1]
    return "dbt"
