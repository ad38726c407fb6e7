"""Kubernetes: Jobs and CronJobs of a cluster, listed once and watched from there on.

A watch is asked for with a short time-out and read whole, so that it is a poll whose mark is the API's own resource
version: it brings what changed since, also the last word on a Job that was deleted meanwhile. Where the API has let go
of a version (410), a list begins anew. One call through the guarded client does it; the official client brings models
of all kinds there are, for the two that are read here.
Sources: Kubernetes API reference, `batch/v1` Job and CronJob; "Kubernetes API Concepts", on the detection of changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from cronsim import CronSim, CronSimError
from pydantic import Field

from collectors.asking import Row, kept, member, members, record, the_object
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut
from collectors.polled import accepted, read_json, told_at
from collectors.source import PollerOf, SourceOf
from watchtower.config.polled import PolledConfig
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import Reason, Transient
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.model.source import Page, Window
from watchtower.ports import Decoded, HttpAnswer, Received
from watchtower.secrets import Secret

KIND: Final = "kubernetes"
MOUNTED: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
REMEDY: Final = "give the service account get, list and watch on jobs and cronjobs (docs/kubernetes.md has the role)"
PAGE: Final = 500
WATCHED_S: Final = 1  # the API ends a watch after this; what changed before it began comes at once
TIMEOUT_S: Final = 60.0
_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NAMED: Final = {
    "@hourly": "0 * * * *",
    **dict.fromkeys(("@daily", "@midnight"), "0 0 * * *"),
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    **dict.fromkeys(("@yearly", "@annually"), "0 0 1 1 *"),
}
_MANUAL: Final = "cronjob.kubernetes.io/instantiate"
_SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_META: Final = ("uid", "name", "namespace", "generateName", "creationTimestamp", "deletionTimestamp", "labels")
_OWNERS: Final = ("owner", "team", "app.kubernetes.io/managed-by-team")


class KubernetesSource(PolledConfig):
    every: PositiveDuration = Field(default=30.0, description="how often it is asked; at least 5s")
    base_url: WebAddress = Field(default="https://kubernetes.default.svc", description="of the cluster's API")
    token: Secret = Field(default=Secret(f"file:{MOUNTED}/token"), description="of a service account")
    ca_file: str | None = Field(default=None, description="its authority; default: the mounted one, if there is one")
    namespaces: tuple[str, ...] = Field(default=(), description="of the cluster; default: all of them")
    label_selector: str | None = Field(default=None, min_length=1, description="only these, e.g. `team=data`")


class KubernetesConfig(Section):
    """`collectors: kubernetes`."""

    sources: tuple[KubernetesSource, ...] = Field(default=(), description="the clusters")


class _Gone(Exception):
    """The resource version is too old: list again."""


class PolledKubernetes(SourceOf[KubernetesSource]):
    """ports.PolledSource. Its cursor holds the resource version of each list that is watched."""

    kind = KIND
    _clock_at: datetime | None = None

    def read(self, window: Window) -> Iterator[Page]:
        self._clock_at = None
        versions = _versions(window.cursor)
        count = 0
        for path in self._paths():
            # CronJobs first: an hour's deep poll lists them anew, so that one that nobody changed stays known.
            listed = path not in versions or (window.deep and path.endswith("/cronjobs"))
            if not listed:
                try:
                    page = self._watched(path, versions)
                except _Gone:
                    listed = True
                else:
                    yield page
            if listed:
                for page in self._listed(path, versions):
                    count += len(page.records) if path.endswith("/cronjobs") else 0
                    yield page
        coverage = {"cronjobs": count} if count else None
        yield Page(mark=self._clock_at or window.until, cursor=_to_cursor(versions), coverage=coverage)

    def decode(self, record: bytes, received: Received) -> Decoded:
        return decode(record, received, namespace=self.namespace)

    def _paths(self) -> Iterator[str]:
        for kind in ("cronjobs", "jobs"):
            for name in self.config.namespaces:
                yield f"apis/batch/v1/namespaces/{name}/{kind}"
            if not self.config.namespaces:
                yield f"apis/batch/v1/{kind}"

    def _listed(self, path: str, versions: dict[str, str]) -> Iterator[Page]:
        """All of them, as they were at one resource version."""
        asked: dict[str, str] = {"limit": str(PAGE)}
        while True:
            try:
                answer = the_object(read_json(self._get(path, asked), object, self._call(path)), self._call(path))
            except _Gone as error:
                versions.pop(path, None)
                again = "the list grew too old while it was read; it is read again"
                raise Transient(Reason.SERVER_ERROR, f"{self._call(path)}: {again}") from error
            meta = member(answer, "metadata")
            token = str(meta.get("continue") or "")
            if not token:
                versions[path] = _version(meta, self._call(path))
            yield Page(tuple(_record(path, item) for item in members(answer, "items")), cursor=_to_cursor(versions))
            if not token:
                return
            asked = {"limit": str(PAGE), "continue": token}

    def _watched(self, path: str, versions: dict[str, str]) -> Page:
        """What changed since the version that is known. Raises _Gone."""
        asked = {
            "watch": "1",
            "resourceVersion": versions[path],
            "timeoutSeconds": str(WATCHED_S),
            "allowWatchBookmarks": "true",
        }
        answer = self._get(path, asked)
        records: list[bytes] = []
        for event in _events(answer, self._call(path)):
            item = member(event, "object")
            if event.get("type") == "ERROR":
                if item.get("code") == 410:
                    raise _Gone
                raise Transient(Reason.SERVER_ERROR, f"{self._call(path)}: {str(item.get('message'))[:300]}")
            if version := member(item, "metadata").get("resourceVersion"):
                versions[path] = str(version)
            if event.get("type") != "BOOKMARK":
                records.append(_record(path, item, deleted=event.get("type") == "DELETED"))
        return Page(tuple(records), cursor=_to_cursor(versions))

    def _call(self, path: str) -> str:
        return f"{self.what}: GET /{path}"

    def _get(self, path: str, asked: Mapping[str, str]) -> HttpAnswer:
        selector = {"labelSelector": self.config.label_selector} if self.config.label_selector else {}
        url = f"{self.config.base_url.rstrip('/')}/{path}?{urlencode({**asked, **selector})}"
        headers = {"Authorization": f"Bearer {self.config.token.reveal().strip()}", "Accept": "application/json"}
        answer = self.context.http.request("GET", url, headers=headers, timeout_s=TIMEOUT_S, ca_file=self._ca_file())
        if answer.status == 410:
            raise _Gone
        self._clock_at = self._clock_at or told_at(answer)
        return accepted(answer, self.context.clock.now(), self._call(path), REMEDY)

    def _ca_file(self) -> str | None:
        if self.config.ca_file:
            return str(self.context.base_dir / self.config.ca_file)
        mounted = Path(MOUNTED) / "ca.crt"
        return str(mounted) if mounted.exists() else None


class Kubernetes(PollerOf):
    """ports.Poller."""

    kind = KIND
    Config = KubernetesConfig
    polled = PolledKubernetes


def _versions(cursor: str | None) -> dict[str, str]:
    try:
        return msgspec.json.decode(cursor or "{}", type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def _version(meta: Row, call: str) -> str:
    """From where the watch goes on. Raises Transient for an answer that is no list of Kubernetes."""
    version = meta.get("resourceVersion")
    if not version:
        raise Transient(Reason.BAD_ANSWER, f"{call}: the answer has no resourceVersion; is base_url its API server?")
    return str(version)


def _to_cursor(versions: Mapping[str, str]) -> str:
    return msgspec.json.encode(versions, order="sorted").decode()


def _events(answer: HttpAnswer, call: str) -> Iterator[Row]:
    """One JSON document a line."""
    for line in answer.body.splitlines():
        if line.strip():
            try:
                yield the_object(msgspec.json.decode(line), call)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Transient(Reason.BAD_ANSWER, f"{call}: a line of the watch is no JSON: {error}") from error


def _record(path: str, item: Row, *, deleted: bool = False) -> bytes:
    meta = member(item, "metadata")
    notes = kept(member(meta, "annotations"), (_MANUAL, _SCHEDULED, *_OWNERS))
    owners = [kept(each, ("kind", "name")) for each in members(meta, "ownerReferences")]
    spec = member(item, "spec")
    about = {**kept(meta, _META), "annotations": notes, "ownerReferences": owners}
    if path.endswith("/cronjobs"):
        said = kept(spec, ("schedule", "timeZone", "suspend"))
        return record(cronjob={**about, "spec": said, "deleted": deleted or None})
    images = [str(each.get("image")) for each in members(member(member(spec, "template"), "spec"), "containers")]
    said = {**kept(spec, ("backoffLimit", "suspend")), "images": images[:4]}
    state = kept(member(item, "status"), ("startTime", "completionTime", "active", "succeeded", "failed"))
    names = ("type", "status", "reason", "message", "lastTransitionTime")
    state["conditions"] = [kept(each, names) for each in members(member(item, "status"), "conditions")]
    return record(job={**about, "spec": said, "status": state, "deleted": deleted or None})


# -- decoding ------------------------------------------------------------------------------------------------------


def decode(body: bytes, received: Received, *, namespace: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("job"), dict):
            return _run_facts(member(document, "job"), place)
        if isinstance(document.get("cronjob"), dict):
            return _job_facts(member(document, "cronjob"), place)
        return None

    return decode_documents(body, read, "a Job or a CronJob of Kubernetes")


def pipeline_of(job: Row) -> str:
    """`NAMESPACE/NAME` of the CronJob that made it, or of the name that its maker had it begin with, or its own."""
    owner = next(
        (str(each.get("name")) for each in members(job, "ownerReferences") if each.get("kind") == "CronJob"), ""
    )
    name = owner or str(job.get("generateName") or "").rstrip("-") or str(job.get("name") or "")
    return f"{job.get('namespace') or 'default'}/{name}"


def state_of(job: Row) -> RunState:
    state, spec = member(job, "status"), member(job, "spec")
    ended = _ended(state)
    if ended is not None:
        if ended.get("type") == "Complete":
            return RunState.SUCCEEDED
        return RunState.TIMED_OUT if ended.get("reason") == "DeadlineExceeded" else RunState.FAILED
    if job.get("deleted") or job.get("deletionTimestamp"):
        return RunState.CANCELLED
    return RunState.QUEUED if spec.get("suspend") or not state.get("startTime") else RunState.RUNNING


def _ended(state: Row) -> Row | None:
    """The condition that says so."""
    said = (each for each in members(state, "conditions") if each.get("status") == "True")
    return next((each for each in said if each.get("type") in ("Complete", "Failed")), None)


def _run_facts(job: Row, place: Place) -> Sequence[Fact] | None:
    uid, name = job.get("uid"), job.get("name")
    created = _instant(job.get("creationTimestamp"), place)
    if not isinstance(uid, str) or not isinstance(name, str) or created is None:
        return None
    status, state = member(job, "status"), state_of(job)
    started = _instant(status.get("startTime"), place)
    ended = _ended_at(job, status, place) if state.is_terminal else None
    failed = _whole(status.get("failed"))
    limit = member(job, "spec").get("backoffLimit")
    pipeline = identifier(pipeline_of(job))
    patch = RunPatch(
        aliases=place.run_aliases(pipeline, uid),
        job=JobRef(place.source, place.namespace, pipeline),
        event_type=state.value.upper(),
        authority=Authority.API,
        state=state,
        native_run_id=cut(name, NAME_CHARS),
        attempt=max(1, failed + (0 if state.is_bad else 1)),
        max_attempts=_whole(limit) + 1 if isinstance(limit, int) else None,
        trigger=_trigger(job),
        code_version=_image(job),
        nominal_start=_nominal(job, place),
        queued_at=created,
        started_at=started,
        ended_at=ended,
        error=_error(status) if state.is_bad else None,
        tags=_tags(job) or None,
    )
    key = ("run", uid, state.value, str(failed), str(started))
    return [place.fact(ended or started or created, key, stands=not state.is_terminal, run=patch)]


def _ended_at(job: Row, status: Row, place: Place) -> datetime | None:
    said = status.get("completionTime") or (_ended(status) or {}).get("lastTransitionTime")
    return _instant(said or job.get("deletionTimestamp"), place) or place.received.received_at


def _nominal(job: Row, place: Place) -> datetime | None:
    """When its schedule meant it to start: newer clusters tell it; and the name that the controller gives ends with the
    minute since 1970."""
    told = _instant(member(job, "annotations").get(_SCHEDULED), place)
    if told is not None or _trigger(job) is not Trigger.SCHEDULE:
        return told
    minute = str(job.get("name")).rpartition("-")[2]
    return place.instant(int(minute) * 60) if minute.isdecimal() and len(minute) == 8 else None


def _trigger(job: Row) -> Trigger | None:
    if member(job, "annotations").get(_MANUAL) == "manual":
        return Trigger.MANUAL
    return Trigger.SCHEDULE if any(each.get("kind") == "CronJob" for each in members(job, "ownerReferences")) else None


def _image(job: Row) -> str | None:
    images = member(job, "spec").get("images")
    first = images[0] if isinstance(images, list) and images else None  # pyright: ignore[reportUnknownVariableType]
    return cut(first, NAME_CHARS) if isinstance(first, str) else None


def _error(status: Row) -> RunError | None:
    ended = _ended(status)
    if ended is None:
        return None
    reason = str(ended.get("reason") or "")
    return RunError(cut(str(ended.get("message") or reason), 4_096), cut(reason, NAME_CHARS))


def _job_facts(cronjob: Row, place: Place) -> Sequence[Fact] | None:
    name, spec = cronjob.get("name"), member(cronjob, "spec")
    if not isinstance(name, str):
        return None
    runs = not spec.get("suspend") and not cronjob.get("deleted")
    cron = _cron(str(spec.get("schedule") or "")) if runs else None
    labels = {**_tags(cronjob), **member(cronjob, "annotations")}
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(f"{cronjob.get('namespace') or 'default'}/{name}")),
        owner=next((cut(str(labels[key]), NAME_CHARS) for key in _OWNERS if labels.get(key)), None),
        tags=_tags(cronjob) or None,
        job_type="CRONJOB",
        integration="KUBERNETES",
        schedule=cron or "",
        timezone=str(spec.get("timeZone") or "UTC") if cron else None,
        paused=not runs,
    )
    return [place.definition("cronjob", jobs=(patch,))]


def _cron(schedule: str) -> str | None:
    """None for what is no cron of five fields, such as `@every 5m`."""
    said = _NAMED.get(schedule.strip(), schedule.strip())
    try:
        CronSim(said, _ANY_DAY)
    except CronSimError:
        return None
    return said


def _tags(item: Row) -> dict[str, str]:
    labels = member(item, "labels")
    made = {cut(name, NAME_CHARS): cut(str(value), NAME_CHARS) for name, value in sorted(labels.items())}
    return dict(list(made.items())[:MAX_LABELS])


def _instant(value: Any, place: Place) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return place.instant(datetime.fromisoformat(value).astimezone(UTC))
    except ValueError:
        return None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0
