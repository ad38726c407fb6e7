"""Prefect's events, as `events/filter` answers them or an automation's webhook posts them → the facts of their states.

An event of a state has that state's id, so it meets the question for the same state in one fact. Automations lose
events now and then (one of thirteen was seen to), so an event is early news, and the poll is what is relied on. Of
assets there is nothing else: a materialization tells what was written, and the rows if the flow said them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from collectors.documents import Place
from collectors.identity import identifier
from collectors.openlineage.datasets import FILE_KEYS, ROW_KEYS, SIZE_KEYS, asset_ref, checksum_of, count_of
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.reading import mend
from collectors.prefect import names
from collectors.prefect.runs import AUTO_SCHEDULED, flow_run_facts, task_run_facts
from collectors.prefect.wire import Event, FlowRun, Item, State, TaskRun
from collectors.prefect.wire import Life as Of
from watchtower.model.fact import Fact
from watchtower.model.run import DatasetIO, RunPatch

FLOW_RUN = "prefect.flow-run."
TASK_RUN = "prefect.task-run."
ASSET = "prefect.asset.materialization."


def event_facts(event: Event, place: Place, skipped: list[str]) -> list[Fact]:
    """None for events that say nothing of a run or of data."""
    name = event.event or ""
    if name.startswith(ASSET):
        fact = _written(event, place) if name == f"{ASSET}succeeded" else None
        return [fact] if fact else []
    state = _state(event)
    if state is None:
        return []
    if name.startswith(FLOW_RUN):
        return _flow_run(event, state, place)
    if name.startswith(TASK_RUN):
        return _task_run(event, state, place, skipped)
    return []


def _flow_run(event: Event, state: State, place: Place) -> list[Fact]:
    tags = [each for each in (_id(one, "prefect.tag.") for one in _related(event, "tag")) if each]
    run = FlowRun(
        id=_id(event.resource, FLOW_RUN),
        tags=tags,
        auto_scheduled=True if AUTO_SCHEDULED in tags else None,
        run_count=_whole(event.resource, "prefect.run-count"),
        state=state,
    )
    if state.type == "RUNNING" and run.run_count == 1:
        run.start_time = state.timestamp
    item = Item(flow=_name(event, "flow"), deployment_name=_name(event, "deployment"))
    return flow_run_facts(item, run, place) or []


def _task_run(event: Event, state: State, place: Place, skipped: list[str]) -> list[Fact]:
    """The run is told as it was before the event by some versions: the state is the event's own."""
    known = mend(TaskRun, (event.payload or {}).get("task_run") or {}, "payload.task_run", skipped) or TaskRun()
    resource = event.resource or {}
    known.id = _id(resource, TASK_RUN)
    known.name = known.name or _text(resource, "prefect.resource.name")
    known.run_count = _whole(resource, "prefect.run-count") or known.run_count
    known.state = state
    flow_run = next(iter(_related(event, "flow-run")), None)
    # How often the flow itself tries is not said: whether a failed task is the end of it, its own run knows.
    of = Of(id=_id(flow_run, FLOW_RUN), flow=_name(event, "flow"), deployment=_name(event, "deployment"))
    return task_run_facts(Item(of=of), known, place) or []


def _written(event: Event, place: Place) -> Fact | None:
    """The resource is the asset's address; what the flow told of it (`add_asset_metadata`) is the payload."""
    at = place.instant(event.occurred)
    address = _text(event.resource, "prefect.resource.id")
    flow_run_id = _id(next(iter(_related(event, "flow-run")), None), FLOW_RUN)
    if at is None or not address or not flow_run_id:
        return None
    said = event.payload or {}
    io = DatasetIO(
        asset_ref(address, place.namespace),
        "out",
        row_count=count_of(said, ROW_KEYS),
        size_bytes=count_of(said, SIZE_KEYS),
        file_count=count_of(said, FILE_KEYS),
        checksum=checksum_of(said),
    )
    # Of the flow's run, not of the task's: which attempt wrote it is not said.
    run = RunPatch(
        aliases=(names.flow_run_alias(place.source, place.namespace, flow_run_id),),
        job=names.job(place.source, place.namespace, _name(event, "flow") or "flow", _name(event, "deployment")),
        event_type="OTHER",
        authority=place.authority,
        native_run_id=identifier(flow_run_id),
        datasets=(io,),
    )
    key = ("event", event.id or address)
    return place.fact(at, key, run=run)


def _state(event: Event) -> State | None:
    """From the labels of the resource, which both ways carry."""
    labels = event.resource or {}
    kind = _text(labels, "prefect.state-type")
    if kind is None:
        return None
    at = parse_instant(_text(labels, "prefect.state-timestamp") or "")
    return State(
        id=event.id,
        type=kind,
        name=_text(labels, "prefect.state-name"),
        timestamp=at or event.occurred,
        message=_text(labels, "prefect.state-message"),
    )


def _related(event: Event, role: str) -> Iterable[Mapping[str, Any]]:
    return (one for one in event.related or () if one.get("prefect.resource.role") == role)


def _name(event: Event, role: str) -> str | None:
    return next((_text(one, "prefect.resource.name") for one in _related(event, role)), None)


def _id(resource: Mapping[str, Any] | None, prefix: str) -> str | None:
    text = _text(resource, "prefect.resource.id")
    return text.removeprefix(prefix) if text and text.startswith(prefix) else None


def _text(labels: Mapping[str, Any] | None, key: str) -> str | None:
    value = (labels or {}).get(key)
    return value if isinstance(value, str) and value else None


def _whole(labels: Mapping[str, Any] | None, key: str) -> int | None:
    text = str((labels or {}).get(key, ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
