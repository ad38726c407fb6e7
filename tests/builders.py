"""Small facts in the shape that collectors give them, with defaults that tell a plausible story.

All times are aware UTC; `at(90)` is 90 seconds after the day's beginning (2026-03-02 08:00).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import (
    DatasetIO,
    DatasetPatch,
    DatasetRef,
    JobPatch,
    JobRef,
    RunError,
    RunPatch,
    RunState,
    Trigger,
)

DAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
ORDERS = JobRef("airflow-prod", "prod", "orders_hourly")
ORDERS_TABLE = DatasetRef("postgres://warehouse:5432", "shop.public.orders")


def at(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def fact(patch: RunPatch, when: datetime, **changes: Any) -> Fact:
    """The fact of one event about a run, received when it happened."""
    key = fact_key(when, *patch.aliases, patch.event_type, repr(patch))
    made = Fact(key=key, source=patch.job.source, kind="run", event_time=when, received_at=when, body=b"{}", run=patch)
    return replace(made, **changes)


def start(run: str, when: datetime, *, job: JobRef = ORDERS, **said: Any) -> Fact:
    """A START of run (its OpenLineage run id)."""
    said = {"started_at": when, "state": RunState.RUNNING, **said}
    return fact(_patch(run, "START", job, said), when)


def complete(run: str, when: datetime, *, job: JobRef = ORDERS, **said: Any) -> Fact:
    said = {"ended_at": when, "state": RunState.SUCCEEDED, **said}
    return fact(_patch(run, "COMPLETE", job, said), when)


def fail(run: str, when: datetime, *, job: JobRef = ORDERS, message: str = "boom", **said: Any) -> Fact:
    said = {"ended_at": when, "state": RunState.FAILED, "error": RunError(message, "ValueError"), **said}
    return fact(_patch(run, "FAIL", job, said), when)


def task_of(job: JobRef, task: str) -> JobRef:
    return JobRef(job.source, job.namespace, job.pipeline, task)


def alias(run: str, job: JobRef = ORDERS) -> str:
    return f"ol|{job.namespace}|{job.name}|{run}"


def writes(ref: DatasetRef = ORDERS_TABLE, rows: int | None = 100, **more: Any) -> DatasetIO:
    return DatasetIO(ref, "out", row_count=rows, **more)


def shaped(when: datetime, *columns: tuple[str, str], ref: DatasetRef = ORDERS_TABLE) -> Fact:
    """What a dataset event says: that ref has these columns."""
    return Fact(
        key=fact_key(when, ref.id, repr(columns)),
        source="test",
        kind="dataset",
        event_time=when,
        received_at=when,
        body=b"{}",
        datasets=(DatasetPatch(ref, fields=columns),),
    )


def owned(job: JobRef, owner: str, when: datetime) -> Fact:
    """What a job event says: that owner owns job."""
    return Fact(
        key=fact_key(when, job.id, owner),
        source=job.source,
        kind="job",
        event_time=when,
        received_at=when,
        body=b"{}",
        jobs=(JobPatch(job, owner=owner),),
    )


def _patch(run: str, event_type: str, job: JobRef, said: dict[str, Any]) -> RunPatch:
    said = {"trigger": Trigger.SCHEDULE, "ol_run_id": run, **said}
    parent = said.pop("parent", None)
    if parent:
        said["parent_alias"] = alias(parent, job.pipeline_ref)
    return RunPatch(aliases=(alias(run, job), *said.pop("also_known_as", ())), job=job, event_type=event_type, **said)
