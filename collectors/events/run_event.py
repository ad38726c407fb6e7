"""The run event of Watchtower's own, for whatever speaks none of the other protocols: one flat JSON object.

`{"job": "nightly-backup", "run": "2026-03-02", "event": "fail", "error": "disk full"}`. The fields: `run_event_schema`.
An event of a run that other sources tell of too (OpenLineage, a poller) carries the same names for it, and meets them
in one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from collectors.events.fields import Fields, Json, Unfit, trace_of
from collectors.events.states import SHOWN, event_type_of, state_of
from collectors.identity import identifier, openlineage_alias, run_alias, task_alias
from collectors.openlineage.texts import cut, web_url
from watchtower.model.checks import is_uuid, run_name
from watchtower.model.origin import DATASET, EVENT, MOST, RUN, Origin
from watchtower.model.run import (
    DatasetIO,
    DatasetRef,
    JobPatch,
    JobRef,
    RunError,
    RunPatch,
    RunState,
    Trigger,
)

AHEAD: Final = timedelta(hours=1)
OUTPUT_CHARS: Final = 4_000
_NAME: Final = 256

FREE: Final = ("error", "output", "tags", "description", "url", "actor")  # where users' secrets may stand


@dataclass(frozen=True, slots=True)
class Naming:
    """namespace: of events that name none; source_of: namespace → source, as the configuration has it."""

    namespace: str
    source_of: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Told:
    """at: the sender's time; ahead: it lies more than an hour in the future, so that of receipt stands for it."""

    at: datetime
    ahead: bool
    run: RunPatch
    job: JobPatch
    skipped: tuple[str, ...]


def read_run_event(said: Json, naming: Naming, received_at: datetime, source: str | None = None) -> Told:
    """source: that of the sender's token, if it has one. Raises Unfit."""
    fields = Fields(said)
    state = _state(fields)
    told_at = fields.moment("at") or received_at
    ahead = told_at > received_at + AHEAD
    at = received_at if ahead else told_at
    job = _job(fields, naming, source)
    run_id = fields.text("run", 512) or run_name(told_at)
    patch = RunPatch(
        aliases=_aliases(fields, job, run_id),
        job=job,
        event_type=event_type_of(state),
        state=state,
        parent_alias=_parent(fields, job, run_id, naming, source),
        native_run_id=identifier(run_id),
        error=_error(fields, state),
        **_times(fields, state, at),
        **_words(fields, job),
        output=_last(fields.text("output", 10**7)),
        datasets=(*_datasets(fields, "inputs", "in"), *_datasets(fields, "outputs", "out")),
    )
    return Told(told_at, ahead, patch, _job_patch(fields, job), tuple(dict.fromkeys(fields.skipped)))


def _state(fields: Fields) -> RunState | None:
    word = fields.text("event", 64)
    if word is None:
        raise Unfit("no_event", f'a run event says what happened: "event" is one of {SHOWN}')
    state = state_of(word)
    if state is None and word.lower() not in ("other", "log"):
        raise Unfit("unknown_event", f"event {word!r} is not known; known: {SHOWN}, other")
    return state


def _job(fields: Fields, naming: Naming, source: str | None) -> JobRef:
    name = fields.text("job", 512)
    if name is None:
        raise Unfit("no_job", 'a run event names its job: {"job": "nightly-backup", "event": "start"}')
    namespace = identifier(fields.text("namespace", 512) or naming.namespace)
    task = fields.text("task", 512)
    return JobRef(
        source or naming.source_of(namespace), namespace, identifier(name), identifier(task) if task else None
    )


def _aliases(fields: Fields, job: JobRef, run_id: str) -> tuple[str, ...]:
    openlineage = fields.text("openlineage_run_id", 512)
    named = (openlineage_alias(job.namespace, job.name, openlineage),) if openlineage else ()
    if job.task is None:
        generation = fields.whole("generation") or 0
        native = run_alias(job.source, job.namespace, job.pipeline, run_id, generation)
        if is_uuid(run_id) or run_id.startswith("arn:"):  # unique by themselves: who polls Prefect or AWS knows them so
            return (*named, native, run_alias(job.source, job.namespace, "", run_id, generation))
    else:
        native = task_alias(
            job.source,
            job.namespace,
            job.pipeline,
            run_id,
            task=job.task,
            map_index=_number(fields, "map_index"),
            attempt=_number(fields, "attempt") or 1,
        )
    return (*named, native)


def _parent(fields: Fields, job: JobRef, run_id: str, naming: Naming, source: str | None) -> str | None:
    """A task's parent is the run of its pipeline, unless the event says otherwise."""
    said = fields.said.get("parent")
    if isinstance(said, dict):
        parent = Fields(cast("Json", said), fields.skipped)
        name, run, namespace = parent.text("job", 512), parent.text("run", 512), parent.text("namespace", 512)
        if name and run:
            space = identifier(namespace or job.namespace)
            return run_alias(
                source or naming.source_of(space), space, identifier(name), run, parent.whole("generation") or 0
            )
    if job.task is None:
        return None
    return run_alias(job.source, job.namespace, job.pipeline, run_id, fields.whole("generation") or 0)


def _error(fields: Fields, state: RunState | None) -> RunError | None:
    return fields.error("error") if state is None or state.is_bad or state is RunState.CANCELLED else None


def _times(fields: Fields, state: RunState | None, at: datetime) -> dict[str, Any]:
    """Nothing of a run lies in the future by its sender's clock alone."""
    started, ended = fields.moment("started_at"), fields.moment("ended_at")
    is_over = state is not None and state.is_terminal
    return {
        "queued_at": at if state is RunState.QUEUED else None,
        "started_at": min(started, at) if started else (at if state is RunState.RUNNING else None),
        "ended_at": (min(ended, at) if ended else at) if is_over else None,
        "nominal_start": fields.moment("nominal_start"),
    }


def _words(fields: Fields, job: JobRef) -> dict[str, Any]:
    trigger = fields.text("trigger", 64)
    final, origins = fields.said.get("final"), _origins(fields, job)
    return {
        "generation": fields.whole("generation"),
        "attempt": _number(fields, "attempt") if job.task else None,
        "max_attempts": _number(fields, "max_attempts") if job.task else None,
        "map_index": _number(fields, "map_index") if job.task else None,
        "final": final if job.task and isinstance(final, bool) else None,
        "trigger": Trigger(trigger) if trigger in set(Trigger) else Trigger.EVENT if origins else None,
        "actor": fields.text("actor", 256),
        "environment": fields.text("environment", 256),
        "code_version": fields.text("code_version", 256),
        "external_url": web_url(fields.text("url", 2_048)),
        "trace_id": trace_of(fields.text("traceparent", 256)),
        "ol_run_id": fields.text("openlineage_run_id", 512),
        "tags": fields.labels("tags"),
        "origins": origins,
    }


def _origins(fields: Fields, job: JobRef) -> tuple[Origin, ...]:
    """What set it off: an event by its type (a text, or type, source, id, at), another run (job, run), or a dataset."""
    said = fields.said.get("set_off_by")
    if isinstance(said, str) and said:
        return (Origin(EVENT, cut(said, _NAME)),)
    told = [cast("Json", said)] if isinstance(said, dict) else fields.objects("set_off_by") if said is not None else ()
    found = (_origin(Fields(each, fields.skipped), job) for each in told)
    return tuple(each for each in found if each)[:MOST]


def _origin(one: Fields, job: JobRef) -> Origin | None:
    run, at, name = one.text("run", 512), one.moment("at"), one.text("job", 512)
    if dataset := one.text("dataset", 512):
        return Origin(DATASET, identifier(dataset), one.text("namespace", 512), name, run, at)
    if name:
        return Origin(RUN, identifier(name), one.text("namespace", 512) or job.namespace, None, run, at)
    kind = one.text("type", _NAME)
    return Origin(EVENT, kind, one.text("source", _NAME), None, one.text("id", _NAME), at) if kind else None


def _number(fields: Fields, name: str) -> int | None:
    number = fields.whole(name)
    return number if number is not None and number < 2**31 else None


def _job_patch(fields: Fields, job: JobRef) -> JobPatch:
    return JobPatch(
        job,
        owner=fields.text("owner", 256),
        description=fields.text("description"),
        schedule=fields.text("schedule", 256) if job.task is None else None,
        timezone=fields.text("timezone", 64) if job.task is None else None,
        job_type="TASK" if job.task else None,
    )


def _datasets(fields: Fields, name: str, direction: str) -> list[DatasetIO]:
    found: list[DatasetIO] = []
    for said in fields.objects(name):
        one = Fields(said, fields.skipped)
        namespace, called = one.text("namespace", 512), one.text("name", 512)
        if namespace and called:
            found.append(
                DatasetIO(
                    DatasetRef(identifier(namespace), identifier(called)),
                    direction,
                    row_count=one.whole("rows"),
                    size_bytes=one.whole("bytes"),
                    file_count=one.whole("files"),
                    checksum=one.text("checksum", 256),
                    partition=one.text("partition", 256),
                )
            )
        else:
            fields.skipped.append(name)
    return found


def _last(text: str | None) -> str | None:
    return text[-OUTPUT_CHARS:] if text else None
