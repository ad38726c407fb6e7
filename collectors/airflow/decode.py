"""Records of a poll → facts, without I/O: a DAG run, one try of a task, a DAG, an asset event.

A run or a try is named as its own API names it, and by the OpenLineage run id that Airflow's provider computes for it:
so a run that is pushed and polled is one run, whichever came first (docs/airflow.md).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from collectors.airflow.fields import Record, flag, instant, integer, listed, mapped, number, text
from collectors.airflow.names import Place, RunNames, TryNames, dag_url
from collectors.airflow.terms import FORGOTTEN, STATES, trigger
from collectors.airflow.zones import cron_of
from collectors.identity import identifier
from collectors.openlineage.datasets import asset_origin, asset_ref, count_of
from collectors.openlineage.schedules import cron_schedule
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, label, said
from collectors.polled import polled_fact
from watchtower.model.fact import Fact
from watchtower.model.origin import Origin
from watchtower.model.run import Authority, DatasetIO, DatasetPatch, JobPatch, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received, Reject

KIND: Final = "airflow"


class _Unfit(Exception):
    """The record lacks what it must have."""


def decode(place: Place, body: bytes, received: Received) -> Decoded:
    """Never raises for what body holds."""
    try:
        record = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Decoded((), (Reject("not_json", str(error)[:300], body),))
    what = text(record, "record") or ""
    if what not in _READERS:
        return Decoded((), (Reject("unknown_record", f"the record is none of {', '.join(_READERS)}", body),))
    try:
        return Decoded((_READERS[what](place, record, body, received),))
    except _Unfit as error:
        return Decoded((), (Reject("incomplete", str(error), body),))


# -- runs ---------------------------------------------------------------------------------------------------------


def _run(place: Place, record: Record, body: bytes, received: Received) -> Fact:
    names = _run_names(place, record)
    state = STATES.get(text(record, "state") or "")
    times = _Times.of(record, state, "queued_at")
    cause = trigger(text(record, "run_type"), text(record, "triggered_by"))
    patch = RunPatch(
        aliases=names.aliases,
        job=names.ref,
        event_type=_event_type(state),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(names.run_id),
        generation=names.generation,
        trigger=cause,
        actor=said(text(record, "triggering_user_name"), NAME_CHARS),
        code_version=_version(record),
        nominal_start=_nominal(record, cause),
        queued_at=times.queued,
        started_at=times.started,
        ended_at=times.ended,
        wall_s=times.wall_s,
        external_url=names.url,
        ol_run_id=names.openlineage_id,
    )
    return polled_fact(
        body,
        times.said_at or received.received_at,
        received,
        source=place.source,
        kind=KIND,
        backfill=cause is Trigger.BACKFILL,
        run=patch,
    )


def _run_names(place: Place, record: Record) -> RunNames:
    return RunNames(
        place,
        _must(record, "dag_id"),
        _must(record, "dag_run_id"),
        integer(record, "generation") or 0,
        instant(record, "logical_date", "execution_date", "run_after"),
        old="execution_date" in record,
    )


# -- tries --------------------------------------------------------------------------------------------------------


def _try(place: Place, record: Record, body: bytes, received: Received) -> Fact:
    """A try that waits to be made again has failed: what comes is another one. A task that was not tried (skipped,
    upstream failed) has the number 0, and counts as a first try, which is overwritten should one be made after all. One
    that Airflow has forgotten is lost, unless anybody told how it ended."""
    run = _run_names(place, record)
    names = _try_names(run, record)
    told = text(record, "state") or ""
    again = told == "up_for_retry" or record.get("latest") is False
    forgotten = told == FORGOTTEN
    state = RunState.FAILED if told == "up_for_retry" else RunState.LOST if forgotten else STATES.get(told)
    times = _Times.of(record, state, "queued_when", "scheduled_when")
    most = integer(record, "max_tries")
    patch = RunPatch(
        aliases=names.aliases,
        job=names.ref,
        event_type=_event_type(state),
        authority=Authority.TIMEOUT if forgotten else Authority.API,
        state=state,
        final=not again if state is not None and state.is_terminal else None,
        parent_alias=run.native,
        root_alias=run.native,
        native_run_id=identifier(run.run_id),
        attempt=names.attempt,
        max_attempts=most + 1 if most is not None else None,
        map_index=names.map_index,
        queued_at=times.queued,
        started_at=times.started,
        ended_at=times.ended,
        wall_s=number(record, "duration") if times.ended else None,
        external_url=names.url,
        ol_run_id=names.openlineage_id,
        tags=_where(record),
    )
    return polled_fact(
        body,
        times.said_at or received.received_at,
        received,
        source=place.source,
        kind=KIND,
        backfill=run.run_id.startswith("backfill__"),
        run=patch,
        jobs=(JobPatch(names.ref, job_type="TASK", integration="AIRFLOW"),),
    )


def _try_names(run: RunNames, record: Record) -> TryNames:
    number = max(1, integer(record, "try_number") or 1)
    return TryNames(run, _must(record, "task_id"), integer(record, "map_index"), number)


def _where(record: Record) -> dict[str, str] | None:
    """Where a try runs: what is looked at when tasks wait."""
    found = {name: text(record, name) for name in ("pool", "queue", "hostname", "operator")}
    return {name: cut(value, NAME_CHARS) for name, value in found.items() if value} or None


# -- DAGs ---------------------------------------------------------------------------------------------------------


def _dag(place: Place, record: Record, body: bytes, received: Received) -> Fact:
    dag_id = _must(record, "dag_id")
    ref = place.job(dag_id)
    owners = [name for name in listed(record, "owners") if isinstance(name, str) and name not in ("", "airflow")]
    names = [text(mapped(tag), "name") for tag in listed(record, "tags")[:MAX_LABELS]]
    zone = text(record, "timezone")
    schedule = cron_schedule(cron_of(record), zone) if zone else None
    patch = JobPatch(
        ref,
        owner=cut(", ".join(dict.fromkeys(owners)), NAME_CHARS) or None,
        tags=dict(label(name) for name in names if name) or None,
        description=said(text(record, "description")),
        job_type="DAG",
        integration="AIRFLOW",
        schedule=schedule[0] if schedule else None,
        timezone=schedule[1] if schedule else None,
        external_url=dag_url(place, dag_id),
        paused=flag(record, "is_paused"),
    )
    return polled_fact(body, received.received_at, received, source=place.source, kind=KIND, jobs=(patch,))


# -- assets -------------------------------------------------------------------------------------------------------


def _asset_event(place: Place, record: Record, body: bytes, received: Received) -> Fact:
    """What was written. That of a task is an output of its try, as an event tells it; of no task, e.g. by the API, a
    writing of its own."""
    ref = asset_ref(_must(record, "uri"), place.namespace)
    at = instant(record, "at") or received.received_at
    io = DatasetIO(
        ref,
        "out",
        row_count=count_of(record, ("rows",)),
        size_bytes=count_of(record, ("bytes",)),
        file_count=count_of(record, ("files",)),
        partition=said(text(record, "partition"), NAME_CHARS),
    )
    if text(record, "task_id") is None:
        counts = (io.row_count, io.size_bytes, io.file_count, io.partition)
        patch = DatasetPatch(ref, None, None, None, None, at, False, *counts)
        return polled_fact(body, at, received, source=place.source, kind=KIND, datasets=(patch,))
    run = _run_names(place, record)
    names = _try_names(run, record)
    patch = RunPatch(
        aliases=names.aliases,
        job=names.ref,
        event_type="OTHER",
        authority=Authority.API,
        parent_alias=run.native,
        root_alias=run.native,
        native_run_id=identifier(run.run_id),
        attempt=names.attempt,
        map_index=names.map_index,
        ol_run_id=names.openlineage_id,
        datasets=(io,),
    )
    backfill = run.run_id.startswith("backfill__")
    return polled_fact(body, at, received, source=place.source, kind=KIND, backfill=backfill, run=patch)


def _origins(place: Place, record: Record, body: bytes, received: Received) -> Fact:
    """The asset events that set a run off."""
    names = _run_names(place, record)
    patch = RunPatch(
        aliases=names.aliases,
        job=names.ref,
        event_type="OTHER",
        authority=Authority.API,
        native_run_id=identifier(names.run_id),
        generation=names.generation,
        trigger=Trigger.EVENT,
        origins=tuple(_origin(place, cause) for cause in map(mapped, listed(record, "causes")) if text(cause, "uri")),
    )
    at = instant(record, "start_date", "run_after") or received.received_at
    return polled_fact(body, at, received, source=place.source, kind=KIND, run=patch)


def _origin(place: Place, cause: Record) -> Origin:
    dag, task = text(cause, "dag"), text(cause, "task")
    job = f"{dag}.{task}" if dag and task else dag
    return asset_origin(_must(cause, "uri"), place.namespace, job, text(cause, "run"), instant(cause, "at"))


# -- what they share ----------------------------------------------------------------------------------------------


class _Times:
    """Of a run or a try. ended: only if it is over; said_at: when it last changed, as far as it tells."""

    def __init__(self, queued: datetime | None, started: datetime | None, ended: datetime | None) -> None:
        self.queued = queued
        self.started = started
        self.ended = ended
        self.said_at = max((each for each in (queued, started, ended) if each is not None), default=None)

    @staticmethod
    def of(record: Record, state: RunState | None, *queued: str) -> "_Times":
        over = state is not None and state.is_terminal
        return _Times(
            instant(record, *queued), instant(record, "start_date"), instant(record, "end_date") if over else None
        )

    @property
    def wall_s(self) -> float | None:
        if self.started is None or self.ended is None or self.ended < self.started:
            return None
        return (self.ended - self.started).total_seconds()


def _must(record: Record, name: str) -> str:
    found = text(record, name)
    if found is None:
        raise _Unfit(f"the record has no {name}")
    return found


def _event_type(state: RunState | None) -> str:
    """In OpenLineage's words."""
    if state is None or state in (RunState.QUEUED, RunState.RETRY_WAIT):
        return "OTHER"
    if state is RunState.RUNNING:
        return "START"
    return "COMPLETE" if state in (RunState.SUCCEEDED, RunState.SKIPPED) else "FAIL"


def _nominal(record: Record, cause: Trigger | None) -> datetime | None:
    """As the provider says it: the logical date; a scheduled run without one stands for the moment it was due."""
    logical = instant(record, "logical_date", "execution_date")
    if logical is not None:
        return logical
    return instant(record, "run_after") if cause is Trigger.SCHEDULE else None


def _version(record: Record) -> str | None:
    numbered = integer(record, "dag_version")
    return said(text(record, "bundle_version"), NAME_CHARS) or (str(numbered) if numbered else None)


_READERS: Final[Mapping[str, Callable[[Place, Record, bytes, Received], Fact]]] = {
    "dag_run": _run,
    "try": _try,
    "dag": _dag,
    "asset_event": _asset_event,
    "origins": _origins,
}
