"""`alertPolicies` of an SLO: burn rates of its own instead of the windows that are shipped."""

from typing import TYPE_CHECKING, Any

from watchtower.config import openslo
from watchtower.config.document import Path
from watchtower.config.rules import severity
from watchtower.config.slo_times import seconds
from watchtower.errors import BadInput
from watchtower.model.duration import parse_duration
from watchtower.model.slo import Condition

if TYPE_CHECKING:
    from watchtower.config.slos import Library, Placed

# How many times shorter the short window is, if nothing is said: that of the SRE workbook.
_SHORTER = 12


def conditions(
    given: tuple[str | dict[str, Any], ...] | None, placed: "Placed", library: "Library"
) -> tuple[Condition, ...] | None:
    """None: the file says nothing of alerts. One by the name of a document, or inline."""
    if given is None:
        return None
    found: list[Condition] = []
    for place, policy in enumerate(given):
        path: Path = (*placed.path, "spec", "alertPolicies", place)
        name = policy if isinstance(policy, str) else policy.get("alertPolicyRef")
        if isinstance(policy, dict) and name is None:
            found += _of_policy(policy, path, placed, library)
        elif named := library.read("AlertPolicy", str(name), placed, path):
            found += _of_policy(named.given, named.path, named, library)
    return tuple(found)


def _of_policy(given: dict[str, Any], path: Path, placed: "Placed", library: "Library") -> list[Condition]:
    faults = placed.faults
    document = faults.validated(openslo.AlertPolicyDocument, given, path)
    if document is None:
        return []
    spec, here = document.spec, (*path, "spec")
    if spec.alertWhenNoData:
        faults.warn(
            (*here, "alertWhenNoData"),
            "an SLO does not tell of runs that do not come",
            "a rule of kind missing_run does, or jobs with a schedule",
        )
    if spec.notificationTargets:
        faults.warn((*here, "notificationTargets"), "who is told is said by route", "match the label slo there")
        for place, target in enumerate(spec.notificationTargets):
            if "targetRef" in target:
                where = (*here, "notificationTargets", place, "targetRef")
                library.read("AlertNotificationTarget", str(target["targetRef"]), placed, where)
    if not spec.alertWhenBreaching:
        faults.warn(here, "it does not alert", "write alertWhenBreaching: true")
        return []
    found = _condition(spec.conditions[0], (*here, "conditions", 0), placed, library)
    return [found] if found else []


def _condition(given: dict[str, Any], path: Path, placed: "Placed", library: "Library") -> Condition | None:
    if "conditionRef" in given:
        named = library.read("AlertCondition", str(given["conditionRef"]), placed, (*path, "conditionRef"))
        return _condition(named.given, named.path, named, library) if named else None
    faults = placed.faults
    document = faults.validated(openslo.AlertConditionDocument, given, path)
    if document is None:
        return None
    burn, here = document.spec.condition, (*path, "spec", "condition")
    if burn.op in ("lte", "lt"):
        faults.warn((*here, "op"), f"{burn.op} would alert while all is well; it is read as gt", "write op: gt")
    if burn.threshold <= 0:
        faults.add((*here, "threshold"), f"{burn.threshold} is no burn rate", "write a number above 0, e.g. 14.4")
        return None
    long_s = seconds(burn.lookbackWindow)
    try:
        after_s = parse_duration(burn.alertAfter)
    except BadInput as error:
        faults.add((*here, "alertAfter"), str(error))
        return None
    return Condition(
        name=document.metadata.name,
        severity=severity(document.spec.severity, (*path, "spec", "severity"), library.severities, faults),
        factor=burn.threshold,
        long_s=long_s,
        short_s=min(after_s, long_s) or long_s / _SHORTER,
        consequence=document.spec.description,
    )
