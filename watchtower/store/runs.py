"""Runs in the store: folding patches into rows, and reading rows back.

This is the hot write path: statements go through the driver underneath SQLAlchemy (2 to 4 times the rate of Core's
executemany, docs/performance.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from watchtower.model.fact import Fact
from watchtower.model.fold import Document, all_aliases, fold_run, merge_runs, new_run
from watchtower.model.origin import from_stored
from watchtower.model.past import PastRun, past_runs
from watchtower.model.run import JobRef, Run, RunError, RunState, Trigger
from watchtower.store import dialect, driver
from watchtower.store.documents import Documents
from watchtower.store.identities import Identities, merged_into
from watchtower.store.run_rows import COLUMNS, of_row, words_of
from watchtower.store.schema.observed import dataset_updates, run_aliases, runs
from watchtower.store.schema.traces import traces

_documents = Documents(runs)


Place = tuple[str, str, str, str | None]


@dataclass(frozen=True, slots=True)
class Was:
    """A run as it stood at some moment, and the job it is of: source, namespace, pipeline, task."""

    place: Place
    run: PastRun


def was(document: Document) -> Was:
    place = (document["source"], document["namespace"], document["pipeline"], document["task"])
    return Was(
        place,
        PastRun(
            document["id"],
            document["state"],
            document["trigger"],
            document["historical"],
            document["nominal_start"],
            document["nominal_end"],
            document["started_at"],
            document["ended_at"],
            document["first_seen"],
        ),
    )


@dataclass(slots=True)
class Folded:
    """The runs that a batch of facts touched. before: state and end as they were, by run id; None for a new run. was:
    those that were there already, also such as were merged into another one since."""

    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    before: dict[str, tuple[str, int | None] | None] = field(default_factory=dict[str, Any])
    was: dict[str, Was] = field(default_factory=dict[str, Was])
    run_ids: dict[int, str] = field(default_factory=dict[int, str])  # position of the fact in the batch → run id

    def ended_anew(self) -> list[Document]:
        """Runs whose state or end is no longer what it was."""
        return [
            document
            for run_id, document in self.documents.items()
            if self.before.get(run_id) != (document["state"], document["ended_at"])
        ]


def fold(connection: Connection, facts: Sequence[Fact]) -> Folded:
    """Fold the run patches of facts into rows and write them."""
    patches = [(index, fact, fact.run) for index, fact in enumerate(facts) if fact.run is not None]
    folded = Folded()
    if not patches:
        return folded
    identities = Identities(connection, all_aliases(patch for _, _, patch in patches))
    run_ids = {index: identities.of(patch) for index, _, patch in patches}
    folded.documents = _load(connection, set(run_ids.values()))
    folded.before = {run_id: (document["state"], document["ended_at"]) for run_id, document in folded.documents.items()}
    folded.was = {run_id: was(document) for run_id, document in folded.documents.items()}
    for merged, survivor in identities.merges:
        _merge(connection, folded, merged, survivor)
    for index, fact, patch in patches:
        run_id = folded.run_ids[index] = identities.surviving(run_ids[index])
        document = folded.documents.get(run_id)
        if document is None:
            document = folded.documents[run_id] = {**new_run(), **_place(run_id, patch.job)}
        fold_run(document, patch, fact, identities.parents(patch))
    _documents.write(connection, folded.documents.values())
    identities.write(folded.documents.keys())
    return folded


def _load(connection: Connection, run_ids: set[str]) -> dict[str, Document]:
    return {document["id"]: document for document in _documents.load(connection, run_ids)}


def _place(run_id: str, job: JobRef) -> Document:
    return {
        "id": run_id,
        "job_id": job.id,
        "source": job.source,
        "namespace": job.namespace,
        "pipeline": job.pipeline,
        "task": job.task,
    }


def _merge(connection: Connection, folded: Folded, merged: str, survivor: str) -> None:
    documents = _load(connection, {merged, survivor} - folded.documents.keys())
    folded.documents.update(documents)
    folded.was.update((run_id, was(document)) for run_id, document in documents.items())
    other = folded.documents.pop(merged, None)  # None: it was only promised to those that named it as their parent
    if other is not None:
        if survivor in folded.documents:
            merge_runs(folded.documents[survivor], other)
        else:
            folded.documents[survivor] = {**other, "id": survivor}
        connection.execute(delete(runs).where(runs.c.id == merged))
    connection.execute(update(run_aliases).where(run_aliases.c.run_id == merged).values(run_id=survivor))
    connection.execute(update(runs).where(runs.c.parent_run_id == merged).values(parent_run_id=survivor))
    below = (runs.c.parent_run_id == survivor, runs.c.root_run_id == merged)
    connection.execute(update(runs).where(*below).values(root_run_id=survivor))
    connection.execute(update(dataset_updates).where(dataset_updates.c.run_id == merged).values(run_id=survivor))
    connection.execute(update(traces).where(traces.c.run_id == merged).values(run_id=survivor))


# -- reading ------------------------------------------------------------------------------------------------------


def to_run(row: Row[Any]) -> Run:
    """A row of `runs`, read through Core, as the model's Run."""
    error = row.error
    task_states: dict[str, str] = row.task_states or {}
    return Run(
        id=row.id,
        job=JobRef(row.source, row.namespace, row.pipeline, row.task),
        state=RunState(row.state),
        event_type=row.event_type,
        final=row.final,
        parent_run_id=row.parent_run_id,
        root_run_id=row.root_run_id,
        native_run_id=row.native_run_id,
        generation=row.generation,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        map_index=row.map_index,
        trigger=Trigger(row.trigger) if row.trigger else None,
        actor=row.actor,
        environment=row.environment,
        code_version=row.code_version,
        nominal_start=row.nominal_start,
        nominal_end=row.nominal_end,
        queued_at=row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        wall_s=row.wall_s,
        error=RunError(error["message"], error["type"], error["stack"]) if error else None,
        external_url=row.external_url,
        trace_id=row.trace_id,
        ol_run_id=row.ol_run_id,
        tags=row.tags or {},
        task_states={task: RunState(state) for task, state in task_states.items()},
        output=row.output,
        words=words_of(row.words) if row.words else (),
        origins=tuple(map(from_stored, row.origins or ())),
        first_seen=row.first_seen,
        last_event_at=row.last_event_at,
        historical=row.historical,
    )


def get(connection: Connection, run_id: str) -> Run | None:
    """The run of this id, or of the id into which it was merged."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
    if row is None:
        survivor = merged_into(connection, run_id)
        return get(connection, survivor) if survivor else None
    return to_run(row)


_NEWEST = "SELECT {columns} FROM runs WHERE job_id = {mark} ORDER BY position DESC, id DESC LIMIT {mark}"
# All of it stands in the index ix_runs_job: no page of the table is touched.
_PAST = (
    'SELECT id, state, "trigger", historical, nominal_start, nominal_end, started_at, ended_at, first_seen, queued_at '
    "FROM runs WHERE job_id = {mark} ORDER BY position DESC, id DESC LIMIT {mark}"
)
_WHOLE = "SELECT {columns} FROM runs WHERE id {{among}}"
_ATTEMPTS = "SELECT {columns} FROM runs WHERE parent_run_id {{among}} ORDER BY first_seen, id"
_STRIKING_ATTEMPTS = (
    "SELECT {columns} FROM runs WHERE parent_run_id {{among}} "
    "AND (state IN ('queued', 'running', 'retry_wait') OR attempt > 1) ORDER BY first_seen, id"
)
_OPEN = (
    "SELECT job_id, id FROM runs WHERE state <> 'succeeded' AND state IN ('queued', 'running', 'retry_wait') "
    "AND job_id {among}"
)


def newest(connection: Connection, job_ids: Sequence[str], limit: int) -> dict[str, tuple[Run, ...]]:
    """The newest runs of each job, whole, newest first, at most limit a job. One index seek a job."""
    sql = _NEWEST.format(columns=COLUMNS, mark=dialect.mark(connection))
    return {job_id: tuple(map(of_row, driver.rows(connection, sql, (job_id, limit)))) for job_id in job_ids}


def past(connection: Connection, job_id: str, limit: int) -> tuple[PastRun, ...]:
    """The newest runs of a job, newest first, at most limit. One index seek: flat as history grows."""
    found = driver.rows(connection, _PAST.format(mark=dialect.mark(connection)), (job_id, limit))
    return past_runs(found)


def open_ids(connection: Connection, job_ids: Sequence[str]) -> dict[str, list[str]]:
    """Of each job the runs that have not ended, however long ago they began."""
    found: dict[str, list[str]] = {}
    for job_id, run_id in dialect.rows_among(connection, _OPEN, job_ids):
        found.setdefault(job_id, []).append(run_id)
    return found


def whole(connection: Connection, run_ids: Sequence[str]) -> dict[str, Run]:
    """Runs by id."""
    rows = dialect.rows_among(connection, _WHOLE.format(columns=COLUMNS), run_ids)
    return {run.id: run for run in map(of_row, rows)}


def attempts_of(
    connection: Connection, run_ids: Sequence[str], *, only_striking: bool = False
) -> dict[str, tuple[Run, ...]]:
    """Task attempts of these runs, oldest first; or those alone that are open, or not the first of their task."""
    found: dict[str, list[Run]] = {}
    sql = (_STRIKING_ATTEMPTS if only_striking else _ATTEMPTS).format(columns=COLUMNS)
    for run in map(of_row, dialect.rows_among(connection, sql, run_ids)):
        if run.parent_run_id is not None:
            found.setdefault(run.parent_run_id, []).append(run)
    return {run_id: tuple(some) for run_id, some in found.items()}
