"""`maintenance`: planned times in which alerts that match are kept quiet, with a reason and an author."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime, Field

from watchtower.config.alerting import TimeInterval
from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.routing import matchers
from watchtower.config.types import PositiveDuration, Section, Zone
from watchtower.model.labels import Matcher

LONGEST_S = 7 * 86_400.0  # of a window that comes again by cron


class MaintenanceDocument(Section):
    """One item of `maintenance`: once (`start`, `end`), by `time_intervals`, or by `cron` and `duration`."""

    name: str = Field(min_length=1, description="by which it stands in the ledger, on pages and in the audit")
    matchers: tuple[str, ...] = Field(
        min_length=1, description='of the alerts it keeps quiet, e.g. [namespace="prod", pipeline=~"orders.*"]'
    )
    reason: str = Field(min_length=1, description="why; people will read it")
    author: str = Field(default="", description="who planned it")
    start: AwareDatetime | None = Field(default=None, description="a moment with its zone, 2026-03-14T22:00:00+01:00")
    end: AwareDatetime | None = Field(default=None, description="the first moment after it")
    time_intervals: tuple[str, ...] = Field(default=(), description="names of `time_intervals` during which it holds")
    cron: str | None = Field(default=None, description="when it begins, again and again, e.g. 0 2 * * sun")
    duration: PositiveDuration | None = Field(
        default=None, le=LONGEST_S, description="with `cron`: how long it lasts, at most 7d"
    )
    timezone: Zone = Field(default="UTC", description="IANA zone in which `cron` is meant")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One window, checked. once: from, to; intervals: names; cron with duration_s in zone."""

    name: str
    matchers: tuple[Matcher, ...]
    reason: str
    author: str
    once: tuple[datetime, datetime] | None = None
    intervals: tuple[str, ...] = ()
    cron: str | None = None
    duration_s: float = 0.0
    zone: str = "UTC"


def maintenance(data: dict[str, Any], intervals: Mapping[str, TimeInterval], faults: Faults) -> tuple[Maintenance, ...]:
    found: dict[str, Maintenance] = {}
    for index, item in enumerate(faults.listed(data.get("maintenance"), ("maintenance",))):
        path: Path = ("maintenance", index)
        document = faults.validated(MaintenanceDocument, faults.mapping(item, path), path)
        if document is None:
            continue
        if document.name in found:
            faults.add((*path, "name"), f"the window {document.name!r} is defined twice", "give each its own name")
        _check_times(document, intervals, path, faults)
        found[document.name] = Maintenance(
            name=document.name,
            matchers=_matchers(document, path, faults),
            reason=document.reason,
            author=document.author,
            once=(document.start.astimezone(UTC), document.end.astimezone(UTC))
            if document.start and document.end
            else None,
            intervals=document.time_intervals,
            cron=document.cron,
            duration_s=document.duration or 0.0,
            zone=document.timezone,
        )
    return tuple(found.values())


def _matchers(document: MaintenanceDocument, path: Path, faults: Faults) -> tuple[Matcher, ...]:
    found = matchers(document.matchers, {}, {}, path, faults)
    if found and all(matcher.matches({}) for matcher in found):
        faults.warn((*path, "matchers"), "it keeps every alert quiet", "name what is worked on")
    return found


def _check_times(
    document: MaintenanceDocument, intervals: Mapping[str, TimeInterval], path: Path, faults: Faults
) -> None:
    given = [bool(document.start or document.end), bool(document.time_intervals), bool(document.cron)]
    if sum(given) != 1:
        remedy = "give start and end, or time_intervals, or cron and duration"
        faults.add(path, "it must be said when it holds, in one way", remedy)
    if (document.start is None) != (document.end is None):
        faults.add(path, "start and end belong together", "give both")
    elif document.start and document.end and document.end <= document.start:
        faults.add((*path, "end"), "it ends before it starts")
    for position, name in enumerate(document.time_intervals):
        if name not in intervals:
            where = (*path, "time_intervals", position)
            faults.add(where, f"unknown time interval {name!r}", close_to(name, intervals))
    if (document.cron is None) != (document.duration is None):
        faults.add(path, "cron and duration belong together", "give both")
    if document.cron is not None:
        try:
            CronSim(document.cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            faults.add((*path, "cron"), f"{document.cron!r} is no cron expression: {error}", "e.g. 0 2 * * sun")
