"""Amazon EMR: clusters and their steps, asked of its API, and told by EventBridge.

A cluster that ends with its last step is a run, and its steps are the run's tasks. On one that stays, each step is a
run by itself. Both are remembered until they have ended. An event does not say which of the two a step's cluster is, so
it is a reason to ask. Sources: Amazon EMR API reference, "ListClusters", "ListSteps", "ClusterStatus", "StepStatus";
Amazon EMR management guide, "Monitor CloudWatch events".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from pydantic import Field

from collectors.asking import Row, member, members, record
from collectors.aws.hints import Hint, HintedSourceOf
from collectors.aws.source import AwsPoller, QueuedAwsSource, instant, pages, plain
from collectors.aws.tags import owner_of, tags_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, task_alias
from collectors.openlineage.texts import NAME_CHARS, cut
from collectors.remembered import forget_oldest
from collectors.source import Seen
from watchtower.config.types import Section
from watchtower.errors import Permanent, Reason
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import Window
from watchtower.ports import Decoded, PollContext, Received

KIND: Final = "emr"
ALIVE: Final = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
CLUSTERS: Final[Mapping[str, RunState]] = {
    "STARTING": RunState.QUEUED,
    "BOOTSTRAPPING": RunState.QUEUED,
    "RUNNING": RunState.RUNNING,
    "WAITING": RunState.RUNNING,
    "TERMINATING": RunState.RUNNING,
    "TERMINATED": RunState.SUCCEEDED,
    "TERMINATED_WITH_ERRORS": RunState.FAILED,
}
# By the code that tells why a cluster was terminated.
ENDS: Final[Mapping[str, RunState]] = {
    "ALL_STEPS_COMPLETED": RunState.SUCCEEDED,
    "USER_REQUEST": RunState.CANCELLED,
    "INTERNAL_ERROR": RunState.CRASHED,
    "INSTANCE_FAILURE": RunState.CRASHED,
}
STEPS: Final[Mapping[str, RunState]] = {
    "PENDING": RunState.QUEUED,
    "CANCEL_PENDING": RunState.RUNNING,
    "RUNNING": RunState.RUNNING,
    "COMPLETED": RunState.SUCCEEDED,
    "CANCELLED": RunState.CANCELLED,
    "FAILED": RunState.FAILED,
    "INTERRUPTED": RunState.CRASHED,
}
ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
STEP: Final = "EMR Step Status Change"
EVENTS: Final = frozenset({STEP, "EMR Cluster State Change"})
_FAILURE: Final = ("Reason", "Message")
_MOST_DESCRIBED: Final = 5_000


class EmrSource(QueuedAwsSource):
    """Clusters on EC2."""

    clusters: tuple[str, ...] = Field(default=("*",), description="names; `*` and `?` are wildcards")


class EmrConfig(Section):
    """`collectors: {emr: …}`."""

    sources: tuple[EmrSource, ...] = Field(default=(), description="what is asked")


class PolledEmr(HintedSourceOf[EmrSource]):
    """ports.PolledSource. References are `CLUSTER` and `CLUSTER/STEP`."""

    kind = KIND
    service = "emr"

    def __init__(self, config: EmrSource, context: PollContext) -> None:
        super().__init__(config, context)
        self._described: dict[str, Row] = {}  # what never changes of a cluster

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace, region=self.config.region)

    def listed(self, window: Window) -> Iterator[Sequence[Seen]]:
        known: set[str] = set()
        for asked in ({"ClusterStates": ALIVE}, {"CreatedAfter": window.since}):
            for page in pages(self.ask, "list_clusters", following="Marker", **asked):
                for row in members(page, "Clusters"):
                    if str(row["Id"]) not in known and self._wanted(row):
                        known.add(str(row["Id"]))
                        yield from self._whole(row, window.since)
        if not known:
            yield []

    def again(self, reference: str) -> Seen | None:
        cluster_id, _, step_id = reference.partition("/")
        try:
            cluster = member(self.ask("describe_cluster", ClusterId=cluster_id), "Cluster")
            if not step_id:
                return self._cluster(cluster)
            step = member(self.ask("describe_step", ClusterId=cluster_id, StepId=step_id), "Step")
        except Permanent as error:
            if _is_forgotten(error):
                return None
            raise
        return self._step(step, cluster)

    def hint(self, event: Document) -> Hint:
        """Of clusters that are not wanted nothing is asked."""
        kind, detail = event.get("detail-type"), member(event, "detail")
        named = [str(detail.get(name) or "") for name in (("clusterId", "stepId") if kind == STEP else ("clusterId",))]
        if kind not in EVENTS or not all(map(ID.fullmatch, named)):
            return None
        try:
            wanted = self._wanted(self._description(named[0]))
        except Permanent as error:
            if not _is_forgotten(error):
                raise
            return ()
        return ("/".join(named),) if wanted else ()

    def _wanted(self, cluster: Row) -> bool:
        return any(fnmatchcase(str(cluster.get("Name")), pattern) for pattern in self.config.clusters)

    def _whole(self, cluster: Row, since: datetime) -> Iterator[Sequence[Seen]]:
        """A cluster and the steps that were added since, newest first."""
        yield [self._cluster(cluster)]
        for page in pages(self.ask, "list_steps", following="Marker", ClusterId=cluster["Id"]):
            rows = members(page, "Steps")
            new = [row for row in rows if (_times(row)[0] or since) >= since]
            yield [self._step(row, cluster) for row in new]
            if len(new) < len(rows):
                return

    def _cluster(self, cluster: Row) -> Seen:
        ident, state = str(cluster["Id"]), CLUSTERS.get(_state(cluster), RunState.RUNNING)
        described = self._description(ident)
        shown = record(cluster={**described, **_status(cluster)}) if described.get("AutoTerminate") else None
        return Seen(ident, shown, not state.is_terminal)

    def _step(self, step: Row, cluster: Row) -> Seen:
        described = self._description(str(cluster["Id"]))
        shown = {"Id": step.get("Id"), "Name": step.get("Name"), **_status(step)}
        state = STEPS.get(_state(step), RunState.RUNNING)
        return Seen(f"{cluster['Id']}/{step['Id']}", record(step=shown, of=described), not state.is_terminal)

    def _description(self, cluster_id: str) -> Row:
        if cluster_id not in self._described:
            found = member(self.ask("describe_cluster", ClusterId=cluster_id), "Cluster")
            wanted = {name: found.get(name) for name in ("Id", "Name", "AutoTerminate", "ReleaseLabel", "Tags")}
            self._described[cluster_id] = {name: plain(value) for name, value in wanted.items() if value is not None}
            forget_oldest(self._described, _MOST_DESCRIBED)
        return self._described[cluster_id]


class Emr(AwsPoller):
    """ports.Poller."""

    kind = KIND
    Config = EmrConfig
    polled = PolledEmr


def decode(body: bytes, received: Received, *, namespace: str, region: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("step"), dict):
            return _step_facts(member(document, "step"), member(document, "of"), place, region)
        if isinstance(document.get("cluster"), dict):
            return _cluster_facts(member(document, "cluster"), place, region)
        return None

    return decode_documents(body, read, "a cluster or a step of EMR")


def _cluster_facts(cluster: Row, place: Place, region: str) -> Sequence[Fact] | None:
    ident, status = cluster.get("Id"), str(cluster.get("State"))
    state = CLUSTERS.get(status)
    created, ready, ended = (place.instant(each) for each in _times(cluster))
    if not isinstance(ident, str) or state is None or created is None:
        return None
    code = str(cluster.get("Code") or "")
    if state.is_terminal:
        state = ENDS.get(code, state if state.is_bad else RunState.FAILED if code else state)
    ref = JobRef(place.source, place.namespace, identifier(str(cluster.get("Name"))))
    tags = tags_of(cluster.get("Tags"))
    patch = RunPatch(
        aliases=place.run_aliases(ref.pipeline, ident),
        job=ref,
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        native_run_id=ident,
        queued_at=created,
        started_at=ready,
        ended_at=ended if state.is_terminal else None,
        error=_error(cluster) if state.is_bad else None,
        external_url=_url(region, ident),
    )
    described = JobPatch(ref, owner=owner_of(tags), tags=tags or None, job_type="CLUSTER", integration="EMR")
    at = (ended if state.is_terminal else None) or ready or created
    return [place.fact(at, ("cluster", ident, status), stands=not state.is_terminal, run=patch, jobs=(described,))]


def _step_facts(step: Row, cluster: Row, place: Place, region: str) -> Sequence[Fact] | None:
    ident, name, status, of = step.get("Id"), step.get("Name"), str(step.get("State")), cluster.get("Id")
    state = STEPS.get(status)
    created, started, ended = (place.instant(each) for each in _times(step))
    if not isinstance(ident, str) or not isinstance(of, str) or state is None or created is None:
        return None
    called, tags = identifier(str(name)), tags_of(cluster.get("Tags"))
    if cluster.get("AutoTerminate"):
        ref = JobRef(place.source, place.namespace, identifier(str(cluster.get("Name"))), called)
        alias = task_alias(place.source, place.namespace, "", of, task=ident, map_index=None, attempt=1)
        belongs: dict[str, Any] = {
            "aliases": (alias,),
            "parent_alias": place.run_aliases("", of)[1],
            "native_run_id": of,
            "final": True if state.is_terminal else None,
        }
        jobs: tuple[JobPatch, ...] = ()
    else:
        ref = JobRef(place.source, place.namespace, called)
        cluster_of = {"cluster": cut(str(cluster.get("Name")), NAME_CHARS)}
        belongs = {"aliases": place.run_aliases(called, ident), "native_run_id": ident, "tags": cluster_of}
        jobs = (JobPatch(ref, owner=owner_of(tags), tags=tags or None, job_type="STEP", integration="EMR"),)
    patch = RunPatch(
        job=ref,
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        queued_at=created,
        started_at=started,
        ended_at=ended if state.is_terminal else None,
        error=_error(step) if state.is_bad else None,
        external_url=_url(region, of),
        **belongs,
    )
    at = (ended if state.is_terminal else None) or started or created
    return [place.fact(at, ("step", ident, status), stands=not state.is_terminal, run=patch, jobs=jobs)]


def _is_forgotten(error: Permanent) -> bool:
    """Two months after its end a cluster is."""
    return error.reason in (Reason.NOT_FOUND, Reason.REJECTED) and "is not valid" in str(error)


def _state(row: Row) -> str:
    return str(member(row, "Status").get("State"))


def _status(row: Row) -> dict[str, Any]:
    """What is read of a status: of a cluster `{Code, Message}`, of a step that failed `{Reason, Message}`."""
    status = member(row, "Status")
    reason = member(status, "FailureDetails") or member(status, "StateChangeReason")
    said = {name: reason.get(name) for name in ("Code", *_FAILURE) if reason.get(name)}
    return {"State": status.get("State"), **said, "Timeline": plain(member(status, "Timeline"))}


def _times(row: Row) -> tuple[datetime | None, datetime | None, datetime | None]:
    """When it was created, began its work, and ended; of an answer, or of a record of one."""
    line = member(row, "Timeline") or member(member(row, "Status"), "Timeline")
    began = line.get("StartDateTime") or line.get("ReadyDateTime")
    return instant(line.get("CreationDateTime")), instant(began), instant(line.get("EndDateTime"))


def _error(row: Row) -> RunError | None:
    kind, message = str(row.get("Reason") or row.get("Code") or ""), str(row.get("Message") or "")
    return RunError(cut(message or kind, 4_096), cut(kind, NAME_CHARS)) if kind or message else None


def _url(region: str, cluster_id: str) -> str:
    return f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{cluster_id}"
