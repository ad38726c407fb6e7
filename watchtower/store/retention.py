"""Letting go of what is old, in small transactions that never hold up the writer.

Runs leave day sketches of their durations behind (`sketches`), so that baselines outlive them. Alerts, obligations
and the audit chain are history that is kept for their own, longer time; open ones are never deleted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, or_, select, tuple_

from watchtower.model.alert import AlertState
from watchtower.model.run import RunState
from watchtower.model.slo import Slo
from watchtower.store import datasets, dialect, due, senders, trace_retention
from watchtower.store.database import Database
from watchtower.store.schema.alerting import (
    alerts,
    callbacks,
    conversations,
    group_alerts,
    groups,
    incident_events,
    incidents,
    notices,
    obligations,
    transitions,
)
from watchtower.store.schema.changes import changes
from watchtower.store.schema.observed import dataset_updates, facts, quarantine, run_aliases, runs, sketches
from watchtower.store.schema.series import samples, series
from watchtower.store.schema.slos import slo_counts
from watchtower.store.slo_counts import MARGIN
from watchtower.store.slos import by_name

CHUNK: Final = 500  # rows a transaction
DAY: Final = timedelta(days=1)
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each class is kept, in days. alerts: incidents, notices and obligations go with their alerts."""

    facts_days: int = 30
    runs_days: int = 400
    alerts_days: int = 400
    quarantine_days: int = 30
    series_days: int = 90


@dataclass(frozen=True, slots=True)
class DayOfDurations:
    """Durations (seconds) of the runs of one job that ended well on one closed UTC day. day: days since the epoch."""

    subject: str
    day: int
    durations_s: tuple[float, ...]


def unsketched_days(database: Database, now: datetime, limit: int) -> list[DayOfDurations]:
    """Closed days, within the last week, of jobs whose durations have no sketch yet; at most limit of them."""
    today = int(now.timestamp()) // _DAY_S
    found: list[DayOfDurations] = []
    with database.read() as connection:
        for day in range(today - 7, today):
            begin = datetime.fromtimestamp(day * _DAY_S, now.tzinfo)
            done = select(sketches.c.subject).where(sketches.c.day == day, sketches.c.metric == "duration_s")
            query = (
                select(runs.c.job_id, runs.c.started_at, runs.c.ended_at)
                .where(
                    runs.c.position >= begin,
                    runs.c.position < begin + DAY,
                    runs.c.state == RunState.SUCCEEDED.value,
                    runs.c.started_at.is_not(None),
                    runs.c.ended_at.is_not(None),
                    runs.c.job_id.not_in(done),
                )
                .order_by(runs.c.job_id)
            )
            by_job: dict[str, list[float]] = {}
            for row in connection.execute(query):
                by_job.setdefault(row.job_id, []).append(max(0.0, (row.ended_at - row.started_at).total_seconds()))
            found.extend(DayOfDurations(job_id, day, tuple(values)) for job_id, values in by_job.items())
            if len(found) >= limit:
                break
    return found[:limit]


def write_sketches(database: Database, rows: Sequence[tuple[str, str, int, int, bytes]]) -> None:
    """Keep (subject, metric, day, count, encoded sketch)."""
    names = ("subject", "metric", "day", "count", "body")
    database.write(
        lambda connection: dialect.upsert(connection, sketches, [dict(zip(names, row, strict=True)) for row in rows])
    )


def sketches_of(connection: Connection, subject: str, metric: str) -> list[tuple[int, bytes]]:
    """(day, encoded sketch), oldest first."""
    query = (
        select(sketches.c.day, sketches.c.body)
        .where(sketches.c.subject == subject, sketches.c.metric == metric)
        .order_by(sketches.c.day)
    )
    return [(row.day, row.body) for row in connection.execute(query)]


def delete_old(database: Database, retention: Retention, now: datetime) -> dict[str, int]:
    """Delete what is past its time; the number of rows by class. Each chunk is a transaction of its own."""
    return {
        "facts": _delete(database, facts, facts.c.received_at < now - retention.facts_days * DAY),
        "runs": _delete_runs(database, now - retention.runs_days * DAY),
        "updates": _delete_told_updates(database, now - retention.runs_days * DAY),
        "alerts": _delete_alerts(database, now - retention.alerts_days * DAY),
        "callbacks": _delete(database, callbacks, callbacks.c.at < now - retention.alerts_days * DAY),
        "quarantine": _delete(database, quarantine, quarantine.c.received_at < now - retention.quarantine_days * DAY),
        "changes": _delete(database, changes, changes.c.at < now - retention.alerts_days * DAY),
        "series": _delete_samples(database, now - retention.series_days * DAY),
        "slo_counts": _delete_counts(database, retention.runs_days, now),
        "senders": database.write(partial(senders.delete_old, now=now)),
    }


def _delete(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    (key,) = table.primary_key.columns

    def unit(connection: Connection) -> int:
        ids = connection.scalars(select(key).where(condition).limit(CHUNK)).all()
        connection.execute(delete(table).where(key.in_(ids)))
        return len(ids)

    return _repeat(database, unit)


def _delete_runs(database: Database, before: datetime) -> int:
    """Open runs are kept: an orphan is a finding, whatever its age."""
    ended = runs.c.state.not_in([RunState.QUEUED.value, RunState.RUNNING.value, RunState.RETRY_WAIT.value])

    def unit(connection: Connection) -> int:
        ids = connection.scalars(select(runs.c.id).where(runs.c.position < before, ended).limit(CHUNK)).all()
        connection.execute(delete(run_aliases).where(run_aliases.c.run_id.in_(ids)))
        connection.execute(delete(dataset_updates).where(dataset_updates.c.run_id.in_(ids)))
        trace_retention.delete_of_runs(connection, ids)
        connection.execute(delete(runs).where(runs.c.id.in_(ids)))
        return len(ids)

    return _repeat(database, unit)


def _delete_told_updates(database: Database, before: datetime) -> int:
    """Of datasets, by no run: what events told, and what probes saw. The newest of each dataset stays."""
    place = tuple_(dataset_updates.c.dataset_id, dataset_updates.c.run_id, dataset_updates.c.partition)
    newer = dataset_updates.alias("newer")
    has_newer = exists().where(newer.c.dataset_id == dataset_updates.c.dataset_id, newer.c.at > dataset_updates.c.at)

    by_no_run = or_(*(dataset_updates.c.run_id.startswith(each) for each in (datasets.EVENT, datasets.DATA)))
    query = select(*place.clauses).where(dataset_updates.c.at < before, by_no_run, has_newer).limit(CHUNK)

    def unit(connection: Connection) -> int:
        rows = [tuple(row) for row in connection.execute(query)]
        if rows:
            connection.execute(delete(dataset_updates).where(place.in_(rows)))
        return len(rows)

    return _repeat(database, unit)


def _delete_samples(database: Database, before: datetime) -> int:
    """Old samples, and those series of which nothing is left: an open alert still needs its subject."""
    place = tuple_(samples.c.series_id, samples.c.at)

    def unit(connection: Connection) -> int:
        rows = connection.execute(select(samples.c.series_id, samples.c.at).where(samples.c.at < before).limit(CHUNK))
        found = [(row.series_id, row.at) for row in rows]
        connection.execute(delete(samples).where(place.in_(found)))
        return len(found)

    def empty(connection: Connection) -> int:
        subject = "series:" + series.c.id
        is_open = select(alerts.c.id).where(alerts.c.subject == subject, alerts.c.state != AlertState.RESOLVED.value)
        query = select(series.c.id).where(series.c.last_at < before, ~is_open.exists()).limit(CHUNK)
        ids = connection.scalars(query).all()
        connection.execute(delete(series).where(series.c.id.in_(ids)))
        due.drop_idle(connection, due.RULES, [f"series:{ident}" for ident in ids])
        return len(ids)

    removed = _repeat(database, unit)
    _repeat(database, empty)
    return removed


def _delete_counts(database: Database, runs_days: int, now: datetime) -> int:
    """With the runs they were made of, but never before the period of the SLO is over."""
    with database.read() as connection:
        known = [one.slo for one in by_name(connection).values()]

    def unit(connection: Connection, slo: Slo) -> int:
        kept = max(runs_days * DAY, timedelta(seconds=slo.period.seconds) + MARGIN)
        first = int((now - kept).timestamp()) // _DAY_S
        old = delete(slo_counts).where(slo_counts.c.slo == slo.name, slo_counts.c.day < first)
        return connection.execute(old).rowcount

    return sum(database.write(partial(unit, slo=slo)) for slo in known)


def _delete_alerts(database: Database, before: datetime) -> int:
    """Group episodes that closed long ago, with all that hangs on them; then alerts and incidents without a group."""

    def unit(connection: Connection) -> int:
        ids = connection.scalars(select(groups.c.id).where(groups.c.closed_at < before).limit(CHUNK)).all()
        for table in (obligations, notices, conversations, group_alerts):
            connection.execute(delete(table).where(table.c.group_id.in_(ids)))
        connection.execute(delete(groups).where(groups.c.id.in_(ids)))
        return len(ids)

    removed = _repeat(database, unit)

    def orphans(connection: Connection) -> int:
        grouped = select(group_alerts.c.alert_id).where(group_alerts.c.alert_id == alerts.c.id).exists()
        ids = connection.scalars(select(alerts.c.id).where(alerts.c.ends_at < before, ~grouped).limit(CHUNK)).all()
        connection.execute(delete(transitions).where(transitions.c.alert_id.in_(ids)))
        connection.execute(delete(alerts).where(alerts.c.id.in_(ids)))
        return len(ids)

    removed += _repeat(database, orphans)

    def closed_incidents(connection: Connection) -> int:
        held = select(func.count()).select_from(groups).where(groups.c.incident_id == incidents.c.id).scalar_subquery()
        query = select(incidents.c.id).where(and_(incidents.c.resolved_at < before, or_(held == 0, held.is_(None))))
        ids = connection.scalars(query.limit(CHUNK)).all()
        connection.execute(delete(incident_events).where(incident_events.c.incident_id.in_(ids)))
        connection.execute(delete(incidents).where(incidents.c.id.in_(ids)))
        return len(ids)

    return removed + _repeat(database, closed_incidents)


def _repeat(database: Database, unit: Callable[[Connection], int]) -> int:
    """Run unit, each time in a transaction of its own, until it finds less than a chunk."""
    total = 0
    while True:
        count = database.write(unit)
        total += count
        if count < CHUNK:
            return total
