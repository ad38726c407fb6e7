"""Soda Core: scan results (`soda scan --scan-results-file`; docs.soda.io, "Scan reference")."""

from typing import Any

from collectors.quality.told import Unread, count, event, objects, part

_OUTCOMES = {"pass": "pass", "warn": "warn", "fail": "fail"}


def events(document: Any) -> list[dict[str, Any]]:
    """One for each check that has an outcome; one that was not evaluated says nothing. Raises Unread."""
    if not isinstance(part(document, "checks"), list):
        raise Unread("want the results of a scan of Soda: an object with `checks`")
    at = part(document, "dataTimestamp") or part(document, "scanStartTimestamp")
    found: list[dict[str, Any]] = []
    for check in objects(document, "checks"):
        outcome = _OUTCOMES.get(str(part(check, "outcome") or "").lower())
        if outcome is not None:
            found.append(
                event(
                    str(part(check, "name") or part(check, "definition") or "check"),
                    outcome,
                    table=part(check, "table"),
                    column=part(check, "column"),
                    failures=count(part(check, "diagnostics", "value")) if outcome != "pass" else None,
                    at=at,
                    tool="soda",
                )
            )
    return found
