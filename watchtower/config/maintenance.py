"""`maintenance`: planned times in which alerts that match are kept quiet, with a reason and an author.

Of SLOs that an item names its times do not count: they become corrections (`corrections_of`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime, Field

from watchtower.config.alerting import TimeInterval
from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.routing import matchers
from watchtower.config.types import PositiveDuration, Section, Zone
from watchtower.model.labels import Matcher
from watchtower.model.slo import Correction, Slo

LONGEST_S = 7 * 86_400.0  # of a window that comes again by cron
AHEAD = timedelta(days=2)  # how far windows that come again are planned
REACH = timedelta(days=4)  # beyond the period of an SLO, that windows of its alerts may look back
AUTHOR = "configuration"


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
    slos: tuple[str, ...] = Field(
        default=(), description="names of SLOs in whose budgets this time does not count (not with `time_intervals`)"
    )


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One window, checked. once: from, to; intervals: names; cron with duration_s in zone; slos: names of those in
    whose budgets it does not count."""

    name: str
    matchers: tuple[Matcher, ...]
    reason: str
    author: str
    once: tuple[datetime, datetime] | None = None
    intervals: tuple[str, ...] = ()
    cron: str | None = None
    duration_s: float = 0.0
    zone: str = "UTC"
    slos: tuple[str, ...] = ()

    def spans(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From, to (exclusive), in UTC, of those that touch the time since to until; the one of once wherever it lies
        after since."""
        if self.once is not None and self.once[1] > since:
            yield self.once
        if self.cron is None:
            return
        lasts = timedelta(seconds=self.duration_s)
        for tick in CronSim(self.cron, (since - lasts).astimezone(ZoneInfo(self.zone))):
            start = tick.astimezone(UTC)
            if start >= until:
                return
            yield start, start + lasts


def corrections_of(given: Iterable[Maintenance], slos: Iterable[Slo], now: datetime) -> list[tuple[str, Correction]]:
    """(SLO, correction) of every window whose time does not count, from the beginning of the period on."""
    since = {slo.name: now - timedelta(seconds=slo.period.seconds) - REACH for slo in slos}
    return [
        (name, Correction(start, end, each.reason, each.author or AUTHOR, is_planned=True))
        for each in given
        for name in each.slos
        if name in since
        for start, end in each.spans(since[name], now + AHEAD)
    ]


def check_slos(given: Sequence[Maintenance], slos: Iterable[Slo], faults: Faults) -> None:
    known = [slo.name for slo in slos]
    for index, each in enumerate(given):
        for position, name in enumerate(each.slos):
            if name not in known:
                remedy = close_to(name, known) if known else "write one under slos"
                faults.add(("maintenance", index, "slos", position), f"there is no SLO {name!r}", remedy)


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
            slos=document.slos,
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
    if document.slos and document.time_intervals:
        faults.add(
            (*path, "slos"), "what does not count is said by start and end, or by cron", "write cron and duration"
        )
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
