"""Runs, jobs and datasets, and the patches that collectors decode into them.

A *patch* carries what one event said and nothing else. `watchtower.model.fold` merges patches into state; the result
does not depend on their order or repetition. Terms: OpenLineage 2.x; states as the orchestrators' own words map onto
them (docs/openlineage.md).

Runs, jobs, patches, facts (`model.fact`) and what they are made of are msgspec structs: several are made for each
event, and a frozen dataclass, which sets one attribute after the other through `object.__setattr__`, takes ten times as
long.
Changed copies of them: `msgspec.structs.replace`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from watchtower.model.origin import Origin


class RunState(StrEnum):
    """Where a run or one attempt of a task stands. LOST is Watchtower's own finding: no end was ever reported."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    UPSTREAM_FAILED = "upstream_failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    LOST = "lost"

    @property
    def is_terminal(self) -> bool:
        return self not in _OPEN_STATES

    @property
    def is_bad(self) -> bool:
        """The run ended and did not do its work."""
        return self in _BAD_STATES

    @property
    def rank(self) -> int:
        """Progress within one attempt: a lower rank never overrides a higher one (0 queued … 3 ended)."""
        return _RANKS.get(self, 3)


_OPEN_STATES = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.RETRY_WAIT})
_BAD_STATES = frozenset(
    {RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED, RunState.LOST, RunState.UPSTREAM_FAILED}
)
ENDED = frozenset(state.value for state in RunState if state.is_terminal)  # as they are stored
_RANKS = {RunState.QUEUED: 0, RunState.RUNNING: 1, RunState.RETRY_WAIT: 2}


class Authority(IntEnum):
    """Whose word wins when two sources disagree about the same field; a later event time breaks ties."""

    TIMEOUT = 1
    SPAN = 2
    STREAM = 3
    API = 4
    OPERATOR = 5

    @property
    def word(self) -> str:
        """For people: who said it."""
        return _SAID_BY[self]


_SAID_BY = {
    Authority.TIMEOUT: "timeout",
    Authority.SPAN: "trace",
    Authority.STREAM: "event",
    Authority.API: "api",
    Authority.OPERATOR: "operator",
}


ENGINE_TAG = "engine"  # of a run: what it ran on, with its version, where the source says so


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    EVENT = "event"
    MANUAL = "manual"
    BACKFILL = "backfill"


def stable_id(*parts: str) -> str:
    """A deterministic 32-digit hexadecimal id of parts. Ids of the API are ours, made from the first known identity."""
    named = [part.encode("utf-8", "surrogatepass") for part in parts]
    return blake2b(b"".join([len(raw).to_bytes(4, "big") + raw for raw in named]), digest_size=16).hexdigest()


class JobRef(msgspec.Struct, frozen=True):
    """A job of OpenLineage. pipeline: the flow or DAG; task: None for the pipeline itself."""

    source: str
    namespace: str
    pipeline: str
    task: str | None = None

    @property
    def id(self) -> str:
        return _job_id(self.source, self.namespace, self.pipeline, self.task)

    @property
    def name(self) -> str:
        return f"{self.pipeline}.{self.task}" if self.task else self.pipeline

    @property
    def pipeline_ref(self) -> "JobRef":
        return JobRef(self.source, self.namespace, self.pipeline)


@lru_cache(maxsize=65_536)
def _job_id(source: str, namespace: str, pipeline: str, task: str | None) -> str:
    return stable_id("job", source, namespace, pipeline, *((task,) if task else ()))


class DatasetRef(msgspec.Struct, frozen=True):
    """A dataset of OpenLineage: namespace such as `postgres://warehouse:5432`, name such as `shop.public.orders`."""

    namespace: str
    name: str

    @property
    def id(self) -> str:
        return stable_id("dataset", self.namespace, self.name)


class RunError(msgspec.Struct, frozen=True):
    message: str
    type: str = ""
    stack: str = ""


class DatasetIO(msgspec.Struct, frozen=True):
    """One dataset that a run read or wrote. Counts are None where the source did not say. checksum: of its content, in
    the source's own way. partition: as named by the source, e.g. `2026-11-21`. facets: what was sent and is kept as it
    is (schema, quality, unknown ones)."""

    ref: DatasetRef
    direction: str  # "in" | "out"
    row_count: int | None = None
    size_bytes: int | None = None
    file_count: int | None = None
    checksum: str | None = None
    partition: str | None = None
    facets: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])


class RunPatch(msgspec.Struct, frozen=True):
    """What one event says of one run. None means that it did not say; absent never overwrites present.

    All datetimes are aware UTC. `aliases` are the identities by which other sources may know this run, each an
    opaque string such as `ol|<namespace>|<job>|<runId>` or `native|<source>|<dag>|<dag_run_id>|<generation>`;
    the first is the canonical one. `parent_alias` names the parent run in the same manner.
    `final`: for a task attempt, whether no further attempt follows; None if this event cannot know.
    `output`: the last that its command printed, bounded by the collector.
    """

    aliases: tuple[str, ...]
    job: JobRef
    event_type: str
    authority: Authority = Authority.STREAM
    state: RunState | None = None
    final: bool | None = None
    parent_alias: str | None = None
    root_alias: str | None = None
    native_run_id: str | None = None
    generation: int | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    map_index: int | None = None
    trigger: Trigger | None = None
    actor: str | None = None
    environment: str | None = None
    code_version: str | None = None
    nominal_start: datetime | None = None
    nominal_end: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    wall_s: float | None = None
    error: RunError | None = None
    external_url: str | None = None
    trace_id: str | None = None
    ol_run_id: str | None = None
    tags: Mapping[str, str] | None = None
    task_states: Mapping[str, RunState] | None = None
    output: str | None = None
    datasets: tuple[DatasetIO, ...] = ()
    origins: tuple[Origin, ...] = ()  # what set it off


class JobPatch(msgspec.Struct, frozen=True):
    """What one event says of a job. schedule: cron text; timezone: IANA name. upstream: job ids it waits for."""

    ref: JobRef
    owner: str | None = None
    tags: Mapping[str, str] | None = None
    description: str | None = None
    job_type: str | None = None
    integration: str | None = None
    schedule: str | None = None
    timezone: str | None = None
    upstream_tasks: tuple[str, ...] | None = None
    external_url: str | None = None
    paused: bool | None = None  # nothing of it is started by its schedule


class DatasetPatch(msgspec.Struct, frozen=True):
    """What one event says of a dataset itself. measured: updated_at is what its data says, not that somebody wrote it;
    counts, checksum and partition: of what was written at updated_at."""

    ref: DatasetRef
    owner: str | None = None
    tags: Mapping[str, str] | None = None
    description: str | None = None
    fields: tuple[tuple[str, str], ...] | None = None  # (name, type), in order
    updated_at: datetime | None = None  # written at this moment, by whatever means
    measured: bool = False
    row_count: int | None = None
    size_bytes: int | None = None
    file_count: int | None = None
    checksum: str | None = None
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What one authority last said of a run's state, and when that came about."""

    authority: Authority
    state: RunState
    at: datetime


class Run(msgspec.Struct, frozen=True):
    """The state of one run (parent_run_id None) or of one attempt of a task: the fold of everything heard of it."""

    id: str
    job: JobRef
    state: RunState
    event_type: str
    final: bool | None
    parent_run_id: str | None
    root_run_id: str | None
    native_run_id: str | None
    generation: int
    attempt: int
    max_attempts: int | None
    map_index: int | None
    trigger: Trigger | None
    actor: str | None
    environment: str | None
    code_version: str | None
    nominal_start: datetime | None
    nominal_end: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    wall_s: float | None
    error: RunError | None
    external_url: str | None
    trace_id: str | None
    ol_run_id: str | None
    tags: Mapping[str, str]
    task_states: Mapping[str, RunState]
    first_seen: datetime
    last_event_at: datetime
    historical: bool
    output: str | None = None
    words: tuple[Word, ...] = ()  # of each authority, the least reliable first; empty while only one has spoken
    origins: tuple[Origin, ...] = ()  # what set it off, the oldest first

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first START to the end; None while either is unknown."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


class Job(msgspec.Struct, frozen=True):
    id: str
    ref: JobRef
    owner: str | None
    team: str | None
    tags: Mapping[str, str]
    description: str | None
    job_type: str | None
    integration: str | None
    schedule: str | None
    timezone: str | None
    first_seen: datetime | None
    last_seen: datetime | None
    declared: bool
    external_url: str | None = None
    paused: bool = False
    paused_at: datetime | None = None  # when it was last said to be


@dataclass(frozen=True, slots=True)
class DatasetUpdate:
    """One writing of a dataset. at: when the writing run ended; run_id and job_id: who wrote it. backfill: the
    writing run was a backfill, which says nothing of how fresh the newest data is. measured: at is the time of the
    newest data itself, as a probe read it."""

    at: datetime
    run_id: str | None
    job_id: str | None
    row_count: int | None
    size_bytes: int | None
    file_count: int | None
    partition: str | None
    historical: bool
    backfill: bool = False
    measured: bool = False
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A form that a dataset had: its columns, (name, type) each. first_at, last_at: when it was told, to the minute and
    to the hour."""

    first_at: datetime
    last_at: datetime
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """versions: the last few forms, the present one among them, in the order in which they were last told."""

    id: str
    ref: DatasetRef
    owner: str | None
    team: str | None
    tags: Mapping[str, str]
    description: str | None
    fields: tuple[tuple[str, str], ...] | None
    first_seen: datetime | None
    updated_at: datetime | None
    declared: bool
    versions: tuple[SchemaVersion, ...] = ()
