"""GitLab: pipeline and deployment events (docs.gitlab.com, "Webhook events")."""

from collections.abc import Mapping
from typing import Any, Final, cast

from collectors.ci.told import Json, Told, Unread, first_line, moment, part, text
from watchtower.model.run import RunState

_STATES: Final[Mapping[str, RunState]] = {
    "created": RunState.QUEUED,
    "waiting_for_resource": RunState.QUEUED,
    "preparing": RunState.QUEUED,
    "pending": RunState.QUEUED,
    "scheduled": RunState.QUEUED,
    "running": RunState.RUNNING,
    "success": RunState.SUCCEEDED,
    "failed": RunState.FAILED,
    "canceled": RunState.CANCELLED,
    "canceling": RunState.RUNNING,
    "skipped": RunState.SKIPPED,
}


def read(event: str, body: Json) -> Told | None:
    """event: of the header; what counts is the body's own word. Raises Unread."""
    kind = text(body, "object_kind")
    if kind == "pipeline":
        return _pipeline(body)
    if kind == "deployment":
        return _deployment(body)
    return None


def _pipeline(body: Json) -> Told:
    said = part(body, "object_attributes")
    repository, number = text(body, "project", "path_with_namespace"), text(said, "id")
    if not (repository and number):
        raise Unread("a pipeline event names project.path_with_namespace and object_attributes.id")
    state = _STATES.get(text(said, "status") or "")
    builds: list[Any] = cast("list[Any]", found) if isinstance(found := part(body, "builds"), list) else []
    done = [build for build in builds if text(build, "status") == "success"]
    steps = [name for build in done for name in (text(build, "stage"), text(build, "name")) if name]
    environments = [name for build in done if (name := text(build, "environment", "name"))]
    return Told(
        repository=repository,
        workflow=text(said, "name") or "pipeline",
        number=number,
        state=state,
        at=moment(said, "finished_at") or moment(said, "created_at"),
        started_at=moment(said, "created_at"),
        is_main=text(said, "ref") == text(body, "project", "default_branch") or part(said, "tag") is True,
        steps=tuple(dict.fromkeys((*steps, text(said, "name") or "pipeline"))),
        title=text(body, "commit", "title") or first_line(text(body, "commit", "message")),
        commit=text(said, "sha"),
        actor=text(body, "user", "username") or text(body, "user", "name"),
        url=text(said, "url") or _web(body, f"/-/pipelines/{number}"),
        environment=environments[-1] if environments else None,
        trigger=text(said, "source"),
    )


def _deployment(body: Json) -> Told:
    repository, number = text(body, "project", "path_with_namespace"), text(body, "deployment_id")
    if not (repository and number):
        raise Unread("a deployment event names project.path_with_namespace and deployment_id")
    environment = text(body, "environment")
    return Told(
        repository=repository,
        workflow=f"deploy {environment}" if environment else "deploy",
        number=number,
        state=_STATES.get(text(body, "status") or ""),
        at=moment(body, "status_changed_at"),
        deploys=True,
        is_main=True,
        title=text(body, "commit_title") or text(body, "ref") or "",
        commit=(text(body, "commit_url") or "").rpartition("/")[2] or text(body, "short_sha"),
        actor=text(body, "user", "username") or text(body, "user", "name"),
        url=text(body, "deployable_url") or _web(body, "/-/environments"),
        environment=environment,
    )


def _web(body: Json, path: str) -> str | None:
    base = text(body, "project", "web_url")
    return f"{base}{path}" if base else None
