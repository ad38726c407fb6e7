"""Walks through the lineage graph, of bounded length: what a dataset comes from, and what comes of some pipelines."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_

from watchtower.model.alert import Alert
from watchtower.model.lineage import Fed, Stage
from watchtower.model.run import JobRef
from watchtower.store import alert_rows, runs
from watchtower.store import datasets as dataset_rows
from watchtower.store import jobs as job_rows
from watchtower.store.schema.alerting import alerts
from watchtower.store.schema.observed import job_datasets, jobs

STEPS = 8  # pipelines in a row
STAGES = 60
FED = 60
_EDGES = 1_000  # of one step
_RUNS = 30  # of each stage

Edges = Mapping[str, frozenset[str]]  # by the id of a pipeline


def upstream(connection: Connection, dataset_ids: Collection[str]) -> list[Stage]:
    """The pipelines that data passes on its way to these datasets, the nearest first; by name within a step."""
    steps: dict[str, int] = {}
    written: dict[str, frozenset[str]] = {}  # by dataset: ids of the pipelines that write it
    read: dict[str, frozenset[str]] = {}  # by pipeline: ids of the datasets that it reads
    frontier = dataset_ids
    for step in range(1, STEPS + 1):
        writers = _pipelines(connection, frontier, "out")
        new = {ref for refs in writers.values() for ref in refs if ref.id not in steps}
        new = set(sorted(new, key=lambda ref: (ref.pipeline, ref.id))[: STAGES - len(steps)])
        written |= {dataset: frozenset(ref.id for ref in refs) for dataset, refs in writers.items()}
        steps |= {ref.id: step for ref in new}
        read |= (some := _datasets(connection, new, "in"))
        frontier = _all(some.values()) - written.keys()
        if not frontier:
            break
    needs = {
        pipeline: _all(written.get(dataset, frozenset()) for dataset in datasets) - {pipeline}
        for pipeline, datasets in read.items()
    }
    return _stages(connection, steps, needs)


def _stages(connection: Connection, steps: Mapping[str, int], needs: Edges) -> list[Stage]:
    known = job_rows.by_id(connection, sorted(steps))
    newest = runs.newest(connection, sorted(known), _RUNS)
    wrong = _open_alerts(connection, known)
    found = [
        Stage(job, steps[job_id], needs.get(job_id, frozenset()), newest[job_id][::-1], wrong.get(job_id, ()))
        for job_id, job in known.items()
    ]
    return sorted(found, key=lambda stage: (stage.steps, stage.job.ref.pipeline, stage.job.id))


def _open_alerts(connection: Connection, job_ids: Iterable[str]) -> dict[str, tuple[Alert, ...]]:
    """The oldest first."""
    query = select(alerts).where(
        alerts.c.subject.in_([f"job:{job_id}" for job_id in job_ids]),
        alerts.c.state.in_(alert_rows.OPEN),
        alerts.c.historical.is_(False),
    )
    found: dict[str, tuple[Alert, ...]] = {}
    for row in connection.execute(query.order_by(alerts.c.active_since, alerts.c.id).limit(_EDGES)):
        job_id = row.subject.removeprefix("job:")
        found[job_id] = (*found.get(job_id, ()), alert_rows.to_alert(row))
    return found


def downstream(connection: Connection, job_ids: Sequence[str]) -> list[Fed]:
    """What comes of these pipelines (or of pipelines of which these are tasks): the datasets that they write, what
    those that read these write, and so on; the nearest first, by name within a step."""
    pipelines = {job.ref.pipeline_ref for job in job_rows.by_id(connection, list(job_ids)).values()}
    passed = set(pipelines)
    found: dict[str, tuple[int, tuple[JobRef, ...]]] = {}
    for step in range(1, STEPS + 1):
        written = _all(_datasets(connection, pipelines, "out").values()) - found.keys()
        readers = _pipelines(connection, written, "in")
        for dataset_id in sorted(written)[: FED - len(found)]:
            found[dataset_id] = (step, _by_name(readers.get(dataset_id, frozenset()) - pipelines))
        pipelines = {ref for refs in readers.values() for ref in refs} - passed
        passed |= pipelines
        if not pipelines:
            break
    known = dataset_rows.by_id(connection, sorted(found))
    fed = [Fed(dataset, *found[dataset_id]) for dataset_id, dataset in known.items()]
    return sorted(fed, key=lambda each: (each.steps, each.dataset.ref.name, each.dataset.id))


def readers_of(connection: Connection, dataset_id: str) -> tuple[JobRef, ...]:
    """The pipelines that read a dataset, by name."""
    return _by_name(_pipelines(connection, [dataset_id], "in").get(dataset_id, frozenset()))


def read_by(connection: Connection, pipeline: JobRef) -> frozenset[str]:
    """Ids of what a pipeline reads, itself or by its tasks."""
    return _all(_datasets(connection, [pipeline], "in").values())


def _by_name(refs: Iterable[JobRef]) -> tuple[JobRef, ...]:
    return tuple(sorted(refs, key=lambda ref: (ref.pipeline, ref.namespace, ref.source)))


def _pipelines(connection: Connection, dataset_ids: Collection[str], direction: str) -> dict[str, frozenset[JobRef]]:
    """By dataset: the pipelines that read it (`in`) or write it (`out`), themselves or by their tasks."""
    query = (
        select(job_datasets.c.dataset_id, jobs.c.source, jobs.c.namespace, jobs.c.pipeline)
        .join_from(job_datasets, jobs, jobs.c.id == job_datasets.c.job_id)
        .where(job_datasets.c.dataset_id.in_(sorted(dataset_ids)), job_datasets.c.direction == direction)
        .distinct()
        .order_by(jobs.c.pipeline, jobs.c.namespace, jobs.c.source, job_datasets.c.dataset_id)
        .limit(_EDGES)
    )
    found: dict[str, frozenset[JobRef]] = {}
    for row in connection.execute(query) if dataset_ids else ():
        found[row.dataset_id] = found.get(row.dataset_id, frozenset()) | {_ref(row)}
    return found


def _datasets(connection: Connection, pipelines: Iterable[JobRef], direction: str) -> dict[str, frozenset[str]]:
    """By id of the pipeline: the datasets that it reads (`in`) or writes (`out`), itself or by its tasks."""
    names = sorted((ref.source, ref.namespace, ref.pipeline) for ref in pipelines)
    query = (
        select(job_datasets.c.dataset_id, jobs.c.source, jobs.c.namespace, jobs.c.pipeline)
        .join_from(job_datasets, jobs, jobs.c.id == job_datasets.c.job_id)
        .where(jobs.c.pipeline.in_([name for _, _, name in names]))  # by its index; what follows is exact
        .where(tuple_(jobs.c.source, jobs.c.namespace, jobs.c.pipeline).in_(names))
        .where(job_datasets.c.direction == direction)
        .distinct()
        .order_by(job_datasets.c.dataset_id, jobs.c.source, jobs.c.namespace, jobs.c.pipeline)
        .limit(_EDGES)
    )
    found: dict[str, frozenset[str]] = {}
    for row in connection.execute(query) if names else ():
        pipeline = _ref(row).id
        found[pipeline] = found.get(pipeline, frozenset()) | {row.dataset_id}
    return found


def _all(some: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*some)


def _ref(row: Any) -> JobRef:
    return JobRef(row.source, row.namespace, row.pipeline)
