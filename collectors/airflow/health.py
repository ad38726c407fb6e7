"""What an Airflow says is wrong with itself: parts that stand still, files that cannot be read, pools that are full."""

from collections.abc import Iterator
from typing import Any, Final

from collectors.airflow.api import Api, Row, rows_of
from collectors.airflow.fields import mapped
from watchtower.errors import Permanent, Reason
from watchtower.model.source import Problem

MOST_PROBLEMS: Final = 50
_PARTS: Final = {
    "metadatabase": "its database is not healthy",
    "scheduler": "no scheduler is alive: nothing is started",
    "triggerer": "no triggerer is alive: deferred tasks do not go on",
    "dag_processor": "no DAG processor is alive: changes of DAG files are not seen",
}


def problems_of(api: Api) -> list[Problem]:
    """Raises Transient or Permanent for what cannot be asked; what the user may not see is left out."""
    found = [*_parts(api), *_import_errors(api), *_pools(api)]
    return found[:MOST_PROBLEMS]


def _parts(api: Api) -> Iterator[Problem]:
    """A part that Airflow does not have (status null) is none that stands still."""
    path = "/monitor/health" if api.version().api == 2 else "/health"
    health = api.get(path, dict[str, Any])
    for part, words in _PARTS.items():
        told = mapped(health.get(part))
        if told.get("status") == "unhealthy":
            beaten = told.get(f"latest_{part}_heartbeat")
            yield Problem(part, f"{words}{f' (last heartbeat {beaten})' if beaten else ''}")


def _import_errors(api: Api) -> Iterator[Problem]:
    for row in _allowed(api, "/importErrors", "import_errors", "import_error_id"):
        file = str(row.get("filename") or "a file")
        lines = str(row.get("stack_trace") or "").strip().splitlines()
        why = f": {lines[-1][:300]}" if lines else ""
        yield Problem(f"import:{file[-200:]}", f"{file} cannot be read, so its DAGs are not updated{why}")


def _pools(api: Api) -> Iterator[Problem]:
    for row in _allowed(api, "/pools", "pools", "name"):
        waiting = _count(row, "queued_slots") + _count(row, "scheduled_slots")
        if _count(row, "open_slots") <= 0 and _count(row, "scheduled_slots") > 0 and row.get("open_slots") is not None:
            name, slots = str(row.get("name"))[:200], row.get("slots")
            yield Problem(
                f"pool:{name}", f"the pool {name} is full: all {slots} slots are taken, tasks for {waiting} wait"
            )


def _allowed(api: Api, path: str, key: str, ident: str) -> Iterator[Row]:
    """Of the first page. Many users may see DAGs and not these."""
    try:
        page = api.get(path, dict[str, Any], limit=100)
    except Permanent as error:
        if error.reason not in (Reason.AUTH, Reason.NOT_FOUND):
            raise
        return
    yield from rows_of(page, key, path)


def _count(row: Row, name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0
