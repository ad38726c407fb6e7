"""Google Cloud Dataproc: jobs on clusters, and serverless batches, asked of its API.

The id of a job is new for each run: what it is called by is a label, or the id without what makes it unique, or the
file that it runs. Source: Cloud Dataproc API v1, "projects.regions.jobs", "projects.locations.batches".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import quote

from pydantic import Field

from collectors.asking import Row, kept, member, members, record
from collectors.documents import Document, Place, decode_documents
from collectors.google.source import GoogleListed, GooglePoller, GoogleSource
from collectors.identity import identifier
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, said
from collectors.source import Seen
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "dataproc"
PAGE: Final = 100
DEEPEST: Final = 20  # pages of jobs without anything new that a deep poll reads
STATES: Final[Mapping[str, RunState]] = {
    "PENDING": RunState.QUEUED,
    "SETUP_DONE": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "CANCEL_PENDING": RunState.RUNNING,
    "CANCEL_STARTED": RunState.RUNNING,
    "CANCELLING": RunState.RUNNING,
    "ATTEMPT_FAILURE": RunState.RETRY_WAIT,
    "DONE": RunState.SUCCEEDED,
    "SUCCEEDED": RunState.SUCCEEDED,
    "CANCELLED": RunState.CANCELLED,
    "ERROR": RunState.FAILED,
    "FAILED": RunState.FAILED,
}
_GOOGLES: Final = "goog-"  # labels that Google sets, some of them anew for each run
_TEMPLATE: Final = ("goog-dataproc-workflow-template-id", "goog-dataproc-workflow-step-id")
_UNIQUE: Final = re.compile(
    r"[-_](?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|[0-9a-f]{12,40}|[0-9]{8}[-_t]?[0-9]{4,6}"
    r"|[0-9]{10,14}|[0-9]{4}-?[0-9]{2}-?[0-9]{2}|[a-z0-9]{13})$"
)
_NAMELESS: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAIN: Final = ("mainPythonFileUri", "mainClass", "mainJarFileUri", "mainRFileUri", "queryFileUri")
_STATUS: Final = ("state", "details", "stateStartTime")
_BATCH: Final = ("name", "uuid", "createTime", "state", "stateMessage", "stateTime", "creator", "labels")


class DataprocSource(GoogleSource):
    """Jobs and batches."""

    job_label: str | None = Field(default=None, max_length=63, description="label whose value is the job's name")
    batches: bool = Field(default=True, description="read serverless batches, too")


class DataprocConfig(Section):
    """`collectors: {dataproc: …}`."""

    sources: tuple[DataprocSource, ...] = Field(default=(), description="what is asked")


class PolledDataproc(GoogleListed[DataprocSource]):
    """ports.PolledSource. References are paths below `v1/`."""

    kind = KIND

    def __init__(self, config: DataprocSource, context: PollContext) -> None:
        super().__init__(config, context, f"https://{config.region}-dataproc.googleapis.com")
        self._jobs = f"projects/{config.project}/regions/{config.region}/jobs"
        self._batches = f"projects/{config.project}/locations/{config.region}/batches"

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, label=self.config.job_label)

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        yield from self._of_clusters(window)
        if self.config.batches:
            since = f'create_time >= "{window.since.isoformat()}"'
            asked = {"filter": since, "orderBy": "create_time desc", "pageSize": PAGE}
            for rows in self.answers(self._batches, "batches", **asked):
                yield [_batch(row) for row in rows]

    def again(self, reference: str) -> Seen | None:
        row = self.found(quote(reference, safe="/"))
        return None if row is None else (_batch(row) if "/batches/" in reference else self._job(row))

    def _of_clusters(self, window: Window) -> Iterator[Sequence[Seen]]:
        """All jobs that are active, then those that have ended. They come newest first, but the API does not promise
        it: a poll stops after a page on which nothing changed since, a deep one after some of them."""
        for rows in self.answers(self._jobs, "jobs", jobStateMatcher="ACTIVE", pageSize=PAGE):
            yield [self._job(row) for row in rows]
        ended = self.answers(self._jobs, "jobs", jobStateMatcher="NON_ACTIVE", pageSize=PAGE)
        stale = 0
        for rows in ended:
            new = [
                row for row in rows if (_at(member(row, "status"), "stateStartTime") or window.since) >= window.since
            ]
            yield [self._job(row) for row in new]
            stale = 0 if new else stale + 1
            if stale >= (DEEPEST if window.deep else 1):
                return

    def _job(self, job: Row) -> Seen:
        reference = member(job, "reference")
        kind = next((name for name in job if name.endswith("Job") and isinstance(job[name], dict)), "")
        shown = {
            "id": reference.get("jobId"),
            "uuid": job.get("jobUuid"),
            "cluster": member(job, "placement").get("clusterName"),
            "kind": kind.removesuffix("Job"),
            "main": _main(member(job, kind)),
            "labels": member(job, "labels"),
            "status": kept(member(job, "status"), _STATUS),
            "history": [kept(each, ("state", "stateStartTime")) for each in members(job, "statusHistory")],
        }
        state = STATES.get(str(member(job, "status").get("state")), RunState.RUNNING)
        return Seen(f"{self._jobs}/{reference.get('jobId')}", record(job=shown), not state.is_terminal)


class Dataproc(GooglePoller):
    """ports.Poller."""

    kind = KIND
    Config = DataprocConfig
    polled = PolledDataproc


def _batch(batch: Row) -> Seen:
    kind = next((name for name in batch if name.endswith("Batch") and isinstance(batch[name], dict)), "")
    usage = member(member(batch, "runtimeInfo"), "approximateUsage")
    shown = {
        **kept(batch, _BATCH),
        "kind": kind.removesuffix("Batch"),
        "main": _main(member(batch, kind)),
        "history": [kept(each, ("state", "stateStartTime")) for each in members(batch, "stateHistory")],
        "usage": kept(usage, ("milliDcuSeconds", "shuffleStorageGbSeconds")),
    }
    state = STATES.get(str(batch.get("state")), RunState.RUNNING)
    return Seen(str(batch.get("name")), record(batch=shown), not state.is_terminal)


def _main(of: Row) -> str | None:
    """What it runs: the last part of a file's address, or a class."""
    main = next((str(of[name]) for name in _MAIN if of.get(name)), None)
    return main.rpartition("/")[2] if main else None


def job_name(ident: str, labels: Row, main: str | None, label: str | None) -> str:
    """`load-orders-3f2a9c11` → `load-orders`; one whose id is nothing but unique is called by what it runs."""
    if label and labels.get(label):
        return identifier(str(labels[label]))
    if all(labels.get(each) for each in _TEMPLATE):
        return identifier(".".join(str(labels[each]) for each in _TEMPLATE))
    if main and _NAMELESS.fullmatch(ident):
        return identifier(main)
    return identifier(_UNIQUE.sub("", ident) or ident)


def decode(body: bytes, received: Received, *, namespace: str, label: str | None) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("job"), dict):
            return _job_facts(member(document, "job"), place, label)
        if isinstance(document.get("batch"), dict):
            return _batch_facts(member(document, "batch"), place, label)
        return None

    return decode_documents(body, read, "a job or a batch of Dataproc")


def _job_facts(job: Row, place: Place, label: str | None) -> Sequence[Fact] | None:
    status = member(job, "status")
    told = {
        "id": job.get("uuid") or job.get("id"),
        "name": job_name(str(job.get("id")), member(job, "labels"), _text(job, "main"), label),
        "state": status.get("state"),
        "message": status.get("details"),
        "at": status.get("stateStartTime"),
        "integration": "DATAPROC",
    }
    return _facts(told, job, place, {"cluster": job.get("cluster"), "kind": job.get("kind")})


def _batch_facts(batch: Row, place: Place, label: str | None) -> Sequence[Fact] | None:
    ident = str(batch.get("name")).rpartition("/")[2]
    told = {
        "id": batch.get("uuid") or batch.get("name"),
        "name": job_name(ident, member(batch, "labels"), _text(batch, "main"), label),
        "state": batch.get("state"),
        "message": batch.get("stateMessage"),
        "at": batch.get("stateTime"),
        "created": batch.get("createTime"),
        "actor": batch.get("creator"),
        "integration": "DATAPROC_SERVERLESS",
    }
    used = str(member(batch, "usage").get("milliDcuSeconds") or "")
    dcu = f"{int(used) / 1000:g}" if used.isdecimal() else None
    return _facts(told, batch, place, {"kind": batch.get("kind"), "dcu_seconds": dcu})


def _facts(told: Row, of: Row, place: Place, tags: Mapping[str, Any]) -> Sequence[Fact] | None:
    ident, word, state = told.get("id"), str(told.get("state")), STATES.get(str(told.get("state")))
    at = place.instant(_at(told, "at"))
    if not isinstance(ident, str) or state is None or at is None:
        return None
    over, ref = state.is_terminal, JobRef(place.source, place.namespace, str(told["name"]))
    began = {str(each.get("state")): _at(each, "stateStartTime") for each in reversed(members(of, "history"))}
    began = {word: at, **began} if not over else began
    message = str(told.get("message") or "").strip()
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, ident),
        job=ref,
        event_type=cut(word, 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(ident),
        actor=said(str(told.get("actor") or ""), NAME_CHARS),
        queued_at=place.instant(_at(told, "created") or began.get("PENDING")),
        started_at=place.instant(began.get("RUNNING")),
        ended_at=at if over else None,
        error=RunError(cut(message or word, 4_096), cut(word, NAME_CHARS)) if state.is_bad else None,
        tags={name: cut(str(value), NAME_CHARS) for name, value in tags.items() if value} or None,
    )
    given = {name: value for name, value in member(of, "labels").items() if not name.startswith(_GOOGLES)}
    labels = {cut(name, NAME_CHARS): cut(str(value), NAME_CHARS) for name, value in given.items()}
    described = JobPatch(
        ref,
        owner=labels.get("owner") or labels.get("team"),
        tags=dict(list(labels.items())[:MAX_LABELS]) or None,
        job_type="JOB",
        integration=str(told["integration"]),
    )
    return [place.fact(at, ("run", ident, word), stands=not over, run=patch, jobs=(described,))]


def _at(row: Row, name: str) -> datetime | None:
    return parse_instant(str(row.get(name) or ""))


def _text(row: Row, name: str) -> str | None:
    return cast("str", row[name]) if isinstance(row.get(name), str) else None
