"""Series and their samples: numbers over time, told by a pipeline itself or worked out from its runs.

Terms: Prometheus (series, sample, labels) and OpenTelemetry metrics (gauge, sum, histogram). All datetimes are aware
UTC; a value is a finite float, except money, which is never a series.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watchtower.model.labels import Labels
from watchtower.model.run import JobRef, stable_id


class SeriesKind(StrEnum):
    """sum: a counter that only grows, as it was told (cumulative) or as increments (delta), see `is_delta`."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """What a series is called: its name, the job it tells of (None: of no job), and labels beyond the job's own."""

    name: str
    job: JobRef | None = None
    labels: Labels = field(default_factory=dict[str, str])

    @property
    def id(self) -> str:
        pairs = [part for name in sorted(self.labels) for part in (name, self.labels[name])]
        return stable_id("series", self.name, self.job.id if self.job else "", *pairs)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value. stats: of a histogram, `count sum min max p50 p95 p99` as far as the sender told them; value is then
    their mean. run_alias: an identity of the run that told it (model.run.RunPatch)."""

    at: datetime
    value: float
    run_alias: str | None = None
    stats: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class SeriesPatch:
    """What one message says of one series. samples in any order."""

    ref: SeriesRef
    source: str
    samples: tuple[Sample, ...]
    kind: SeriesKind = SeriesKind.GAUGE
    unit: str | None = None
    is_delta: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """derived: worked out from the runs of its job when it is asked for, never stored."""

    id: str
    ref: SeriesRef
    source: str
    kind: SeriesKind
    unit: str | None
    is_delta: bool
    owner: str | None
    team: str | None
    first_seen: datetime | None
    last_at: datetime | None
    derived: bool = False
