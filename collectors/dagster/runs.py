"""A run of Dagster with its steps → facts: one for the run, one for each attempt of each step.

A run that Dagster retries by itself is launched anew under another id; the chain of them is one run here, that of its
first id, which is under way until the last of them ends. A re-execution by hand is a run of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from collectors.dagster.wire import (
    DIED,
    AssetKey,
    Attempt,
    Check,
    Failure,
    Materialization,
    Run,
    RunDocument,
    Step,
    Tag,
)
from collectors.documents import Place
from collectors.identity import identifier, openlineage_alias, run_alias, task_alias
from collectors.openlineage.checks import check_results
from collectors.openlineage.datasets import FILE_KEYS, MAX_DATASETS, ROW_KEYS, SIZE_KEYS, count_of
from collectors.openlineage.jobs import mapped_index, unmapped
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, both_ends, cut, said
from collectors.openlineage.wire import Assertion
from watchtower.model.fact import Fact
from watchtower.model.origin import EVENT, Origin
from watchtower.model.run import Authority, DatasetIO, DatasetRef, JobRef, RunError, RunPatch, RunState, Trigger

RUN_STATES: Final[Mapping[str, RunState]] = {
    "QUEUED": RunState.QUEUED,
    "NOT_STARTED": RunState.QUEUED,
    "MANAGED": RunState.QUEUED,
    "STARTING": RunState.QUEUED,
    "STARTED": RunState.RUNNING,
    "CANCELING": RunState.RUNNING,
    "SUCCESS": RunState.SUCCEEDED,
    "FAILURE": RunState.FAILED,
    "CANCELED": RunState.CANCELLED,
}
STEP_STATES: Final[Mapping[str, RunState]] = {
    "IN_PROGRESS": RunState.RUNNING,
    "SUCCESS": RunState.SUCCEEDED,
    "FAILURE": RunState.FAILED,
    "SKIPPED": RunState.SKIPPED,
}
OWN: Final = "dagster/"  # of tags that Dagster sets itself
_MAX_RUNTIME: Final = "Exceeded maximum runtime"


@dataclass(frozen=True, slots=True)
class _Chain:
    """What a run says for itself and for its steps. number: of its automatic retry, from 0; left: how a step ended, and
    when, that was under way as the run ended, of which nobody told the end."""

    run_id: str
    head: str
    pipeline: str
    tags: Mapping[str, str]
    number: int
    again: bool
    left: tuple[RunState, float | None] | None = None

    @property
    def limit(self) -> int | None:
        retries = _whole(self.tags.get(f"{OWN}max_retries"))
        return retries + 1 if retries is not None else None


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt of a step. failure, wrote and checks: of the step, which the last of them tells."""

    number: int
    times: Attempt
    is_last: bool
    failure: Failure | None
    wrote: tuple[DatasetIO, ...]
    checks: tuple[Check, ...]


def run_facts(document: RunDocument, run: Run, place: Place) -> list[Fact] | None:
    """None without an id, a name, a status or a time."""
    if not run.run_id or not run.pipeline_name or run.status not in RUN_STATES:
        return None
    tags = tags_of(run.tags)
    chain = _Chain(
        run.run_id,
        document.head or run.run_id,
        identifier(run.pipeline_name),
        tags,
        _whole(tags.get(f"{OWN}retry_number")) or 0,
        run.status == "FAILURE" and tags.get(f"{OWN}will_retry") == "true",
        _left(run, document.failures),
    )
    fact = _run_fact(document, run, chain, place)
    if fact is None:
        return None
    failures = {failure.step_key: failure for failure in document.failures or () if failure.step_key}
    steps = [
        found
        for step in document.steps or ()
        if step.step_key
        for found in _step_facts(document, step, chain, failures.get(step.step_key), place)
    ]
    return [fact, *steps]


def tags_of(tags: Iterable[Tag] | None) -> dict[str, str]:
    return {cut(tag.key, NAME_CHARS): cut(tag.value or "", NAME_CHARS) for tag in tags or () if tag.key}


def labels_of(tags: Mapping[str, str]) -> dict[str, str] | None:
    """Those that people set."""
    own = [(key, value or "true") for key, value in tags.items() if not key.startswith((OWN, "."))]
    return dict(own[:MAX_LABELS]) or None


def dataset_name(key: AssetKey | None) -> str | None:
    return identifier("/".join(key.path)) if key and key.path else None


def _run_fact(document: RunDocument, run: Run, chain: _Chain, place: Place) -> Fact | None:
    at = place.instant(run.update_time or run.end_time or run.start_time or run.creation_time)
    if at is None:
        return None
    state = RunState.RUNNING if chain.again else RUN_STATES[run.status or ""]
    error = _run_error(document.failures) if state.is_bad else None
    if error and error.message.startswith(_MAX_RUNTIME):
        state = RunState.TIMED_OUT
    if error and error.message.startswith(DIED):
        state = RunState.CRASHED
    over = state.is_terminal
    patch = RunPatch(
        aliases=(*place.run_aliases(chain.pipeline, chain.head)[::-1], *_known_to_openlineage(place, chain)),
        job=JobRef(place.source, place.namespace, chain.pipeline),
        event_type=cut(run.status or "", 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(chain.head),
        generation=0,
        attempt=chain.number + 1,
        max_attempts=chain.limit,
        trigger=_trigger(chain.tags),
        origins=_origins(chain.tags),
        code_version=_version(chain.tags),
        actor=said(chain.tags.get("user") or chain.tags.get(f"{OWN}user"), NAME_CHARS),
        nominal_start=place.instant(document.tick),
        queued_at=place.instant(run.creation_time),
        started_at=place.instant(run.start_time),
        ended_at=place.instant(run.end_time) if over else None,
        error=error,
        external_url=_url(place, chain.run_id),
        tags=_run_labels(chain),
    )
    key = ("run", chain.run_id, run.status or "", f"{run.update_time}")
    return place.fact(at, key, stands=not over, run=patch)


def _step_facts(document: RunDocument, step: Step, chain: _Chain, failure: Failure | None, place: Place) -> list[Fact]:
    """One for each attempt; all but the last failed and were tried again."""
    attempts = step.attempts or [Attempt(step.start_time, step.end_time)]
    if step.status not in STEP_STATES:
        return []
    wrote = _datasets(document, step, place)
    checks = tuple(each for each in document.checks or () if each.step_key == step.step_key)
    facts = [
        _attempt_fact(step, _Try(number, attempt, number == len(attempts), failure, wrote, checks), chain, place)
        for number, attempt in enumerate(attempts, 1)
    ]
    return [fact for fact in facts if fact]


def _attempt_fact(step: Step, attempt: "_Try", chain: _Chain, place: Place) -> Fact | None:
    status, key, times = step.status or "", step.step_key or "", attempt.times
    waits = status == "IN_PROGRESS" and times.end_time is not None  # for its next attempt
    decides = attempt.is_last and not waits
    state = STEP_STATES[status] if decides else RunState.FAILED
    ended = times.end_time
    if state is RunState.RUNNING and chain.left:
        state, ended = chain.left
    over = state.is_terminal
    at = place.instant((ended if over else None) or times.start_time or step.end_time)
    if at is None:
        return None
    patch = RunPatch(
        aliases=(_step_alias(place, chain, key, attempt.number),),
        job=JobRef(place.source, place.namespace, chain.pipeline, identifier(unmapped(key))),
        event_type=cut(status, 32) if decides else "STEP_UP_FOR_RETRY",
        authority=Authority.API,
        state=state,
        final=(decides and not (state.is_bad and chain.again)) if over else None,
        parent_alias=_run_alias(place, chain.head),
        native_run_id=identifier(chain.head),
        generation=chain.number,
        attempt=attempt.number,
        map_index=mapped_index(key),
        started_at=place.instant(times.start_time),
        ended_at=place.instant(ended) if over else None,
        error=_error(attempt.failure) if decides and state.is_bad else None,
        external_url=_url(place, chain.run_id),
        datasets=attempt.wrote if decides else (),
    )
    fact_key = ("step", chain.run_id, key, str(attempt.number), state.value, str(len(patch.datasets)))
    fact = place.fact(at, fact_key, stands=not over, run=patch)
    return _with_checks(fact, attempt.checks if decides else (), patch.job.pipeline_ref, chain.run_id)


def _left(run: Run, failures: Sequence[Failure] | None) -> tuple[RunState, float | None] | None:
    """A process that is killed takes its steps along, and Dagster has them as under way for ever."""
    if run.status == "CANCELED":
        return RunState.CANCELLED, run.end_time
    if run.status != "FAILURE":
        return None
    error = _run_error(failures)
    died = error is not None and error.message.startswith(DIED)
    return RunState.CRASHED if died else RunState.LOST, run.end_time


def _with_checks(fact: Fact, checks: Sequence[Check], job: JobRef, run_id: str) -> Fact:
    """What asset checks found is a result of its own, so that one that fails is told until it passes."""
    found = [
        (name, Assertion(assertion=check.check_name, success=check.success, severity=check.severity))
        for check in checks
        if (name := dataset_name(check.asset_key))
    ]
    told = check_results(found, job, run_id, fact.event_time, historical=fact.historical)
    return msgspec.structs.replace(fact, series=told) if told else fact


def _datasets(document: RunDocument, step: Step, place: Place) -> tuple[DatasetIO, ...]:
    """What the step wrote, what that is made of, and what was checked."""
    written = [io for each in step.materializations or () if (io := _written(each, place))]
    names = {io.ref.name for io in written}
    read = {name for each in names for name in (document.reads or {}).get(each, ())} - names
    checks = [io for each in document.checks or () if each.step_key == step.step_key and (io := _checked(each, place))]
    inputs = [DatasetIO(DatasetRef(place.namespace, identifier(name)), "in") for name in sorted(read)]
    return tuple([*written, *checks, *inputs][:MAX_DATASETS])


def _written(materialization: Materialization, place: Place) -> DatasetIO | None:
    name = dataset_name(materialization.asset_key)
    if name is None:
        return None
    counts = {entry.label: entry.int_value for entry in materialization.metadata_entries or () if entry.label}
    return DatasetIO(
        DatasetRef(place.namespace, name),
        "out",
        row_count=count_of(counts, ROW_KEYS),
        size_bytes=count_of(counts, SIZE_KEYS),
        file_count=count_of(counts, FILE_KEYS),
        partition=said(materialization.partition, NAME_CHARS),
    )


def _checked(check: Check, place: Place) -> DatasetIO | None:
    """In the form of OpenLineage's facet: what a check found is a property of what it read."""
    name = dataset_name(check.asset_key)
    if name is None or not check.check_name or check.success is None:
        return None
    assertion = {"assertion": check.check_name, "success": check.success, "severity": (check.severity or "").lower()}
    facet = {"assertions": [{name: value for name, value in assertion.items() if value != ""}]}
    return DatasetIO(DatasetRef(place.namespace, name), "in", facets={"dataQualityAssertions": facet})


def _run_error(failures: Sequence[Failure] | None) -> RunError | None:
    """A run that was ended for its length says so itself; else the steps that failed are the reason."""
    known = list(failures or ())
    own = next((failure for failure in known if not failure.step_key), None)
    steps = list(dict.fromkeys(failure.step_key for failure in known if failure.step_key))
    if not steps or (own and _MAX_RUNTIME in (own.message or "")):
        return _error(own)
    first = _error(next(failure for failure in known if failure.step_key)) or RunError("")
    more = f" and {len(steps) - 10} more" if len(steps) > 10 else ""
    return RunError(cut(f"step {', '.join(steps[:10])}{more} failed: {first.message}", 4_096), first.type, first.stack)


def _error(failure: Failure | None) -> RunError | None:
    """Dagster wraps what a step raised; the innermost says what happened."""
    if failure is None:
        return None
    inner = failure.cause or failure.error
    if inner is None:
        return RunError(cut(_without_author(failure.message), 4_096)) if failure.message else None
    stack = "".join([*((failure.error.stack or []) if failure.error else []), *(inner.stack or [])])
    return RunError(
        cut((inner.message or "").strip(), 4_096), cut(inner.class_name or "", NAME_CHARS), both_ends(stack)
    )


def _without_author(message: str) -> str:
    """Of what happened to the run's process: `[DagsterApiServer] Run execution process for …`."""
    author, found, rest = message.partition(f"] {DIED}")
    return f"{DIED}{rest}" if found and author.startswith("[") else message


def _trigger(tags: Mapping[str, str]) -> Trigger:
    if f"{OWN}backfill" in tags:
        return Trigger.BACKFILL
    if f"{OWN}schedule_name" in tags:
        return Trigger.SCHEDULE
    if tags.keys() & {f"{OWN}sensor_name", f"{OWN}auto_materialize", f"{OWN}from_automation_condition"}:
        return Trigger.EVENT
    return Trigger.MANUAL


def _origins(tags: Mapping[str, str]) -> tuple[Origin, ...]:
    """The sensor that asked for it, with the key of what it saw."""
    sensor, key = tags.get(f"{OWN}sensor_name"), tags.get(f"{OWN}run_key")
    if not sensor:
        return ()
    return (Origin(EVENT, cut(f"sensor {sensor}", NAME_CHARS), run=cut(key, NAME_CHARS) if key else None),)


def _version(tags: Mapping[str, str]) -> str | None:
    """The commit that was deployed, else the image that it ran in, where a deployment says so."""
    return said(tags.get(f"{OWN}git_commit_hash") or tags.get(f"{OWN}image"), NAME_CHARS)


def _run_labels(chain: _Chain) -> dict[str, str] | None:
    """What people set, and of Dagster's own tags those that say which run this was."""
    kept = {
        name: chain.tags[f"{OWN}{name}"] for name in ("partition", "code_location") if chain.tags.get(f"{OWN}{name}")
    }
    return {**(labels_of(chain.tags) or {}), **kept} or None


def _run_alias(place: Place, run_id: str) -> str:
    """Dagster's ids are unique by themselves."""
    return run_alias(place.source, place.namespace, "", run_id)


def _known_to_openlineage(place: Place, chain: _Chain) -> tuple[str, ...]:
    """dagster-openlineage gives a run its own id, and the job's name."""
    return (openlineage_alias(place.namespace, chain.pipeline, chain.run_id),) if chain.run_id == chain.head else ()


def _step_alias(place: Place, chain: _Chain, step: str, attempt: int) -> str:
    return task_alias(place.source, place.namespace, "", chain.run_id, task=step, map_index=None, attempt=attempt)


def _url(place: Place, run_id: str) -> str | None:
    return f"{place.url}/runs/{run_id}" if place.url else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 else None
