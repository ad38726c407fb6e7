"""What SLOs counted, a UTC day in one row (`model.slo_days`), kept in the transaction that folds a run, so that judging
an SLO costs the same whatever the length of the history.

A run that is corrected later (another state, another end, merged into another run) is taken out of where it was counted
and put where it belongs. On PostgreSQL a replica whose configuration is older counts by the SLOs in the store, not by
its own: declaring them and folding runs exclude each other by an advisory lock.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, delete, select

from watchtower.model.instants import to_micros
from watchtower.model.past import PastRun
from watchtower.model.run import JobRef
from watchtower.model.slo import Counted, Indicator, Sli, Slo
from watchtower.model.slo_days import DAY, Day, changed, packed
from watchtower.store import dialect, driver, due
from watchtower.store import jobs as job_rows
from watchtower.store.runs import Folded, Place, was
from watchtower.store.schema.observed import jobs, meta
from watchtower.store.schema.slos import slo_counts, slos
from watchtower.store.slo_events import Key, Watched, Watching, counts_job, event_of, labels_of, watching

MARGIN = timedelta(days=4)  # beyond a period, that windows of alerts may reach
VERSION = "slos_version"  # changes with what is counted
_LOCK = 0x77745F736C6F7321  # "wt_slos!"

Where = tuple[str, int, int]  # SLO, part, day
Sums = dict[Where, dict[int, list[int]]]  # minute of the day → good, bad: how many more, or fewer


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


def mark_cost(connection: Connection, now: datetime) -> None:
    """SLOs that count what bills say are to be judged now: in the transaction that brings a bill."""
    names = {f"slo:{name}" for name, indicator in others(connection) if indicator.sli in BILLED}
    due.mark(connection, due.RULES, names, now)


BILLED = (Sli.COST, Sli.UNIT_COST)
_VERSION = "SELECT value FROM meta WHERE key = {mark}"


def fold(connection: Connection, folded: Folded, now: datetime) -> None:
    """Count the runs that a batch touched, and make their SLOs due: those that a bad one concerns before others. Who
    calls it holds the shared lock, and has folded the jobs of these runs."""
    known = _kept(connection).watching
    if not known.watched:
        return
    moved = list(_changed(folded))
    labels = _labels(connection, known, {place for place, _, _ in moved})
    sums: Sums = {}
    for place, before, after in moved:
        for watched in known.of_job(*place):
            if not watched.by_labels or watched.fits(labels.get(place, {})):
                _move(sums, watched, before, after)
    touched = {place: counts for place, each in sums.items() if (counts := _moved(each))}
    if touched:
        _add(connection, touched)
        bad = {f"slo:{slo}" for (slo, *_), each in touched.items() if any(bad > 0 for _, bad in each.values())}
        due.mark(connection, due.RULES, {f"slo:{slo}" for slo, *_ in touched}, now, urgent=bad)


def _labels(connection: Connection, known: Watching, places: Collection[Place]) -> dict[Place, dict[str, str]]:
    """Of those jobs alone that some SLO matches by what can change of them: as they are now."""
    ids = {JobRef(*place).id: place for place in places if any(watched.by_labels for watched in known.of_job(*place))}
    found = job_rows.by_id(connection, list(ids)) if ids else {}
    return {ids[ident]: labels_of(job) for ident, job in found.items()}


def _moved(counts: Mapping[int, list[int]]) -> dict[int, list[int]]:
    return {minute: each for minute, each in counts.items() if each != [0, 0]}


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
    into = sums.setdefault((*key, minute // DAY), {})
    into.setdefault(minute % DAY, [0, 0])[0 if good else 1] += sign


def _add(connection: Connection, sums: Sums) -> None:
    """In one order everywhere, so that two replicas never wait for each other."""
    places = sorted(sums)
    if not dialect.is_sqlite(connection):
        driver.insert(connection, _MAKE, [(*place, 0, 0, b"") for place in places])
    found = driver.rows_for(connection, _DAYS[connection.dialect.name], places)
    known = {(slo, part, number): Day(number, good, bad, bytes(body)) for slo, part, number, good, bad, body in found}
    days = {place: changed(known.get(place, Day(place[2], 0, 0, b"")), sums[place]) for place in places}
    driver.insert(connection, _PUT, [(*place, day.good, day.bad, day.body) for place, day in days.items()])


_MAKE = "INSERT INTO slo_counts (slo, part, day, good, bad, body) VALUES {values} ON CONFLICT DO NOTHING"
_PUT = (
    "INSERT INTO slo_counts (slo, part, day, good, bad, body) VALUES {values} ON CONFLICT (slo, part, day) "
    "DO UPDATE SET good = excluded.good, bad = excluded.bad, body = excluded.body"
)
_WANTED = (
    "WITH wanted (slo, part, day) AS (VALUES {values}) "
    "SELECT known.slo, known.part, known.day, known.good, known.bad, known.body "
    "FROM wanted CROSS JOIN slo_counts AS known "
    "WHERE known.slo = wanted.slo AND known.part = wanted.part AND known.day = wanted.day"
)
# Locked until the commit: another replica adds to what this one leaves.
_DAYS = {"sqlite": _WANTED, "postgresql": _WANTED + " ORDER BY known.slo, known.part, known.day FOR UPDATE OF known"}


# -- counting anew ------------------------------------------------------------------------------------------------


def recount(connection: Connection, slo: Slo, now: datetime) -> None:
    """From the runs that the store still has: for an SLO that is new, or counts something else."""
    connection.execute(delete(slo_counts).where(slo_counts.c.slo == slo.name))
    _add(connection, _from_runs(connection, slo, now))


def anew(connection: Connection, slo: Slo, now: datetime) -> tuple[Counted, ...]:
    """What `recount` would count for each objective; nothing is written."""
    found: dict[Key, list[Day]] = {}
    for (name, part, number), counts in sorted(_from_runs(connection, slo, now).items()):
        found.setdefault((name, part), []).append(packed(number, counts))
    return tuple(Counted(tuple(found.get((slo.name, part), ()))) for part in range(len(slo.objectives)))


def _from_runs(connection: Connection, slo: Slo, now: datetime) -> Sums:
    since = now - timedelta(seconds=slo.period.seconds) - 2 * MARGIN
    sums: Sums = {}
    for watched in watching([slo]).watched:
        for job in _jobs(connection, watched):
            for row in driver.rows(connection, _RUNS.format(mark=dialect.mark(connection)), (job.id, to_micros(since))):
                event = event_of(watched.indicator, PastRun(*row))
                if event:
                    _count(sums, watched.key, event)
    return sums


_RUNS = (
    'SELECT id, state, "trigger", historical, nominal_start, nominal_end, started_at, ended_at, first_seen FROM runs '
    "WHERE job_id = {mark} AND position >= {mark}"
)


def _jobs(connection: Connection, watched: Watched) -> list[JobRef]:
    query = select(jobs)
    for matcher in watched.indicator.matchers:
        if matcher.op == "=" and matcher.name == "pipeline":
            query = query.where(jobs.c.pipeline == matcher.value)
    found = map(job_rows.to_job, connection.execute(query))
    return [job.ref for job in found if counts_job(watched, job.ref) and watched.fits(labels_of(job))]


def forget(connection: Connection, names: Collection[str]) -> None:
    for some in dialect.chunks(sorted(names)):
        connection.execute(delete(slo_counts).where(slo_counts.c.slo.in_(some)))


def note_change(connection: Connection, now: datetime) -> None:
    """What is counted is another now: every process reads it again before it counts."""
    row = {"key": VERSION, "value": f"{to_micros(now)}:{_number(connection)}"}
    dialect.upsert(connection, meta, [row])


def _number(connection: Connection) -> int:
    """Moves on with each change, also within one microsecond of a clock that stands still."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == VERSION)).scalar_one_or_none()
    return int(value.rpartition(":")[2]) + 1 if value else 1


# -- reading ------------------------------------------------------------------------------------------------------


def counted(connection: Connection, given: Iterable[Slo]) -> dict[Key, Counted]:
    """Of each of their objectives, where anything was counted: the days of one period, and what windows of alerts reach
    beyond it, before the newest event."""
    wanted = [
        (slo.name, part, _reach(slo))
        for slo in given
        for part, objective in enumerate(slo.objectives)
        if objective.indicator.sli.of_runs
    ]
    found: dict[Key, list[Day]] = {}
    for slo, part, number, good, bad, body in driver.rows_for(connection, _NEWEST, wanted):
        found.setdefault((slo, part), []).append(Day(number, good, bad, bytes(body)))
    return {key: Counted(tuple(days)) for key, days in found.items()}


def _reach(slo: Slo) -> int:
    """In days."""
    return -(-slo.period.seconds // (DAY * 60)) + MARGIN.days


_NEWEST = (
    "WITH wanted (slo, part, reach) AS (VALUES {values}) "
    "SELECT known.slo, known.part, known.day, known.good, known.bad, known.body "
    "FROM wanted CROSS JOIN slo_counts AS known "
    "WHERE known.slo = wanted.slo AND known.part = wanted.part AND known.day >= (SELECT max(newest.day) - wanted.reach "
    "FROM slo_counts AS newest WHERE newest.slo = wanted.slo AND newest.part = wanted.part) "
    "ORDER BY known.slo, known.part, known.day"
)
