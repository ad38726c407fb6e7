"""What Prefect's things are called here: jobs, the names of runs and attempts, links.

A run of a deployment belongs to `flow/deployment`, as Prefect's own commands name it: production and staging of one
flow have schedules and habits of their own. A run without a deployment belongs to its flow.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from collectors.identity import identifier, run_alias, task_alias
from collectors.prefect.wire import TaskRun
from watchtower.model.run import JobRef

_HASH: Final = re.compile(r"-[0-9a-f]{8}$")
_CLOUD: Final = re.compile(r"https://api\.prefect\.cloud/api/accounts/([^/]+)/workspaces/([^/]+)/?")


def pipeline(flow: str, deployment: str | None) -> str:
    return identifier(f"{flow}/{deployment}" if deployment else flow)


def task_name(task: TaskRun) -> str:
    """A task's run is called after it, with the beginning of its key behind; who names runs himself has the function's
    name. `extract-488` → `extract`."""
    name, key = task.name or "", task.dynamic_key or ""
    for ending in (key[:3], key):
        if ending and name.endswith(f"-{ending}") and len(name) > len(ending) + 1:
            return identifier(name[: -len(ending) - 1])
    return identifier(_HASH.sub("", task.task_key or "") or name or "task")


def flow_run_alias(source: str, namespace: str, flow_run_id: str, life: int = 0) -> str:
    """Prefect's ids are unique by themselves: an event that does not name the flow means the same run."""
    return run_alias(source, namespace, "", flow_run_id, life)


def attempt_alias(source: str, namespace: str, task_run_id: str, attempt: int) -> str:
    return task_alias(source, namespace, "", "", task=task_run_id, map_index=None, attempt=attempt)


def run_url(ui_url: str | None, flow_run_id: str) -> str | None:
    return f"{ui_url}/runs/flow-run/{flow_run_id}" if ui_url else None


def ui_of(api_url: str) -> str:
    """The address of the pages that belong to an API: Prefect Cloud's, or those that the server itself has."""
    found = _CLOUD.fullmatch(api_url)
    if found:
        return f"https://app.prefect.cloud/account/{found[1]}/workspace/{found[2]}"
    parts = urlsplit(api_url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/api')}"


def job(source: str, namespace: str, flow: str, deployment: str | None, task: str | None = None) -> JobRef:
    return JobRef(source, namespace, pipeline(flow, deployment), task)
