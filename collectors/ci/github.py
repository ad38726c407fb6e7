"""GitHub: `workflow_run` and `deployment_status` (docs.github.com, "Webhook events and payloads")."""

from collections.abc import Mapping
from typing import Final

from collectors.ci.told import Json, Told, Unread, first_line, moment, part, text, whole
from watchtower.model.run import RunState

_CONCLUSIONS: Final[Mapping[str, RunState]] = {
    "success": RunState.SUCCEEDED,
    "neutral": RunState.SUCCEEDED,
    "failure": RunState.FAILED,
    "startup_failure": RunState.FAILED,
    "timed_out": RunState.TIMED_OUT,
    "cancelled": RunState.CANCELLED,
    "skipped": RunState.SKIPPED,
    "stale": RunState.CANCELLED,
}
_DEPLOYMENTS: Final[Mapping[str, RunState]] = {
    "queued": RunState.QUEUED,
    "pending": RunState.QUEUED,
    "in_progress": RunState.RUNNING,
    "success": RunState.SUCCEEDED,
    "failure": RunState.FAILED,
    "error": RunState.FAILED,
}
_STATUSES: Final = {"in_progress": RunState.RUNNING, "queued": RunState.QUEUED, "requested": RunState.QUEUED}


def read(event: str, body: Json) -> Told | None:
    """None: an event that says nothing of changes (ping, push …). Raises Unread."""
    if event == "workflow_run":
        return _workflow(body)
    if event == "deployment_status":
        return _deployment(body)
    return None


def _workflow(body: Json) -> Told:
    run = part(body, "workflow_run")
    repository, number = text(body, "repository", "full_name"), text(run, "id")
    if not (repository and number):
        raise Unread("a workflow_run event names repository.full_name and workflow_run.id")
    name = text(run, "name") or text(body, "workflow", "name") or "workflow"
    status = text(run, "status") or ""
    state = _CONCLUSIONS.get(text(run, "conclusion") or "") if status == "completed" else _STATUSES.get(status)
    branch = text(run, "head_branch")
    return Told(
        repository=repository,
        workflow=name,
        number=number,
        attempt=whole(run, "run_attempt") or 1,
        state=state,
        at=moment(run, "updated_at"),
        started_at=moment(run, "run_started_at") or moment(run, "created_at"),
        is_main=branch is not None and branch == text(body, "repository", "default_branch"),
        steps=(name,),
        title=first_line(text(run, "head_commit", "message")) or text(run, "display_title") or name,
        commit=text(run, "head_sha"),
        actor=text(run, "triggering_actor", "login") or text(run, "actor", "login"),
        url=text(run, "html_url"),
        trigger=text(run, "event"),
    )


def _deployment(body: Json) -> Told:
    status, deployment = part(body, "deployment_status"), part(body, "deployment")
    repository, number = text(body, "repository", "full_name"), text(deployment, "id")
    if not (repository and number):
        raise Unread("a deployment_status event names repository.full_name and deployment.id")
    environment = text(status, "environment") or text(deployment, "environment")
    return Told(
        repository=repository,
        workflow=f"deploy {environment}" if environment else "deploy",
        number=number,
        state=_DEPLOYMENTS.get(text(status, "state") or ""),
        at=moment(status, "created_at"),
        deploys=True,
        is_main=True,
        title=first_line(text(body, "workflow_run", "head_commit", "message"))
        or first_line(text(deployment, "description"))
        or text(deployment, "ref")
        or "",
        commit=text(deployment, "sha"),
        actor=text(status, "creator", "login") or text(deployment, "creator", "login"),
        url=text(status, "log_url") or text(status, "target_url") or text(body, "workflow_run", "html_url"),
        environment=environment,
    )
