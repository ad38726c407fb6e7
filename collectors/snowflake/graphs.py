"""Rows of TASK_HISTORY → one document for each run of a graph of tasks.

A graph has no row of its own. It has ended once none of its rows is under way and none was completed just now, since a
task that waits for another is planned moments after that one has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast

import msgspec

from collectors.asking import Row, record
from collectors.openlineage.instants import parse_instant

OPEN: Final = frozenset({"SCHEDULED", "EXECUTING"})
SETTLED: Final = timedelta(minutes=2)
_TASK: Final = (
    "name", "state", "error_code", "error_message", "query_id", "scheduled", "started", "completed",
)  # fmt: skip
_DESCRIBED: Final = ("schedule", "state", "owner", "comment", "warehouse")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a graph as its document shows it. scheduled: for when it was planned."""

    record: bytes
    scheduled: datetime
    is_open: bool


@dataclass(frozen=True, slots=True)
class Known:
    """Which tasks there are, all by DATABASE.SCHEMA.NAME. names: by id; root_ids: of the root of each task's graph;
    after: what each waits for."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    root_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @staticmethod
    def of(rows: Sequence[Row]) -> "Known":
        """rows: of SHOW TASKS."""
        names = {str(row.get("id")): _qualified(row) for row in rows}
        ids = {name: ident for ident, name in names.items()}
        after = {_qualified(row): _predecessors(row) for row in rows}
        return Known(names, {name: ids.get(_root(name, after), "") for name in after}, after)

    def root_of(self, row: Row) -> str:
        """The root task of a row's graph; the row's own task where that is not known, as when it was dropped."""
        return self.names.get(str(row.get("root_task_id"))) or _qualified(row)

    def is_alone(self, root: str) -> bool:
        """Nothing waits for it, as far as is known."""
        return root in self.after and not any(root in waited for waited in self.after.values())

    def described(self, row: Row) -> dict[str, Any]:
        """What is kept of a row of SHOW TASKS; not what the task does."""
        name = _qualified(row)
        root = self.names.get(self.root_ids.get(name, ""), name)
        shown = {key: row[key] for key in _DESCRIBED if row.get(key)}
        after = [each.rpartition(".")[2] for each in self.after.get(name, ())]
        return {"name": name, "root": root, "after": after, **shown}


class Gathering:
    """Rows of TASK_HISTORY, told newest plan first, until all rows of a graph were told: what was planned before its
    root is of no retry of it either."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._graphs: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
        self._begun: dict[tuple[str, str], datetime] = {}  # for when the root was planned, where its row was told

    def add(self, rows: Sequence[Row]) -> None:
        """A row that was told before stays as it was then."""
        for row in rows:
            graph, attempt = (str(row.get("root_task_id")), str(row.get("graph"))), _attempt(row)
            name = _qualified(row)
            self._graphs.setdefault(graph, {}).setdefault((attempt, name), row)
            scheduled = parse_instant(str(row.get("scheduled")))
            if scheduled and attempt == "1" and self._known.names.get(graph[0]) == name:
                self._begun[graph] = scheduled

    def whole(self, down_to: datetime, now: datetime) -> list[Run]:
        """Runs whose every row was told, and which are no longer kept here. down_to: what was planned later is all
        told; now: by Snowflake's clock."""
        whole = [graph for graph, scheduled in self._begun.items() if scheduled > down_to]
        return self._taken(whole, now)

    def rest(self, now: datetime) -> list[Run]:
        """Those of which no more will be told."""
        return self._taken(list(self._graphs), now)

    def _taken(self, graphs: Sequence[tuple[str, str]], now: datetime) -> list[Run]:
        rows: list[Row] = []
        for graph in graphs:
            self._begun.pop(graph, None)
            rows += self._graphs.pop(graph).values()
        return documents(rows, self._known, now)


def documents(rows: Sequence[Row], known: Known, now: datetime) -> list[Run]:
    """now: by Snowflake's clock."""
    graphs: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        ident = str(row.get("root_task_id")), str(row.get("graph")), _attempt(row)
        graphs.setdefault(ident, []).append(row)
    found = [_document(ident, of, known, now) for ident, of in graphs.items()]
    return [run for run in found if run is not None]


def _document(ident: tuple[str, str, str], rows: Sequence[Row], known: Known, now: datetime) -> Run | None:
    """None for a graph that is only planned."""
    rows = sorted(rows, key=lambda row: (str(row.get("scheduled")), str(row.get("name"))))
    root = known.root_of(rows[0])
    first = next((row for row in rows if _qualified(row) == root), None)
    scheduled = parse_instant(str((first or rows[0]).get("scheduled")))
    if scheduled is None or all(row.get("state") == "SCHEDULED" for row in rows):
        return None
    ended = [at for row in rows if (at := parse_instant(str(row.get("completed"))))]
    still = any(row.get("state") in OPEN for row in rows)
    alone = known.is_alone(root) and len(rows) == 1
    is_open = still or (not alone and bool(ended) and max(ended) > now - SETTLED)
    started = min((str(row["started"]) for row in rows if row.get("started")), default=None)
    graph: dict[str, Any] = {
        "root": root,
        "id": ident[1],
        "attempt": ident[2],
        "state": "EXECUTING" if is_open else _state(rows),
        "from": (first or rows[0]).get("scheduled_from"),
        "version": (first or rows[0]).get("graph_version"),
        "scheduled": scheduled.isoformat(),
        "started": started,
        "ended": max(ended).isoformat() if ended and not is_open else None,
        "whole": first is not None or int(ident[2]) > 1,
    }
    tasks = [{name: row[name] for name in _TASK if row.get(name) is not None} for row in rows]
    return Run(record(graph=graph, tasks=tasks, alone=alone), scheduled, is_open)


def _state(rows: Sequence[Row]) -> str:
    """The worst that came of a task; a graph whose first task was skipped is a skip."""
    states = {str(row.get("state")) for row in rows}
    failed = sorted(state for state in states if state.startswith("FAILED"))
    if failed:
        return failed[0]
    return next((state for state in ("CANCELLED", "SUCCEEDED", "SKIPPED") if state in states), "SUCCEEDED")


def _attempt(row: Row) -> str:
    return str(row.get("attempt_number") or 1)


def _qualified(row: Row) -> str:
    return f"{row.get('database_name')}.{row.get('schema_name')}.{row.get('name')}"


def _predecessors(row: Row) -> tuple[str, ...]:
    """`["SHOP.PUBLIC.LOAD"]`, a list as text."""
    try:
        told = msgspec.json.decode(str(row.get("predecessors") or "[]"))
    except msgspec.DecodeError:
        return ()
    return tuple(str(each) for each in cast("list[Any]", told)) if isinstance(told, list) else ()


def _root(name: str, after: Mapping[str, tuple[str, ...]]) -> str:
    """Where the graph begins; any way up leads there."""
    for _ in range(1_000):  # a graph has at most 1,000 tasks
        waited = after.get(name)
        if not waited:
            return name
        name = waited[0]
    return name
