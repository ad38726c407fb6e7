"""Periods and slices of time of an SLO, as OpenSLO writes them."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from watchtower.config import openslo
from watchtower.config.document import Path
from watchtower.config.faults import Faults
from watchtower.model.slo import Budgeting, Period

_LONGEST_S = 366 * 86_400
_SHORTEST_S = 3_600


def period(given: openslo.TimeWindow, path: Path, faults: Faults) -> Period | None:
    """Rolling unless it has a calendar."""
    count, unit = split(given.duration)
    rolling = given.isRolling if given.isRolling is not None else given.calendar is None
    if rolling != (given.calendar is None):
        faults.add(path, "it either rolls or follows a calendar", "write isRolling: true, or calendar:")
        return None
    zone, starts = None, None
    if given.calendar is not None:
        zone, starts = given.calendar.timeZone, datetime.fromisoformat(given.calendar.startTime)
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            faults.add((*path, "calendar", "timeZone"), f"unknown time zone {zone!r}", "write an IANA name")
            return None
    found = Period(count, unit, zone, starts)
    if not _SHORTEST_S <= found.seconds <= _LONGEST_S:
        faults.add(
            (*path, "duration"),
            f"{given.duration} is too {'long' if found.seconds > _LONGEST_S else 'short'}",
            "write 1h to 1Y",
        )
        return None
    return found


def split(text: str) -> tuple[int, str]:
    found = openslo.DURATION.fullmatch(text)
    assert found, "openslo.Shorthand has looked at it"
    return int(found[1]), found[2]


def seconds(text: str) -> int:
    return Period(*split(text)).seconds


def objective_slices(
    given: openslo.ObjectiveSpec, budgeting: Budgeting, path: Path, faults: Faults
) -> tuple[int, Decimal] | None:
    """(minutes of a slice, share of good events from which one is good); (0, 1) where events are counted."""
    size, target = given.timeSliceWindow, given.timeSliceTarget
    if budgeting is Budgeting.OCCURRENCES:
        return None if _says_nothing(given, ("timeSliceWindow", "timeSliceTarget"), path, faults) else (0, Decimal(1))
    if size is None:
        faults.add(path, f"{budgeting.value} needs timeSliceWindow", "write e.g. timeSliceWindow: 1h")
        return None
    if budgeting is Budgeting.RATIO_TIMESLICES:
        alone = not _says_nothing(given, ("timeSliceTarget",), path, faults)
        return (seconds(size) // 60, Decimal(1)) if alone else None
    if target is None or not 0 < target <= 1:
        where = path if target is None else (*path, "timeSliceTarget")
        problem = "Timeslices needs timeSliceTarget, more than 0 and at most 1"
        faults.add(where, problem, "write e.g. timeSliceTarget: 0.95")
        return None
    return seconds(size) // 60, target


def _says_nothing(given: openslo.ObjectiveSpec, keys: tuple[str, ...], path: Path, faults: Faults) -> bool:
    """Whether one of keys stands there though the method does not use it."""
    found = [key for key in keys if getattr(given, key) is not None]
    for key in found:
        faults.add((*path, key), "is not used by this budgetingMethod", "remove it, or write Timeslices")
    return bool(found)
