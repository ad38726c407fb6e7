"""Jenkins: what its Notification plugin posts as JSON (plugins.jenkins.io/notification)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collectors.ci.told import Json, Told, Unread, part, text
from watchtower.model.run import RunState

_STATUSES: Final[Mapping[str, RunState]] = {
    "SUCCESS": RunState.SUCCEEDED,
    "UNSTABLE": RunState.FAILED,
    "FAILURE": RunState.FAILED,
    "ABORTED": RunState.CANCELLED,
    "NOT_BUILT": RunState.SKIPPED,
}
_MAIN: Final = frozenset({"main", "master", "trunk", "release", "production"})


def read(event: str, body: Json) -> Told | None:
    """A build says its phases one by one; FINALIZED repeats COMPLETED. Raises Unread."""
    build = part(body, "build")
    name, number = text(body, "name"), text(build, "number")
    if not (name and number):
        raise Unread("a notification of Jenkins names name and build.number")
    phase = text(build, "phase") or ""
    begun = _millis(part(build, "timestamp"))
    took = part(build, "duration")
    ended = begun + timedelta(milliseconds=took) if begun and isinstance(took, int) and took > 0 else None
    if phase in ("COMPLETED", "FINALIZED"):
        state = _STATUSES.get(text(build, "status") or "")
    else:
        state = {"STARTED": RunState.RUNNING, "QUEUED": RunState.QUEUED}.get(phase)
    branch = (text(build, "scm", "branch") or "").removeprefix("origin/").removeprefix("refs/heads/")
    return Told(
        repository=_repository(text(build, "scm", "url")) or name,
        workflow=text(body, "display_name") or name,
        number=number,
        state=state,
        at=ended if state is not None and state.is_terminal else begun,
        started_at=begun,
        is_main=not branch or branch in _MAIN,
        steps=(name,),
        title=f"{name} #{number}",
        commit=text(build, "scm", "commit"),
        url=text(build, "full_url"),
        environment=text(build, "parameters", "ENVIRONMENT") or text(build, "parameters", "environment"),
    )


def _millis(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**14:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


def _repository(url: str | None) -> str | None:
    """`https://github.com/acme/orders.git`, `git@github.com:acme/orders.git` → `acme/orders`."""
    if not url:
        return None
    path = url.rpartition("://")[2] if "://" in url else url.rpartition(":")[2]
    parts = path.removesuffix(".git").strip("/").split("/")
    return "/".join(parts[-2:]) if parts[-1] else None
