"""Who came in the place of a pipeline that does not run any more: was it renamed, or moved to another scheduler?

Asked only of a pipeline that is missing: of those that were first heard of since it ran last, which write what it
wrote, have its tasks, or bear its name somewhere else?
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from watchtower.model.follower import ENOUGH_RUNS, Follower
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import JobRef
from watchtower.store import dialect, driver

_SHOWN = 3
_SAME_TASKS = 2  # at least, and half of what it had: `load` alone is everybody's

_CAME = (
    "SELECT id, source, namespace, pipeline, first_seen FROM jobs WHERE task IS NULL AND first_seen >= {mark} "
    "AND id <> {mark} ORDER BY first_seen, id LIMIT 50"  # the first that came
)
_FAMILY = "SELECT id, coalesce(task, '') FROM jobs WHERE pipeline = {mark} AND namespace = {mark} AND source = {mark}"
_WRITES = (
    "SELECT DISTINCT datasets.id, datasets.name FROM job_datasets JOIN datasets ON datasets.id = dataset_id "
    "WHERE direction = 'out' AND job_id {among}"
)
_ENDED_WELL = "SELECT id FROM runs WHERE job_id = {mark} AND state = 'succeeded' LIMIT {mark}"


def followers(connection: Connection, ref: JobRef, since: datetime) -> tuple[Follower, ...]:
    """ref: of the pipeline; since: when it ran last. Who shares most comes first."""
    mark = dialect.mark(connection)
    came = driver.rows(connection, _CAME.format(mark=mark), (to_micros(since), ref.id))
    if not came:
        return ()
    own = _Family(connection, ref)
    found: list[tuple[int, Follower]] = []
    for ident, source, namespace, pipeline, first_seen in came:
        other = JobRef(source, namespace, pipeline)
        strength, shares = own.shares_with(_Family(connection, other), other)
        if strength:
            runs = len(driver.rows(connection, _ENDED_WELL.format(mark=mark), (ident, ENOUGH_RUNS)))
            found.append((strength, Follower(other, from_micros(first_seen), runs, shares)))
    found.sort(key=lambda each: -each[0])
    return tuple(follower for _, follower in found[:_SHOWN])


class _Family:
    """A pipeline with its tasks, and what they write."""

    def __init__(self, connection: Connection, ref: JobRef) -> None:
        self.ref = ref
        mark = dialect.mark(connection)
        rows = driver.rows(connection, _FAMILY.format(mark=mark), (ref.pipeline, ref.namespace, ref.source))
        self.tasks = {task for _, task in rows if task}
        written = dialect.rows_among(connection, _WRITES, [ident for ident, _ in rows])
        self.writes: dict[str, str] = {str(row[0]): str(row[1]) for row in written}

    def shares_with(self, other: "_Family", ref: JobRef) -> tuple[int, str]:
        """How much that says, 0 for nothing; and in words."""
        both = sorted(self.writes[ident] for ident in self.writes.keys() & other.writes.keys())
        if both:
            return 3, f"writes {_listed(both)}, too"
        if ref.pipeline == self.ref.pipeline:
            return 2, f"has the same name, in {ref.namespace} of {ref.source}"
        tasks = sorted(self.tasks & other.tasks)
        if len(tasks) >= max(_SAME_TASKS, len(self.tasks) / 2):
            return 1, f"has the same tasks {_listed(tasks)}"
        return 0, ""


def _listed(names: Sequence[str]) -> str:
    shown: Iterable[str] = names[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
