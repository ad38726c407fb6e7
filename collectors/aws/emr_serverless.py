"""Amazon EMR Serverless: job runs of its applications, asked of its API, and told by EventBridge.

Runs are listed by when they were created, application by application, without their beginning and their end: each is
asked for by itself, until it has ended. An event names a run and not its job, so it is a reason to ask. Source: EMR
Serverless API reference, "ListJobRuns", "GetJobRun"; EMR Serverless user guide, "Monitoring with Amazon EventBridge".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from pydantic import Field

from collectors.asking import Row, member, members, record
from collectors.aws.hints import Hint, HintedSourceOf
from collectors.aws.source import AwsPoller, QueuedAwsSource, instant, pages, plain
from collectors.aws.tags import owner_of, tags_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.texts import NAME_CHARS, cut
from collectors.polled import unless_gone
from collectors.remembered import forget_oldest
from collectors.source import Seen
from watchtower.config.types import Section
from watchtower.model.fact import Fact
from watchtower.model.run import ENGINE_TAG, Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "emr_serverless"
STATES: Final[Mapping[str, RunState]] = {
    "SUBMITTED": RunState.QUEUED,
    "PENDING": RunState.QUEUED,
    "SCHEDULED": RunState.QUEUED,
    "QUEUED": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "CANCELLING": RunState.RUNNING,
    "SUCCESS": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
}
# What a run does (jobDriver, with its arguments) is answered, too, and not kept.
_RUN: Final = (
    "applicationId", "jobRunId", "name", "state", "stateDetails", "createdBy", "createdAt", "updatedAt", "startedAt",
    "endedAt", "releaseLabel", "mode", "attempt",
)  # fmt: skip
ID: Final = re.compile(r"[0-9a-z]{1,64}")
_BILLED: Final = {"vCPUHour": "vcpu_hours", "memoryGBHour": "memory_gb_hours", "storageGBHour": "storage_gb_hours"}
_MOST_ENDED: Final = 20_000


class EmrServerlessSource(QueuedAwsSource):
    """Job runs of the applications of one account."""

    applications: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")


class EmrServerlessConfig(Section):
    """`collectors: {emr_serverless: …}`."""

    sources: tuple[EmrServerlessSource, ...] = Field(default=(), description="what is asked")


class PolledEmrServerless(HintedSourceOf[EmrServerlessSource]):
    """ports.PolledSource. References are `APPLICATION/RUN`."""

    kind = KIND
    service = "emr-serverless"

    def __init__(self, config: EmrServerlessSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._ended: dict[str, None] = {}  # runs that were read to their end

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, region=self.config.region)

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        found = False
        for page in pages(self.ask, "list_applications"):
            for application in members(page, "applications"):
                if any(fnmatchcase(str(application.get("name")), each) for each in self.config.applications):
                    for listing in self._runs(str(application["id"]), window.since):
                        found = True
                        yield listing
        if not found:
            yield []

    def again(self, reference: str) -> Seen | None:
        application, _, run_id = reference.partition("/")
        asked = {"applicationId": application, "jobRunId": run_id}
        found = unless_gone(lambda: self.ask("get_job_run", **asked), "ResourceNotFound")
        return self._seen(member(found, "jobRun")) if found is not None else None

    def hint(self, event: Document) -> Hint:
        if event.get("detail-type") == "EMR Serverless Application State Change":
            return ()
        if event.get("detail-type") != "EMR Serverless Job Run State Change":
            return None
        detail = member(event, "detail")
        named = [str(detail.get(name) or "") for name in ("applicationId", "jobRunId")]
        return ("/".join(named),) if all(map(ID.fullmatch, named)) else None

    def _runs(self, application: str, since: datetime) -> Iterator[Sequence[Seen]]:
        """What was created since then. One that had ended is not asked for again, once what it said is stored."""
        for page in pages(self.ask, "list_job_runs", applicationId=application, createdAtAfter=since):
            named = [f"{application}/{row.get('id')}" for row in members(page, "jobRuns")]
            found = [seen for each in named if each not in self._ended and (seen := self.again(each)) is not None]
            yield found
            self._ended.update(dict.fromkeys(seen.reference for seen in found if not seen.is_open))
            forget_oldest(self._ended, _MOST_ENDED)

    def _seen(self, run: Row) -> Seen:
        reference = f"{run.get('applicationId')}/{run.get('jobRunId')}"
        state = STATES.get(str(run.get("state")), RunState.RUNNING)
        shown = {name: run[name] for name in _RUN if run.get(name) is not None}
        told = {
            "tags": run.get("tags"),
            "billed": run.get("billedResourceUtilization"),
            "tries": member(run, "retryPolicy").get("maxAttempts"),
            "engine": "Hive" if "hive" in member(run, "jobDriver") else "Spark",
        }
        kept = {name: value for name, value in told.items() if value}
        return Seen(reference, record(run=plain({**shown, **kept})), not state.is_terminal)


class EmrServerless(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = EmrServerlessConfig
    polled = PolledEmrServerless


def decode(body: bytes, received: Received, *, namespace: str, region: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        return _facts(member(document, "run"), place, region) if isinstance(document.get("run"), dict) else None

    return decode_documents(body, read, "a job run of EMR Serverless")


def _facts(run: Row, place: Place, region: str) -> Sequence[Fact] | None:
    ident, application, status = run.get("jobRunId"), run.get("applicationId"), str(run.get("state"))
    state = STATES.get(status)
    created, started, ended, updated = (
        place.instant(instant(run.get(name))) for name in ("createdAt", "startedAt", "endedAt", "updatedAt")
    )
    if not isinstance(ident, str) or not isinstance(application, str) or state is None or created is None:
        return None
    ref = JobRef(place.source, place.namespace, identifier(str(run.get("name") or application)))
    attempt, tries = run.get("attempt"), run.get("tries")
    over = state.is_terminal
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, ident),
        job=ref,
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(ident),
        attempt=attempt if isinstance(attempt, int) and attempt > 0 else None,
        max_attempts=tries if isinstance(tries, int) and tries > 0 else None,
        actor=_actor(str(run.get("createdBy") or "")),
        queued_at=created,
        started_at=started,
        ended_at=(ended or updated) if over else None,
        error=_error(run) if state.is_bad else None,
        external_url=_url(region, application, ident),
        tags=_tags(run),
    )
    tags = tags_of(run.get("tags"))
    described = JobPatch(ref, owner=owner_of(tags), tags=tags or None, job_type="JOB_RUN", integration="EMR_SERVERLESS")
    at = ((ended or updated) if over else None) or started or created
    key = ("run", ident, status, str(attempt))
    return [place.fact(at, key, stands=not over, run=patch, jobs=(described,))]


def _tags(run: Row) -> dict[str, str] | None:
    billed = member(run, "billed")
    told = {name: billed.get(key) for key, name in _BILLED.items()}
    if release := run.get("releaseLabel"):
        told[ENGINE_TAG] = f"{run.get('engine')} of {release}"
    return {name: cut(str(value), NAME_CHARS) for name, value in told.items() if value is not None} or None


def _actor(arn: str) -> str | None:
    """`arn:aws:sts::1234:assumed-role/etl/airflow` → `etl/airflow`."""
    return cut(arn.rpartition(":")[2].partition("/")[2] or arn, NAME_CHARS) or None


def _error(run: Row) -> RunError:
    """`Job failed, please check complete logs in configured logging destination. ExitCode: 1 …`"""
    return RunError(cut(str(run.get("stateDetails") or "the job run failed"), 4_096))


def _url(region: str, application: str, run_id: str) -> str:
    place = f"serverless-applications/{application}/{run_id}"
    return f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/{place}"
