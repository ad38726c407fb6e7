"""Asset events of an Airflow, `dataset events` in Airflow 2: what was written, by which try, and what that set off.

An event names the task and the run that wrote, and not the try: that is the one during which it came about. Which
events a run was set off by is asked run by run, since a run may wait for several assets, and its last one may come long
after the first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from collectors.airflow.api import Api, Row, part, rows_of
from collectors.airflow.fields import mapped
from collectors.openlineage.datasets import FILE_KEYS, ROW_KEYS, SIZE_KEYS
from collectors.openlineage.instants import parse_instant
from watchtower.errors import Permanent, Reason

TRIGGERED: Final = frozenset({"asset_triggered", "dataset_triggered"})
SAID: Final = ("rows", ROW_KEYS), ("bytes", SIZE_KEYS), ("files", FILE_KEYS)
PARTITION: Final = ("partition", "partition_key")
WRITER_FIELDS: Final = (
    *("dag_id", "dag_run_id", "task_id", "map_index", "try_number", "start_date"),
    *("logical_date", "execution_date", "run_after"),
)
SLACK: Final = timedelta(seconds=1)
REMEMBERED: Final = 50_000
MOST_SEEN: Final = 20_000
MOST_ORIGINS: Final = 100  # events of one run

Task = tuple[str, str, str, int]  # DAG, run, task, place in a mapped one or -1


class Remembered:
    """What need not be asked again while it is among the newest."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, None] = OrderedDict()

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def add(self, names: Mapping[Any, Any]) -> None:
        self._known.update(dict.fromkeys(names))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


class Assets:
    """One Airflow's. earlier: the tries before the one of a row. seen: tries that this poll read, so that they need not
    be asked for."""

    def __init__(self, api: Api, earlier: Callable[[Row], list[Row]]) -> None:
        self._api = api
        self._earlier = earlier
        self._seen: dict[Task, Row] = {}
        self.read = Remembered()  # events, by id
        self.explained = Remembered()  # runs whose origins were read

    def begin(self) -> None:
        self._seen.clear()

    def see(self, tries: Iterable[Row]) -> None:
        for row in tries:
            if row.get("state") == "success" and len(self._seen) < MOST_SEEN:
                self._seen[_task(row, "")] = {name: row.get(name) for name in WRITER_FIELDS}

    def written(self, since: datetime, until: datetime | None) -> Iterator[list[tuple[Row, Row | None]]]:
        """Events since then that were not read yet, newest first, page by page; each with the try that wrote, None
        where no task did, or it was removed. Nothing where the user may not read them. Airflow 2 cannot filter them:
        it is asked from the newest on."""
        path, key = self._paths("/assets/events", "/datasets/events")
        span = {"timestamp_gte": since.isoformat(), **({"timestamp_lte": until.isoformat()} if until else {})}
        span = span if self._api.version().api == 2 else {}
        try:
            for rows in self._api.rows(path, key, ("id",), **span, order_by="-timestamp"):
                new = [row for row in rows if row.get("id") not in self.read and not _is_before(row, since)]
                yield [(row, self._writer(row)) for row in new]
                self.read.add({row.get("id"): None for row in new})
                if any(_is_before(row, since) for row in rows):
                    return
        except Permanent as error:
            if error.reason not in (Reason.AUTH, Reason.NOT_FOUND):
                raise

    def origins(self, run: Row) -> list[Row]:
        """The events that set a run off."""
        path, key = self._paths("/upstreamAssetEvents", "/upstreamDatasetEvents")
        path = f"/dags/{part(run['dag_id'])}/dagRuns/{part(run['dag_run_id'])}{path}"
        found = self._found(path)
        return [] if found is None else rows_of(found, key, path)[:MOST_ORIGINS]

    def _paths(self, new: str, old: str) -> tuple[str, str]:
        return (new, "asset_events") if self._api.version().api == 2 else (old, "dataset_events")

    def _writer(self, event: Row) -> Row | None:
        if not all(isinstance(event.get(f"source_{name}_id"), str) for name in ("dag", "run", "task")):
            return None
        name, at = _task(event, "source_"), _at(event, "timestamp")
        row = self._seen.get(name) or self._asked(name)
        if row is None or at is None or _had_begun(row, at):
            return row
        before = [each for each in self._earlier(row) if _had_begun(each, at)]
        return max(before, key=lambda each: each.get("try_number") or 0, default=None)

    def _asked(self, name: Task) -> Row | None:
        dag, run, task, place = name
        at_place = f"/{place}" if place >= 0 else ""
        return self._found(f"/dags/{part(dag)}/dagRuns/{part(run)}/taskInstances/{part(task)}{at_place}")

    def _found(self, path: str) -> Row | None:
        try:
            return self._api.get(path, dict[str, Any])
        except Permanent as error:
            if error.reason not in (Reason.AUTH, Reason.NOT_FOUND):
                raise
            return None


def told_of(event: Row) -> Row:
    """What of an event is kept. Of `extra` the counts alone: it may hold anything."""
    extra = mapped(event.get("extra"))
    counts = {name: next((extra[key] for key in keys if key in extra), None) for name, keys in SAID}
    partition = event.get("partition_key") or next((extra[name] for name in PARTITION if name in extra), None)
    kept = {"event": event.get("id"), "uri": uri_of(event), "at": event.get("timestamp"), **counts}
    return {**kept, "partition": partition if isinstance(partition, str) else None}


def uri_of(event: Row) -> str | None:
    return event.get("uri") or event.get("dataset_uri")


def cause_of(event: Row) -> Row:
    """What of an event is kept with the run that it set off."""
    named = {name: event.get(f"source_{name}_id") for name in ("dag", "task", "run")}
    return {**named, "uri": uri_of(event), "at": event.get("timestamp")}


def _task(row: Row, prefix: str) -> Task:
    """prefix: `source_` of an event."""
    run, place = row.get(f"{prefix}run_id" if prefix else "dag_run_id"), row.get(f"{prefix}map_index")
    return row[f"{prefix}dag_id"], str(run), row[f"{prefix}task_id"], place if isinstance(place, int) else -1


def _had_begun(row: Row, at: datetime) -> bool:
    began = _at(row, "start_date")
    return began is not None and began <= at + SLACK


def _is_before(row: Row, since: datetime) -> bool:
    at = _at(row, "timestamp")
    return at is not None and at < since


def _at(row: Row, field: str) -> datetime | None:
    text = row.get(field)
    return parse_instant(text) if isinstance(text, str) else None
