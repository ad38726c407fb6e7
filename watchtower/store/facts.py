"""Facts in, state out: one transaction appends facts, folds them into state and marks their subjects due.

`append` is what every entry point calls; its future is done only after the commit, so what it answers is durable.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, delete, select, update

from watchtower.model.derived import DERIVED, RECORDS_PER_SECOND, derived_id
from watchtower.model.fact import Fact, FactKey
from watchtower.model.instants import to_micros
from watchtower.model.round_trip import KIND as ROUND_TRIP
from watchtower.model.round_trip import SUBJECT as TRIP
from watchtower.model.rule import SubjectKey
from watchtower.model.run import JobRef, RunPatch, RunState
from watchtower.store import (
    bodies,
    changes,
    datasets,
    dialect,
    driver,
    due,
    jobs,
    runs,
    senders,
    series,
    slo_counts,
    slo_parts,
    span_batches,
)
from watchtower.store.database import Database
from watchtower.store.known import Known, known_of
from watchtower.store.run_counts import note_ends
from watchtower.store.runs import Folded
from watchtower.store.schema.observed import facts as facts_table
from watchtower.store.schema.observed import quarantine
from watchtower.store.series import Naming, Unfit
from watchtower.store.span_batches import BatchRow
from watchtower.store.work import after_commit


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Input that could not be folded, with its original time of receipt."""

    collector: str
    source: str | None
    reason: str
    message: str
    received_at: datetime
    body: bytes


Row = tuple[int, bytes, str, str, int, int, bool, bytes]


class Intake(msgspec.Struct, frozen=True):
    """What one request brought. watch_tasks: some rule names tasks, so tasks are subjects too; watch_series: the names
    of the series that rules watch, None: any; naming: what jobs are called. rows: the facts as they are stored, if the
    caller's thread made them already; batches: of spans, packed. beside: what is written in the same transaction, e.g.
    how far a source was read; if it raises, nothing of this intake is stored."""

    facts: Sequence[Fact]
    quarantined: Sequence[Quarantined] = ()
    watch_tasks: bool = False
    watch_series: Collection[str] | None = None
    naming: Naming = msgspec.field(default_factory=Naming)
    rows: Sequence[Row] | None = None
    batches: Sequence[BatchRow] = ()
    beside: Callable[[Connection], None] | None = None


class Appended(msgspec.Struct, frozen=True):
    """accepted: facts now in the store, whether they are new or were there already. unfit: what of them could not be
    folded; of kind `series` it is in the quarantine."""

    accepted: int
    quarantined: int
    unfit: Sequence[Unfit] = ()


def append(database: Database, intake: Intake) -> "Future[Appended]":
    """Queue intake for the next group commit. Bodies are packed here, so that the writing thread need not. A store that
    is thrown away keeps none: what is played there is kept elsewhere."""
    rows = [] if database.is_scratch else [_stored(fact) for fact in intake.facts]
    prepared = msgspec.structs.replace(intake, rows=rows)
    return cast("Future[Appended]", database.submit(_append, prepared))


def _append(connection: Connection, intakes: Sequence[Intake]) -> list[Appended]:
    """As append_all, and what was learned of the store is known once it is committed."""
    said: dict[Hashable, Any] = {}
    appended = append_all(connection, intakes, said)
    after_commit(connection, partial(known_of(connection.engine).keep, said))
    return appended


def append_all(
    connection: Connection, intakes: Sequence[Intake], said: dict[Hashable, Any] | None = None
) -> list[Appended]:
    """Append and fold the facts of many requests at once; one answer each. said: takes what may be known of the store
    after the commit (store.known)."""
    facts = [fact for intake in intakes for fact in intake.facts]
    _insert(connection, [row for intake in intakes for row in _rows(intake)])
    known = known_of(connection.engine)
    folded = runs.fold(connection, facts)
    note_ends(connection, folded)
    if folded.documents:
        slo_counts.lock(connection, shared=True)  # before rows of jobs, which who declares takes behind it, too
    written, seen = datasets.fold(connection, facts, folded, known)
    said = {} if said is None else said
    said.update(seen)
    said.update(jobs.fold(connection, facts, known))
    if folded.documents:
        slo_counts.fold(connection, folded, max(fact.received_at for fact in facts))
    said.update(senders.fold(connection, facts, known))
    _mark(connection, facts, written, watch_tasks=any(intake.watch_tasks for intake in intakes))
    _mark_derived(connection, facts, folded, intakes)
    changes.fold(connection, facts)
    unfit = _fold_series(connection, intakes, known, said)
    if written:
        slo_parts.mark(connection, written, (), max(fact.received_at for fact in facts))
    _quarantine(connection, [kept for intake in intakes for kept in intake.quarantined])
    span_batches.insert(connection, [batch for intake in intakes for batch in intake.batches])
    for intake in intakes:
        if intake.beside is not None:
            intake.beside(connection)
    return [
        Appended(len(intake.facts), len(intake.quarantined), unfit.get(number, ()))
        for number, intake in enumerate(intakes)
    ]


_INSERT = (
    "INSERT INTO facts (minute, digest, source, kind, event_time, received_at, historical, body) "
    "VALUES {values} ON CONFLICT (minute, digest) DO NOTHING"
)


def _insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Through the driver underneath: the one statement that runs for every event there is."""
    driver.insert(connection, _INSERT, rows)


def _rows(intake: Intake) -> Sequence[Row]:
    return [_stored(fact) for fact in intake.facts] if intake.rows is None else intake.rows


def _stored(fact: Fact) -> Row:
    return (
        fact.key.minute,
        fact.key.digest,
        fact.source,
        fact.kind,
        to_micros(fact.event_time),
        to_micros(fact.received_at),
        fact.historical,
        bodies.pack(fact.body),
    )


def _mark(connection: Connection, facts: Sequence[Fact], written: Iterable[str], *, watch_tasks: bool) -> None:
    """Make due what these facts may change: pipelines (and tasks, if watched), and datasets that were written."""
    if not facts:
        return
    refs = {fact.run.job for fact in facts if fact.run} | {patch.ref for fact in facts for patch in fact.jobs}
    subjects = {str(SubjectKey("dataset", dataset_id)) for dataset_id in written}
    subjects |= {str(SubjectKey(TRIP, fact.body.decode())) for fact in facts if fact.kind == ROUND_TRIP}
    parties = _subjects_of(refs, watch_tasks=watch_tasks)
    bad = _subjects_of({fact.run.job for fact in facts if fact.run and _is_bad_end(fact.run)}, watch_tasks=watch_tasks)
    at = max(fact.received_at for fact in facts)
    due.mark(connection, due.RULES, {*subjects, *parties}, at, urgent=bad, parties=parties)


def _subjects_of(refs: Iterable[JobRef], *, watch_tasks: bool) -> dict[str, str]:
    """With whose each is, as far as its name tells."""
    subjects: dict[str, str] = {}
    for ref in refs:
        subjects[str(SubjectKey("job", ref.pipeline_ref.id))] = ref.namespace
        if ref.task and watch_tasks:
            subjects[str(SubjectKey("job", ref.id))] = ref.namespace
    return subjects


def _is_bad_end(patch: RunPatch) -> bool:
    """Somebody may have to know of it at once. Of a try that is followed by another one nobody has."""
    return patch.state is not None and patch.state.is_bad and patch.final is not False


def _mark_derived(connection: Connection, facts: Sequence[Fact], folded: Folded, intakes: Sequence[Intake]) -> None:
    """Make due those series that are worked out from the runs that ended here, as far as rules watch them."""
    names = {name for intake in intakes for name in intake.watch_series or () if name in DERIVED}
    if not names:
        return
    watch_tasks = any(intake.watch_tasks for intake in intakes)
    subjects: set[str] = set()
    for run in folded.ended_anew():
        if not RunState(run["state"]).is_terminal:
            continue
        job = JobRef(run["source"], run["namespace"], run["pipeline"], run["task"])
        if watch_tasks or not job.task:
            subjects.update(derived_id(name, job.id) for name in names)
        if job.task and RECORDS_PER_SECOND in names:  # what a task wrote counts for its pipeline's run
            subjects.add(derived_id(RECORDS_PER_SECOND, job.pipeline_ref.id))
    if subjects:
        keys = [str(SubjectKey("series", ident)) for ident in subjects]
        due.mark(connection, due.RULES, keys, max(fact.received_at for fact in facts))


def _fold_series(
    connection: Connection, intakes: Sequence[Intake], known: Known, said: dict[Hashable, Any]
) -> dict[int, Sequence[Unfit]]:
    """What could not be folded, by intake; said: what is known once this is committed, which is added to. Where no
    fact has series, which is nearly always, nothing is done."""
    unfit: dict[int, Sequence[Unfit]] = {}
    for number, intake in enumerate(intakes):
        if not any(fact.series for fact in intake.facts):
            continue
        told = series.fold(connection, intake.facts, intake.naming)
        keys = [str(SubjectKey("series", ident)) for ident in told.due(intake.watch_series, known)]
        due.mark(connection, due.RULES, keys, max(fact.received_at for fact in intake.facts))
        slo_parts.mark(connection, (), told.names, max(fact.received_at for fact in intake.facts))
        said.update(told.said)
        if told.unfit:
            unfit[number] = told.unfit
            kept = [(intake.facts[one.place], one) for one in told.unfit]
            _quarantine(connection, [_kept(fact, one) for fact, one in kept if fact.kind == "series"])
    return unfit


def _kept(fact: Fact, unfit: Unfit) -> Quarantined:
    return Quarantined(fact.kind, fact.source, unfit.reason, unfit.message, fact.received_at, fact.body)


def _quarantine(connection: Connection, kept: Sequence[Quarantined]) -> None:
    rows = [
        {
            "collector": item.collector,
            "source": item.source,
            "reason": item.reason,
            "message": item.message,
            "received_at": item.received_at,
            "digest": blake2b(item.body, digest_size=16).digest(),
            "attempts": 0,
            "body": item.body,
        }
        for item in kept
    ]
    if rows:
        statement = dialect.insert(connection, quarantine).on_conflict_do_nothing(index_elements=["digest"])
        connection.execute(statement, rows)


def in_quarantine(connection: Connection, *, after: int = 0, limit: int = 1_000) -> list[tuple[int, Quarantined]]:
    """(id, what stands there), oldest first. after: the last id of the page before."""
    rows = connection.execute(select(quarantine).where(quarantine.c.id > after).order_by(quarantine.c.id).limit(limit))
    return [
        (row.id, Quarantined(row.collector, row.source, row.reason, row.message, row.received_at, row.body))
        for row in rows
    ]


def begin_again(connection: Connection, ids: Sequence[int]) -> None:
    """Count an attempt before it is made."""
    for some in dialect.chunks(ids):
        again = update(quarantine).where(quarantine.c.id.in_(some))
        connection.execute(again.values(attempts=quarantine.c.attempts + 1))


def release(connection: Connection, ids: Sequence[int]) -> None:
    """Take out of quarantine what was understood after all."""
    for some in dialect.chunks(ids):
        connection.execute(delete(quarantine).where(quarantine.c.id.in_(some)))


def recorded(connection: Connection, after_id: int, limit: int) -> list[tuple[int, Fact]]:
    """Facts in recorded commit order, as they were received, without their patches: for replay and export."""
    query = select(facts_table).where(facts_table.c.id > after_id).order_by(facts_table.c.id).limit(limit)
    return [
        (
            row.id,
            Fact(
                key=FactKey(row.minute, row.digest),
                source=row.source,
                kind=row.kind,
                event_time=row.event_time,
                received_at=row.received_at,
                body=bodies.unpack(row.body),
                historical=row.historical,
            ),
        )
        for row in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Kept:
    """Which facts the store holds. last_id: of the newest in recorded commit order; count: at most so many; oldest,
    newest: when the first and the last of them came in (aware UTC)."""

    first_id: int
    last_id: int
    oldest: datetime
    newest: datetime

    @property
    def count(self) -> int:
        return self.last_id - self.first_id + 1


def kept(connection: Connection) -> Kept | None:
    """None while there is none."""
    ordered = select(facts_table.c.id, facts_table.c.received_at).where(facts_table.c.kind != ROUND_TRIP)
    first = connection.execute(ordered.order_by(facts_table.c.id).limit(1)).first()
    last = connection.execute(ordered.order_by(facts_table.c.id.desc()).limit(1)).first()
    return Kept(first.id, last.id, first.received_at, last.received_at) if first and last else None
