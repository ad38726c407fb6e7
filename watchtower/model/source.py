"""Sources that are asked: the orchestrators whose APIs tell of runs, and how well each is heard.

A source that is asked (polled) has a high-water mark: all that it said up to then is in the store. A poll reads from a
while before the mark, so that a run is never missed for a late commit or a clock that differs; repeats cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from watchtower.model.run import RunState

RECENT: Final = 60  # polls whose outcome is remembered one by one
OK: Final = "."
FAILED: Final = "x"
PIPELINES: Final = "pipeline:"  # before the wildcards of what a problem concerns …
DATASET: Final = "dataset:"  # … or before the id of a dataset


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a source says is wrong with itself, e.g. that its scheduler stands still. key: stable, and of its
    source only; summary: one sentence for people. since: when it was first told, if the source does not say. concerns:
    what may go wrong because of it, each `dataset:ID` or `pipeline:WILDCARDS`."""

    key: str
    summary: str
    since: datetime | None = None
    concerns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem that concerned a job or a dataset, over time. until: None while it stands."""

    source: str
    key: str
    summary: str
    since: datetime
    until: datetime | None = None
    concerns: tuple[str, ...] = ()

    def concerns_pipeline(self, name: str) -> bool:
        patterns = (each.removeprefix(PIPELINES) for each in self.concerns if each.startswith(PIPELINES))
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    def concerns_dataset(self, dataset_id: str) -> bool:
        return f"{DATASET}{dataset_id}" in self.concerns

    def stood_within(self, begin: datetime, end: datetime | None) -> bool:
        """end: None for no end."""
        return (end is None or self.since <= end) and (self.until is None or self.until >= begin)


@dataclass(frozen=True, slots=True)
class Window:
    """What a poll is to read: everything that changed at or after since, up to now. since: by the source's own clock
    where mark was; until: now, by ours. mark: None at the first poll; cursor: what the last whole poll left there.
    deep: reads far back, to find what shallower ones may have missed; the first of a process is, and one an hour."""

    since: datetime
    until: datetime
    mark: datetime | None = None
    cursor: str | None = None
    deep: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """What a poll has read since the page before. records: each is decoded by itself, in this order.

    mark: everything that changed before it, by the source's clock, was in this page or those before; None: the mark
    stays. cursor: replaces the source's, None: it stays. problems: all that the source says is wrong with itself, in
    place of what it said before; None: this page does not say. coverage: what the source has, e.g. {"pipelines": 40}.
    """

    records: tuple[bytes, ...] = ()
    mark: datetime | None = None
    cursor: str | None = None
    problems: tuple[Problem, ...] | None = None
    coverage: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run as the store has it, for a source whose own answer does not tell one generation from the next."""

    generation: int
    state: RunState
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Source:
    """A polled source as the store has it. every_s: how often it is asked.

    last_poll: when one last ended, last_success: the last whole one; last_event: of the newest fact that it brought, by
    its own time. failures: polls in a row that failed, since failing_since; error: why, and what to do; retry_at: not
    asked before. recent: how the last polls went, oldest first, one character each. seconds: that the last took.
    declared_at: since when the configuration holds it. pushes: it is said to send events as well.
    """

    name: str
    kind: str
    namespace: str
    every_s: float
    declared_at: datetime
    team: str | None = None
    mark: datetime | None = None
    cursor: str | None = None
    last_poll: datetime | None = None
    last_success: datetime | None = None
    last_event: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    error: str | None = None
    retry_at: datetime | None = None
    recent: str = ""
    seconds: float | None = None
    records: int = 0
    problems: tuple[Problem, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict[str, int])
    pushes: bool = False

    @property
    def error_rate(self) -> float | None:
        """Share of the last polls that failed; None before the first."""
        return self.recent.count(FAILED) / len(self.recent) if self.recent else None

    def lag_s(self, now: datetime) -> float | None:
        """How far what is known is behind; None before the first whole poll."""
        return None if self.last_success is None else max(0.0, (now - self.last_success).total_seconds())
