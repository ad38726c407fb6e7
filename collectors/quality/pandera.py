"""Pandera: what `SchemaErrors` says of a lazy validation, as JSON (its `message`, or the records of `failure_cases`).

A validation that went well raises nothing: write `{"schema": NAME, "passed": true}` then, so that the alert ends.
"""

from collections import Counter
from typing import Any

from collectors.quality.told import Unread, event, fields, objects, part


def events(document: Any) -> list[dict[str, Any]]:
    """One for each schema, column and check. Raises Unread."""
    cases = objects(document)
    if cases and all("check" in case for case in cases):
        return _of_cases(cases)
    if part(document, "passed") is True:
        return [event("schema", "pass", table=part(document, "schema"), tool="pandera")]
    if isinstance(document, dict) and {"SCHEMA", "DATA"} & document.keys():  # pyright: ignore[reportUnknownMemberType]
        groups = [each for kind in ("SCHEMA", "DATA") for each in fields(document, kind).values()]
        return _of_cases([case for group in groups for case in objects(group)])
    raise Unread("want SchemaErrors of Pandera: an object with SCHEMA or DATA, or the list of its failure cases")


def _of_cases(cases: Any) -> list[dict[str, Any]]:
    """A column that fails is a check of its own; the schema as a whole fails with it."""
    failures: Counter[tuple[str, str, str]] = Counter()
    tables: dict[str, None] = {}
    for case in cases:
        table = str(part(case, "schema") or "")
        failures[table, str(part(case, "column") or ""), str(part(case, "check") or "check")] += 1
        tables[table] = None
    whole = [event("schema", "fail", table=table or None, tool="pandera") for table in tables]
    return whole + [
        event(check, "fail", table=table or None, column=column or None, failures=number, tool="pandera")
        for (table, column, check), number in failures.items()
    ]
