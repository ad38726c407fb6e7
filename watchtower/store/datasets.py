"""Datasets in the store: what runs wrote and read, and when a dataset was last made new.

An update counts from the end of the run that wrote it, and only if that run ended well. A backfill rewrites the past:
it is kept, but does not make a dataset fresh. Where a probe looks at the data itself, what that says stands beside it.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, select, update

from watchtower.model.fact import Fact
from watchtower.model.fold import Document, fold_fields
from watchtower.model.instants import from_micros, to_micros
from watchtower.model.run import (
    ENDED,
    Dataset,
    DatasetIO,
    DatasetPatch,
    DatasetRef,
    DatasetUpdate,
    Job,
    RunState,
    SchemaVersion,
    Trigger,
)
from watchtower.store import dialect, driver, jobs
from watchtower.store.documents import Documents
from watchtower.store.known import Known, fingerprint
from watchtower.store.runs import Folded
from watchtower.store.schema.observed import dataset_updates, datasets, job_datasets, runs
from watchtower.store.schema.observed import jobs as jobs_table
from watchtower.store.statements import Row, any_of, given, prepared

_FIELDS = ("owner", "tags", "description", "fields")
_COUNTS = ("row_count", "size_bytes", "file_count", "checksum")
_MINUTE = 60_000_000
_HOUR = 60 * _MINUTE
MAX_VERSIONS = 4  # of the columns of one dataset
EVENT, DATA = "event:", "data:"  # and the moment: in place of a run, where an event told, or the data itself
_documents = Documents(datasets)
_updates = Documents(dataset_updates)
_BY_ID = prepared(select(datasets).where(datasets.c.id.in_(any_of("ids"))))

Written = tuple[Fact, Document, DatasetIO]
Key = tuple[str, str, str]  # of an update: dataset, run, partition
Said = dict[Hashable, Any]  # what is known of the store once this is committed


def fold(
    connection: Connection, facts: Sequence[Fact], folded: Folded, known: Known | None = None
) -> tuple[set[str], Said]:
    """Fold what facts say of datasets; the ids of those that were written or changed. known: what need not be folded
    again; the second part of the answer may be kept there after the commit."""
    ios = [
        (fact, folded.documents[folded.run_ids[index]], io)
        for index, fact in enumerate(facts)
        if fact.run is not None
        for io in fact.run.datasets
    ]
    patches = [(fact, patch) for fact in facts for patch in fact.datasets]
    said: Said = {}
    changed: set[str] = set()
    if ios or patches:
        said |= _fold_descriptions(connection, ios, patches, known, changed)
        said |= _fold_edges(connection, ios, known)
    touched = _fold_updates(connection, ios, patches, folded)
    refresh(connection, touched)
    return touched | changed, said


def _fold_descriptions(
    connection: Connection,
    ios: Sequence[Written],
    patches: Sequence[tuple[Fact, DatasetPatch]],
    known: Known | None,
    changed: set[str],
) -> Said:
    """Names, first sight, and what was said; of that, what is not known yet. changed: takes the ids of datasets that
    have another form now."""
    said: Said = {}
    first: dict[str, tuple[DatasetRef, int]] = {}
    for fact, ref in [(fact, io.ref) for fact, _, io in ios] + [(fact, patch.ref) for fact, patch in patches]:
        seen, key = to_micros(fact.event_time), ("dataset", ref.id)
        before = said.get(key) or (known and known.get(key))
        if before is None or seen < before:
            said[key] = seen
            first[ref.id] = (ref, seen)
    fresh: list[tuple[Fact, DatasetPatch]] = []
    for fact, patch in patches:
        key = (patch.ref.id, to_micros(fact.event_time) // _MINUTE)
        before = said.get(key) or (known and known.get(key)) or ()
        if (told := fingerprint(patch)) not in before:
            said[key] = (*before[-3:], told)
            fresh.append((fact, patch))
    changed |= _fold_into(connection, first, fresh)
    return said


def _fold_into(
    connection: Connection, first: Mapping[str, tuple[DatasetRef, int]], fresh: Sequence[tuple[Fact, DatasetPatch]]
) -> set[str]:
    """Ids of the datasets whose form was not known before."""
    wanted = {**{dataset_id: ref for dataset_id, (ref, _) in first.items()}, **{p.ref.id: p.ref for _, p in fresh}}
    changed: set[str] = set()
    if not wanted:
        return changed
    documents: dict[str, Document] = {one["id"]: one for one in _documents.load(connection, wanted)}
    for dataset_id, ref in wanted.items():
        if dataset_id not in documents:
            documents[dataset_id] = _new(ref)
    for dataset_id, (_, seen) in first.items():
        document = documents[dataset_id]
        if document["first_seen"] is None or seen < document["first_seen"]:
            document["first_seen"] = seen
    for fact, patch in fresh:
        said = {
            "owner": patch.owner,
            "tags": None if patch.tags is None else dict(patch.tags),
            "description": patch.description,
            "fields": None if patch.fields is None else [list(item) for item in patch.fields],
        }
        fold_fields(documents[patch.ref.id], said, fact.event_time)
        if patch.fields and _fold_version(documents[patch.ref.id], patch.fields, to_micros(fact.event_time)):
            changed.add(patch.ref.id)
    _documents.write(connection, [documents[dataset_id] for dataset_id in sorted(documents)])
    return changed


def _fold_version(document: Document, fields: Sequence[tuple[str, str]], at: int) -> bool:
    """Whether the form is a new one. First and last are a minimum and a maximum, so the order of events does not show;
    the last is kept to the hour, so that a wide dataset is not written again each minute."""
    first, last = at // _MINUTE * _MINUTE, at // _HOUR * _HOUR
    columns = dict(fields)
    versions: list[list[Any]] = [list(each) for each in document["versions"] or ()]
    same = next((each for each in versions if dict(each[2]) == columns), None)
    if same is None:
        versions.append([first, last, [list(column) for column in fields]])
    else:
        same[0], same[1] = min(same[0], first), max(same[1], last)
    document["versions"] = sorted(versions, key=lambda each: (each[1], each[0], each[2]))[-MAX_VERSIONS:]
    return same is None


_EDGE = (
    "INSERT INTO job_datasets (job_id, dataset_id, direction, last_at) VALUES {values} "
    "ON CONFLICT (job_id, dataset_id, direction) "
    "DO UPDATE SET last_at = excluded.last_at WHERE job_datasets.last_at < excluded.last_at"
)


def _fold_edges(connection: Connection, ios: Sequence[Written], known: Known | None) -> Said:
    """Who reads and writes what. Minute precision: an edge is not written again for every event."""
    edges: Said = {}
    for fact, run, io in ios:
        key = (run["job_id"], io.ref.id, io.direction)
        at = to_micros(fact.event_time) // _MINUTE * _MINUTE
        before = edges.get(key) or (known and known.get(key))
        if before is None or before < at:
            edges[key] = at
    if edges:
        rows = sorted((*cast("Key", key), cast("int", at)) for key, at in edges.items())
        driver.insert(connection, _EDGE, rows)
    return edges


def _fold_updates(
    connection: Connection,
    ios: Sequence[Written],
    patches: Sequence[tuple[Fact, DatasetPatch]],
    folded: Folded,
) -> set[str]:
    """One row per (dataset, run, partition) written; counts merge like all fields. A row's time is the end of its run:
    it is set when the run ends, and taken away if it did not end well after all."""
    outs = [written for written in ios if written[2].direction == "out"]
    events = [(fact, patch) for fact, patch in patches if patch.updated_at is not None]
    ended = {run["id"]: run for run in folded.ended_anew() if run["state"] in ENDED}
    rows: dict[Key, Document] = {
        (row["dataset_id"], row["run_id"], row["partition"]): row
        for row in _updates.load(
            connection,
            ended.keys() | {run["id"] for _, run, _ in outs} | {_told_run(patch) for _, patch in events},
            by="run_id",
            lock=False,  # their run is locked
        )
    }
    for row in rows.values():
        if row["run_id"] in ended:
            _set_end(row, ended[row["run_id"]])
    for fact, run, io in outs:
        row = rows.setdefault((key := (io.ref.id, run["id"], io.partition or "")), _new_update(key, run["job_id"]))
        said = {name: getattr(io, name) for name in _COUNTS}
        fold_fields(row, {**said, "facets": dict(io.facets) or None}, fact.event_time)
        _set_end(row, run)
    for fact, patch in events:
        key = (patch.ref.id, _told_run(patch), patch.partition or "")
        row = rows.setdefault(key, _new_update(key, None))
        fold_fields(row, {name: getattr(patch, name) for name in _COUNTS}, fact.event_time)
        row["historical"] = fact.historical and (row["at"] is None or row["historical"])
        row["at"] = to_micros(patch.updated_at) if patch.updated_at else None
        row["measured"] = patch.measured
    _updates.write(connection, [rows[key] for key in sorted(rows)])
    return {dataset_id for dataset_id, _, _ in rows}


def _told_run(patch: DatasetPatch) -> str:
    """What stands for the run of an update that no run is named for."""
    at = to_micros(patch.updated_at) if patch.updated_at else 0
    return f"{DATA if patch.measured else EVENT}{at}"


def _set_end(row: Document, run: Document) -> None:
    ended_well = run["state"] == RunState.SUCCEEDED.value
    row["at"] = (run["ended_at"] or run["last_event_at"]) if ended_well else None
    row["historical"] = run["historical"] or run["trigger"] == Trigger.BACKFILL.value


# By the newest row of an index: a maximum over all of them would grow with the history. What the data says goes first.
_REFRESH = (
    "UPDATE datasets SET updated_at = coalesce((SELECT seen.at FROM dataset_updates AS seen WHERE seen.measured AND "
    "seen.dataset_id = datasets.id AND seen.at IS NOT NULL ORDER BY seen.at DESC LIMIT 1), "
    "(SELECT made.at FROM dataset_updates AS made WHERE made.dataset_id = datasets.id "
    "AND made.at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = made.run_id AND runs.trigger = "
    "'backfill') ORDER BY made.at DESC LIMIT 1)) WHERE id = {mark}"
)


def refresh(connection: Connection, dataset_ids: set[str]) -> None:
    """Set when each dataset was last made new: by its newest update that is no backfill."""
    if dataset_ids:
        sql = _REFRESH.format(mark=dialect.mark(connection))
        driver.write(connection, sql, [(dataset_id,) for dataset_id in sorted(dataset_ids)])


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
        "versions": None,
        "team": None,
        "first_seen": None,
        "updated_at": None,
        "declared": False,
        "stamps": {},
    }


def _new_update(key: Key, job_id: str | None) -> Document:
    dataset_id, run_id, partition = key
    return {
        "dataset_id": dataset_id,
        "run_id": run_id,
        "partition": partition,
        "job_id": job_id,
        "at": None,
        **dict.fromkeys(_COUNTS),
        "facets": None,
        "historical": False,
        "measured": False,
        "stamps": {},
    }


def declare(connection: Connection, refs: Sequence[DatasetRef]) -> None:
    """Create the datasets that configuration names exactly, and mark them as declared."""
    documents: dict[str, Document] = {one["id"]: one for one in _documents.load(connection, {ref.id for ref in refs})}
    for ref in refs:
        documents.setdefault(ref.id, _new(ref))["declared"] = True
    _documents.write(connection, documents.values())


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    """Set the owning team by dataset id, as the configuration in force says."""
    for dataset_id, team in sorted(teams.items()):
        connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(team=team))


# -- reading ------------------------------------------------------------------------------------------------------


def to_dataset(row: Row) -> Dataset:
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
        versions=tuple(_to_version(each) for each in row.versions or ()),
    )


def _to_version(stored: Sequence[Any]) -> SchemaVersion:
    first, last, fields = stored
    columns = tuple((str(name), str(kind)) for name, kind in fields)
    return SchemaVersion(from_micros(first), from_micros(last), columns)


def to_told(row: Row) -> str | None:
    """The run that made an update, if one is named for it."""
    return None if row.run_id.startswith((EVENT, DATA)) else row.run_id or None


def to_update(row: Row) -> DatasetUpdate:
    return DatasetUpdate(
        at=row.at,
        run_id=to_told(row),
        job_id=row.job_id,
        row_count=row.row_count,
        size_bytes=row.size_bytes,
        file_count=row.file_count,
        partition=row.partition or None,
        historical=row.historical,
        backfill=row.backfill,
        measured=row.measured,
        checksum=row.checksum,
    )


def by_id(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for some in dialect.chunks(dataset_ids):
        rows = _BY_ID.all(connection, {"ids": some})
        found.update((row.id, to_dataset(row)) for row in rows)
    return found


def updates_of(connection: Connection, dataset_id: str, limit: int) -> tuple[DatasetUpdate, ...]:
    """Newest first; only updates by runs that ended well. What the data itself said is among them, however many runs
    wrote since: as many again."""
    wanted = {"dataset_id": dataset_id, "limit": limit}
    found = [to_update(row) for row in _UPDATES.all(connection, wanted)]
    if len(found) == limit:
        measured = [to_update(row) for row in _MEASURED.all(connection, wanted)]
        found = sorted({*found, *measured}, key=lambda each: each.at, reverse=True)
    return tuple(found)


_NEWEST_UPDATES = (
    select(dataset_updates, _is_backfill().label("backfill"))
    .where(dataset_updates.c.dataset_id == given("dataset_id"), dataset_updates.c.at.is_not(None))
    .order_by(dataset_updates.c.at.desc())
    .limit(given("limit"))
)
_UPDATES = prepared(_NEWEST_UPDATES)
_MEASURED = prepared(_NEWEST_UPDATES.where(dataset_updates.c.measured))


def written_by(connection: Connection, run_ids: Sequence[str]) -> list[tuple[str, DatasetUpdate]]:
    """The updates that these runs made, each with the name of its dataset; only of runs that ended well."""
    found: list[tuple[str, DatasetUpdate]] = []
    for some in dialect.chunks(run_ids):
        found += [(row.dataset_name, to_update(row)) for row in _WRITTEN.all(connection, {"ids": some})]
    return found


_WRITTEN = prepared(
    select(dataset_updates, datasets.c.name.label("dataset_name"), _is_backfill().label("backfill"))
    .join(datasets, datasets.c.id == dataset_updates.c.dataset_id)
    .where(dataset_updates.c.run_id.in_(any_of("ids")), dataset_updates.c.at.is_not(None))
    .order_by(dataset_updates.c.at, dataset_updates.c.dataset_id, dataset_updates.c.partition)
)


def writers_of(connection: Connection, dataset_ids: Sequence[str]) -> dict[str, tuple[Job, ...]]:
    """The jobs that write each dataset, last writer first."""
    found: dict[str, list[Job]] = {}
    for some in dialect.chunks(dataset_ids):
        for row in _WRITERS.all(connection, {"ids": some}):
            found.setdefault(row.dataset_id, []).append(jobs.to_job(row))
    return {dataset_id: tuple(some) for dataset_id, some in found.items()}


_WRITERS = prepared(
    select(jobs_table, job_datasets.c.dataset_id)
    .join(job_datasets, job_datasets.c.job_id == jobs_table.c.id)
    .where(job_datasets.c.dataset_id.in_(any_of("ids")), job_datasets.c.direction == "out")
    .order_by(job_datasets.c.last_at.desc(), jobs_table.c.id)
)
