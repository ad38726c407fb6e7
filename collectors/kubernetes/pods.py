"""Pods of Jobs: why a container ended, each try of it, and what keeps one from beginning.

A Job says no more than that a Pod failed. The Pod says that its container was out of memory, that its image cannot be
pulled, that its node was lost. A Pod is a try of its Job's work, and so is each restart of its container; of those
before the last Kubernetes keeps the one before. What keeps a Pod from beginning ends nothing: it is a problem of the
source that concerns the pipeline. Sources: Kubernetes API reference, core/v1 Pod; "Pod Lifecycle"; "Pod failure
policy"; "Disruptions".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from collectors.asking import Row, kept, member, members, record
from collectors.documents import Place
from collectors.identity import identifier, task_alias
from collectors.kubernetes.times import instant
from collectors.openlineage.texts import NAME_CHARS, cut
from watchtower.model.duration import spoken
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobRef, RunError, RunPatch, RunState
from watchtower.model.source import PIPELINES, Problem

OF_JOBS: Final = "job-name"  # the label that a Pod of a Job has in every version of Kubernetes
_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_META: Final = ("uid", "name", "namespace", "creationTimestamp", "deletionTimestamp")
_ENDED: Final = ("exitCode", "signal", "reason", "message", "startedAt", "finishedAt")
_STATE: Final = ("name", "restartCount")
OUT_OF_MEMORY: Final = "OOMKilled"
KILLED: Final = 128 + 9  # the exit code of what was killed with SIGKILL
# What a waiting container does not come out of by itself, or not soon ("Pod Lifecycle", kubelet/images/types.go).
STUCK: Final = frozenset(
    {
        *("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"),
    }
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The Job of a Pod, as far as its Pods need it. tries: how many there can be, None if it is not known."""

    uid: str
    name: str
    pipeline: str
    tries: int | None


def owner_name(item: Row) -> tuple[str, str] | None:
    """(uid, name) of the Job that made a Pod."""
    owners = members(member(item, "metadata"), "ownerReferences")
    return next(((str(one.get("uid")), str(one.get("name"))) for one in owners if one.get("kind") == "Job"), None)


def created(item: Row) -> str:
    return str(member(item, "metadata").get("creationTimestamp") or "")


def index_of(item: Row) -> str | None:
    """Which of an indexed Job's completions."""
    index = member(member(item, "metadata"), "annotations").get(_INDEX)
    return index if isinstance(index, str) and index.isdecimal() and len(index) < 10 else None


def restarts_of(item: Row) -> int:
    """Of the container that was restarted most."""
    return max((_whole(each.get("restartCount")) for each in _statuses(member(item, "status"))), default=0)


def record_of(item: Row, owner: Owner, before: int, *, deleted: bool = False) -> bytes:
    """What is kept of a Pod. before: how many tries other Pods made earlier."""
    meta, spec, status = member(item, "metadata"), member(item, "spec"), member(item, "status")
    limits = {
        str(each.get("name")): str(member(member(each, "resources"), "limits").get("memory") or "")
        for each in members(spec, "containers")
    }
    said = {
        **kept(meta, _META),
        "node": spec.get("nodeName"),
        "limits": {name: limit for name, limit in limits.items() if limit},
        **kept(status, ("phase", "reason", "message", "startTime")),
        "disrupted": _disruption(status),
        "containers": [_container(each) for each in _statuses(status)],
        "first": next(iter(limits), None),
        "index": index_of(item),
        "deleted": deleted or None,
    }
    job = {"uid": owner.uid, "name": owner.name, "pipeline": owner.pipeline, "tries": owner.tries}
    return record(pod={name: value for name, value in said.items() if value is not None}, of=job, before=before)


def _statuses(status: Row) -> list[Row]:
    """Of what is run first, too: an init container that cannot begin holds up all others."""
    return [*members(status, "initContainerStatuses"), *members(status, "containerStatuses")]


def _container(status: Row) -> dict[str, Any]:
    state, last = member(status, "state"), member(status, "lastState")
    waiting = kept(member(state, "waiting"), ("reason", "message"))
    shown = {
        "ended": kept(member(state, "terminated"), _ENDED),
        "waiting": waiting,
        "running": kept(member(state, "running"), ("startedAt",)),
        "before": kept(member(last, "terminated"), _ENDED),
    }
    return {**kept(status, _STATE), **{name: value for name, value in shown.items() if value}}


def _disruption(status: Row) -> dict[str, Any] | None:
    """Why the cluster took the Pod away, if it did."""
    told = (each for each in members(status, "conditions") if each.get("type") == "DisruptionTarget")
    found = next((each for each in told if each.get("status") == "True"), None)
    return kept(found, ("reason", "message", "lastTransitionTime")) if found else None


# -- what is wrong -------------------------------------------------------------------------------------------------


def problem_of(item: Row, owner: Owner) -> Problem | None:
    """What keeps a container from beginning."""
    meta = member(item, "metadata")
    for status in _statuses(member(item, "status")):
        waiting = member(member(status, "state"), "waiting")
        reason = str(waiting.get("reason") or "")
        if reason in STUCK:
            said = str(waiting.get("message") or "").strip()
            of = f"container {status.get('name')} of Pod {meta.get('namespace')}/{meta.get('name')}"
            summary = cut(f"{of} cannot begin: {reason}{f': {said}' if said else ''}", 500)
            return Problem(f"pod:{meta.get('uid')}", summary, concerns=(f"{PIPELINES}{owner.pipeline}",))
    return None


# -- decoding ------------------------------------------------------------------------------------------------------


def facts_of(pod: Row, owner: Row, before: int, place: Place) -> Sequence[Fact] | None:
    """The try that a Pod makes, and the one before it if its container was restarted."""
    uid, job = pod.get("uid"), owner.get("uid")
    if not isinstance(uid, str) or not isinstance(job, str):
        return None
    containers = members(pod, "containers")
    worst = next((each for each in containers if _is_bad(member(each, "ended"))), None)
    restarted = max(containers, key=lambda each: _whole(each.get("restartCount")), default=None)
    restarts = _whole(restarted.get("restartCount")) if restarted else 0
    tried = _Tried(pod, owner, place, worst or restarted or {})
    facts: list[Fact] = []
    last = member(restarted or {}, "before")
    if restarts and last:
        was = _end_state(last)
        why = tried.error(restarted or {}, last) if was.is_bad else None
        facts += tried.fact(before + restarts, restarts - 1, was, last, why)
    state = _state(pod, containers)
    end = member(worst or restarted or {}, "ended")
    facts += tried.fact(before + restarts + 1, restarts, state, end, tried.reason(worst, end) if state.is_bad else None)
    return facts


@dataclass(frozen=True, slots=True)
class _Tried:
    pod: Row
    owner: Row
    place: Place
    container: Row

    def fact(self, attempt: int, restart: int, state: RunState, end: Row, error: RunError | None) -> list[Fact]:
        pod, place = self.pod, self.place
        began = instant(end.get("startedAt") or member(self.container, "running").get("startedAt"), place)
        started = began or (instant(pod.get("startTime"), place) if state is not RunState.QUEUED else None)
        created = instant(pod.get("creationTimestamp"), place)
        ended = self._ended(end) if state.is_terminal else None
        at = ended or started or created
        if at is None:
            return []
        pipeline = identifier(str(self.owner.get("pipeline")))
        uid, job = str(pod.get("uid")), str(self.owner.get("uid"))
        index = pod.get("index")
        patch = RunPatch(
            aliases=(
                task_alias(place.source, place.namespace, "", job, task=uid, map_index=None, attempt=restart + 1),
            ),
            job=JobRef(place.source, place.namespace, pipeline, identifier(str(pod.get("first") or "pod"))),
            event_type=state.value.upper(),
            authority=Authority.API,
            state=state,
            final=True if state is RunState.SUCCEEDED else None,
            parent_alias=place.run_aliases(pipeline, job)[1],
            native_run_id=cut(str(self.owner.get("name")), NAME_CHARS),
            attempt=attempt,
            max_attempts=_whole(self.owner.get("tries")) or None,
            map_index=int(index) if isinstance(index, str) else None,
            queued_at=created if restart == 0 else None,
            started_at=started,
            ended_at=ended,
            error=error,
            tags=self._tags(end),
        )
        key = ("pod", uid, str(restart), state.value)
        return [place.fact(at, key, stands=not state.is_terminal, run=patch)]

    def _ended(self, end: Row) -> datetime | None:
        """Of a Pod that was taken away its container says nothing."""
        told = end.get("finishedAt") or member(self.pod, "disrupted").get("lastTransitionTime")
        return instant(told or self.pod.get("deletionTimestamp"), self.place) or self.place.received.received_at

    def _tags(self, end: Row) -> dict[str, str]:
        code = end.get("exitCode")
        said = {"pod": self.pod.get("name"), "node": self.pod.get("node"), "exit_code": code}
        return {name: cut(str(value), NAME_CHARS) for name, value in said.items() if value is not None}

    def reason(self, worst: Row | None, end: Row) -> RunError:
        """Why this try went wrong: what the cluster did to the Pod says more than how its container took it."""
        pod, taken = self.pod, member(self.pod, "disrupted")
        name = f"Pod {pod.get('namespace')}/{pod.get('name')}"
        node = f" on node {pod.get('node')}" if pod.get("node") else ""
        if taken:
            kind, said = str(taken.get("reason") or "DisruptionTarget"), str(taken.get("message") or "")
            return _error(kind, f"{name} was taken away by the cluster{node}", said or kind)
        if reason := str(pod.get("reason") or ""):
            word = "was evicted" if reason == "Evicted" else f"was ended ({reason})"
            return _error(reason, f"{name} {word}{node}", str(pod.get("message") or ""))
        return self.error(worst or self.container, end)

    def error(self, container: Row, end: Row) -> RunError:
        name, code = str(container.get("name")), end.get("exitCode")
        reason, said = str(end.get("reason") or "Error"), str(end.get("message") or "").strip()
        if reason == OUT_OF_MEMORY:
            limit = member(self.pod, "limits").get(name)
            over = f", over its limit of {limit}" if isinstance(limit, str) else ""
            return _error(reason, f"container {name} was killed: out of memory{over} (exit code {code})", said)
        if code is None:
            return _error(reason, f"container {name} did not tell how it ended", said)
        killed = " (killed)" if code == KILLED else ""
        return _error(reason, f"container {name} ended with exit code {code}{killed}{_after(end, self.place)}", said)


def _after(end: Row, place: Place) -> str:
    began, over = instant(end.get("startedAt"), place), instant(end.get("finishedAt"), place)
    return f" after {spoken((over - began).total_seconds())}" if began and over and over >= began else ""


def _error(kind: str, what: str, said: str) -> RunError:
    return RunError(cut(f"{what}: {said}" if said else what, 4_096), cut(kind, NAME_CHARS))


def _state(pod: Row, containers: Sequence[Row]) -> RunState:
    phase = pod.get("phase")
    ended = [member(each, "ended") for each in containers]
    if phase == "Succeeded":
        return RunState.SUCCEEDED
    if phase == "Failed":
        if pod.get("reason") or pod.get("disrupted"):
            return RunState.CRASHED
        return next((_end_state(each) for each in ended if _is_bad(each)), RunState.FAILED)
    if pod.get("deleted"):
        return RunState.CRASHED if pod.get("disrupted") else RunState.CANCELLED
    if any(member(each, "running") or each.get("ended") for each in containers):
        return RunState.RUNNING
    return RunState.QUEUED  # also between two tries of a container


def _end_state(end: Row) -> RunState:
    if not _is_bad(end):
        return RunState.SUCCEEDED
    return RunState.CRASHED if end.get("reason") == OUT_OF_MEMORY else RunState.FAILED


def _is_bad(end: Row) -> bool:
    return bool(end) and end.get("exitCode") != 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000 else 0
