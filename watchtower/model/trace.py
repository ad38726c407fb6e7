"""Traces as rules see them: per operation how often, how long, how many errors, in one run and as usual.

Terms: OpenTelemetry (span, resource, service). Durations are seconds in sketches (model.sketch, ±2 %).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from watchtower.model.run import stable_id
from watchtower.model.sketch import Sketch


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """The spans of one request, as they wait to be walked. spans: how many; body: a protobuf
    `ExportTraceServiceRequest` with nothing in it that was refused; source: the only one that the sender's token may
    write; None: any."""

    received_at: datetime
    spans: int
    body: bytes
    source: str | None = None


class Claim(NamedTuple):
    """What a span says of the run it belongs to. alias: an identity as collectors make them; else run: the
    orchestrator's own id, or ours, of a pipeline that may be named."""

    alias: str = ""
    run: str = ""
    pipeline: str = ""
    namespace: str = ""


class Span(NamedTuple):
    """One span. started_us: microseconds since the epoch, UTC; operation: without a task, which only its whole trace
    can tell; task: of the pipeline, if this very span names one; message: of its error, bounded; attributes: its own,
    bounded, as JSON."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    started_us: int
    duration_us: int
    operation: "Operation"
    name: str
    is_error: bool = False
    message: str = ""
    attributes: str = "{}"
    task: str = ""
    claim: Claim | None = None


@dataclass(frozen=True, slots=True, order=True)
class Operation:
    """What spans have in common. service: `service.name`; name: of the span with its variable parts taken out;
    kind: `internal server client producer consumer`; task: of the pipeline in which it runs, "" for none."""

    service: str
    name: str
    kind: str
    task: str = ""

    @property
    def id(self) -> str:
        """Of the operation, whatever task it runs in."""
        return _operation_id(self.service, self.name, self.kind)


@dataclass(frozen=True, slots=True)
class OperationStats:
    """calls: of all spans, not of sampled ones. own_s: time spent in the operation itself and in no child span, summed.
    message: of the first error, an own one if there is one, bounded; span: ids of the slowest span, to link to.
    own_errors: those that began here, since no child span has one."""

    operation: Operation
    calls: int
    errors: int
    durations: Sketch
    total_s: float
    own_s: float
    message: str = ""
    trace_id: str = ""
    span_id: str = ""
    own_errors: int = 0


@dataclass(frozen=True, slots=True)
class RunTrace:
    """What the spans of one run say, task attempts included. complete: no span of it waits to be walked."""

    run_id: str
    trace_ids: tuple[str, ...]
    operations: tuple[OperationStats, ...]
    last_span_at: datetime | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for the operations of one job: its last good runs put together. runs: how many of them."""

    runs: int = 0
    operations: Mapping[Operation, OperationStats] = field(default_factory=dict[Operation, OperationStats])


@lru_cache(maxsize=16_384)
def _operation_id(service: str, name: str, kind: str) -> str:
    return stable_id("operation", service, name, kind)
