"""AWS Glue: runs of jobs with their retries, asked of its API, and told by EventBridge.

A run that Glue retries by itself is a run of its own in Glue, `jr_…_attempt_1`; the chain of them is one run here. Runs
come newest start first and in no other order, so those that have not ended are remembered from poll to poll. Sources:
AWS Glue API reference, "JobRun", "Trigger"; "Glue Job State Change" events.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from pydantic import Field

from collectors.asking import Row, member, members, record
from collectors.aws.schedules import cron_of
from collectors.aws.source import AwsPoller, QueuedAwsSource, QueuedSourceOf, instant, pages, plain
from collectors.aws.tags import owner_of, tags_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.texts import NAME_CHARS, cut, said
from collectors.polled import unless_gone
from collectors.source import ListedSource, Seen
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "glue"
STATES: Final[Mapping[str, RunState]] = {
    "WAITING": RunState.QUEUED,
    "STARTING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "STOPPING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "ERROR": RunState.FAILED,
    "EXPIRED": RunState.FAILED,
    "TIMEOUT": RunState.TIMED_OUT,
    "STOPPED": RunState.CANCELLED,
}
_ATTEMPT: Final = re.compile(r"(.+)_attempt_(\d{1,3})")
_RUN: Final = (
    "Id", "JobName", "JobRunState", "Attempt", "TriggerName", "StartedOn", "LastModifiedOn", "CompletedOn",
    "ErrorMessage", "ExecutionTime", "DPUSeconds", "MaxCapacity", "WorkerType", "NumberOfWorkers", "GlueVersion",
    "ExecutionClass",
)  # fmt: skip
_KEPT: Final = {"WorkerType": "worker_type", "NumberOfWorkers": "workers", "DPUSeconds": "dpu_seconds"}
_HELD: Final = "execution_seconds"  # how long the run held its workers; it grows while the run is under way
_TRIGGERS: Final = {
    "SCHEDULED": Trigger.SCHEDULE,
    "CONDITIONAL": Trigger.EVENT,
    "EVENT": Trigger.EVENT,
    "ON_DEMAND": Trigger.MANUAL,
}


class GlueSource(QueuedAwsSource):
    """Runs of Glue jobs."""

    jobs: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")


class GlueConfig(Section):
    """`collectors: {glue: …}`."""

    sources: tuple[GlueSource, ...] = Field(default=(), description="what is asked")


class PolledGlue(QueuedSourceOf[GlueSource], ListedSource[GlueSource]):
    """ports.PolledSource."""

    kind = KIND
    service = "glue"

    def __init__(self, config: GlueSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._retries: dict[str, int] = {}
        self._triggers: dict[str, Row] = {}

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, region=self.config.region)

    def definitions(self, window: Window) -> Iterator[Page]:
        """Jobs, with the triggers that start them by a schedule."""
        if not window.deep and self._retries:
            return
        self._triggers = {
            str(trigger["Name"]): trigger
            for page in pages(self.ask, "get_triggers", following="NextToken")
            for trigger in members(page, "Triggers")
        }
        wanted = [
            job
            for page in pages(self.ask, "get_jobs", following="NextToken")
            for job in members(page, "Jobs")
            if any(fnmatchcase(str(job["Name"]), pattern) for pattern in self.config.jobs)
        ]
        self._retries = {str(job["Name"]): int(job.get("MaxRetries") or 0) for job in wanted}
        yield Page(tuple(map(self._job, wanted)), coverage={"jobs": len(wanted)})

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        for name in self._retries:
            yield from self._runs(name, window)

    def again(self, reference: str) -> Seen | None:
        """Its job may have been deleted meanwhile."""
        name, _, run_id = reference.rpartition("/")
        found = unless_gone(lambda: self.ask("get_job_run", JobName=name, RunId=run_id), "EntityNotFound")
        return self._seen(member(found, "JobRun")) if found is not None else None

    def _job(self, job: Row) -> bytes:
        name = str(job["Name"])
        active = [
            str(trigger.get("Schedule"))
            for trigger in self._triggers.values()
            if trigger.get("Type") == "SCHEDULED"
            and trigger.get("State") == "ACTIVATED"
            and any(action.get("JobName") == name for action in members(trigger, "Actions"))
        ]
        described = {"Name": name, "Description": job.get("Description"), "GlueVersion": job.get("GlueVersion")}
        return record(job=described, schedules=active)

    def _runs(self, name: str, window: Window) -> Iterator[Sequence[Seen]]:
        """Runs of one job that began since the window's beginning."""
        for page in pages(self.ask, "get_job_runs", following="NextToken", JobName=name, MaxResults=200):
            rows = members(page, "JobRuns")
            began = [instant(row.get("StartedOn")) for row in rows]
            new = [row for row, at in zip(rows, began, strict=True) if at is None or at >= window.since]
            yield [self._seen(row) for row in new]
            if len(new) < len(rows):
                return

    def _seen(self, run: Row) -> Seen:
        name = str(run.get("JobName"))
        trigger = self._triggers.get(str(run.get("TriggerName")), {})
        shown = record(
            run=plain({field: run.get(field) for field in _RUN if run.get(field) is not None}),
            retries=self._retries.get(name),
            trigger=trigger.get("Type"),
        )
        over = STATES.get(str(run.get("JobRunState")), RunState.RUNNING).is_terminal
        return Seen(f"{name}/{run.get('Id')}", shown, not over)


class Glue(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = GlueConfig
    polled = PolledGlue


def decode(body: bytes, received: Received, *, namespace: str, region: str) -> Decoded:
    """Records of the poll, and events of EventBridge."""

    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if document.get("detail-type") == "Glue Job State Change":
            return _event_facts(document, replace(place, authority=Authority.STREAM), region)
        if isinstance(document.get("run"), dict):
            fact = _run_fact(member(document, "run"), document, place, region)
            return [fact] if fact else None
        if isinstance(document.get("job"), dict):
            return [_job_fact(document, place)]
        return None

    return decode_documents(body, read, "a run of a Glue job, or an event of one")


def _event_facts(event: Row, place: Place, region: str) -> Sequence[Fact] | None:
    """An event does not say how often Glue will try: whether a failure is the last is left to the poll."""
    detail = member(event, "detail")
    run = {
        "Id": detail.get("jobRunId"),
        "JobName": detail.get("jobName"),
        "JobRunState": detail.get("state"),
        "CompletedOn": event.get("time"),
        "ErrorMessage": detail.get("message"),
    }
    fact = _run_fact(run, {}, place, region)
    return [fact] if fact else None


def _run_fact(run: Row, document: Row, place: Place, region: str) -> Fact | None:
    run_id, name, status = run.get("Id"), run.get("JobName"), str(run.get("JobRunState"))
    if not isinstance(run_id, str) or not isinstance(name, str) or status not in STATES:
        return None
    found = _ATTEMPT.fullmatch(run_id)
    head, attempt = (found[1], int(found[2]) + 1) if found else (run_id, 1)
    retries = document.get("retries")
    limit = retries + 1 if isinstance(retries, int) else None
    again = STATES[status] is RunState.FAILED and limit is not None and attempt < limit
    state = RunState.RUNNING if again else STATES[status]
    over = state.is_terminal
    started, ended = instant(run.get("StartedOn")), instant(run.get("CompletedOn"))
    at = place.instant(ended or instant(run.get("LastModifiedOn")) or started)
    if at is None:
        return None
    patch = RunPatch(
        aliases=place.run_aliases(identifier(name), head),
        job=JobRef(place.source, place.namespace, identifier(name)),
        event_type=cut(status, 32),
        authority=place.authority,
        state=state,
        native_run_id=identifier(head),
        attempt=attempt,
        max_attempts=limit,
        trigger=_TRIGGERS.get(str(document.get("trigger"))),
        started_at=place.instant(started),
        ended_at=place.instant(ended) if over else None,
        error=_error(run) if state.is_bad else None,
        external_url=_url(region, name, run_id),
        tags=_tags(run, over=over),
    )
    key = ("run", run_id, status)
    return place.fact(at, key, stands=not over, run=patch)


def _job_fact(document: Document, place: Place) -> Fact:
    job = member(document, "job")
    schedules = document.get("schedules")
    crons = [cron_of(str(each)) for each in schedules] if isinstance(schedules, list) else []  # pyright: ignore
    only = crons[0] if len(crons) == 1 else None
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(str(job.get("Name")))),
        owner=owner_of(tags_of(document.get("tags"))),
        tags=tags_of(document.get("tags")) or None,
        description=said(str(job.get("Description") or "")),
        job_type="JOB",
        integration="GLUE",
        schedule=only or "",
        timezone="UTC" if only else None,
    )
    return place.definition("job", jobs=(patch,))


def _tags(run: Row, *, over: bool) -> dict[str, str] | None:
    kept = {**_KEPT, **({"ExecutionTime": _HELD} if over else {})}
    return {label: str(run[field]) for field, label in kept.items() if run.get(field) is not None} or None


def _error(run: Row) -> RunError | None:
    """`An error occurred while calling o98.save. No space left`; Python's last line names its exception first."""
    text = str(run.get("ErrorMessage") or "").strip()
    if not text:
        return None
    kind, found, _ = text.partition(":")
    is_kind = bool(found) and kind.replace(".", "").isalnum() and kind.endswith(("Error", "Exception"))
    return RunError(cut(text, 4_096), cut(kind, NAME_CHARS) if is_kind else "")


def _url(region: str, name: str, run_id: str) -> str:
    return f"https://{region}.console.aws.amazon.com/gluestudio/home?region={region}#/job/{name}/run/{run_id}"
