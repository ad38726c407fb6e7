"""Records of Jobs and CronJobs → facts, without I/O: runs with their tries, and schedules.

Source: Kubernetes API reference, `batch/v1` Job and CronJob.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cronsim import CronSim, CronSimError

from collectors.asking import Row, kept, member, members, record
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier
from collectors.kubernetes import pods
from collectors.kubernetes.times import instant
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received

KIND: Final = "kubernetes"
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


# -- records -------------------------------------------------------------------------------------------------------


def record_of(path: str, item: Row, *, deleted: bool = False) -> bytes:
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
        if isinstance(document.get("pod"), dict):
            return pods.facts_of(member(document, "pod"), member(document, "of"), _whole(document.get("before")), place)
        return None

    return decode_documents(body, read, "a Job, a CronJob or a Pod of Kubernetes")


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
    created = instant(job.get("creationTimestamp"), place)
    if not isinstance(uid, str) or not isinstance(name, str) or created is None:
        return None
    status, state = member(job, "status"), state_of(job)
    started = instant(status.get("startTime"), place)
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
    return instant(said or job.get("deletionTimestamp"), place) or place.received.received_at


def _nominal(job: Row, place: Place) -> datetime | None:
    """When its schedule meant it to start: newer clusters tell it; and the name that the controller gives ends with the
    minute since 1970."""
    told = instant(member(job, "annotations").get(_SCHEDULED), place)
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


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1_000_000 else 0
