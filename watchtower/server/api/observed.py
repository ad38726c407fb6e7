"""Runs and jobs."""

from datetime import datetime
from typing import Annotated

import msgspec

from watchtower.model.origin import origin_words
from watchtower.model.run import DatasetIO, Job, Run, RunState, Trigger
from watchtower.server.endpoints import Call, ListQuery, Redirect, cut_page, known, not_found, one_of
from watchtower.store.reading import observed
from watchtower.store.reading.observed import JobFilter, RunFilter


class Money(msgspec.Struct, frozen=True):
    """amount: unrounded, as a decimal string; currency: ISO 4217."""

    amount: str
    currency: str


class JobName(msgspec.Struct, frozen=True):
    namespace: str
    name: str


class ErrorItem(msgspec.Struct, frozen=True):
    message: str
    type: str
    stack: str


class WordItem(msgspec.Struct, frozen=True):
    """by: operator, api (the orchestrator was asked), event (it told), trace or timeout."""

    by: str
    state: str
    at: datetime


class OriginItem(msgspec.Struct, frozen=True):
    """kind: dataset (written by job, in run), run or event; said: the same in words."""

    kind: str
    name: str
    namespace: str | None
    job: str | None
    run: str | None
    at: datetime | None
    said: str


class RunItem(msgspec.Struct, frozen=True):
    """One run (parent_run_id null) or one attempt of a task. cost: null while nothing is known of it. words: what each
    of several sources last said of its state; empty while only one has spoken. origins: what set it off."""

    id: str
    job: JobName
    job_id: str
    source: str
    pipeline: str
    task: str | None
    parent_run_id: str | None
    root_run_id: str | None
    native_run_id: str | None
    generation: int
    state: str
    event_type: str
    final: bool | None
    trigger: str | None
    actor: str | None
    environment: str | None
    code_version: str | None
    nominal_start: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    attempt: int
    max_attempts: int | None
    map_index: int | None
    error: ErrorItem | None
    cost: Money | None
    tags: dict[str, str]
    external_url: str | None
    historical: bool
    first_seen: datetime
    last_event_at: datetime
    words: list[WordItem]
    origins: list[OriginItem]


class RunList(msgspec.Struct, frozen=True):
    items: list[RunItem]
    next_cursor: str | None


class DatasetName(msgspec.Struct, frozen=True):
    namespace: str
    name: str


class WrittenItem(msgspec.Struct, frozen=True):
    dataset: DatasetName
    row_count: int | None
    size_bytes: int | None
    file_count: int | None
    checksum: str | None
    partition: str | None


class ReadItem(msgspec.Struct, frozen=True):
    """written_at, by which run: its last writing before this run began, null where none is known. version: as whoever
    wrote it calls it."""

    dataset: DatasetName
    written_at: datetime | None
    run_id: str | None
    row_count: int | None
    partition: str | None
    version: str | None


class RunDetail(RunItem, frozen=True):
    """attempts: of its tasks, oldest first, at most 1,000; inputs: what it read, as it was then; outputs: what it
    wrote; said: the last that its command
    printed."""

    attempts: list[RunItem]
    inputs: list[ReadItem]
    outputs: list[WrittenItem]
    said: str | None


class RunQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """state may be given more than once. top_level: runs of pipelines only, or (false) attempts of tasks only."""

    state: list[Annotated[str, known(RunState)]] = msgspec.field(default_factory=list[str])
    job_id: str | None = None
    parent_run_id: str | None = None
    source: str | None = None
    namespace: str | None = None
    pipeline: str | None = None
    task: str | None = None
    trigger: Annotated[str, known(Trigger)] | None = None
    environment: str | None = None
    top_level: bool | None = None


def list_runs(call: Call) -> RunList:
    query = call.asked(RunQuery)
    wanted = RunFilter(
        states=one_of("state", query.state, RunState),
        job_id=query.job_id,
        parent_run_id=query.parent_run_id,
        source=query.source,
        namespace=query.namespace,
        pipeline=query.pipeline,
        task=query.task,
        trigger=one_of("trigger", [query.trigger], Trigger)[0] if query.trigger is not None else None,
        environment=query.environment,
        top_level=query.top_level,
    )
    page = call.read(lambda c: observed.list_runs(c, wanted, call.window(query)))
    return RunList(*cut_page(page, run_item))


def get_run(call: Call) -> RunDetail | Redirect:
    """A merged id leads to the run that holds it now."""
    run_id = call.path["id"]
    run = call.read(lambda c: observed.get_run(c, run_id, call.principal.team))
    if run is None:
        raise not_found("run", run_id)
    if run.id != run_id:
        return Redirect(f"/api/v1/runs/{run.id}")
    attempts = call.read(lambda c: observed.attempts_of_run(c, run.id))
    inputs = call.read(lambda c: observed.read_by(c, run))
    outputs = call.read(lambda c: observed.written_by(c, run.id))
    return RunDetail(
        **msgspec.structs.asdict(run_item(run)),
        attempts=[run_item(attempt) for attempt in attempts],
        inputs=[_read(each) for each in inputs],
        outputs=[_written(output) for output in outputs],
        said=run.output,
    )


def run_item(run: Run) -> RunItem:
    return RunItem(
        id=run.id,
        job=JobName(run.job.namespace, run.job.name),
        job_id=run.job.id,
        source=run.job.source,
        pipeline=run.job.pipeline,
        task=run.job.task,
        parent_run_id=run.parent_run_id,
        root_run_id=run.root_run_id,
        native_run_id=run.native_run_id,
        generation=run.generation,
        state=run.state.value,
        event_type=run.event_type,
        final=run.final,
        trigger=run.trigger.value if run.trigger else None,
        actor=run.actor,
        environment=run.environment,
        code_version=run.code_version,
        nominal_start=run.nominal_start,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration_s=run.duration_s,
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        map_index=run.map_index,
        error=ErrorItem(run.error.message, run.error.type, run.error.stack) if run.error else None,
        cost=None,
        tags=dict(run.tags),
        external_url=run.external_url,
        historical=run.historical,
        first_seen=run.first_seen,
        last_event_at=run.last_event_at,
        words=[WordItem(word.authority.word, word.state.value, word.at) for word in run.words],
        origins=[OriginItem(**msgspec.structs.asdict(each), said=origin_words(each)) for each in run.origins],
    )


def _read(one: observed.Read) -> ReadItem:
    name = DatasetName(one.ref.namespace, one.ref.name)
    return ReadItem(name, one.written_at, one.run_id, one.row_count, one.partition, one.version)


def _written(output: DatasetIO) -> WrittenItem:
    name = DatasetName(output.ref.namespace, output.ref.name)
    return WrittenItem(name, output.row_count, output.size_bytes, output.file_count, output.checksum, output.partition)


# -- jobs ---------------------------------------------------------------------------------------------------------


class JobItem(msgspec.Struct, frozen=True):
    id: str
    namespace: str
    name: str
    source: str
    pipeline: str
    task: str | None
    owner: str | None
    team: str | None
    tags: dict[str, str]
    description: str | None
    job_type: str | None
    integration: str | None
    schedule: str | None
    timezone: str | None
    external_url: str | None
    declared: bool
    paused: bool
    first_seen: datetime | None
    last_seen: datetime | None


class JobList(msgspec.Struct, frozen=True):
    items: list[JobItem]
    next_cursor: str | None


class JobQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from and to: of the last event heard of the job. tasks: tasks only, or (false) pipelines only."""

    source: str | None = None
    namespace: str | None = None
    pipeline: str | None = None
    task: str | None = None
    owner: str | None = None
    team: str | None = None
    tasks: bool | None = None


def list_jobs(call: Call) -> JobList:
    query = call.asked(JobQuery)
    wanted = JobFilter(query.source, query.namespace, query.pipeline, query.task, query.owner, query.team, query.tasks)
    return JobList(*cut_page(call.read(lambda c: observed.list_jobs(c, wanted, call.window(query))), job_item))


def get_job(call: Call) -> JobItem:
    job_id = call.path["id"]
    job = call.read(lambda c: observed.get_job(c, job_id, call.principal.team))
    if job is None:
        raise not_found("job", job_id)
    return job_item(job)


def job_item(job: Job) -> JobItem:
    return JobItem(
        id=job.id,
        namespace=job.ref.namespace,
        name=job.ref.name,
        source=job.ref.source,
        pipeline=job.ref.pipeline,
        task=job.ref.task,
        owner=job.owner,
        team=job.team,
        tags=dict(job.tags),
        description=job.description,
        job_type=job.job_type,
        integration=job.integration,
        schedule=job.schedule,
        timezone=job.timezone,
        external_url=job.external_url,
        declared=job.declared,
        paused=job.paused,
        first_seen=job.first_seen,
        last_seen=job.last_seen,
    )
