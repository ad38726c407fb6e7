"""Datasets in the store: what runs wrote and read, and when a dataset was last made new.

An update counts from the end of the run that wrote it, and only if that run ended well. A backfill rewrites the past:
it is kept, but does not make a dataset fresh.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, func, not_, select, update

from watchtower.model.fold import Document, fold_fields, pack_stamps, unpack_stamps
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import (
    Dataset,
    DatasetIO,
    DatasetPatch,
    DatasetRef,
    DatasetUpdate,
    Fact,
    Job,
    RunState,
    Trigger,
)
from watchtower.store import dialect, jobs
from watchtower.store.runs import Folded
from watchtower.store.schema.observed import dataset_updates, datasets, job_datasets, runs
from watchtower.store.schema.observed import jobs as jobs_table

_FIELDS = ("owner", "tags", "description", "fields")
_COUNTS = ("row_count", "size_bytes", "file_count", "facets")
_MINUTE = 60
# Made once: building a statement costs more than running it.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_BY_ID = select(datasets).where(datasets.c.id.in_(_IDS)).order_by(datasets.c.id).with_for_update()
_UPDATES_OF_RUNS = select(dataset_updates).where(dataset_updates.c.run_id.in_(_IDS))


def fold(connection: Connection, facts: Sequence[Fact], folded: Folded) -> set[str]:
    """Fold what facts say of datasets; the ids of those that were written or changed."""
    ios = [
        (fact, folded.documents[folded.run_ids[index]], io)
        for index, fact in enumerate(facts)
        if fact.run is not None
        for io in fact.run.datasets
    ]
    patches = [(fact, patch) for fact in facts for patch in fact.datasets]
    if ios or patches:
        _fold_descriptions(connection, ios, patches)
        _fold_edges(connection, ios)
    touched = _fold_updates(connection, ios, patches)
    touched |= _settle_ends(connection, folded.ended_anew())
    _refresh(connection, touched)
    return touched


Written = tuple[Fact, Document, DatasetIO]


def _fold_descriptions(
    connection: Connection, ios: Sequence[Written], patches: Sequence[tuple[Fact, DatasetPatch]]
) -> None:
    refs = {io.ref.id: io.ref for _, _, io in ios} | {patch.ref.id: patch.ref for _, patch in patches}
    documents = _load(connection, sorted(refs))
    changed: set[str] = set()
    for dataset_id, ref in refs.items():
        if dataset_id not in documents:
            documents[dataset_id] = _new(ref)
            changed.add(dataset_id)
    for fact, ref in [(fact, io.ref) for fact, _, io in ios] + [(fact, patch.ref) for fact, patch in patches]:
        document = documents[ref.id]
        seen = to_micros(fact.event_time)
        if document["first_seen"] is None or seen < document["first_seen"]:
            document["first_seen"] = seen
            changed.add(ref.id)
    for fact, patch in patches:
        said = {
            "owner": patch.owner,
            "tags": None if patch.tags is None else dict(patch.tags),
            "description": patch.description,
            "fields": None if patch.fields is None else [list(item) for item in patch.fields],
        }
        if fold_fields(documents[patch.ref.id], said, fact.event_time):
            changed.add(patch.ref.id)
    _write(connection, [documents[dataset_id] for dataset_id in sorted(changed)])


def _fold_edges(connection: Connection, ios: Sequence[Written]) -> None:
    """Who reads and writes what. Minute precision: an edge is not written again for every event."""
    edges: dict[tuple[str, str, str], int] = {}
    for fact, run, io in ios:
        key = (run["job_id"], io.ref.id, io.direction)
        edges[key] = max(edges.get(key, 0), int(fact.event_time.timestamp()) // _MINUTE * _MINUTE * 1_000_000)
    if not edges:
        return
    statement = dialect.insert(connection, job_datasets)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id", "dataset_id", "direction"],
            set_={"last_at": statement.excluded.last_at},
            where=job_datasets.c.last_at < statement.excluded.last_at,
        ),
        [
            {"job_id": job_id, "dataset_id": dataset_id, "direction": direction, "last_at": from_micros(at)}
            for (job_id, dataset_id, direction), at in sorted(edges.items())
        ],
    )


def _fold_updates(
    connection: Connection, ios: Sequence[Written], patches: Sequence[tuple[Fact, DatasetPatch]]
) -> set[str]:
    """One row per (dataset, run, partition) written; counts merge like all fields."""
    outs = [written for written in ios if written[2].direction == "out"]
    events = [(fact, patch) for fact, patch in patches if patch.updated_at is not None]
    if not outs and not events:
        return set()
    rows = _load_updates(connection, sorted({run["id"] for _, run, _ in outs}))
    for fact, run, io in outs:
        key = (io.ref.id, run["id"], io.partition or "")
        row = rows.setdefault(key, _new_update(key, run["job_id"]))
        said = {name: getattr(io, name) for name in _COUNTS[:3]}
        facets = dict(io.facets)
        fold_fields(row, {**said, "facets": facets or None}, fact.event_time)
        _set_end(row, run)
    for fact, patch in events:
        key = (patch.ref.id, f"event:{to_micros(fact.event_time)}", "")
        row = rows.setdefault(key, _new_update(key, None))
        row["at"] = to_micros(patch.updated_at) if patch.updated_at else None
        row["historical"] = fact.historical
    dialect.upsert(connection, dataset_updates, [_stored(row, ("at",)) for row in rows.values()])
    return {dataset_id for dataset_id, _, _ in rows}


def _settle_ends(connection: Connection, ended: Sequence[Document]) -> set[str]:
    """Give the updates of runs whose end changed their time, or take it away if the run did not end well after all."""
    ids = [run["id"] for run in ended if RunState(run["state"]).is_terminal]
    if not ids:
        return set()
    rows = _load_updates(connection, sorted(ids))
    if not rows:
        return set()
    by_id = {run["id"]: run for run in ended}
    for row in rows.values():
        _set_end(row, by_id[row["run_id"]])
    dialect.upsert(connection, dataset_updates, [_stored(row, ("at",)) for row in rows.values()])
    return {row["dataset_id"] for row in rows.values()}


def _set_end(row: Document, run: Document) -> None:
    ended_well = run["state"] == RunState.SUCCEEDED.value
    row["at"] = (run["ended_at"] or run["last_event_at"]) if ended_well else None
    row["historical"] = run["historical"] or run["trigger"] == Trigger.BACKFILL.value


def _refresh(connection: Connection, dataset_ids: set[str]) -> None:
    """Set when each dataset was last made new: by its newest update that is no backfill."""
    newest = (
        select(func.max(dataset_updates.c.at))
        .where(and_(dataset_updates.c.dataset_id == datasets.c.id, not_(_is_backfill())))
        .scalar_subquery()
    )
    for some in dialect.chunks(sorted(dataset_ids)):
        connection.execute(update(datasets).where(datasets.c.id.in_(some)).values(updated_at=newest))


def _is_backfill() -> Any:
    return (
        select(runs.c.id)
        .where(runs.c.id == dataset_updates.c.run_id, runs.c.trigger == Trigger.BACKFILL.value)
        .exists()
    )


def _new(ref: DatasetRef) -> Document:
    return {
        "id": ref.id,
        "namespace": ref.namespace,
        "name": ref.name,
        **dict.fromkeys(_FIELDS),
        "team": None,
        "first_seen": None,
        "updated_at": None,
        "declared": False,
        "stamps": {},
    }


def _new_update(key: tuple[str, str, str], job_id: str | None) -> Document:
    dataset_id, run_id, partition = key
    return {
        "dataset_id": dataset_id,
        "run_id": run_id,
        "partition": partition,
        "job_id": job_id,
        "at": None,
        **dict.fromkeys(_COUNTS),
        "historical": False,
        "stamps": {},
    }


def _load(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for some in dialect.chunks(dataset_ids):
        for row in connection.execute(_BY_ID, {"ids": some}).mappings():
            documents[row["id"]] = _document(row, ("first_seen", "updated_at"))
    return documents


def _load_updates(connection: Connection, run_ids: Sequence[str]) -> dict[tuple[str, str, str], Document]:
    rows: dict[tuple[str, str, str], Document] = {}
    for some in dialect.chunks(run_ids):
        for row in connection.execute(_UPDATES_OF_RUNS, {"ids": some}).mappings():
            rows[row["dataset_id"], row["run_id"], row["partition"]] = _document(row, ("at",))
    return rows


def _document(row: Mapping[Any, Any], instants: Sequence[str]) -> Document:
    document = dict(row)
    document["stamps"] = unpack_stamps(document["stamps"])
    for name in instants:
        if document[name] is not None:
            document[name] = to_micros(document[name])
    return document


def _stored(document: Document, instants: Sequence[str]) -> Document:
    row: Document = {**document, "stamps": pack_stamps(document["stamps"])}
    for name in instants:
        if row[name] is not None:
            row[name] = from_micros(row[name])
    return row


def _write(connection: Connection, documents: Sequence[Document]) -> None:
    rows = [_stored(document, ("first_seen", "updated_at")) for document in documents]
    dialect.upsert(connection, datasets, rows, keep=("updated_at",))


def declare(connection: Connection, refs: Sequence[DatasetRef]) -> None:
    """Create the datasets that configuration names exactly, and mark them as declared."""
    documents = _load(connection, sorted({ref.id for ref in refs}))
    for ref in refs:
        documents.setdefault(ref.id, _new(ref))["declared"] = True
    _write(connection, list(documents.values()))


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    """Set the owning team by dataset id, as the configuration in force says."""
    for dataset_id, team in sorted(teams.items()):
        connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(team=team))


# -- reading ------------------------------------------------------------------------------------------------------


def to_dataset(row: Row[Any]) -> Dataset:
    return Dataset(
        id=row.id,
        ref=DatasetRef(row.namespace, row.name),
        owner=row.owner,
        team=row.team,
        tags=row.tags or {},
        description=row.description,
        fields=None if row.fields is None else tuple((str(name), str(kind)) for name, kind in row.fields),
        first_seen=row.first_seen,
        updated_at=row.updated_at,
        declared=row.declared,
    )


def to_update(row: Row[Any]) -> DatasetUpdate:
    return DatasetUpdate(
        at=row.at,
        run_id=row.run_id or None,
        job_id=row.job_id,
        row_count=row.row_count,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        partition=row.partition or None,
        historical=row.historical,
        backfill=row.backfill,
    )


def by_id(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for some in dialect.chunks(dataset_ids):
        rows = connection.execute(select(datasets).where(datasets.c.id.in_(some)))
        found.update((row.id, to_dataset(row)) for row in rows)
    return found


def updates_of(connection: Connection, dataset_id: str, limit: int) -> tuple[DatasetUpdate, ...]:
    """Newest first; only updates by runs that ended well."""
    query = (
        select(dataset_updates, _is_backfill().label("backfill"))
        .where(dataset_updates.c.dataset_id == dataset_id, dataset_updates.c.at.is_not(None))
        .order_by(dataset_updates.c.at.desc())
        .limit(limit)
    )
    return tuple(to_update(row) for row in connection.execute(query))


def writers_of(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, tuple[Job, ...]]:
    """The jobs that write each dataset, last writer first."""
    found: dict[str, list[Job]] = {}
    for some in dialect.chunks(dataset_ids):
        query = (
            select(jobs_table, job_datasets.c.dataset_id)
            .join(job_datasets, job_datasets.c.job_id == jobs_table.c.id)
            .where(job_datasets.c.dataset_id.in_(some), job_datasets.c.direction == "out")
            .order_by(job_datasets.c.last_at.desc(), jobs_table.c.id)
        )
        for row in connection.execute(query):
            found.setdefault(row.dataset_id, []).append(jobs.to_job(row))
    return {dataset_id: tuple(some) for dataset_id, some in found.items()}
