"""What was wrong with a source that jobs or datasets depend on, from when to when: the past of such problems.

A problem that concerns nobody is only a source's own (store.sources). One that begins or ends makes due what it
concerns, so that an alert about a late dataset or a failed run says why as soon as it is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from watchtower.model.source import DATASET, Problem, Trouble
from watchtower.store import dialect, due
from watchtower.store.schema.observed import jobs
from watchtower.store.schema.sources import troubles
from watchtower.store.statements import Row, prepared

KEPT: Final = timedelta(days=7)  # after they ended
NEWEST: Final = 200  # looked at for one batch of subjects


def note(connection: Connection, source: str, problems: Sequence[Problem], now: datetime) -> None:
    """What is wrong with source now, in place of what was."""
    standing = {each.key: each for each in _of(connection, source) if each.until is None}
    told = {each.key: each for each in problems if each.concerns}
    ended = [each for key, each in standing.items() if key not in told]
    begun = [_begun(source, problem, standing.get(key), now) for key, problem in told.items()]
    new = [each for each in begun if each != standing.get(each.key)]
    if ended:
        keys = [each.key for each in ended]
        over = update(troubles).where(troubles.c.source == source, troubles.c.key.in_(keys), troubles.c.until.is_(None))
        connection.execute(over.values(until=now))
    if new:
        dialect.upsert(connection, troubles, [_row(each) for each in new])
    if ended or new:
        connection.execute(delete(troubles).where(troubles.c.until < now - KEPT))
        _mark(connection, [*ended, *new], now)


def end_all(connection: Connection, sources: Iterable[str], now: datetime) -> None:
    """The configuration no longer holds these sources."""
    for source in sources:
        note(connection, source, (), now)


def newest(connection: Connection) -> list[Trouble]:
    """Newest first."""
    return [_trouble(row) for row in _NEWEST.all(connection, {})]


_NEWEST = prepared(select(troubles).order_by(troubles.c.since.desc(), troubles.c.source, troubles.c.key).limit(NEWEST))


def _of(connection: Connection, source: str) -> list[Trouble]:
    return [_trouble(row) for row in connection.execute(select(troubles).where(troubles.c.source == source))]


def _begun(source: str, problem: Problem, before: Trouble | None, now: datetime) -> Trouble:
    since = before.since if before else problem.since or now
    return Trouble(source, problem.key, problem.summary, since, None, tuple(sorted(problem.concerns)))


def _mark(connection: Connection, changed: Sequence[Trouble], now: datetime) -> None:
    """Make due what they concern."""
    subjects = {concern for each in changed for concern in each.concerns if concern.startswith(DATASET)}
    if any(not concern.startswith(DATASET) for each in changed for concern in each.concerns):
        rows = connection.execute(select(jobs.c.id, jobs.c.pipeline).where(jobs.c.task.is_(None)))
        subjects |= {f"job:{row.id}" for row in rows if any(each.concerns_pipeline(row.pipeline) for each in changed)}
    due.mark(connection, due.RULES, subjects, now)


def _row(trouble: Trouble) -> Mapping[str, Any]:
    return {
        "source": trouble.source,
        "key": trouble.key,
        "since": trouble.since,
        "until": trouble.until,
        "summary": trouble.summary,
        "concerns": list(trouble.concerns),
    }


def _trouble(row: Row) -> Trouble:
    return Trouble(row.source, row.key, row.summary, row.since, row.until, tuple(row.concerns))
