"""Senders in the store: when each source that nobody asks told something, kept as one row a day.

Every event there is passes here, so a sender that told something within the last minute costs a look into a
dictionary. The rest is two statements for each sender and minute. Words that come in another order than they were
received in, as replicas may write them, can only make a silence seem longer than it was.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, func, select, type_coerce, update

from watchtower.model.alert import Alert, AlertState
from watchtower.model.fact import Fact
from watchtower.model.run import JobRef
from watchtower.model.sender import DAYS, Sender, ToldDay, sender_id
from watchtower.store import alerts, dialect, due
from watchtower.store.known import Known
from watchtower.store.schema.observed import runs
from watchtower.store.schema.sources import sender_days, senders
from watchtower.store.statements import Prepared, Row, any_of, prepared

TOLD: Final = frozenset({"run", "job"})  # kinds of facts that come unasked and mean that the sender lives
EVERY: Final = timedelta(minutes=1)  # how exactly it is known when a sender told something
KEPT: Final = timedelta(days=90)
MOST_COUNTED: Final = 100
_DAY_S: Final = 86_400

Said = dict[Hashable, datetime]


def fold(connection: Connection, facts: Sequence[Fact], known: Known) -> Said:
    """Note who told something. What is returned may be kept in known after the commit."""
    words: dict[tuple[str, str, datetime], Fact] = {}
    for fact in facts:
        ref = _told_of(fact)
        if ref is not None:
            key = (ref.source, ref.namespace, fact.received_at)
            if key not in words or fact.event_time > words[key].event_time:
                words[key] = fact
    said: Said = {}
    due_now: set[str] = set()
    for (source, namespace, at), fact in sorted(words.items(), key=itemgetter(0)):
        noting = ("sender", source, namespace)
        noted = said.get(noting) or known.get(noting)
        if noted is None or abs(at - noted) >= EVERY:
            said[noting] = at
            due_now.add(subject(sender_id(source, namespace)))
            _note(connection, source, namespace, fact)
    if said:
        due.mark(connection, due.RULES, due_now, max(said.values()))
    return said


def _told_of(fact: Fact) -> JobRef | None:
    """The job that an event told of; None where it says nothing of whether its sender lives."""
    if fact.historical or fact.kind not in TOLD:
        return None
    if fact.run is not None:
        return fact.run.job
    return fact.jobs[0].ref if fact.jobs else None


def _note(connection: Connection, source: str, namespace: str, fact: Fact) -> None:
    ident, at = sender_id(source, namespace), fact.received_at
    engine, lag_s = connection.dialect.name, max(0.0, (at - fact.event_time).total_seconds())
    row = {"id": ident, "source": source, "namespace": namespace, "last_event": at, "lag_s": lag_s}
    _noting(engine).run(connection, row)
    day = {"sender": ident, "day": int(at.timestamp()) // _DAY_S, "first": at, "last": at, "longest": 0}
    _noting_day(engine).run(connection, day)


@cache
def _noting(engine: str) -> Prepared:
    statement = dialect.insert_on(engine, senders)
    new, old = statement.excluded, senders.c
    is_newer = new.last_event > old.last_event
    newer = {name: case((is_newer, new[name]), else_=old[name]) for name in ("last_event", "lag_s")}
    return prepared(statement.on_conflict_do_update(index_elements=["id"], set_=newer))


@cache
def _noting_day(engine: str) -> Prepared:
    statement = dialect.insert_on(engine, sender_days)
    days, new = sender_days.c, statement.excluded
    since = type_coerce(new.last, BigInteger) - type_coerce(days.last, BigInteger)
    grown = {
        "first": case((new.first < days.first, new.first), else_=days.first),
        "last": case((new.last > days.last, new.last), else_=days.last),
        "longest": case((since > days.longest, since), else_=days.longest),
    }
    return prepared(statement.on_conflict_do_update(index_elements=["sender", "day"], set_=grown))


def await_all(connection: Connection, now: datetime) -> None:
    """Watchtower begins to listen: what was quiet until now was its own absence."""
    connection.execute(update(senders).values(awaited_since=now))
    mark_all(connection, now)


def mark_all(connection: Connection, now: datetime) -> None:
    """Make them all due: which of them are asked as well may be another thing by now."""
    due.mark(connection, due.RULES, [subject(ident) for ident in connection.scalars(select(senders.c.id))], now)


def delete_old(connection: Connection, now: datetime) -> int:
    """Days that no longer count, and senders that were not heard of for so long."""
    day = int((now - KEPT).timestamp()) // _DAY_S
    gone = connection.scalars(select(senders.c.id).where(senders.c.last_event < now - KEPT)).all()
    connection.execute(delete(senders).where(senders.c.id.in_(gone)))
    subjects = [subject(ident) for ident in gone]
    alerts.end(connection, subjects, f"it was not heard of for {KEPT.days} days", now)
    due.forget(connection, due.RULES, subjects)
    return connection.execute(delete(sender_days).where(sender_days.c.day < day)).rowcount


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    for ident, team in sorted(teams.items()):
        connection.execute(update(senders).where(senders.c.id == ident).values(team=team))


def subject(ident: str) -> str:
    return f"source:{ident}"


# -- reading ------------------------------------------------------------------------------------------------------


def by_id(connection: Connection, ids: Collection[str] | None = None) -> dict[str, Sender]:
    """All for None, with the days of the four weeks before each was last heard of."""
    rows = _ALL.all(connection, {}) if ids is None else _BY_ID.all(connection, {"ids": sorted(ids)})
    found = [Sender(**{name: getattr(row, name) for name in _NAMES}) for row in rows]
    days = _days(connection, [each.id for each in found])
    return {each.id: replace(each, days=_of_late(days[each.id], each.last_event)) for each in found}


_NAMES = tuple(column.name for column in senders.columns)
_ALL = prepared(select(senders).order_by(senders.c.source, senders.c.namespace))
_BY_ID = prepared(
    select(senders).where(senders.c.id.in_(any_of("ids"))).order_by(senders.c.source, senders.c.namespace)
)


def runs_since(connection: Connection, sender: Sender) -> int:
    """Runs of its pipelines that began since it was quiet: while it is, whoever asks for them told of them.
    MOST_COUNTED at most."""
    wanted = {"source": sender.source, "namespace": sender.namespace, "since": sender.quiet_since}
    return len(_SINCE.all(connection, wanted))


def runs_of_namespace_since(connection: Connection, namespace: str, since: datetime) -> int:
    """Whoever's pipelines they are of; MOST_COUNTED at most."""
    return len(_OF_NAMESPACE.all(connection, {"namespace": namespace, "since": since}))


def newest_event(connection: Connection, namespace: str) -> datetime | None:
    """When anybody last told something of a job of this namespace; None: nobody did for as long as that is kept."""
    return connection.scalar(select(func.max(senders.c.last_event)).where(senders.c.namespace == namespace))


_OF_NAMESPACE = prepared(
    select(runs.c.id)
    .where(
        runs.c.position > bindparam("since"),
        runs.c.namespace == bindparam("namespace"),
        runs.c.task.is_(None),
    )
    .limit(MOST_COUNTED)
)
_SINCE = prepared(
    select(runs.c.id)
    .where(
        runs.c.position > bindparam("since"),
        runs.c.source == bindparam("source"),
        runs.c.namespace == bindparam("namespace"),
        runs.c.task.is_(None),
    )
    .limit(MOST_COUNTED)
)


def silent(connection: Connection, idents: Collection[str]) -> frozenset[str]:
    """Those of which an alert says so now. idents: or names of sources that are asked."""
    found = alerts.of_subjects(connection, [subject(ident) for ident in idents])
    return frozenset(ident for ident in idents if any(_says_silent(each) for each in found[subject(ident)]))


def _says_silent(alert: Alert) -> bool:
    return alert.state in _STANDING and alert.labels.get("kind") == _SILENCE


_SILENCE: Final = "source_silence"
_STANDING = (AlertState.FIRING, AlertState.UNKNOWN)


def _days(connection: Connection, idents: Iterable[str]) -> Mapping[str, list[ToldDay]]:
    found: dict[str, list[ToldDay]] = defaultdict(list)
    for some in dialect.chunks(sorted(idents)):
        for row in _DAYS_OF.all(connection, {"senders": some}):
            found[row.sender].append(_day(row))
    return found


_DAYS_OF = prepared(
    select(sender_days)
    .where(sender_days.c.sender.in_(any_of("senders")))
    .order_by(sender_days.c.sender, sender_days.c.day)
)


def _day(row: Row) -> ToldDay:
    return ToldDay(row.first, row.last, row.longest / 1e6)


def _of_late(days: Sequence[ToldDay], until: datetime) -> tuple[ToldDay, ...]:
    return tuple(day for day in days if day.last > until - timedelta(days=DAYS))
