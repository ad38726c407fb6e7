"""Sources that are asked: declared by the configuration, each with its high-water mark and how its polls went.

A page of a poll is stored together with the mark that it reaches, in the transaction of its facts (`advance`): a crash
in between reads it again. The configuration is the only source of sources; the mark of one that it no longer holds is
kept, so that it goes on from there should it come back.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, case, func, select, update

from watchtower.errors import StoreError
from watchtower.model.run import RunState
from watchtower.model.source import FAILED, OK, RECENT, KnownRun, Page, Problem, Source
from watchtower.store import alerts, claims, dialect, due, senders, troubles
from watchtower.store.schema.observed import jobs, runs
from watchtower.store.schema.sources import sources
from watchtower.store.statements import Row, any_of, prepared

LATELY: Final = timedelta(days=7)
_FRESH: Mapping[str, Any] = {"failures": 0, "recent": "", "records": 0, "problems": [], "coverage": {}}


@dataclass(frozen=True, slots=True)
class Declared:
    """A source as the configuration in force has it."""

    name: str
    kind: str
    namespace: str
    every_s: float
    pushes: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """That this process is the one that asks a source. task: its row among the claims."""

    task: str
    holder: str
    until: datetime


@dataclass(slots=True)
class Tally:
    """What one poll came to. records: read; event: the newest fact's own time."""

    records: int = 0
    event: datetime | None = None
    problems: tuple[Problem, ...] | None = None
    coverage: dict[str, int] = field(default_factory=dict[str, int])


class LeaseLost(StoreError):
    """Another process asks this source now; what was read meanwhile is stored, and the mark is left to it."""


def declare(connection: Connection, declared: Sequence[Declared], now: datetime) -> None:
    """Take over the sources of the configuration in force, and end what is told of those that it no longer holds."""
    names = [each.name for each in declared]
    kept: dict[str, Source] = by_name(connection)
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "kind": each.kind,
            "namespace": each.namespace,
            "every_s": each.every_s,
            "pushes": each.pushes,
            "declared_at": kept[each.name].declared_at if each.name in kept else now,
        }
        for each in declared
    ]
    dialect.upsert(connection, sources, [{**row, **_FRESH} for row in rows], keep=tuple(_FRESH))
    gone = sorted(kept.keys() - set(names))
    connection.execute(update(sources).where(sources.c.name.in_(gone)).values(declared_at=None, problems=[]))
    troubles.end_all(connection, gone, now)
    alerts.end(connection, [subject(name) for name in gone], "the source was removed", now)
    due.forget(connection, due.RULES, [subject(name) for name in gone])
    due.mark(connection, due.RULES, [subject(name) for name in names], now)
    senders.mark_all(connection, now)


def advance(connection: Connection, name: str, page: Page, lease: Lease) -> None:
    """In the transaction of a page's facts: move the mark and the cursor to where it reaches, and keep the lease.
    Raises LeaseLost."""
    if not claims.renew(connection, lease.task, lease.holder, lease.until):
        raise LeaseLost(f"source {name!r} is asked by another process by now")
    moved: dict[str, Any] = {}
    if page.mark is not None:
        moved["mark"] = page.mark
    if page.cursor is not None:
        moved["cursor"] = page.cursor
    if moved:
        connection.execute(update(sources).where(sources.c.name == name).values(**moved))


def succeeded(connection: Connection, name: str, tally: Tally, seconds: float, now: datetime) -> None:
    """A whole poll is over. now: when it began, since what changed after that may not be in it."""
    before = by_name(connection, [name]).get(name)
    if before is None:
        return
    values: dict[str, Any] = {
        "last_poll": now,
        "last_success": now,
        "failures": 0,
        "failing_since": None,
        "error": None,
        "retry_at": None,
        "recent": (before.recent + OK)[-RECENT:],
        "seconds": seconds,
        "records": tally.records,
    }
    if tally.event is not None:
        values["last_event"] = max(tally.event, before.last_event or tally.event)
    if tally.problems is not None:
        values["problems"] = _since(before, tally.problems, now)
        troubles.note(connection, name, tally.problems, now)
    if tally.coverage:
        values["coverage"] = {**before.coverage, **tally.coverage}
    connection.execute(update(sources).where(sources.c.name == name).values(**values))
    due.mark(connection, due.RULES, [subject(name)], now)


def failed(
    connection: Connection,
    name: str,
    error: str,
    retry_at: datetime | None,
    now: datetime,
    *,
    problems: Sequence[Problem] | None = None,
) -> None:
    """A poll ended early. The mark stays where its last page left it. problems: that it told of until then."""
    before = by_name(connection, [name]).get(name)
    if before is None:
        return
    if problems is not None:
        troubles.note(connection, name, problems, now)
    connection.execute(
        update(sources)
        .where(sources.c.name == name)
        .values(
            last_poll=now,
            failures=before.failures + 1,
            failing_since=before.failing_since or now,
            error=error,
            retry_at=retry_at,
            recent=(before.recent + FAILED)[-RECENT:],
        )
    )
    due.mark(connection, due.RULES, [subject(name)], now)


def _since(before: Source, problems: Sequence[Problem], now: datetime) -> list[Problem]:
    """With the moment at which each was first told."""
    known = {problem.key: problem.since for problem in before.problems}
    return [
        Problem(each.key, each.summary, each.since or known.get(each.key) or now, each.concerns)
        for each in sorted(problems, key=lambda each: each.key)
    ]


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    for name, team in sorted(teams.items()):
        connection.execute(update(sources).where(sources.c.name == name).values(team=team))


def subject(name: str) -> str:
    return f"source:{name}"


# -- reading ------------------------------------------------------------------------------------------------------


def by_name(connection: Connection, names: Collection[str] | None = None, team: str | None = None) -> dict[str, Source]:
    """Those that the configuration holds, by name, in that order; all for None. team: only what belongs to it."""
    rows = _DECLARED.all(connection, {}) if names is None else _NAMED.all(connection, {"names": sorted(names)})
    return {row.name: _source(row) for row in rows if team is None or row.team == team}


_DECLARED = prepared(select(sources).where(sources.c.declared_at.is_not(None)).order_by(sources.c.name))
_NAMED = prepared(
    select(sources)
    .where(sources.c.declared_at.is_not(None), sources.c.name.in_(any_of("names")))
    .order_by(sources.c.name)
)


def asked_until(connection: Connection, namespaces: Collection[str]) -> dict[str, datetime]:
    """By namespace of jobs: everything before it, by their clocks, was asked of all sources that have such jobs. Not
    there where one was never read whole, or none is asked."""
    query = select(sources.c.namespace, sources.c.mark).where(
        sources.c.declared_at.is_not(None), sources.c.namespace.in_(sorted(namespaces))
    )
    marks: dict[str, list[datetime | None]] = {}
    for row in connection.execute(query):
        marks.setdefault(row.namespace, []).append(row.mark)
    known = {namespace: [mark for mark in some if mark is not None] for namespace, some in marks.items()}
    return {namespace: min(some) for namespace, some in known.items() if len(some) == len(marks[namespace])}


def _source(row: Row) -> Source:
    values: dict[str, Any] = {column.name: getattr(row, column.name) for column in sources.columns}
    values["problems"] = msgspec.convert(row.problems, tuple[Problem, ...])
    return Source(**values)


def known_runs(
    connection: Connection, source: str, namespace: str, native_run_ids: Collection[str]
) -> dict[tuple[str, str], list[KnownRun]]:
    """Every generation of these runs of pipelines, by (pipeline, native run id), the oldest first."""
    found: dict[tuple[str, str], list[KnownRun]] = {}
    for some in dialect.chunks(sorted(native_run_ids)):
        query = (
            select(runs)
            .where(
                runs.c.native_run_id.in_(some),
                runs.c.task.is_(None),
                runs.c.source == source,
                runs.c.namespace == namespace,
            )
            .order_by(runs.c.generation)
        )
        for row in connection.execute(query):
            known = KnownRun(row.generation, RunState(row.state), row.queued_at, row.started_at, row.ended_at)
            found.setdefault((row.pipeline, row.native_run_id), []).append(known)
    return found


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a source of jobs, whoever brought it. last_seen: of the newest word on any of its jobs; of_late: how
    many of its pipelines were heard of within seven days."""

    source: str
    namespace: str
    pipelines: int
    of_late: int
    last_seen: datetime | None


def heard(connection: Connection, now: datetime, team: str | None = None) -> list[Heard]:
    """By source and namespace: all that jobs are known of. team: only of its jobs."""
    of_late = func.sum(case((jobs.c.last_seen >= now - LATELY, 1), else_=0))
    query = (
        select(
            jobs.c.source,
            jobs.c.namespace,
            func.count().label("pipelines"),
            of_late.label("of_late"),
            func.max(jobs.c.last_seen).label("at"),
        )
        .where(jobs.c.task.is_(None))
        .group_by(jobs.c.source, jobs.c.namespace)
        .order_by(jobs.c.source, jobs.c.namespace)
    )
    if team is not None:
        query = query.where(jobs.c.team == team)
    return [Heard(row.source, row.namespace, row.pipelines, row.of_late, row.at) for row in connection.execute(query)]
