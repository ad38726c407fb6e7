"""Google Cloud Vertex AI: runs of pipelines with their tasks, and their schedules, asked of its API.

Source: Vertex AI API v1, "projects.locations.pipelineJobs", "projects.locations.schedules", "PipelineTaskDetail".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from collectors.asking import Row, kept, member, members, record
from collectors.documents import Document, Place, decode_documents
from collectors.google.source import GoogleListed, GooglePoller, GoogleSource
from collectors.identity import identifier, task_alias
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, said
from collectors.source import Seen, SlicedSource
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "vertex_ai"
PAGE: Final = 20  # runs with all their tasks: an answer has a limit
# Of a pipeline `PIPELINE_STATE_RUNNING`, of a task `RUNNING`.
STATES: Final[Mapping[str, RunState]] = {
    "QUEUED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
    "CANCEL_PENDING": RunState.RUNNING,
    "CANCELLING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
    "SKIPPED": RunState.SKIPPED,
    "NOT_TRIGGERED": RunState.SKIPPED,
}
_PREFIX: Final = "PIPELINE_STATE_"
_TIMED_OUT: Final = 4  # DEADLINE_EXCEEDED of google.rpc.Code
_RUN: Final = (
    "name", "displayName", "createTime", "startTime", "endTime", "updateTime", "state", "labels", "scheduleName",
)  # fmt: skip
_TASK: Final = ("taskId", "parentTaskId", "taskName", "createTime", "startTime", "endTime", "state")
_ERROR: Final = ("code", "message")
_UNIQUE: Final = re.compile(r"[-_ ](?:[0-9]{8}[-_t]?[0-9]{4,6}|[0-9]{10,20}|[0-9]{4}(?:-[0-9]{2}){2,5})$")
_ZONE: Final = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")


class VertexAiSource(GoogleSource):
    """Pipelines."""


class VertexAiConfig(Section):
    """`collectors: {vertex_ai: …}`."""

    sources: tuple[VertexAiSource, ...] = Field(default=(), description="what is asked")


class PolledVertexAi(GoogleListed[VertexAiSource], SlicedSource[VertexAiSource]):
    """ports.PolledSource. References are paths below `v1/`."""

    kind = KIND

    def __init__(self, config: VertexAiSource, context: PollContext) -> None:
        super().__init__(config, context, f"https://{config.region}-aiplatform.googleapis.com")
        self._of = f"projects/{config.project}/locations/{config.region}"

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, project=self.config.project)

    def definitions(self, window: Window) -> Iterator[Page]:
        if window.deep:
            rows = [
                row for answer in self.answers(f"{self._of}/schedules", "schedules", pageSize=100) for row in answer
            ]
            shown = tuple(record(schedules=each) for each in _schedules(rows))
            yield Page(shown, coverage={"schedules": len(rows)})

    def between(self, since: datetime, until: datetime | None) -> Iterator[Sequence[Seen]]:
        span = f'update_time>="{since.isoformat()}"' + (f' AND update_time<="{until.isoformat()}"' if until else "")
        for rows in self.answers(f"{self._of}/pipelineJobs", "pipelineJobs", filter=span, pageSize=PAGE):
            yield [_seen(row) for row in rows]

    def again(self, reference: str) -> Seen | None:
        row = self.found(quote(reference, safe="/"))
        return None if row is None else _seen(row)


class VertexAi(GooglePoller):
    """ports.Poller."""

    kind = KIND
    Config = VertexAiConfig
    polled = PolledVertexAi


def pipeline_of(job: Row) -> str:
    """The name in its template; without one its own, less the time behind it."""
    told = member(member(job, "pipelineSpec"), "pipelineInfo").get("name") or job.get("pipeline")
    shown = str(job.get("displayName") or job.get("name"))
    return identifier(str(told or _UNIQUE.sub("", shown) or shown))


def state_of(word: str) -> RunState | None:
    return STATES.get(word.removeprefix(_PREFIX))


def _seen(job: Row) -> Seen:
    details = members(member(job, "jobDetail"), "taskDetails")
    tasks = [{**kept(task, _TASK), "error": kept(member(task, "error"), _ERROR)} for task in details]
    shown = {**kept(job, _RUN), "error": kept(member(job, "error"), _ERROR), "pipeline": pipeline_of(job)}
    if version := member(job, "templateMetadata").get("version"):  # of a template in a registry, e.g. sha256:…
        shown["version"] = version
    state = state_of(str(job.get("state"))) or RunState.RUNNING
    return Seen(str(job.get("name")), record(run=shown, tasks=tasks), not state.is_terminal)


def _schedules(rows: Sequence[Row]) -> list[list[dict[str, Any]]]:
    """Those of one pipeline together."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        job = member(member(row, "createPipelineJobRequest"), "pipelineJob")
        if job:
            name = pipeline_of(job)
            found.setdefault(name, []).append({"pipeline": name, **kept(row, ("cron", "state"))})
    return [found[name] for name in sorted(found)]


def decode(body: bytes, received: Received, *, namespace: str, project: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("run"), dict):
            return _run_facts(member(document, "run"), members(document, "tasks"), place, project)
        if schedules := members(document, "schedules"):
            return [_job_fact(schedules, place)]
        return None

    return decode_documents(body, read, "a run or a schedule of a pipeline of Vertex AI")


def _run_facts(run: Row, tasks: Sequence[Row], place: Place, project: str) -> Sequence[Fact] | None:
    name, word, state = run.get("name"), str(run.get("state")), state_of(str(run.get("state")))
    created, started, ended, updated = (
        place.instant(_at(run, field)) for field in ("createTime", "startTime", "endTime", "updateTime")
    )
    if not isinstance(name, str) or state is None:
        return None
    at = (ended if state.is_terminal else None) or updated or started or created
    if at is None:
        return None
    ref = JobRef(place.source, place.namespace, identifier(str(run.get("pipeline"))))
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, name),
        job=ref,
        event_type=cut(word.removeprefix(_PREFIX), 32),
        authority=Authority.API,
        state=_judged(run, state),
        native_run_id=identifier(name),
        trigger=Trigger.SCHEDULE if run.get("scheduleName") else None,
        code_version=said(str(run.get("version") or ""), NAME_CHARS),
        queued_at=created,
        started_at=started,
        ended_at=(ended or at) if state.is_terminal else None,
        error=_error(run) if state.is_bad else None,
        external_url=_url(name, project),
    )
    labels = {cut(key, NAME_CHARS): cut(str(value), NAME_CHARS) for key, value in member(run, "labels").items()}
    described = JobPatch(
        ref,
        owner=labels.get("owner") or labels.get("team"),
        tags=dict(list(labels.items())[:MAX_LABELS]) or None,
        job_type="PIPELINE",
        integration="VERTEX_AI",
    )
    fact = place.fact(at, ("run", name, word), stands=not state.is_terminal, run=patch, jobs=(described,))
    parents = {str(task.get("parentTaskId")) for task in tasks if task.get("parentTaskId")}
    # A task that others belong to is a part of the pipeline, or the whole of it, and does nothing itself.
    leaves = [task for task in tasks if str(task.get("taskId")) not in parents]
    return [fact, *(each for task in leaves if (each := _task_fact(task, name, patch, place)))]


def _task_fact(task: Row, name: str, run: RunPatch, place: Place) -> Fact | None:
    ident, called, word = str(task.get("taskId")), task.get("taskName"), str(task.get("state"))
    state = state_of(word)
    created, started, ended = (place.instant(_at(task, field)) for field in ("createTime", "startTime", "endTime"))
    if not isinstance(called, str) or state is None:
        return None
    at = (ended if state.is_terminal else None) or started or created
    if at is None:
        return None
    patch = RunPatch(
        aliases=(task_alias(place.source, place.namespace, "", name, task=ident, map_index=None, attempt=1),),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(called)),
        event_type=cut(word, 32),
        authority=Authority.API,
        state=_judged(task, state),
        final=True if state.is_terminal else None,
        parent_alias=run.aliases[0],
        native_run_id=run.native_run_id,
        queued_at=created,
        started_at=started,
        ended_at=(ended or at) if state.is_terminal else None,
        error=_error(task) if state.is_bad else None,
        external_url=run.external_url,
    )
    return place.fact(at, ("task", name, ident, word), stands=not state.is_terminal, run=patch)


def _job_fact(schedules: Sequence[Row], place: Place) -> Fact:
    """A pipeline that several schedules start is waited for by none."""
    active = [each for each in schedules if each.get("state") == "ACTIVE"]
    found = cron_of(str(active[0].get("cron") or "")) if len(active) == 1 else None
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(str(schedules[0].get("pipeline")))),
        job_type="PIPELINE",
        integration="VERTEX_AI",
        schedule=found[0] if found else "",
        timezone=found[1] if found else None,
        paused=not active and any(each.get("state") == "PAUSED" for each in schedules),
    )
    return place.definition("schedules", jobs=(patch,))


def cron_of(text: str) -> tuple[str, str] | None:
    """`TZ=Europe/Berlin 0 6 * * *` → (`0 6 * * *`, `Europe/Berlin`); without a zone it is UTC."""
    zoned = _ZONE.fullmatch(text.strip())
    cron, zone = (zoned[2], zoned[1]) if zoned else (text, "UTC")
    return (" ".join(cron.split()), zone) if len(cron.split()) == 5 else None


def _judged(said: Row, state: RunState) -> RunState:
    return RunState.TIMED_OUT if state.is_bad and member(said, "error").get("code") == _TIMED_OUT else state


def _error(said: Row) -> RunError:
    """The code is one of google.rpc.Code, as a number."""
    error = member(said, "error")
    message, code = str(error.get("message") or "").strip(), error.get("code")
    return RunError(cut(message or "it failed", 4_096), f"code {code}" if code else "")


def _url(name: str, project: str) -> str | None:
    """`projects/NUMBER/locations/REGION/pipelineJobs/ID`."""
    parts = name.split("/")
    if len(parts) != 6:
        return None
    place = f"locations/{parts[3]}/runs/{quote(parts[5], safe='')}"
    return f"https://console.cloud.google.com/vertex-ai/pipelines/{place}?project={project}"


def _at(row: Row, name: str) -> datetime | None:
    return parse_instant(str(row.get(name) or ""))
