"""Amazon SageMaker: training, processing and transform jobs, and pipelines with their steps, asked and told.

A job's name is new for each run, mostly a name with the time behind; without that it is the job here. Jobs of a
pipeline's steps are told as those steps. Sources: Amazon SageMaker API reference; "SageMaker … State Change" events.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import Field

from collectors.asking import Row, member, members, record
from collectors.aws.source import Ask, AwsPoller, QueuedAwsSource, QueuedSourceOf, instant, pages, plain
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, task_alias
from collectors.openlineage.texts import NAME_CHARS, cut
from collectors.polled import unless_gone
from collectors.polled_ids import open_ids, to_cursor
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, Received

KIND: Final = "sagemaker"
STATES: Final[Mapping[str, RunState]] = {
    "Starting": RunState.QUEUED,
    "InProgress": RunState.RUNNING,
    "Executing": RunState.RUNNING,
    "Stopping": RunState.RUNNING,
    "Completed": RunState.SUCCEEDED,
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Stopped": RunState.CANCELLED,
}
_OF_A_PIPELINE: Final = "pipelines-"  # how the jobs of a pipeline's steps are called
_UNIQUE: Final = re.compile(r"-(?:\d{4}(?:-\d\d){5}(?:-\d{3})?|\d{3}-[0-9a-f]{8}|\d{10,14})$")
_TIMED_OUT: Final = "MaxRuntimeExceeded"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of job, as the API calls it; the events are named alike."""

    name: str  # Training
    start: str
    end: str

    @property
    def operation(self) -> str:
        return self.name.lower()

    def field(self, what: str) -> str:
        return f"{self.name}Job{what}"


KINDS: Final = (
    _Kind("Training", "TrainingStartTime", "TrainingEndTime"),
    _Kind("Processing", "ProcessingStartTime", "ProcessingEndTime"),
    _Kind("Transform", "TransformStartTime", "TransformEndTime"),
)


class SageMakerSource(QueuedAwsSource):
    """Jobs and pipelines."""

    pipelines: bool = Field(default=True, description="read pipelines and their steps, too")


class SageMakerConfig(Section):
    """`collectors: {sagemaker: …}`."""

    sources: tuple[SageMakerSource, ...] = Field(default=(), description="what is asked")


class PolledSageMaker(QueuedSourceOf[SageMakerSource]):
    """ports.PolledSource."""

    kind = KIND
    service = "sagemaker"

    def read(self, window: Window) -> Iterator[Page]:
        ask = self.ask
        started = None
        for kind in KINDS:
            for page in _listed(ask, kind, window):
                started = started or ask.now
                yield Page(tuple(_job_record(ask, kind, str(row[kind.field("Name")])) for row in page))
        started = started or ask.now
        still: dict[str, None] = {}
        if self.config.pipelines:
            yield from self._pipelines(ask, window, still)
        yield from self.beside()
        yield Page(mark=started or window.until, cursor=to_cursor(list(still)))

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, region=self.config.region)

    def _pipelines(self, ask: Ask, window: Window, still: dict[str, None]) -> Iterator[Page]:
        """Executions that began since the window's beginning, and those that had not ended at the last poll."""
        names = [
            str(row["PipelineName"])
            for page in pages(ask, "list_pipelines", following="NextToken")
            for row in members(page, "PipelineSummaries")
        ]
        arns = dict.fromkeys(open_ids(window.cursor))
        for name in names:
            found = pages(
                ask,
                "list_pipeline_executions",
                following="NextToken",
                PipelineName=name,
                CreatedAfter=window.since,
                SortBy="CreationTime",
            )
            for page in found:
                arns.update(
                    (str(row["PipelineExecutionArn"]), None) for row in members(page, "PipelineExecutionSummaries")
                )
        for arn in arns:
            execution = _found(ask, arn)
            if execution is None:
                continue
            steps = [
                plain(step)
                for page in pages(ask, "list_pipeline_execution_steps", following="NextToken", PipelineExecutionArn=arn)
                for step in members(page, "PipelineExecutionSteps")
            ]
            if not STATES.get(str(execution.get("PipelineExecutionStatus")), RunState.RUNNING).is_terminal:
                still[arn] = None
            yield Page((record(execution=_kept(execution), steps=steps),), coverage={"pipelines": len(names)})


class SageMaker(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = SageMakerConfig
    polled = PolledSageMaker


def _listed(ask: Ask, kind: _Kind, window: Window) -> Iterator[list[Row]]:
    """Jobs that changed since the window's beginning: SageMaker knows when that was."""
    arguments = {"LastModifiedTimeAfter": window.since, "SortBy": "CreationTime", "MaxResults": 100}
    for page in pages(ask, f"list_{kind.operation}_jobs", following="NextToken", **arguments):
        rows = members(page, f"{kind.name}JobSummaries")
        wanted = [row for row in rows if not str(row.get(kind.field("Name"))).startswith(_OF_A_PIPELINE)]
        if wanted:
            yield wanted


def _found(ask: Ask, arn: str) -> Row | None:
    """An execution; None for one whose pipeline was deleted meanwhile."""
    found = unless_gone(lambda: ask("describe_pipeline_execution", PipelineExecutionArn=arn), "ResourceNotFound")
    return plain(found) if found is not None else None


def _job_record(ask: Ask, kind: _Kind, name: str) -> bytes:
    found = plain(ask(f"describe_{kind.operation}_job", **{kind.field("Name"): name}))
    wanted = (kind.field("Name"), kind.field("Arn"), kind.field("Status"), kind.start, kind.end)
    more = ("SecondaryStatus", "CreationTime", "LastModifiedTime", "FailureReason", "BillableTimeInSeconds")
    resources = member(found, "ResourceConfig") or member(member(found, "ProcessingResources"), "ClusterConfig")
    return record(
        kind=kind.name,
        job={field: found[field] for field in (*wanted, *more) if found.get(field) is not None},
        instance_type=resources.get("InstanceType") or member(found, "TransformResources").get("InstanceType"),
    )


def _kept(execution: Row) -> dict[str, Any]:
    wanted = ("PipelineArn", "PipelineExecutionArn", "PipelineExecutionDisplayName", "PipelineExecutionStatus")
    times = ("CreationTime", "LastModifiedTime", "FailureReason")
    kept = {name: execution[name] for name in (*wanted, *times) if execution.get(name) is not None}
    return {**kept, "CreatedBy": member(execution, "CreatedBy").get("UserProfileName")}


def decode(body: bytes, received: Received, *, namespace: str, region: str) -> Decoded:
    """Records of the poll, and events of EventBridge."""

    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        told = str(document.get("detail-type") or "")
        if told:
            return _event_facts(told, member(document, "detail"), replace(place, authority=Authority.STREAM), region)
        if isinstance(document.get("job"), dict):
            kind = next((kind for kind in KINDS if kind.name == document.get("kind")), None)
            return _job_facts(kind, member(document, "job"), document, place, region=region) if kind else None
        if isinstance(document.get("execution"), dict):
            return _execution_facts(member(document, "execution"), members(document, "steps"), place, region)
        return None

    return decode_documents(body, read, "a job or a pipeline's execution of SageMaker, or an event of one")


def job_name(name: str) -> str:
    """`train-orders-2026-11-30-06-00-12-345` → `train-orders`."""
    return identifier(_UNIQUE.sub("", name) or name)


def _event_facts(told: str, detail: Row, place: Place, region: str) -> Sequence[Fact] | None:
    for kind in KINDS:
        if told == f"SageMaker {kind.name} Job State Change":
            if str(detail.get(kind.field("Name"))).startswith(_OF_A_PIPELINE):
                return []
            return _job_facts(kind, detail, {}, place, region=region)
    if told == "SageMaker Model Building Pipeline Execution Status Change":
        execution = {
            "PipelineArn": detail.get("pipelineArn"),
            "PipelineExecutionArn": detail.get("pipelineExecutionArn"),
            "PipelineExecutionStatus": detail.get("currentPipelineExecutionStatus"),
            "CreationTime": detail.get("executionStartTime"),
            "LastModifiedTime": detail.get("executionEndTime") or detail.get("executionStartTime"),
        }
        return _execution_facts(execution, (), place, region)
    return None


def _job_facts(kind: _Kind, job: Row, document: Document, place: Place, *, region: str) -> Sequence[Fact] | None:
    name, arn, status = job.get(kind.field("Name")), job.get(kind.field("Arn")), str(job.get(kind.field("Status")))
    if not isinstance(name, str) or not isinstance(arn, str) or status not in STATES:
        return None
    state = RunState.TIMED_OUT if job.get("SecondaryStatus") == _TIMED_OUT else STATES[status]
    over = state.is_terminal
    created, started, ended = (instant(job.get(field)) for field in ("CreationTime", kind.start, kind.end))
    at = place.instant((ended if over else None) or instant(job.get("LastModifiedTime")) or started or created)
    if at is None:
        return None
    ref = JobRef(place.source, place.namespace, job_name(name))
    billable, machine = job.get("BillableTimeInSeconds"), document.get("instance_type")
    tags = {"instance_type": machine, "billable_s": None if billable is None else str(billable)}
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, arn),
        job=ref,
        event_type=cut(status, 32),
        authority=place.authority,
        state=state,
        native_run_id=identifier(name),
        queued_at=place.instant(created),
        started_at=place.instant(started),
        ended_at=place.instant(ended or at) if over else None,
        error=_error(job) if state.is_bad else None,
        external_url=f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{name}",
        tags={name: str(value) for name, value in tags.items() if value} or None,
    )
    described = JobPatch(ref, job_type=f"{kind.name.upper()}_JOB", integration="SAGEMAKER")
    key = ("job", arn, status)
    return [place.fact(at, key, stands=not over, run=patch, jobs=(described,))]


def _execution_facts(execution: Row, steps: Sequence[Row], place: Place, region: str) -> Sequence[Fact] | None:
    arn, status = execution.get("PipelineExecutionArn"), str(execution.get("PipelineExecutionStatus"))
    if not isinstance(arn, str) or status not in STATES:
        return None
    state = STATES[status]
    over = state.is_terminal
    created, changed = instant(execution.get("CreationTime")), instant(execution.get("LastModifiedTime"))
    at = place.instant((changed if over else created) or changed or created)
    if at is None:
        return None
    patch = RunPatch(
        aliases=place.run_aliases(_pipeline_of(execution, arn), arn),
        job=JobRef(place.source, place.namespace, _pipeline_of(execution, arn)),
        event_type=cut(status, 32),
        authority=place.authority,
        state=state,
        native_run_id=identifier(arn),
        actor=cut(str(execution["CreatedBy"]), NAME_CHARS) if execution.get("CreatedBy") else None,
        started_at=place.instant(created),
        ended_at=at if over else None,
        error=_error(execution) if state.is_bad else None,
        external_url=f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/pipelines",
    )
    run = place.fact(at, ("execution", arn, status), stands=not over, run=patch)
    return [run, *(fact for step in steps if (fact := _step_fact(step, patch, arn, place)))]


def _step_fact(step: Row, run: RunPatch, arn: str, place: Place) -> Fact | None:
    name, status = step.get("StepName"), str(step.get("StepStatus"))
    started, ended = instant(step.get("StartTime")), instant(step.get("EndTime"))
    state = STATES.get(status)
    at = place.instant(ended or started)
    if not isinstance(name, str) or state is None or at is None:
        return None
    attempt = step.get("AttemptCount")
    number = attempt if isinstance(attempt, int) and attempt > 0 else 1
    patch = RunPatch(
        aliases=(task_alias(place.source, place.namespace, "", arn, task=name, map_index=None, attempt=number),),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(name)),
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        final=True if state.is_terminal else None,
        parent_alias=run.aliases[0],
        native_run_id=run.native_run_id,
        attempt=number,
        started_at=place.instant(started),
        ended_at=place.instant(ended) if state.is_terminal else None,
        error=_error(step) if state.is_bad else None,
        external_url=run.external_url,
    )
    return place.fact(at, ("step", arn, name, str(number), status), stands=not state.is_terminal, run=patch)


def _error(said: Row) -> RunError | None:
    """`AlgorithmError: ExecuteUserScriptError: …`."""
    text = str(said.get("FailureReason") or "").strip()
    if not text:
        return None
    kind, found, _ = text.partition(":")
    return RunError(cut(text, 4_096), cut(kind, NAME_CHARS) if found and kind.isalnum() else "")


def _pipeline_of(execution: Row, arn: str) -> str:
    """`arn:aws:sagemaker:REGION:ACCOUNT:pipeline/NAME/execution/ID`."""
    parts = str(execution.get("PipelineArn") or arn).partition(":pipeline/")[2].split("/")
    return identifier(parts[0] or arn)
