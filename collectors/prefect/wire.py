"""What Prefect's REST API and its events say, as far as it is read (Prefect 3: server/schemas/core.py, events/schemas).

Everything may be missing: another version says less, and one strange field costs that field.
"""

from datetime import datetime
from typing import Any

import msgspec


class StateDetails(msgspec.Struct):
    scheduled_time: datetime | None = None


class State(msgspec.Struct):
    """type: the closed set; name: the words that people see (`Late`, `AwaitingRetry`, `TimedOut`)."""

    id: str | None = None
    type: str | None = None
    name: str | None = None
    timestamp: datetime | None = None
    message: str | None = None
    state_details: StateDetails | None = None


class Policy(msgspec.Struct):
    retries: int | None = None


class CreatedBy(msgspec.Struct):
    type: str | None = None
    display_value: str | None = None


class FlowRun(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    deployment_version: str | None = None
    flow_version: str | None = None
    empirical_policy: Policy | None = None
    tags: list[str] | None = None
    labels: dict[str, Any] | None = None
    parent_task_run_id: str | None = None
    run_count: int | None = None
    expected_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    auto_scheduled: bool | None = None
    created_by: CreatedBy | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    state: State | None = None


class TaskRun(msgspec.Struct):
    """flow_run_run_count: in which run of the flow it ran; 0 for the stand-in of a subflow."""

    id: str | None = None
    name: str | None = None
    task_key: str | None = None
    dynamic_key: str | None = None
    empirical_policy: Policy | None = None
    tags: list[str] | None = None
    labels: dict[str, Any] | None = None
    run_count: int | None = None
    flow_run_run_count: int | None = None
    expected_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    state: State | None = None


class Schedule(msgspec.Struct):
    """interval: seconds; rrule: RFC 5545."""

    cron: str | None = None
    interval: float | None = None
    rrule: str | None = None
    timezone: str | None = None


class DeploymentSchedule(msgspec.Struct):
    active: bool | None = None
    schedule: Schedule | None = None


class Deployment(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    updated: datetime | None = None
    description: str | None = None
    paused: bool | None = None
    tags: list[str] | None = None
    schedules: list[DeploymentSchedule] | None = None
    work_pool_name: str | None = None


class Life(msgspec.Struct):
    """Of a flow run that a task ran in. ends: how often the flow had been run when each of its lives ended."""

    id: str | None = None
    flow: str | None = None
    deployment: str | None = None
    retries: int | None = None
    ends: list[int] | None = None


class Log(msgspec.Struct):
    timestamp: datetime | None = None
    message: str | None = None


class Item(msgspec.Struct):
    """One of the documents that `collectors.prefect.api` makes of the API's answers."""

    type: str | None = None
    flow: str | None = None
    deployment_name: str | None = None
    flow_run: FlowRun | None = None
    task_run: TaskRun | None = None
    deployment: Deployment | None = None
    of: Life | None = None
    map_index: int | None = None
    states: list[State] | None = None
    logs: list[Log] | None = None


class Event(msgspec.Struct):
    """An event, from `events/filter` or as an automation posts it."""

    id: str | None = None
    event: str | None = None
    occurred: datetime | None = None
    resource: dict[str, Any] | None = None
    related: list[dict[str, Any]] | None = None
    payload: dict[str, Any] | None = None
