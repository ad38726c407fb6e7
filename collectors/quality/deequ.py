"""Deequ and PyDeequ: `VerificationResult.checkResultsAsJson` (github.com/awslabs/deequ), a list of constraints."""

import json
from typing import Any

from collectors.quality.told import Unread, event, objects, part, passed


def events(document: Any) -> list[dict[str, Any]]:
    """One for each constraint. A check of the level Warning warns. Raises Unread."""
    if isinstance(document, str):
        document = json.loads(document)
    results = objects(document)
    if not results or not all("constraint" in each for each in results):
        raise Unread("want the check results of Deequ: a list of objects with `constraint` and `constraint_status`")
    return [
        event(
            str(part(each, "constraint")),
            passed(str(part(each, "constraint_status")).lower() == "success"),
            severity="warn" if str(part(each, "check_level")).lower() == "warning" else None,
            table=part(each, "check"),
            tool="deequ",
        )
        for each in results
    ]
