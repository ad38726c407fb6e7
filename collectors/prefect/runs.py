"""Flow runs, task runs, deployments and events of Prefect → facts, one for each life of a run and attempt of a task."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from collectors.documents import Place
from collectors.identity import identifier
from collectors.openlineage.instants import utc
from collectors.openlineage.texts import MAX_LABELS, NAME_CHARS, both_ends, cut, label, said
from collectors.prefect import names
from collectors.prefect.states import Attempt, Life, attempts, is_over, lives, run_state, task_ended, task_state
from collectors.prefect.wire import Deployment, FlowRun, Item, Log, Policy, State, TaskRun
from collectors.prefect.wire import Life as Of
from watchtower.model.fact import Fact
from watchtower.model.origin import EVENT, Origin
from watchtower.model.run import JobPatch, RunError, RunPatch, RunState, Trigger

AUTO_SCHEDULED: Final = "auto-scheduled"  # a tag that Prefect sets itself
_LONGEST_INTERVAL_S: Final = 31_536_000
_AFTERWARDS: Final = timedelta(milliseconds=500)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRACEPARENT: Final = "__OTEL_TRACEPARENT"
_BY: Final[Mapping[str, Trigger]] = {
    "SCHEDULE": Trigger.SCHEDULE,
    "AUTOMATION": Trigger.EVENT,
    "DEPLOYMENT": Trigger.SCHEDULE,
    "USER": Trigger.MANUAL,
}


def flow_run_facts(item: Item, run: FlowRun, place: Place) -> list[Fact] | None:
    """One for each life; the last is the one that the run shows itself. None without an id; of one that is in no state
    yet there is nothing to say."""
    if not run.id:
        return None
    if run.state is None or run.state.timestamp is None:
        return []
    known = lives(item.states or ()) or lives([run.state])
    facts = [_flow_fact(item, run, life, place) for life in known]
    return [fact for fact in facts if fact]


def task_run_facts(item: Item, task: TaskRun, place: Place) -> list[Fact] | None:
    """One for each attempt. None without an id or a flow; of one that is in no state yet there is nothing to say."""
    of = item.of or Of()
    if not task.id or not of.id:
        return None
    if task.state is None or task.state.timestamp is None:
        return []
    known = attempts(item.states) if item.states else [_only_attempt(task, task.state)]
    facts = [_attempt_fact(item, task, of, attempt, place) for attempt in known]
    return [fact for fact in facts if fact]


def deployment_fact(item: Item, deployment: Deployment, place: Place) -> Fact | None:
    """What a deployment says of its job. A paused one, or one whose schedules are off, is expected at no time."""
    if not deployment.name or not item.flow:
        return None
    at = place.instant(deployment.updated) or place.received.received_at
    schedule, tags = schedule_of(deployment), labels_of(deployment.tags) or {}
    patch = JobPatch(
        names.job(place.source, place.namespace, item.flow, deployment.name),
        owner=tags.get("owner") or tags.get("team"),
        tags=tags or None,
        description=said(deployment.description),
        job_type="DEPLOYMENT",
        integration="PREFECT",
        schedule=schedule[0],
        timezone=schedule[1],
        external_url=f"{place.url}/deployments/deployment/{deployment.id}" if place.url else None,
        paused=deployment.paused,
    )
    key = ("deployment", sha256(place.body).hexdigest())
    return place.fact(at, key, stands=True, jobs=(patch,))


def schedule_of(deployment: Deployment) -> tuple[str | None, str | None]:
    """(schedule, zone) where one alone is active. An empty text says that there is none, which is not the same as
    saying nothing: a schedule that was taken away is no longer waited for."""
    active = [each.schedule for each in deployment.schedules or () if each.active is not False and each.schedule]
    if deployment.paused or len(active) != 1:
        return "", None
    only = active[0]
    if only.cron:
        return cut(" ".join(only.cron.split()), NAME_CHARS), only.timezone or "UTC"
    if only.interval and 1 <= only.interval <= _LONGEST_INTERVAL_S:
        return str(timedelta(seconds=round(only.interval))), only.timezone or "UTC"
    return "", None


def labels_of(tags: Iterable[str] | None) -> dict[str, str] | None:
    return dict(label(tag) for tag in list(tags or ())[:MAX_LABELS]) or None


def trace_id_of(labels: Mapping[str, Any] | None) -> str | None:
    parts = str((labels or {}).get(_TRACEPARENT) or "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else None


def error_of(state: State, log: str | None) -> RunError | None:
    """`Flow run encountered an exception: RuntimeError: schema mismatch` and, from the log, where that was."""
    message, kind = (state.message or "").strip(), ""
    _, found, rest = message.partition("encountered an exception")
    if found and ":" in rest:
        named = rest.removeprefix(":").strip().partition(":")[0]
        kind = named if named.replace(".", "").replace("_", "").isalnum() else ""
    stack = both_ends(log) if log else ""
    if not message and stack:
        message = stack.strip().splitlines()[-1]
    return RunError(cut(message, 4_096), cut(kind, NAME_CHARS), stack) if message or stack else None


def _flow_fact(item: Item, run: FlowRun, life: Life, place: Place) -> Fact | None:
    state = run_state(life.state)
    at = place.instant(life.state.timestamp)
    if at is None or state is None or run.id is None:
        return None
    flow = item.flow or "flow"
    ended = place.instant(life.ended_at)
    started = life.started_at if life.started_at or life.number else run.start_time
    patch = RunPatch(
        # An event may not name the flow: what it always has comes first.
        aliases=place.run_aliases(names.pipeline(flow, item.deployment_name), run.id, life.number)[::-1],
        job=names.job(place.source, place.namespace, flow, item.deployment_name),
        event_type=cut(life.state.name or life.state.type or "", 32),
        authority=place.authority,
        state=state,
        parent_alias=_parent(run, place),
        native_run_id=identifier(run.id),
        generation=life.number,
        attempt=(life.tries if item.states else run.run_count) or None,
        max_attempts=_tries(run.empirical_policy),
        trigger=_trigger(run),
        origins=_origins(run),
        actor=_actor(run),
        code_version=said(run.flow_version or run.deployment_version, NAME_CHARS),
        nominal_start=place.instant(run.expected_start_time) if run.auto_scheduled else None,
        queued_at=at if life.state.type == "PENDING" else None,
        started_at=place.instant(started),
        ended_at=ended,
        error=error_of(life.state, _log(item.logs, life.started_at, ended)) if state.is_bad else None,
        external_url=names.run_url(place.url, run.id),
        trace_id=trace_id_of(run.labels),
        tags=_run_tags(run),
    )
    key = ("state", life.state.id or f"{run.id} {life.state.type}")
    stands = not is_over(life.state)
    return place.fact(at, key, stands=stands, run=patch)


def _attempt_fact(item: Item, task: TaskRun, of: Of, attempt: Attempt, place: Place) -> Fact | None:
    state = task_state(attempt.state)
    at = place.instant(attempt.state.timestamp)
    if at is None or state is None or task.id is None or of.id is None:
        return None
    flow_try = task.flow_run_run_count or 0
    name = names.task_name(task)
    patch = RunPatch(
        aliases=(names.attempt_alias(place.source, place.namespace, task.id, attempt.number),),
        job=names.job(place.source, place.namespace, of.flow or "flow", of.deployment, name),
        event_type=cut(attempt.state.name or attempt.state.type or "", 32),
        authority=place.authority,
        state=state,
        final=_is_final(attempt, flow_try, of.retries),
        parent_alias=names.flow_run_alias(place.source, place.namespace, of.id, _life_of(flow_try, of.ends)),
        native_run_id=identifier(of.id),
        generation=max(0, flow_try - 1),
        attempt=attempt.number,
        max_attempts=_tries(task.empirical_policy),
        map_index=item.map_index,
        queued_at=place.instant(attempt.queued_at),
        started_at=place.instant(attempt.started_at),
        ended_at=place.instant(attempt.ended_at),
        error=error_of(attempt.state, _log(item.logs, attempt.started_at, attempt.ended_at)) if state.is_bad else None,
        external_url=names.run_url(place.url, of.id),
        trace_id=trace_id_of(task.labels),
        tags=labels_of(task.tags),
    )
    key = ("state", attempt.state.id or f"{task.id} {attempt.number} {attempt.state.type}")
    stands = not task_ended(attempt.state)
    return place.fact(at, key, stands=stands, run=patch)


def _log(logs: Iterable[Log] | None, started: datetime | None, ended: datetime | None) -> str | None:
    """The last stack that was written meanwhile; of what is written as it ends, a moment later too."""
    began, over = utc(started), utc(ended)
    fit = [
        log
        for log in logs or ()
        if log.timestamp and (not began or log.timestamp >= began) and (not over or log.timestamp <= over + _AFTERWARDS)
    ]
    return max(fit, key=lambda log: log.timestamp or _EPOCH).message if fit else None


def _only_attempt(task: TaskRun, state: State) -> Attempt:
    """What the run itself says, without its states: exact where there was one attempt."""
    number = max(1, task.run_count or 1)
    queued = state.timestamp if state.type == "PENDING" else None
    ended = state.timestamp if task_ended(state) else None
    return Attempt(number, state, queued, task.start_time if number == 1 else None, ended)


def _is_final(attempt: Attempt, flow_try: int, retries: int | None) -> bool | None:
    """Whether nobody tries again: neither the task, nor the flow, whose next try makes task runs of its own."""
    state = task_state(attempt.state)
    if state is None or not state.is_terminal:
        return None
    if not state.is_bad:
        return True
    if state is RunState.UPSTREAM_FAILED:
        return None
    return False if attempt.state.type == "SCHEDULED" else flow_try > (retries or 0)


def _life_of(flow_try: int, ends: Sequence[int] | None) -> int:
    """In which life of the flow its n-th try was."""
    return next((number for number, end in enumerate(ends or ()) if flow_try <= end), max(0, len(ends or ()) - 1))


def _parent(run: FlowRun, place: Place) -> str | None:
    """A subflow stands in its parent's flow as a task."""
    if not run.parent_task_run_id:
        return None
    return names.attempt_alias(place.source, place.namespace, run.parent_task_run_id, 1)


def _tries(policy: Policy | None) -> int | None:
    return policy.retries + 1 if policy and policy.retries is not None and 0 <= policy.retries < 1_000 else None


def _trigger(run: FlowRun) -> Trigger | None:
    if run.auto_scheduled:
        return Trigger.SCHEDULE
    if run.parent_task_run_id:
        return Trigger.EVENT
    by = run.created_by.type if run.created_by else None
    return _BY.get(by or "", Trigger.MANUAL if run.auto_scheduled is False else None)


def _origins(run: FlowRun) -> tuple[Origin, ...]:
    """The automation that started it. A flow that another one called hangs below that one's task."""
    by = run.created_by
    if by is None or by.type != "AUTOMATION" or not by.display_value:
        return ()
    return (Origin(EVENT, cut(f"automation {by.display_value}", NAME_CHARS)),)


def _actor(run: FlowRun) -> str | None:
    """A person or an automation; what a schedule is called is no name."""
    by = run.created_by
    return said(by.display_value, NAME_CHARS) if by and by.type not in (None, "SCHEDULE") else None


def _run_tags(run: FlowRun) -> dict[str, str] | None:
    tags = labels_of(tag for tag in run.tags or () if tag != AUTO_SCHEDULED) or {}
    if run.work_pool_name:
        tags.setdefault("work_pool", cut(run.work_pool_name, NAME_CHARS))
    if run.work_queue_name:
        tags.setdefault("work_queue", cut(run.work_queue_name, NAME_CHARS))
    return tags or None
