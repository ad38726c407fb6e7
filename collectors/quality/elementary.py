"""Elementary: rows of its table `elementary_test_results` as JSON (docs.elementary-data.com, "dbt package models")."""

from typing import Any

from collectors.quality.told import Unread, count, event, objects, part


def events(document: Any) -> list[dict[str, Any]]:
    """One for each row that has a status. Raises Unread."""
    rows = objects(document)
    if not rows or not all("test_name" in row and "status" in row for row in rows):
        raise Unread("want rows of elementary_test_results: a list of objects with `test_name` and `status`")
    found: list[dict[str, Any]] = []
    for row in rows:
        status = str(part(row, "status")).lower()
        if status in ("pass", "warn", "fail", "error"):
            parts = (part(row, "schema_name"), part(row, "table_name"))
            found.append(
                event(
                    str(part(row, "test_name")),
                    status,
                    severity="warn" if str(part(row, "severity")).lower() == "warn" else None,
                    table=".".join(str(each) for each in parts if each) or None,
                    column=part(row, "column_name"),
                    failures=count(part(row, "failures")),
                    at=part(row, "detected_at"),
                    tool="elementary",
                )
            )
    return found
