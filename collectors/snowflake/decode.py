"""Documents of Snowflake's task graphs → facts: the run of the root task, and its tasks."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from collectors.asking import Row, member, members
from collectors.documents import Document, Place, decode_documents
from collectors.identity import identifier, task_alias
from collectors.openlineage.instants import parse_instant
from collectors.openlineage.texts import NAME_CHARS, cut, said
from watchtower.model.fact import Fact
from watchtower.model.run import Authority, JobPatch, JobRef, RunError, RunPatch, RunState, Trigger
from watchtower.ports import Decoded, Received

KIND: Final = "snowflake"
STATES: Final[Mapping[str, RunState]] = {
    "SCHEDULED": RunState.QUEUED,
    "EXECUTING": RunState.RUNNING,
    "SUCCEEDED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "FAILED_AND_AUTO_SUSPENDED": RunState.FAILED,
    "CANCELLED": RunState.CANCELLED,
    "SKIPPED": RunState.SKIPPED,
}
TIMED_OUT: Final = frozenset({"630", "000630"})  # a statement reached its time-out
SYSTEM_ROLES: Final = frozenset({"ACCOUNTADMIN", "ORGADMIN", "PUBLIC", "SECURITYADMIN", "SYSADMIN", "USERADMIN"})
_CRON: Final = re.compile(r"USING CRON ((?:\S+\s+){5})(\S+)", re.IGNORECASE)
_EACH: Final = re.compile(r"(\d{1,6}) (SECOND|MINUTE|HOUR|M|H|S)S?", re.IGNORECASE)
_LENGTHS: Final = {"S": timedelta(seconds=1), "M": timedelta(minutes=1), "H": timedelta(hours=1)}


def decode(body: bytes, received: Received, *, namespace: str, account: str) -> Decoded:
    def read(document: Document, text: bytes, skipped: list[str]) -> Sequence[Fact] | None:
        place = Place(KIND, received.source or KIND, namespace, None, text, received)
        if isinstance(document.get("graph"), dict):
            return _graph_facts(member(document, "graph"), document, place, account)
        if isinstance(document.get("task"), dict):
            return [_task_fact(member(document, "task"), place)]
        return None

    return decode_documents(body, read, "a run or a definition of a task of Snowflake")


def schedule_of(text: str) -> tuple[str, str] | None:
    """`USING CRON 0 9 * * * Europe/Berlin` → (`0 9 * * *`, `Europe/Berlin`); `60 MINUTE` → (`1:00:00`, `UTC`)."""
    if found := _CRON.fullmatch(text.strip()):
        return " ".join(found[1].split()), found[2]
    if (found := _EACH.fullmatch(text.strip())) and int(found[1]):
        return str(int(found[1]) * _LENGTHS[found[2][0].upper()]), "UTC"
    return None


def _graph_facts(graph: Row, document: Document, place: Place, account: str) -> Sequence[Fact] | None:
    """Tasks of a run whose beginning was not read are told without it: what it came to is not known from them."""
    root, ident, attempt, status = (str(graph.get(name)) for name in ("root", "id", "attempt", "state"))
    state = STATES.get(status)
    scheduled = place.instant(parse_instant(str(graph.get("scheduled"))))
    if not root or state is None or scheduled is None or not attempt.isdecimal():
        return None
    generation = max(0, int(attempt) - 1)
    tasks = members(document, "tasks")
    bad = next((task for task in tasks if STATES.get(str(task.get("state")), state).is_bad), None)
    if bad is not None and state.is_bad:
        state = _state(bad, state)
    ended = place.instant(parse_instant(str(graph.get("ended"))))
    patch = RunPatch(
        aliases=place.run_aliases(identifier(root), ident, generation),
        job=JobRef(place.source, place.namespace, identifier(root)),
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        native_run_id=identifier(ident),
        generation=generation,
        trigger=_trigger(str(graph.get("from") or "")),
        code_version=cut(str(graph["version"]), NAME_CHARS) if graph.get("version") else None,
        nominal_start=scheduled,
        started_at=place.instant(parse_instant(str(graph.get("started")))),
        ended_at=ended if state.is_terminal else None,
        error=_error(bad) if bad is not None and state.is_bad else None,
        external_url=_url(account, root),
        tags=_query(tasks[0]) if document.get("alone") and tasks else None,
    )
    at = (ended if state.is_terminal else None) or patch.started_at or scheduled
    facts: list[Fact] = []
    if graph.get("whole"):
        key = ("graph", root, ident, attempt, status, str(graph.get("ended")))
        facts.append(place.fact(at, key, stands=not state.is_terminal, run=patch))
    if not document.get("alone"):
        facts += (fact for task in tasks if (fact := _ran(task, patch, place)))
    return facts


def _ran(task: Row, run: RunPatch, place: Place) -> Fact | None:
    name, status = str(task.get("name")), str(task.get("state"))
    state = STATES.get(status)
    scheduled, started, ended = (
        place.instant(parse_instant(str(task.get(field)))) for field in ("scheduled", "started", "completed")
    )
    at = ended or started or scheduled
    if state is None or state is RunState.QUEUED or at is None:
        return None
    state = _state(task, state)
    ident = f"{run.job.pipeline}|{run.native_run_id}|{run.generation}"
    patch = RunPatch(
        aliases=(task_alias(place.source, place.namespace, "", ident, task=name, map_index=None, attempt=1),),
        job=JobRef(place.source, place.namespace, run.job.pipeline, identifier(name)),
        event_type=cut(status, 32),
        authority=Authority.API,
        state=state,
        final=True if state.is_terminal else None,
        parent_alias=run.aliases[0],
        native_run_id=run.native_run_id,
        generation=run.generation,
        queued_at=scheduled,
        started_at=started,
        ended_at=ended if state.is_terminal else None,
        error=_error(task) if state.is_bad else None,
        external_url=run.external_url,
        tags=_query(task),
    )
    return place.fact(at, ("task", ident, name, status), stands=not state.is_terminal, run=patch)


def _task_fact(task: Row, place: Place) -> Fact:
    name, root = str(task.get("name")), str(task.get("root"))
    child = identifier(name.rpartition(".")[2]) if name != root else None
    paused = task.get("state") == "suspended"
    found = schedule_of(str(task.get("schedule") or "")) if not paused and child is None else None
    role = str(task.get("owner") or "")
    waits = task.get("after")
    patch = JobPatch(
        JobRef(place.source, place.namespace, identifier(root), child),
        owner=cut(role, NAME_CHARS) if role and role.upper() not in SYSTEM_ROLES else None,
        description=said(str(task.get("comment") or "")),
        job_type="TASK",
        integration="SNOWFLAKE",
        schedule=(found[0] if found else "") if child is None else None,
        timezone=found[1] if found else None,
        paused=paused if child is None else None,
        upstream_tasks=tuple(map(str, waits)) if child and isinstance(waits, list) else None,  # pyright: ignore
    )
    return place.definition("task", jobs=(patch,))


def _state(task: Row, state: RunState) -> RunState:
    """Snowflake calls a time-out a failure."""
    return RunState.TIMED_OUT if state.is_bad and str(task.get("error_code")) in TIMED_OUT else state


def _trigger(word: str) -> Trigger | None:
    """As SCHEDULED_FROM has it."""
    known = {"SCHEDULE": Trigger.SCHEDULE, "EXECUTE": Trigger.MANUAL, "TRIGGER": Trigger.EVENT}
    return next((trigger for part, trigger in known.items() if part in word.upper()), None)


def _error(task: Row) -> RunError:
    code, message = str(task.get("error_code") or ""), str(task.get("error_message") or "")
    return RunError(cut(message or "the task failed", 4_096), cut(code, NAME_CHARS))


def _query(task: Row) -> dict[str, str] | None:
    return {"query_id": str(task["query_id"])} if task.get("query_id") else None


def _url(account: str, root: str) -> str | None:
    """Of the graph in Snowsight, which is found by organisation and account."""
    organisation, dash, name = account.lower().partition("-")
    parts: list[Any] = root.split(".")
    if not dash or len(parts) != 3:
        return None
    place = f"databases/{parts[0]}/schemas/{parts[1]}/task/{parts[2]}"
    return f"https://app.snowflake.com/{organisation}/{name}/#/data/{place}/graph"
