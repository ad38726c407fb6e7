"""Jobs in the store: folded from what events say of them, and declared or owned by configuration."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from watchtower.model.fact import Fact
from watchtower.model.fold import Document, fold_job, new_job
from watchtower.model.instants import to_micros
from watchtower.model.run import Job, JobPatch, JobRef
from watchtower.store import dialect
from watchtower.store.documents import Documents
from watchtower.store.known import Known, fingerprint
from watchtower.store.schema.observed import jobs
from watchtower.store.statements import Row, any_of, prepared

_MINUTE = 60_000_000
_documents = Documents(jobs)
_BY_ID = prepared(select(jobs).where(jobs.c.id.in_(any_of("ids"))))

Said = dict[Hashable, tuple[bytes, ...]]  # by job and minute: fingerprints of what was folded of it


def fold(connection: Connection, facts: Sequence[Fact], known: Known | None = None) -> Said:
    """Fold the job patches of facts, and at least the names of the jobs that runs belong to. known: what need not be
    folded again; what is returned may be kept there after the commit."""
    told: Said = {}
    patches: list[tuple[Fact, JobPatch]] = []
    for fact in facts:
        minute = to_micros(fact.event_time) // _MINUTE
        for patch in _patches(fact):
            key = (patch.ref.id, minute)
            before = told.get(key) or (known and known.get(key)) or ()
            if (said := fingerprint(patch)) not in before:
                told[key] = (*before[-3:], said)
                patches.append((fact, patch))
    if not patches:
        return told
    documents: dict[str, Document] = {
        document["id"]: document for document in _documents.load(connection, {patch.ref.id for _, patch in patches})
    }
    changed: dict[str, Document] = {}
    for fact, patch in patches:
        job_id = patch.ref.id
        if job_id not in documents:
            documents[job_id] = _new(patch.ref)
        if fold_job(documents[job_id], patch, fact):
            changed[job_id] = documents[job_id]
    _documents.write(connection, [changed[job_id] for job_id in sorted(changed)])
    return told


def _patches(fact: Fact) -> Sequence[JobPatch]:
    """What fact says of jobs, and the names of the run's own job and its pipeline where it says no more of them."""
    if fact.run is None:
        return fact.jobs
    named = [patch.ref for patch in fact.jobs]
    job = fact.run.job
    refs = (job, job.pipeline_ref) if job.task else (job,)
    return (*fact.jobs, *(JobPatch(ref) for ref in refs if ref not in named))


def declare(connection: Connection, refs: Sequence[JobRef], now: datetime) -> None:
    """Create the jobs that configuration names exactly, and mark them as declared. What events say stays.

    now: a job of which nothing was heard is expected to run from here on, so that its first run can be missed.
    """
    documents: dict[str, Document] = {
        document["id"]: document for document in _documents.load(connection, {ref.id for ref in refs})
    }
    for ref in refs:
        if ref.id not in documents:
            documents[ref.id] = _new(ref)
        documents[ref.id]["declared"] = True
        if documents[ref.id]["first_seen"] is None:
            documents[ref.id]["first_seen"] = to_micros(now)
    _documents.write(connection, documents.values())


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


# -- reading ------------------------------------------------------------------------------------------------------


def to_job(row: Row) -> Job:
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
        paused=bool(row.paused),
        paused_at=row.paused_at,
    )


def by_id(connection: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for some in dialect.chunks(job_ids):
        found.update((row.id, to_job(row)) for row in _BY_ID.all(connection, {"ids": some}))
    return found
