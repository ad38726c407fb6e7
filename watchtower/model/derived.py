"""Series that nobody has to tell: worked out from the runs of a job when a rule asks for them, never stored.

Their ids are `<name>@<job id>`. Each sample stands at the end of its run. A job that tells a series of one of these
names itself is believed: then nothing is worked out for it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from watchtower.model.past import PastRun
from watchtower.model.run import RunState
from watchtower.model.series import Sample

DURATION: Final = "job_duration_seconds"
FAILURES: Final = "failure_count"
RECORDS_PER_SECOND: Final = "records_processed_per_second"
QUEUED: Final = "queue_seconds"
UNITS: Final[Mapping[str, str | None]] = {
    DURATION: "s",
    FAILURES: None,
    RECORDS_PER_SECOND: "rows/s",
    QUEUED: "s",
}
DERIVED: Final = frozenset(UNITS)

_MARK = "@"
_BAD = frozenset(state.value for state in RunState if state.is_bad)
_Rows = Mapping[str, int]  # rows that a run wrote, by its id; not of runs that told of none


def derived_id(name: str, job_id: str) -> str:
    return f"{name}{_MARK}{job_id}"


def is_derived(series_id: str) -> bool:
    return _MARK in series_id


def parse_derived(series_id: str) -> tuple[str, str]:
    """(name, job id)."""
    name, _, job_id = series_id.partition(_MARK)
    return name, job_id


def derived_samples(name: str, past: Iterable[PastRun], rows: _Rows) -> tuple[Sample, ...]:
    """Newest first. past: in any order."""
    value_of = _VALUES[name]
    found = [
        Sample(run.ended_at, value, run=run.id, historical=run.historical)
        for run in past
        if run.ended_at is not None and (value := value_of(run, rows)) is not None
    ]
    return tuple(sorted(found, key=lambda sample: (sample.at, sample.run or ""), reverse=True))


def _duration(run: PastRun, _rows: _Rows) -> float | None:
    return run.duration_s if run.has_succeeded else None


def _failure(run: PastRun, _rows: _Rows) -> float | None:
    """A run that was skipped or called off is neither a failure nor a success."""
    if run.state in _BAD:
        return 1.0
    return 0.0 if run.has_succeeded else None


def _records(run: PastRun, rows: _Rows) -> float | None:
    duration, written = _duration(run, rows), rows.get(run.id)
    return written / duration if duration and written is not None else None


def _queued(run: PastRun, _rows: _Rows) -> float | None:
    """Of any run that began, however it ended."""
    if run.queued_us is None or run.started_us is None:
        return None
    return max(0, run.started_us - run.queued_us) / 1e6


_VALUES: Final[Mapping[str, Callable[[PastRun, _Rows], float | None]]] = {
    DURATION: _duration,
    FAILURES: _failure,
    RECORDS_PER_SECOND: _records,
    QUEUED: _queued,
}
