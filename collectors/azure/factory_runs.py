"""What Azure Data Factory says of runs and activities, by its API and in its diagnostic logs → facts. Pure.

A rerun is a run of its own with the same group. Activities that are tried again come as one record for each attempt.
Sources: Azure Data Factory REST API 2018-06-01, "PipelineRun", "ActivityRun"; Azure Monitor, "Schema of Data Factory
diagnostic logs".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from collectors.asking import Row, an_object, member, members, record
from collectors.azure.recurrence import cron_of
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, run_alias, task_alias
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, cut, label, said
from watchtower.model.fact import Fact
from watchtower.model.origin import EVENT, RUN, Origin
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received

KIND: Final = "data_factory"
STATES: Final[Mapping[str, RunState]] = {
    "Queued": RunState.QUEUED,
    "InProgress": RunState.RUNNING,
    "Canceling": RunState.RUNNING,
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Cancelled": RunState.CANCELLED,
    "Skipped": RunState.SKIPPED,
    "TimedOut": RunState.TIMED_OUT,
}
_TRIGGERS: Final[Mapping[str, Trigger]] = {
    "Manual": Trigger.MANUAL,
    "ScheduleTrigger": Trigger.SCHEDULE,
    "TumblingWindowTrigger": Trigger.SCHEDULE,
    "BlobEventsTrigger": Trigger.EVENT,
    "CustomEventsTrigger": Trigger.EVENT,
    "PipelineActivity": Trigger.EVENT,
}
OUTPUT: Final = ("rowsRead", "rowsCopied", "rowsSkipped", "dataRead", "dataWritten")


def decode(body: bytes, received: Received, *, namespace: str) -> Decoded:
    """Records of the poll, and diagnostic logs: one, a list of them, or Event Hubs' `{"records": […]}`."""

    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if "records" in document:
            found = [_logged(each, place) for each in members(document, "records")]
            return [fact for fact in found if fact] or None
        if "category" in document:
            fact = _logged(document, place)
            return [fact] if fact else None
        if isinstance(document.get("run"), dict):
            return _run_facts(member(document, "run"), members(document, "activities"), place)
        if isinstance(document.get("pipeline"), str):
            return [_pipeline_fact(str(document["pipeline"]), members(document, "recurrences"), place)]
        return None

    return decode_documents(body, read, "a run of Data Factory, or a record of its diagnostic log")


def _run_facts(run: Row, activities: Sequence[Row], place: Place) -> Sequence[Fact] | None:
    run_id, name, status = run.get("runId"), run.get("pipelineName"), str(run.get("status"))
    if not isinstance(run_id, str) or not isinstance(name, str) or status not in STATES:
        return None
    state = STATES[status]
    started, ended = _instant(run.get("runStart")), _instant(run.get("runEnd"))
    at = place.instant((ended if state.is_terminal else started) or _instant(run.get("lastUpdated")))
    if at is None:
        return None
    invoked = member(run, "invokedBy")
    group = str(run.get("runGroupId") or run_id)
    parent = invoked.get("pipelineRunId")
    patch = RunPatch(
        aliases=place.run_aliases(identifier(name), run_id),
        job=JobRef(place.source, place.namespace, identifier(name)),
        event_type=cut(status, 32),
        authority=place.authority,
        state=state,
        parent_alias=_alias(place, parent) if isinstance(parent, str) and parent else None,
        native_run_id=identifier(group),
        generation=0 if group == run_id else 1,
        trigger=_TRIGGERS.get(str(invoked.get("invokedByType"))),
        origins=_origins(invoked, place),
        started_at=place.instant(started),
        ended_at=place.instant(ended) if state.is_terminal else None,
        error=_run_error(run, activities) if state.is_bad else None,
        external_url=f"https://adf.azure.com/en/monitoring/pipelineruns/{run_id}",
        tags=_tags(run, invoked),
    )
    fact = place.fact(at, ("run", run_id, status), stands=not state.is_terminal, run=patch)
    places = _instances(activities)
    last = _last_attempts(activities)
    tried = [
        _activity_fact(each, patch, place, index=places.get(_of(each)), is_last=each is last[_of(each)])
        for each in activities
    ]
    return [fact, *(each for each in tried if each)]


def _origins(invoked: Row, place: Place) -> tuple[Origin, ...]:
    """The run whose activity `Execute Pipeline` started it, or the trigger, where that is not the clock."""
    name, parent, run = (invoked.get(field) for field in ("name", "pipelineName", "pipelineRunId"))
    if isinstance(parent, str) and isinstance(run, str) and parent and run:
        return (Origin(RUN, identifier(parent), place.namespace, run=identifier(run)),)
    if _TRIGGERS.get(str(invoked.get("invokedByType"))) is Trigger.EVENT and isinstance(name, str) and name:
        return (Origin(EVENT, cut(name, NAME_CHARS)),)
    return ()


def _activity_fact(activity: Row, run: RunPatch, place: Place, *, index: int | None, is_last: bool) -> Fact | None:
    """run: the first of its aliases is that of the activity's run."""
    name, status, activity_id = activity.get("activityName"), str(activity.get("status")), activity.get("activityRunId")
    started, ended = _instant(activity.get("activityRunStart")), _instant(activity.get("activityRunEnd"))
    state = STATES.get(status)
    at = place.instant((ended if state and state.is_terminal else None) or started)
    if not isinstance(name, str) or not isinstance(activity_id, str) or state is None or at is None:
        return None
    patch = RunPatch(
        aliases=(_activity_alias(place, activity_id),),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(name)),
        event_type=cut(status, 32),
        authority=place.authority,
        state=state,
        final=_is_final(state, run.state, is_last=is_last),
        parent_alias=run.aliases[0],
        native_run_id=run.native_run_id,
        generation=run.generation,
        attempt=_attempt(activity),
        map_index=index,
        started_at=place.instant(started),
        ended_at=place.instant(ended) if state.is_terminal else None,
        error=_error(member(activity, "error")) if state.is_bad else None,
        external_url=run.external_url,
        tags=_measured(member(activity, "output")),
    )
    return place.fact(at, ("activity", activity_id, status), stands=not state.is_terminal, run=patch)


def _is_final(state: RunState, run: RunState | None, *, is_last: bool) -> bool | None:
    """How often an activity may be tried is not said: a failure is the last once its run has failed."""
    if not state.is_terminal:
        return None
    if not state.is_bad:
        return True
    if not is_last:
        return False
    return True if run is not None and run.is_bad else None


def _logged(log: Row, place: Place) -> Fact | None:
    """A record of a diagnostic log. That of a start has an empty end."""
    place = Place(KIND, place.source, place.namespace, None, record(**log), place.received, Authority.STREAM)
    properties = member(log, "properties")
    status = str(log.get("status"))
    if log.get("category") == "PipelineRuns":
        invoked = next(iter(members(properties, "Predecessors")), an_object(None))
        run: dict[str, Any] = {
            "runId": log.get("runId"),
            "pipelineName": log.get("pipelineName"),
            "status": status,
            "runStart": log.get("start"),
            "runEnd": log.get("end"),
            "lastUpdated": log.get("time"),
            "invokedBy": {"name": invoked.get("Name"), "invokedByType": invoked.get("InvokedByType")},
        }
        return next(iter(_run_facts(run, (), place) or ()), None)
    if log.get("category") == "ActivityRuns":
        run_id, pipeline = log.get("pipelineRunId"), log.get("pipelineName")
        if not isinstance(run_id, str) or not isinstance(pipeline, str):
            return None
        of = RunPatch((_alias(place, run_id),), JobRef(place.source, place.namespace, identifier(pipeline)), "")
        activity: dict[str, Any] = {
            "activityRunId": log.get("activityRunId"),
            "activityName": log.get("activityName"),
            "status": status,
            "activityRunStart": log.get("start"),
            "activityRunEnd": log.get("end"),
            "error": _inner(properties.get("Error")),
            "output": _inner(properties.get("Output")),
        }
        return _activity_fact(activity, of, place, index=None, is_last=True)
    return None


def _pipeline_fact(name: str, recurrences: Sequence[Row], place: Place) -> Fact:
    only = cron_of(recurrences[0]) if len(recurrences) == 1 else None
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(name)),
        job_type="PIPELINE",
        integration="DATA_FACTORY",
        schedule=only[0] if only else "",
        timezone=only[1] if only else None,
    )
    return place.definition("pipeline", jobs=(patch,))


def _instances(activities: Sequence[Row]) -> dict[tuple[str, str], int]:
    """The place of each iteration of a ForEach, by the activity and the iteration's hash, as they began."""
    began: dict[tuple[str, str], str] = {}
    for activity in activities:
        if activity.get("iterationHash"):
            at = str(activity.get("activityRunStart"))
            began[_of(activity)] = min(began.get(_of(activity), at), at)
    places: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    for each in sorted(began, key=lambda each: (began[each], each)):
        places[each] = counts.get(each[0], 0)
        counts[each[0]] = places[each] + 1
    return places


def _last_attempts(activities: Sequence[Row]) -> dict[tuple[str, str], Row]:
    last: dict[tuple[str, str], Row] = {}
    for activity in sorted(activities, key=_attempt):
        last[_of(activity)] = activity
    return last


def _of(activity: Row) -> tuple[str, str]:
    return str(activity.get("activityName")), str(activity.get("iterationHash") or "")


def _attempt(activity: Row) -> int:
    tried = activity.get("retryAttempt")
    return tried + 1 if isinstance(tried, int) and tried >= 0 else 1


def _run_error(run: Row, activities: Sequence[Row]) -> RunError | None:
    """`Operation on target CopyOrders failed: …`, with the kind of the activity's own error."""
    message = str(run.get("message") or "").strip()
    bad = [each for each in activities if each.get("status") == "Failed"]
    failed = [error for each in bad if (error := _error(member(each, "error")))]
    if message:
        return RunError(cut(message, 4_096), failed[-1].type if failed else "")
    return failed[-1] if failed else None


def _error(error: Row) -> RunError | None:
    code, message = str(error.get("errorCode") or "").strip(), str(error.get("message") or "").strip()
    if not code and not message:
        return None
    kind = " ".join(part for part in (str(error.get("failureType") or ""), code) if part)
    return RunError(cut(message or code, 4_096), cut(kind, NAME_CHARS))


def _tags(run: Row, invoked: Row) -> dict[str, str] | None:
    """Annotations, `team:shop` as team → shop, and what the pipeline says of each run."""
    said_of_it = run.get("annotations")
    annotations = cast("list[Any]", said_of_it) if isinstance(said_of_it, list) else []
    tags = dict(label(str(each)) for each in annotations[:MAX_LABELS])
    tags |= {cut(name, NAME_CHARS): cut(str(value), NAME_CHARS) for name, value in member(run, "runDimension").items()}
    by = said(str(invoked.get("name") or ""), NAME_CHARS)
    if by and invoked.get("invokedByType") != "PipelineActivity":
        tags.setdefault("invoked_by", by)
    return dict(list(tags.items())[:MAX_LABELS]) or None


def _measured(output: Row) -> dict[str, str] | None:
    """What was moved, and the units that are billed for it."""
    tags = {name: str(output[name]) for name in OUTPUT if isinstance(output.get(name), int)}
    for each in members(output, "billed") or members(member(output, "billingReference"), "billableDuration"):
        if each.get("unit"):
            tags[f"billed_{each['unit']}"] = str(each.get("duration"))
    return tags or None


def _inner(value: Any) -> Row:
    """Diagnostic logs have objects as JSON within a text."""
    if not isinstance(value, str):
        return an_object(value)
    try:
        return an_object(msgspec.json.decode(value))
    except (msgspec.DecodeError, RecursionError):
        return {}


def _instant(value: Any) -> datetime | None:
    return parse_instant(value) if isinstance(value, str) else None


def _alias(place: Place, run_id: str) -> str:
    """Ids of runs are unique by themselves."""
    return run_alias(place.source, place.namespace, "", run_id)


def _activity_alias(place: Place, activity_run_id: str) -> str:
    return task_alias(place.source, place.namespace, "", "", task=activity_run_id, map_index=None, attempt=1)
