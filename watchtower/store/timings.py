"""How the tasks of a pipeline's past runs lay in time. Read only for pipelines whose end somebody wants forecast."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from watchtower.model.run import JobRef
from watchtower.model.timing import Timings
from watchtower.store import dialect, driver

_TASKS = (
    "SELECT r.parent_run_id, j.task, min(r.started_at), max(r.ended_at) FROM runs r JOIN jobs j ON j.id = r.job_id "
    "WHERE r.started_at IS NOT NULL AND r.ended_at IS NOT NULL AND j.task IS NOT NULL AND r.parent_run_id {among} "
    "GROUP BY r.parent_run_id, j.task"
)
_UPSTREAM = (
    "SELECT task, upstream_tasks FROM jobs WHERE namespace = {mark} AND pipeline = {mark} AND source = {mark} "
    "AND task IS NOT NULL AND upstream_tasks IS NOT NULL"
)


def timings(connection: Connection, pipelines: Mapping[JobRef, Sequence[str]]) -> dict[JobRef, Timings]:
    """pipelines: ids of the past runs wanted of each. Bounded by these, not by the history."""
    wanted = [run_id for some in pipelines.values() for run_id in some]
    tasks: dict[str, dict[str, tuple[int, int]]] = {}
    for run_id, task, started, ended in dialect.rows_among(connection, _TASKS, wanted):
        tasks.setdefault(run_id, {})[task] = (started, ended)
    return {
        ref: Timings({run_id: tasks[run_id] for run_id in some if run_id in tasks}, _upstream(connection, ref))
        for ref, some in pipelines.items()
    }


def _upstream(connection: Connection, ref: JobRef) -> dict[str, tuple[str, ...]]:
    sql = _UPSTREAM.format(mark=dialect.mark(connection))
    rows = driver.rows(connection, sql, (ref.namespace, ref.pipeline, ref.source))
    return {task: tuple(msgspec.json.decode(told, type=list[str])) for task, told in rows}
