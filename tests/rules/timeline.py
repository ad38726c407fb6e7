"""Builders of what rules see: jobs, runs and datasets with a plausible past. Times are aware UTC.

Monday 2026-03-02 is day 0; `at(day, "06:00")` is a moment of it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from watchtower.model.alert import Alert, AlertState, Severity
from watchtower.model.past import WINDOW, mattering, past_of
from watchtower.model.rule import (
    DatasetSnapshot,
    Evaluation,
    JobSnapshot,
    Rule,
    Snapshot,
    SubjectKey,
    Violation,
)
from watchtower.model.run import Dataset, DatasetRef, DatasetUpdate, Job, JobRef, Run, RunError, RunState, Trigger
from watchtower.ports import RuleKind

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
PIPELINE = JobRef("airflow-prod", "prod", "orders_daily")
TABLE = DatasetRef("postgres://warehouse:5432", "shop.public.orders")
OK, FAILED, RUNNING, QUEUED = RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING, RunState.QUEUED


def at(day: int, clock: str = "00:00", seconds: float = 0) -> datetime:
    hours, minutes = clock.split(":")
    return MONDAY + timedelta(days=day, hours=int(hours), minutes=int(minutes), seconds=seconds)


def run(
    ident: str,
    started: datetime | None,
    minutes: float | None = 20,
    state: RunState = OK,
    *,
    nominal: datetime | None = None,
    **said: Any,
) -> Run:
    """A run of orders_daily. minutes None: it has not ended."""
    ended = started + timedelta(minutes=minutes) if started and minutes is not None and state.is_terminal else None
    seen = started or nominal or MONDAY
    made: dict[str, Any] = {
        "id": ident, "job": PIPELINE, "state": state, "event_type": "COMPLETE", "final": None, "parent_run_id": None,
        "root_run_id": None, "native_run_id": ident, "generation": 0, "attempt": 1, "max_attempts": None,
        "map_index": None, "trigger": Trigger.SCHEDULE, "actor": None, "environment": None, "code_version": None,
        "nominal_start": nominal, "nominal_end": None, "queued_at": None, "started_at": started, "ended_at": ended,
        "wall_s": None, "error": None, "external_url": None, "trace_id": None, "ol_run_id": None, "tags": {},
        "task_states": {}, "first_seen": seen, "last_event_at": ended or seen, "historical": False,
    }  # fmt: skip
    return Run(**(made | said))


def attempt(
    parent: str, task: str, number: tuple[int, int], started: datetime, state: RunState = FAILED, **said: Any
) -> Run:
    """Attempt (n, of m) of a task, a minute long; the failed ones carry an error."""
    error = RunError("bad row 17", "ValueError", "Traceback\n  line 1\nValueError: bad row 17")
    own: dict[str, Any] = {
        "job": JobRef(PIPELINE.source, PIPELINE.namespace, PIPELINE.pipeline, task), "parent_run_id": parent,
        "attempt": number[0], "max_attempts": number[1], "final": number[0] >= number[1],
        "error": error if state.is_bad else None, "native_run_id": parent,
    }  # fmt: skip
    ident = f"{parent}.{task}.{number[0]}.{said.get('map_index', 0)}"
    return run(ident, started, 1, state, **(own | said))


def daily(days: int, clock: str = "06:00", minutes: float = 20, first: int = 0, **said: Any) -> list[Run]:
    """A scheduled run each day, done after about that many minutes, none of them equal."""
    return [
        run(f"day{day}", at(day, clock, 2), minutes + day % 3, nominal=at(day, clock), **said)
        for day in range(first, first + days)
    ]


def job(ref: JobRef = PIPELINE, **said: Any) -> Job:
    made: dict[str, Any] = {
        "id": ref.id, "ref": ref, "owner": "data-lead", "team": "finance", "tags": {"tier": "1"}, "description": None,
        "job_type": None, "integration": None, "schedule": None, "timezone": None, "first_seen": MONDAY,
        "last_seen": None, "declared": False,
    }  # fmt: skip
    return Job(**(made | said))


def of_job(
    runs: Sequence[Run],
    *,
    attempts: Mapping[str, Sequence[Run]] | None = None,
    alerts: Sequence[Alert] = (),
    ref: JobRef = PIPELINE,
    all_whole: bool = False,
    **said: Any,
) -> JobSnapshot:
    """A snapshot; runs in any order, `said` of the job. all_whole: with those that a store would not read whole."""
    ordered = sorted(runs, key=lambda each: each.nominal_start or each.started_at or each.first_seen, reverse=True)
    kept = {ident: tuple(some) for ident, some in (attempts or {}).items()}
    past = tuple(map(past_of, ordered[:WINDOW]))
    wanted = set(mattering(past))
    whole = tuple(run for run in ordered[:WINDOW] if ref.task or all_whole or run.id in wanted)
    return JobSnapshot(SubjectKey("job", ref.id), job(ref, **said), past, whole, kept, tuple(alerts))


def open_alert() -> Alert:
    """Some alert that fires: kinds tell how a thing became well only to those."""
    return Alert("1", "f", "Rule", "job:1", {}, {}, AlertState.FIRING, MONDAY, MONDAY)


def update(moment: datetime, **said: Any) -> DatasetUpdate:
    made: dict[str, Any] = {
        "at": moment, "run_id": f"r{moment:%d%H%M}", "job_id": PIPELINE.id, "row_count": 10, "size_bytes": None,
        "file_count": None, "partition": None, "historical": False,
    }  # fmt: skip
    return DatasetUpdate(**(made | said))


def of_dataset(updates: Sequence[DatasetUpdate], *, alerts: Sequence[Alert] = (), **said: Any) -> DatasetSnapshot:
    made: dict[str, Any] = {
        "id": TABLE.id, "ref": TABLE, "owner": None, "team": None, "tags": {}, "description": None, "fields": None,
        "first_seen": MONDAY, "updated_at": None, "declared": False,
    }  # fmt: skip
    ordered = sorted(updates, key=lambda each: each.at, reverse=True)
    dataset = Dataset(**(made | said))
    return DatasetSnapshot(SubjectKey("dataset", TABLE.id), dataset, tuple(ordered[:200]), (job(),), tuple(alerts))


def rule(kind: RuleKind, name: str = "Rule", *, severity: Severity = Severity.TICKET, **options: Any) -> Rule:
    """A declared rule with options as a configuration file has them."""
    return Rule(name, kind.kind, kind.Config(**options), severity=severity, declared=True)


def only(evaluation: Evaluation) -> Violation:
    """The one violation of an evaluation."""
    assert len(evaluation.violations) == 1, evaluation
    return evaluation.violations[0]


def moments_of_change(kind: RuleKind, of: Rule, snapshot: Snapshot, start: datetime, end: datetime) -> list[datetime]:
    """Follow next_at from start to end, as the due queue does."""
    moments: list[datetime] = []
    now = start
    while (following := kind.evaluate(of, snapshot, now).next_at) is not None and following <= end:
        assert following > now
        moments.append(following)
        now = following
    return moments
