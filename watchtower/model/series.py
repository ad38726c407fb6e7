"""Series and their samples: numbers over time, told by a pipeline itself or worked out from its runs.

Terms: Prometheus (series, sample, labels) and OpenTelemetry metrics (gauge, sum, histogram). All datetimes are aware
UTC; a value is a finite float, except money, which is never a series.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watchtower.model.labels import Labels
from watchtower.model.run import JobRef, stable_id

MAX_LABELS = 64  # of one series
MAX_NAME = 255  # characters, as OpenTelemetry bounds the names of instruments
MAX_LABEL_NAME = 128
MAX_LABEL_VALUE = 256
MAX_UNIT = 63
# Made by Watchtower from the job, the owner and the rule: a series cannot bring labels of these names.
RESERVED_LABELS = frozenset(
    {
        *("alertname", "kind", "severity", "source", "namespace", "pipeline", "task", "dataset", "series"),
        *("budget", "slo", "owner", "team"),
    }
)
# Instrument names of OpenTelemetry, and the colon of Prometheus' recording rules. `@` is kept for derived series.
NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_.:/-]{{0,{MAX_NAME - 1}}}")
LABEL_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_LABEL_NAME - 1}}}")


class SeriesKind(StrEnum):
    """sum: a counter that only grows, as it was told (cumulative) or as increments (delta), see `is_delta`."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """What a series is called: its name, the job it tells of (None: of no job), and labels beyond the job's own. In a
    patch the job may have an empty source or namespace: the sender did not say it, and the store finds the job among
    those that it knows."""

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
    their mean. start: of a cumulative sum or histogram, since when it counts, if that was told: another start is
    another counter. run: the run that told it, as its sender calls it; of a derived series, our own id of the run.
    historical: it must never page."""

    at: datetime
    value: float
    run: str | None = None
    stats: Mapping[str, float] | None = None
    start: datetime | None = None
    historical: bool = False


@dataclass(frozen=True, slots=True)
class SeriesPatch:
    """What one message says of one series. source: who tells it. samples in any order, at least one."""

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
