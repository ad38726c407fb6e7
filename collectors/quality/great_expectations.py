"""Great Expectations: a validation result, or a checkpoint's (docs.greatexpectations.io, versions 0.18 and 1.x)."""

from typing import Any

from collectors.quality.told import Json, Unread, count, event, fields, objects, part, passed


def events(document: Any) -> list[dict[str, Any]]:
    """One for each expectation. Raises Unread."""
    runs = [fields(run) for run in fields(document, "run_results").values()]
    if runs:
        return [one for run in runs for one in _of_run(fields(run, "validation_result") or run)]
    if isinstance(part(document, "results"), list):
        return _of_run(document)
    raise Unread("want a validation result (`results`) or a checkpoint result (`run_results`) of Great Expectations")


def _of_run(result: Json) -> list[dict[str, Any]]:
    meta = fields(result, "meta")
    table = part(meta, "active_batch_definition", "data_asset_name") or part(meta, "batch_spec", "table_name")
    at, run = part(meta, "validation_time"), part(meta, "run_id", "run_name")
    found: list[dict[str, Any]] = []
    for one in objects(result, "results"):
        config = fields(one, "expectation_config")
        name = part(config, "type") or part(config, "expectation_type") or "expectation"
        severity = part(config, "severity")
        found.append(
            event(
                str(name),
                passed(part(one, "success")),
                severity="warn" if severity in ("warning", "info") else None,
                table=table,
                column=part(config, "kwargs", "column"),
                failures=count(part(one, "result", "unexpected_count")),
                rows=count(part(one, "result", "element_count")),
                run=run,
                at=_instant(at),
                tool="great_expectations",
            )
        )
    return found


def _instant(value: Any) -> Any:
    """`20260302T080000.000000Z` of old versions, RFC 3339 of new ones."""
    if isinstance(value, str) and len(value) >= 16 and value[8] == "T" and "-" not in value[:8]:
        return f"{value[:4]}-{value[4:6]}-{value[6:8]}T{value[9:11]}:{value[11:13]}:{value[13:15]}Z"
    return value
