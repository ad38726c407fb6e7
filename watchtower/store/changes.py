"""Change markers in the store: written once each, and found by whoever asks what changed before a moment."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.change import Change
from watchtower.model.fact import Fact
from watchtower.model.run import Job
from watchtower.store import dialect, run_changes
from watchtower.store.schema.changes import changes
from watchtower.store.statements import Row, given, prepared

NEWEST = 200  # looked at for one batch of subjects
OF_A_JOB = 20


def fold(connection: Connection, facts: Sequence[Fact]) -> None:
    """A repeat is the same row."""
    rows = [_row(change) for fact in facts for change in fact.changes]
    if rows:
        statement = dialect.insert(connection, changes).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(statement, rows)


def newest(connection: Connection) -> list[Change]:
    """Newest first."""
    return [to_change(row) for row in _NEWEST.all(connection, {})]


_NEWEST = prepared(select(changes).order_by(changes.c.at.desc(), changes.c.id).limit(NEWEST))


_BEFORE = prepared(
    select(changes)
    .where(changes.c.at <= given("last"), changes.c.at >= given("first"))
    .order_by(changes.c.at.desc(), changes.c.id)
    .limit(NEWEST)
)


def before(connection: Connection, job: Job, moment: datetime, within: timedelta) -> list[Change]:
    """Changes that concern job in the time before moment, newest first: announced ones, and those that its runs and
    the columns of what it reads tell."""
    rows = _BEFORE.all(connection, {"last": moment, "first": moment - within})
    announced = [change for change in map(to_change, rows) if change.concerns(job)]
    told = [change for change in run_changes.of_job(connection, job) if moment - within <= change.at <= moment]
    return sorted([*announced, *told], key=lambda change: (change.at, change.id), reverse=True)[:OF_A_JOB]


def to_change(row: Row) -> Change:
    return Change(
        at=row.at,
        source=row.source,
        kind=row.kind,
        title=row.title,
        commit=row.commit_id,
        actor=row.actor,
        url=row.url,
        environment=row.environment,
        repository=row.repository,
        pipelines=tuple(row.pipelines),
        team=row.team,
    )


def _row(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "at": change.at,
        "source": change.source,
        "kind": change.kind,
        "title": change.title,
        "commit_id": change.commit,
        "actor": change.actor,
        "url": change.url,
        "environment": change.environment,
        "repository": change.repository,
        "pipelines": list(change.pipelines),
        "team": change.team,
    }
