"""What SLOs counted: sums by minute and by hour, kept in the transaction that folds a run, so that judging an SLO costs
the same whatever the length of the history.

A run that is corrected later (another state, another end, merged into another run) is taken out of where it was counted
and put where it belongs. On PostgreSQL a replica whose configuration is older counts by the SLOs in the store, not by
its own: declaring them and folding runs exclude each other by an advisory lock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, select

from watchtower.model.instants import to_micros
from watchtower.model.past import PastRun
from watchtower.model.run import JobRef
from watchtower.model.slo import HOUR, Bucket, Correction, Counted, Indicator, Slo, minute_of
from watchtower.store import dialect, driver, due
from watchtower.store.runs import Folded, Place, was
from watchtower.store.schema.observed import jobs, meta
from watchtower.store.schema.slos import slo_counts, slos
from watchtower.store.slo_events import Key, Watched, Watching, counts_job, event_of, watching

FINE_MINUTES = 3 * 1_440 + HOUR  # before the newest event: every minute of the longest window of alerts
MARGIN = timedelta(days=4)  # beyond a period, that windows of alerts may reach
VERSION = "slos_version"  # changes with what is counted
_LOCK = 0x77745F736C6F7321  # "wt_slos!"

Sums = dict[tuple[str, int, int, int], list[int]]  # (slo, part, tier, minute) → good, bad


def lock(connection: Connection, *, shared: bool) -> None:
    """On SQLite there is one writer anyway."""
    if not dialect.is_sqlite(connection):
        name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        driver.rows(connection, f"SELECT {name}(%s)", (_LOCK,))


class _Kept:
    """The SLOs that count runs, as the store had them under a version."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.watching = Watching()
        self.others: tuple[tuple[str, Indicator], ...] = ()


_KEPT = "slos_watching"  # in Connection.info's place: one for each open connection


def _kept(connection: Connection) -> _Kept:
    kept: _Kept = connection.info.setdefault(_KEPT, _Kept())
    rows = driver.rows(connection, _VERSION.format(mark=dialect.mark(connection)), (VERSION,))
    version = rows[0][0] if rows else None
    if version != kept.version:
        found = [msgspec.convert(document, Slo) for document in connection.scalars(select(slos.c.document))]
        kept.watching = watching(found)
        kept.others = tuple(
            (slo.name, objective.indicator)
            for slo in found
            for objective in slo.objectives
            if not objective.indicator.sli.of_runs
        )
        kept.version = version
    return kept


def others(connection: Connection) -> tuple[tuple[str, Indicator], ...]:
    """(SLO, what it counts) of those that count other things than runs."""
    return _kept(connection).others


_VERSION = "SELECT value FROM meta WHERE key = {mark}"


def fold(connection: Connection, folded: Folded, now: datetime) -> None:
    """Count the runs that a batch touched, and make their SLOs due: those that a bad one concerns before others."""
    if not folded.documents:
        return
    lock(connection, shared=True)
    known = _kept(connection).watching
    if not known.watched:
        return
    sums: Sums = defaultdict(lambda: [0, 0])
    for place, before, after in _changed(folded):
        for watched in known.of_job(*place):
            _move(sums, watched, before, after)
    touched = {key: counts for key, counts in sums.items() if counts != [0, 0]}
    if touched:
        _add(connection, touched)
        bad = [f"slo:{slo}" for (slo, *_), counts in touched.items() if counts[1] > 0]
        due.mark(connection, due.RULES, {f"slo:{slo}" for slo, *_ in touched}, now, urgent=bad)


def _changed(folded: Folded) -> Iterator[tuple[Place, PastRun | None, PastRun | None]]:
    """Runs as they were and as they are, where that may matter. One that was merged is no more."""
    for run_id in folded.documents.keys() | folded.was.keys():
        before, document = folded.was.get(run_id), folded.documents.get(run_id)
        after = was(document) if document else None
        if before != after:
            known = after or before
            assert known is not None
            yield known.place, before and before.run, after and after.run


def _move(sums: Sums, watched: Watched, before: PastRun | None, after: PastRun | None) -> None:
    for run, sign in ((before, -1), (after, 1)):
        event = event_of(watched.indicator, run) if run else None
        if event:
            _count(sums, watched.key, event, sign)


def _count(sums: Sums, key: Key, event: tuple[int, bool], sign: int = 1) -> None:
    minute, good = event
    for tier in (1, HOUR):
        sums[*key, tier, minute // tier * tier][0 if good else 1] += sign


def _add(connection: Connection, sums: Mapping[tuple[str, int, int, int], Sequence[int]]) -> None:
    driver.insert(connection, _ADD, [(*key, good, bad) for key, (good, bad) in sorted(sums.items())])


_ADD = (
    "INSERT INTO slo_counts (slo, part, tier, minute, good, bad) VALUES {values} ON CONFLICT (slo, part, tier, minute) "
    "DO UPDATE SET good = slo_counts.good + excluded.good, bad = slo_counts.bad + excluded.bad"
)


# -- counting anew ------------------------------------------------------------------------------------------------


def recount(connection: Connection, slo: Slo, now: datetime) -> None:
    """From the runs that the store still has: for an SLO that is new, or counts something else."""
    connection.execute(delete(slo_counts).where(slo_counts.c.slo == slo.name))
    since = now - timedelta(seconds=slo.period.seconds) - 2 * MARGIN
    sums: Sums = defaultdict(lambda: [0, 0])
    for watched in watching([slo]).watched:
        for job in _jobs(connection, watched):
            for row in driver.rows(connection, _RUNS.format(mark=dialect.mark(connection)), (job.id, to_micros(since))):
                event = event_of(watched.indicator, PastRun(*row))
                if event:
                    _count(sums, watched.key, event)
    _add(connection, sums)


_RUNS = (
    'SELECT id, state, "trigger", historical, nominal_start, nominal_end, started_at, ended_at, first_seen FROM runs '
    "WHERE job_id = {mark} AND position >= {mark}"
)


def _jobs(connection: Connection, watched: Watched) -> list[JobRef]:
    query = select(jobs.c.source, jobs.c.namespace, jobs.c.pipeline, jobs.c.task)
    for matcher in watched.indicator.matchers:
        if matcher.op == "=" and matcher.name == "pipeline":
            query = query.where(jobs.c.pipeline == matcher.value)
    found = [JobRef(row.source, row.namespace, row.pipeline, row.task) for row in connection.execute(query)]
    return [job for job in found if counts_job(watched, job)]


def forget(connection: Connection, names: Collection[str]) -> None:
    for some in dialect.chunks(sorted(names)):
        connection.execute(delete(slo_counts).where(slo_counts.c.slo.in_(some)))


def changed(connection: Connection, now: datetime) -> None:
    """What is counted is another now: every process reads it again before it counts."""
    row = {"key": VERSION, "value": f"{to_micros(now)}:{_number(connection)}"}
    dialect.upsert(connection, meta, [row])


def _number(connection: Connection) -> int:
    """Moves on with each change, also within one microsecond of a clock that stands still."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == VERSION)).scalar_one_or_none()
    return int(value.rpartition(":")[2]) + 1 if value else 1


# -- reading ------------------------------------------------------------------------------------------------------


def counted(connection: Connection, slo: Slo, part: int, corrections: Iterable[Correction]) -> Counted:
    """Minutes of what is new and of hours in which a correction begins or ends, hours of the rest."""
    mark, place = dialect.mark(connection), (slo.name, part)
    newest = driver.rows(connection, _NEWEST.format(mark=mark), place)
    if not newest:
        return Counted()
    oldest = newest[0][0] - slo.period.seconds // 60 - round(MARGIN.total_seconds() // 60)
    fine = oldest if _needs_minutes(slo, part) else (newest[0][0] - FINE_MINUTES) // HOUR * HOUR
    hours = driver.rows(connection, _BUCKETS.format(mark=mark), (*place, HOUR, oldest, fine))
    minutes = driver.rows(connection, _BUCKETS.format(mark=mark), (*place, 1, fine, newest[0][0] + 1))
    edges = {minute_of(moment) // HOUR * HOUR for each in corrections for moment in (each.start, each.end)}
    split = [row for row in hours if row[0] in edges]
    finer = [
        row
        for hour, _, _ in split
        for row in driver.rows(connection, _BUCKETS.format(mark=mark), (*place, 1, hour, hour + HOUR))
    ]
    kept = [row for row in hours if row[0] not in edges]
    return Counted(tuple(map(Bucket._make, sorted([*kept, *finer, *minutes]))))


_NEWEST = (
    "SELECT minute FROM slo_counts WHERE slo = {mark} AND part = {mark} AND tier = 1 AND (good <> 0 OR bad <> 0) "
    "ORDER BY minute DESC LIMIT 1"
)
_BUCKETS = (
    "SELECT minute, good, bad FROM slo_counts WHERE slo = {mark} AND part = {mark} AND tier = {mark} "
    "AND minute >= {mark} AND minute < {mark} AND (good <> 0 OR bad <> 0) ORDER BY minute"
)


def _needs_minutes(slo: Slo, part: int) -> bool:
    """Of slices that hours do not make up."""
    return slo.objectives[part].slice_minutes % HOUR != 0
