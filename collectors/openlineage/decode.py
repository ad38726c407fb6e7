"""The OpenLineage collector: a request's body → facts, without I/O and without exceptions.

`POST /api/v1/lineage` (one event, or a list) and `/api/v1/lineage/batch` bring the same bytes here. What is no JSON is
refused as a whole; every JSON value that cannot be folded is a Reject of its own and is kept in quarantine; a field
that cannot be read costs that field. Follows OpenLineage 2-0-2 (spec/OpenLineage.json), docs/openlineage.md.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, ClassVar, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from collectors.identity import identifier
from collectors.openlineage import jobs, literals
from collectors.openlineage.checks import check_results, tests_of
from collectors.openlineage.datasets import Told, dataset_event, read_assets, read_datasets
from collectors.openlineage.instants import utc
from collectors.openlineage.reading import NotJson, TooDeep, events_of, parse, read_event
from collectors.openlineage.runs import RunEvent, is_backfill, run_patch
from collectors.openlineage.secrets import may_need_scrubbing
from collectors.openlineage.texts import TooManyLabels, cut
from collectors.openlineage.wire import Dataset, Event, Job, JobFacets, Run, RunFacets
from collectors.scrub import scrub_body
from watchtower.model.fact import Fact, fact_key
from watchtower.model.run import DatasetPatch, JobPatch, JobRef, RunPatch
from watchtower.ports import Decoded, Received, Reject

# A sender's clock this far ahead of ours is wrong (orchestrators' clocks are kept by NTP to well below a second).
CLOCK_AHEAD: Final = timedelta(hours=1)


class RejectReason(StrEnum):
    """Why something could not be folded. Closed: it is also a metric label."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    TOO_MANY_LABELS = "too_many_labels"
    NOT_AN_EVENT = "not_an_event"
    NO_EVENT_TIME = "no_event_time"
    NO_RUN_ID = "no_run_id"
    NO_JOB = "no_job"
    NO_DATASET = "no_dataset"


class OpenLineageConfig(BaseModel):
    """`collectors: {openlineage: …}`. Patterns are shell wildcards on job namespaces; the first that fits counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: Mapping[str, Sequence[str]] = Field(
        default_factory=dict[str, Sequence[str]],
        description="Source id → namespaces it stands for. Without one, a source is `openlineage:<job namespace>`.",
    )
    environments: Mapping[str, Sequence[str]] = Field(
        default_factory=dict[str, Sequence[str]],
        description="Environment (`prod`, `staging`) → namespaces whose runs belong to it.",
    )


class _Unfit(Exception):
    """This event cannot be folded."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class OpenLineage:
    kind: ClassVar[str] = "openlineage"
    Config: ClassVar[type[Any]] = OpenLineageConfig

    def __init__(
        self, config: OpenLineageConfig | None = None, *, source_of: Callable[[str], str] | None = None
    ) -> None:
        """source_of: namespace → source, for who is no collector itself and knows no config."""
        config = config or OpenLineageConfig()
        self._source = lru_cache(maxsize=4096)(source_of or partial(_first_match, config.sources))
        self._environment = lru_cache(maxsize=4096)(partial(_first_match, config.environments))

    def decode(self, body: bytes, received: Received) -> Decoded:
        """One fact per event that can be folded, in the order of body. Never raises for what body holds."""
        facts: list[Fact] = []
        rejects: list[Reject] = []
        skipped: list[str] = []
        try:
            for index, text in enumerate(events_of(body)):
                try:
                    facts.append(self._fact(text, received, skipped))
                except _Unfit as unfit:
                    rejects.append(Reject(unfit.reason, str(unfit), _scrubbed(text), index=index))
                except TooManyLabels as error:
                    rejects.append(Reject(RejectReason.TOO_MANY_LABELS, str(error), _scrubbed(text), index=index))
                except TooDeep as error:
                    rejects.append(Reject(RejectReason.TOO_DEEP, str(error), text, index=index))
        except NotJson as error:
            message = f"the body is not JSON: {cut(str(error), 200)}; send one event object or a list of them"
            return Decoded((), (Reject(RejectReason.NOT_JSON, message, body, permanent=True),))
        return Decoded(tuple(facts), tuple(rejects), tuple(dict.fromkeys(skipped)))

    def _fact(self, body: bytes, received: Received, skipped: list[str]) -> Fact:
        """Raises _Unfit, NotJson, TooDeep, TooManyLabels."""
        event, missing = read_event(body)
        if may_need_scrubbing(event, body):
            clean = _scrubbed(body)
            if clean is not body:  # what is said is read from what is kept, so that a replay says the same
                body = clean
                event, _ = read_event(body)
        skipped.extend(missing)
        if event.run is not msgspec.UNSET:
            return self._run_fact(event, event.run, body, received, skipped)
        if event.dataset is not msgspec.UNSET:
            return self._dataset_fact(event, event.dataset, body, received, skipped)
        if event.job is not msgspec.UNSET:
            return self._job_fact(event, body, received, skipped)
        raise _Unfit(RejectReason.NOT_AN_EVENT, "an event is a JSON object with the key `run`, `dataset` or `job`")

    def _run_fact(self, event: Event, run: Run | None, body: bytes, received: Received, skipped: list[str]) -> Fact:
        namespace, name, job_facets = _job(event)
        at = _event_time(event)
        if run is None or not run.run_id:
            raise _Unfit(RejectReason.NO_RUN_ID, f"run event of job {name!r} without run.runId")
        source = self._source_of(received, namespace)
        event_type = cut((event.event_type or "OTHER").upper(), 32)
        facets = run.facets or RunFacets()
        if jobs.is_sql_step(name, job_facets):
            return _fact(source, "run", at, body=body, received=received)
        dagster = _is_dagster(event.producer)
        ref = jobs.job_ref(source, namespace, name, facets, dagster=dagster)
        told = _datasets(event, facets, namespace, skipped)
        told.checks += tests_of(facets.test, told.checks)
        said = RunEvent(
            ref=ref,
            namespace=namespace,
            job=name,
            run_id=run.run_id,
            event_type=event_type,
            event_time=at,
            facets=facets,
            job_facets=job_facets,
            told=told,
            dagster=dagster,
            environment=self._environment(namespace),
            latest=received.received_at if _is_ahead(at, received) else None,
        )
        fact = _fact(
            source,
            "run",
            at,
            body=body,
            received=received,
            backfill=is_backfill(facets),
            run=run_patch(said),
            jobs=jobs.job_patches(ref, event_type, facets, job_facets),
            datasets=tuple(told.patches),
        )
        return _with_checks(fact, told, ref, run.run_id) if told.checks else fact

    def _job_fact(self, event: Event, body: bytes, received: Received, skipped: list[str]) -> Fact:
        namespace, name, facets = _job(event)
        at = _event_time(event)
        source = self._source_of(received, namespace)
        ref = jobs.job_ref(source, namespace, name, RunFacets(), dagster=False)
        told = _datasets(event, RunFacets(), namespace, skipped)
        patch = jobs.event_job(ref, facets)
        return _fact(source, "job", at, body=body, received=received, jobs=(patch,), datasets=tuple(told.patches))

    def _dataset_fact(
        self, event: Event, dataset: Dataset | None, body: bytes, received: Received, skipped: list[str]
    ) -> Fact:
        at = _event_time(event)
        seen = min(at, received.received_at) if _is_ahead(at, received) else at
        patch = dataset_event(dataset, seen, skipped) if dataset else None
        if patch is None or dataset is None or not dataset.namespace:
            raise _Unfit(RejectReason.NO_DATASET, "dataset event without dataset.namespace and dataset.name")
        source = self._source_of(received, dataset.namespace)
        return _fact(source, "dataset", at, body=body, received=received, datasets=(patch,))

    def _source_of(self, received: Received, namespace: str) -> str:
        """The entry point's source, else the configured one that names the namespace, else one named after it."""
        return received.source or self._source(namespace) or identifier(f"openlineage:{namespace}")


def _fact(
    source: str,
    kind: str,
    at: datetime,
    *,
    body: bytes,
    received: Received,
    backfill: bool = False,
    run: RunPatch | None = None,
    jobs: tuple[JobPatch, ...] = (),
    datasets: tuple[DatasetPatch, ...] = (),
) -> Fact:
    """The natural key: source, event time and the whole body, which names run, job and type. The time is always the
    sender's, so that a repeat meets the key whenever it comes."""
    ahead = _is_ahead(at, received)
    old = (received.received_at - at).total_seconds() > received.max_age_s
    return Fact(
        key=fact_key(at, source, sha256(body).digest()),
        source=source,
        kind=kind,
        event_time=received.received_at if ahead else at,
        received_at=received.received_at,
        body=body,
        historical=received.replay or backfill or old,
        run=run,
        jobs=jobs,
        datasets=datasets,
        clock_suspect=ahead,
    )


def _with_checks(fact: Fact, told: Told, ref: JobRef, run_id: str) -> Fact:
    at, historical = fact.event_time, fact.historical
    results = check_results(told.checks, ref.pipeline_ref, run_id, at, historical=historical)
    return msgspec.structs.replace(fact, series=results)


def _is_ahead(at: datetime, received: Received) -> bool:
    return at > received.received_at + CLOCK_AHEAD


def _scrubbed(body: bytes) -> bytes:
    """body without secrets, as it may be kept. Its depth was checked. Raises NotJson."""
    return scrub_body(body, parse(body))


def _job(event: Event) -> tuple[str, str, JobFacets]:
    """Namespace, name and facets of the event's job."""
    job = event.job
    if isinstance(job, Job) and job.namespace and job.name:
        return job.namespace, job.name, job.facets or JobFacets()
    raise _Unfit(RejectReason.NO_JOB, "event without job.namespace and job.name: a run cannot be told by its id alone")


def _event_time(event: Event) -> datetime:
    at = utc(event.event_time)
    if at is None:
        raise _Unfit(RejectReason.NO_EVENT_TIME, "event without a readable eventTime; send RFC 3339, in UTC at best")
    return at


def _datasets(event: Event, facets: RunFacets, namespace: str, skipped: list[str]) -> Told:
    told = Told()
    read_datasets(event.inputs, "in", told, skipped)
    read_datasets(event.outputs, "out", told, skipped)
    task = facets.airflow.task if facets.airflow else None
    if task and task.inlets and task.inlets != "[]":
        read_assets(literals.assets(task.inlets), "in", namespace, told)
    if task and task.outlets and task.outlets != "[]":
        read_assets(literals.assets(task.outlets), "out", namespace, told)
    return told


def _is_dagster(producer: str | None) -> bool:
    """dagster-openlineage names itself nowhere else; `dagster` may stand in its package's or repository's name."""
    return producer is not None and "dagster" in producer


def _first_match(table: Mapping[str, Sequence[str]], namespace: str) -> str | None:
    return next((name for name, patterns in table.items() if any(fnmatchcase(namespace, p) for p in patterns)), None)
