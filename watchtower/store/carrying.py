"""What was known before the first event that is kept, copied from one store into another: a backtest begins with it.

Events go before what was made of them: runs, updates of datasets and samples stay for longer, and rules learn from
them. So much is copied as an evaluation reads, the newest of each, as it stood at that moment: what was under way then
is under way. Of jobs and datasets themselves it is not told when each word about them came; they are taken as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from watchtower.model.fold import rewound
from watchtower.model.instants import to_micros
from watchtower.model.past import WINDOW
from watchtower.store import datasets, dialect, driver
from watchtower.store.database import Database
from watchtower.store.documents import Documents
from watchtower.store.facts import Kept
from watchtower.store.schema.changes import changes
from watchtower.store.schema.observed import (
    dataset_updates,
    job_datasets,
    jobs,
    migrations,
    run_aliases,
    runs,
    sketches,
)
from watchtower.store.schema.observed import datasets as datasets_table
from watchtower.store.schema.series import samples, series
from watchtower.store.schema.sources import sender_days, senders
from watchtower.store.snapshots.datasets import HISTORY as UPDATES
from watchtower.store.snapshots.series import HISTORY as SAMPLES

Raw = tuple[Any, ...]  # a row as it is stored

NEW: Final = timedelta(days=1)  # a store is no older, when its first events come in
_DAY_US = 86_400_000_000
_jobs, _runs, _datasets = Documents(jobs), Documents(runs), Documents(datasets_table)


@dataclass(frozen=True, slots=True)
class Carried:
    """How many of each were copied."""

    runs: int = 0
    updates: int = 0
    samples: int = 0


def had_earlier(source: Database, kept: Kept) -> bool:
    """Whether events from before those that are kept were deleted. What the first polls of a new store read of the time
    before it is still among its events."""
    if kept.first_id == 1:
        return False
    with source.read() as connection:
        created = connection.scalar(select(func.min(migrations.c.applied_at)))
    return created is None or kept.oldest - created > NEW


def carry(source: Database, target: Database, moment: datetime, runs_since: datetime | None = None) -> Carried:
    """What source knows from before moment. target: an SQLite store that holds nothing yet. runs_since: of every job
    all runs from then on are wanted, not only those that rules read."""
    with source.read() as there:
        return target.write(lambda here: _carry(there, here, to_micros(moment), runs_since), timeout_s=None)


def _carry(source: Connection, target: Connection, before: int, runs_since: datetime | None) -> Carried:
    known = _carry_jobs(source, target, before)
    counted = sum(_carry_runs(source, target, job_id, before, runs_since) for job_id in known)
    written = _carry_datasets(source, target, before)
    told = _carry_series(source, target, before)
    _carry_senders(source, target, before)
    _put(target, changes, _rows(source, changes, "at < {mark}", before))
    _put(target, sketches, _rows(source, sketches, "day < {mark}", before // _DAY_US))
    return Carried(counted, written, told)


def _carry_jobs(source: Connection, target: Connection, before: int) -> Sequence[str]:
    """Their ids. One that was paused later was not then."""
    known = _ids(source, jobs, before)
    for some in dialect.chunks(known):
        documents = [dict(each) for each in _jobs.load(source, some, lock=False)]
        for job in documents:
            job["last_seen"] = min(job["last_seen"], before)
            if job["paused_at"] is not None and job["paused_at"] >= before:
                job["paused"] = job["paused_at"] = None
                job["stamps"].pop("paused", None)
        _jobs.write(target, documents)
        edges = (row for job_id in some for row in _rows(source, job_datasets, "job_id = {mark}", job_id))
        _put(target, job_datasets, (_at_most(job_datasets, row, before, "last_at") for row in edges))
    return known


def _carry_runs(source: Connection, target: Connection, job_id: str, before: int, since: datetime | None = None) -> int:
    rows = {
        row[0]: row
        for row in _rows(source, runs, f"{_OF_JOB} ORDER BY position DESC LIMIT {{mark}}", job_id, before, WINDOW)
    }
    if since is not None:
        more = _rows(source, runs, f"{_OF_JOB} AND position >= {{mark}}", job_id, before, to_micros(since))
        rows |= {row[0]: row for row in more}
    last = _place(runs, "last_event_at")
    _put(target, runs, [row for row in rows.values() if row[last] < before])
    under_way = [ident for ident, row in rows.items() if row[last] >= before]
    for some in dialect.chunks(under_way):
        _runs.write(target, [rewound(dict(each), before) for each in _runs.load(source, some, lock=False)])
    for some in dialect.chunks(list(rows)):
        sql = "SELECT alias, run_id FROM run_aliases WHERE run_id {among}"
        _put(target, run_aliases, [tuple(row) for row in dialect.rows_among(source, sql, some)])
    return len(rows)


_OF_JOB = "job_id = {mark} AND first_seen < {mark}"


def _carry_datasets(source: Connection, target: Connection, before: int) -> int:
    """With the newest updates of each; how many of those."""
    known, count = _ids(source, datasets_table, before), 0
    for some in dialect.chunks(known):
        _datasets.write(target, [_formed(dict(each), before) for each in _datasets.load(source, some, lock=False)])
        for dataset_id in some:
            newest = "dataset_id = {mark} AND at < {mark} ORDER BY at DESC LIMIT {mark}"
            count += _put(target, dataset_updates, _rows(source, dataset_updates, newest, dataset_id, before, UPDATES))
        datasets.refresh(target, set(some))
    return count


def _formed(dataset: dict[str, Any], before: int) -> dict[str, Any]:
    """With the columns that it had then, as far as they are still known."""
    versions = [[first, min(last, before), fields] for first, last, fields in dataset["versions"] or ()]
    then = [each for each in versions if each[0] < before]
    if len(then) < len(versions):
        dataset["versions"] = then or None
        dataset["fields"] = then[-1][2] if then else None
        dataset["stamps"].pop("fields", None)
    return dataset


def _carry_series(source: Connection, target: Connection, before: int) -> int:
    """With the newest samples of each; how many of those."""
    count = 0
    for row in _rows(source, series, "first_seen < {mark}", before):
        newest = "series_id = {mark} AND at < {mark} ORDER BY at DESC LIMIT {mark}"
        found = _rows(source, samples, newest, row[0], before, SAMPLES)
        last_at = found[0][_place(samples, "at")] if found else row[_place(series, "first_seen")]
        _put(target, series, [_changed(series, row, {"last_at": last_at})])
        count += _put(target, samples, found)
    return count


def _carry_senders(source: Connection, target: Connection, before: int) -> None:
    first, last = _place(sender_days, "first"), _place(sender_days, "last")
    days = [_at_most(sender_days, row, before, "last") for row in _rows(source, sender_days, "TRUE")]
    days = [day for day in days if day[first] < before]
    heard: dict[str, int] = {}
    for day in days:
        heard[day[0]] = max(day[last], heard.get(day[0], 0))
    known = [row for row in _rows(source, senders, "TRUE") if row[0] in heard]
    _put(target, sender_days, days)
    _put(target, senders, [_changed(senders, row, {"last_event": heard[row[0]]}) for row in known])


# -- rows as they are stored, which is the same on every engine ----------------------------------------------------


def _ids(source: Connection, table: Table, before: int) -> list[str]:
    """Of what was known by then."""
    sql = f"SELECT id FROM {table.name} WHERE first_seen < {dialect.mark(source)}"  # noqa: S608 - names of our own
    return [row[0] for row in driver.rows(source, sql, (before,))]


def _rows(source: Connection, table: Table, where: str, *values: Any) -> list[Raw]:
    sql = f"SELECT {_names(table)} FROM {table.name} WHERE {where}"  # noqa: S608 - names of our own
    return driver.rows(source, sql.format(mark=dialect.mark(source)), values)


def _put(target: Connection, table: Table, rows: Iterable[Raw]) -> int:
    sql = f"INSERT INTO {table.name} ({_names(table)}) VALUES {{values}} ON CONFLICT DO NOTHING"  # noqa: S608
    return driver.insert(target, sql, list(rows))


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _place(table: Table, name: str) -> int:
    return list(table.columns.keys()).index(name)


def _at_most(table: Table, row: Raw, before: int, name: str) -> Raw:
    """With what it says of the time after that moment taken back to it."""
    return _changed(table, row, {name: min(row[_place(table, name)], before)})


def _changed(table: Table, row: Raw, values: Mapping[str, Any]) -> Raw:
    return tuple(values.get(column.name, value) for column, value in zip(table.columns, row, strict=True))
