"""How the tasks of past runs lay in time, and which of them waits for which: what a forecast is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

RUNS = 30  # past runs whose tasks are read: a month of a daily job


@dataclass(frozen=True, slots=True)
class Timings:
    """Of one pipeline. runs: by run id, of each task when its first attempt began and its last one ended (microseconds
    since the epoch, UTC; mapped instances of a task count as one). upstream: the tasks that a task waits for, where
    its orchestrator said so."""

    runs: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict[str, dict[str, tuple[int, int]]])
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


UNTIMED = Timings()
