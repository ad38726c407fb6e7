"""Jobs in the store: folded from what events say of them, and declared or owned by configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, select, update

from watchtower.model.fold import Document, fold_job, new_job, pack_stamps, unpack_stamps
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import Fact, Job, JobPatch, JobRef
from watchtower.store import dialect
from watchtower.store.schema.observed import jobs

_INSTANTS = ("first_seen", "last_seen")
# Made once: building a statement costs more than running it.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_BY_ID = select(jobs).where(jobs.c.id.in_(_IDS)).order_by(jobs.c.id).with_for_update()


def fold(connection: Connection, facts: Sequence[Fact]) -> None:
    """Fold the job patches of facts, and at least the names of the jobs that runs belong to."""
    patches: list[tuple[Fact, JobPatch]] = []
    for fact in facts:
        patches.extend((fact, patch) for patch in fact.jobs)
        if fact.run is not None:
            named = {patch.ref for patch in fact.jobs}
            refs = {fact.run.job, fact.run.job.pipeline_ref} - named
            patches.extend((fact, JobPatch(ref)) for ref in refs)
    if not patches:
        return
    documents = _load(connection, sorted({patch.ref.id for _, patch in patches}))
    changed: dict[str, Document] = {}
    for fact, patch in patches:
        job_id = patch.ref.id
        if job_id not in documents:
            documents[job_id] = _new(patch.ref)
        if fold_job(documents[job_id], patch, fact):
            changed[job_id] = documents[job_id]
    _write(connection, list(changed.values()))


def declare(connection: Connection, refs: Sequence[JobRef]) -> None:
    """Create the jobs that configuration names exactly, and mark them as declared. What events say stays."""
    documents = _load(connection, sorted({ref.id for ref in refs}))
    for ref in refs:
        if ref.id not in documents:
            documents[ref.id] = _new(ref)
        documents[ref.id]["declared"] = True
    _write(connection, list(documents.values()))


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    """Set the owning team by job id, as the configuration in force says."""
    for job_id, team in sorted(teams.items()):
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(team=team))


def _new(ref: JobRef) -> Document:
    return {
        **new_job(),
        "id": ref.id,
        "source": ref.source,
        "namespace": ref.namespace,
        "pipeline": ref.pipeline,
        "task": ref.task,
        "team": None,
        "declared": False,
    }


def _load(connection: Connection, job_ids: Sequence[str]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for some in dialect.chunks(job_ids):
        for row in connection.execute(_BY_ID, {"ids": some}).mappings():
            document = dict(row)
            document["stamps"] = unpack_stamps(document["stamps"])
            for name in _INSTANTS:
                if document[name] is not None:
                    document[name] = to_micros(document[name])
            documents[document["id"]] = document
    return documents


def _write(connection: Connection, documents: Sequence[Document]) -> None:
    rows: list[Document] = [{**document, "stamps": pack_stamps(document["stamps"])} for document in documents]
    for row in rows:
        for name in _INSTANTS:
            if row[name] is not None:
                row[name] = from_micros(row[name])
    dialect.upsert(connection, jobs, rows)


# -- reading ------------------------------------------------------------------------------------------------------


def to_job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        ref=JobRef(row.source, row.namespace, row.pipeline, row.task),
        owner=row.owner,
        team=row.team,
        tags=row.tags or {},
        description=row.description,
        job_type=row.job_type,
        integration=row.integration,
        schedule=row.schedule,
        timezone=row.timezone,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        declared=row.declared,
        external_url=row.external_url,
    )


def by_id(connection: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for some in dialect.chunks(job_ids):
        found.update((row.id, to_job(row)) for row in connection.execute(select(jobs).where(jobs.c.id.in_(some))))
    return found
