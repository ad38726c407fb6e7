"""The due queue: every durable timer of the system is one row (lane, subject, at, version).

Writing a fact marks its subjects; an evaluation answers with the next moment at which time alone could change its
answer. `settle` sets that moment only if no mark came in between (`version`), so no wake-up is lost. Leases let
replicas on one PostgreSQL share a lane; a crashed holder's rows are free again when the lease ends. What is urgent is
taken first and by itself: a failure does not wait behind a thousand runs that went well.

Lanes: `rules` (subjects of rules), `group` (flush of a group episode), `deliver` (a notice's next attempt),
`silence` (end of a silence), `ack` (expiry of an acknowledgement), `flap` (an alert that flapped is stable).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from sqlalchemy import Connection, func, select

from watchtower.model.instants import from_micros, to_micros
from watchtower.store import dialect, driver
from watchtower.store.database import DUE_LANES
from watchtower.store.schema.observed import due
from watchtower.store.statements import any_of, given, prepared

RULES = "rules"
URGENT = "rules, urgent"  # no lane of its own: what a commit tells of urgent rows in RULES (Database.on_commit)
GROUP = "group"
DELIVER = "deliver"
SILENCE = "silence"
ACK = "ack"
FLAP = "flap"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A due row in hand. at: when it was due (aware UTC); version: to be given back to `settle`."""

    subject: str
    version: int
    at: datetime


def mark(
    connection: Connection, lane: str, subjects: Collection[str], at: datetime, *, urgent: Collection[str] = ()
) -> None:
    """Make subjects due at `at` or earlier, and outdate any evaluation that is under way. urgent: those of them that go
    before the others (lane RULES)."""
    if not subjects:
        return
    concern(connection, lane)
    if urgent:
        concern(connection, URGENT)
    micros = to_micros(at)
    # Sorted: two replicas that mark the same subjects lock the rows in the same order.
    rows = [(lane, subject, micros, 1, subject in urgent) for subject in sorted(set(subjects))]
    driver.insert(connection, _MARK[connection.dialect.name], rows)


# Through the driver underneath: it runs for every event there is.
_MARK = {
    "sqlite": "INSERT INTO due (lane, subject, at, version, urgent) VALUES {values} ON CONFLICT (lane, subject) "
    "DO UPDATE SET at = min(coalesce(due.at, excluded.at), excluded.at), version = due.version + 1, "
    "urgent = due.urgent OR excluded.urgent",
    "postgresql": "INSERT INTO due (lane, subject, at, version, urgent) VALUES {values} ON CONFLICT (lane, subject) "
    "DO UPDATE SET at = least(coalesce(due.at, excluded.at), excluded.at), version = due.version + 1, "
    "urgent = due.urgent OR excluded.urgent",
}


def plan(connection: Connection, lane: str, subject: str, at: datetime | None) -> None:
    """Set the moment of subject, later or earlier than before; None takes it out of the queue until it is marked."""
    concern(connection, lane)
    statement = dialect.insert(connection, due).values(lane=lane, subject=subject, at=at, version=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["lane", "subject"], set_={"at": statement.excluded.at, "version": due.c.version + 1}
        )
    )


def mark_ranked(connection: Connection, lane: str, subject: str, at: datetime, place: int) -> None:
    """As mark, and what is due for subject has at least this rank until it leaves the queue: 0 goes first."""
    concern(connection, lane)
    row = (lane, subject, to_micros(at), 1, False, place)
    driver.insert(connection, _MARK_RANKED[connection.dialect.name], [row])


_MARK_RANKED = {
    engine: sql.replace("version, urgent)", "version, urgent, rank)")
    + ", rank = CASE WHEN due.rank <= excluded.rank THEN due.rank ELSE excluded.rank END"
    for engine, sql in _MARK.items()
}


def peek(connection: Connection, lane: str, now: datetime, limit: int) -> list[Claimed]:
    """What is due, oldest first, without a lease: for the only process that uses this lane. Of what is urgent nothing
    else beside it."""
    mark, parameters = dialect.mark(connection), (lane, to_micros(now), limit)
    found = driver.rows(connection, _PEEK.format(mark=mark, which="AND urgent"), parameters)
    found = found or driver.rows(connection, _PEEK.format(mark=mark, which=""), parameters)
    return [Claimed(subject, version, from_micros(at)) for subject, version, at in found]


_PEEK = (
    "SELECT subject, version, at FROM due WHERE lane = {mark} AND at <= {mark} {which} ORDER BY at, subject "
    "LIMIT {mark}"
)


def claim(
    connection: Connection,
    lane: str,
    now: datetime,
    limit: int,
    holder: str,
    *,
    lease_s: float = 30.0,
    among: Collection[str] | None = None,
) -> list[Claimed]:
    """Take up to limit due rows for lease_s seconds, of all subjects or of those among. Other holders pass them by
    until the lease ends.

    The oldest first; of what rules watch only urgent ones while there are any; of what alerting tells by rank: pages
    before tickets before the rest.
    """
    micros = to_micros(now)
    ranked = lane == GROUP or lane.startswith(DELIVER)
    sql = _FREE.format(mark=dialect.mark(connection), order="coalesce(rank, 2), at" if ranked else "at")
    sql, parameters = sql + _LOCK[connection.dialect.name], (lane, micros, micros)
    rows = driver.rows(connection, sql.format(which="AND urgent"), (*parameters, limit)) if lane == RULES else []
    if not rows:
        which, subjects = dialect.among(connection, among)
        sql = sql.format(which=f"AND subject {which}" if which else "")
        rows = driver.rows(connection, sql, (*parameters, *subjects, limit))
    until = micros + round(lease_s * 1e6)
    taken = [(holder, until, lane, subject) for subject, _, _ in rows]
    driver.write(connection, _LEASE.format(mark=dialect.mark(connection)), taken)
    return [Claimed(subject, version, from_micros(at)) for subject, version, at in rows]


_FREE = (
    "SELECT subject, version, at FROM due WHERE lane = {mark} AND at <= {mark} "
    "AND (lease_until IS NULL OR lease_until <= {mark}) {{which}} ORDER BY {order}, subject LIMIT {mark}"
)
_LOCK = {"sqlite": "", "postgresql": " FOR UPDATE SKIP LOCKED"}
_LEASE = "UPDATE due SET holder = {mark}, lease_until = {mark} WHERE lane = {mark} AND subject = {mark}"


def settle(connection: Connection, lane: str, done: Sequence[tuple[str, int, datetime | None]]) -> None:
    """Give back (subject, version as claimed, next moment): the moment counts only if no mark came in between, and what
    was urgent stays so then."""
    if done:
        if lane != RULES:  # who evaluates rules asks for the next moment by itself
            concern(connection, lane)
        rows = [
            (version, None if at is None else to_micros(at), version, lane, subject)
            for subject, version, at in sorted(done, key=itemgetter(0))
        ]
        driver.write(connection, _SETTLE.format(mark=dialect.mark(connection)), rows)


_SETTLE = (
    "UPDATE due SET at = CASE WHEN version = {mark} THEN CAST({mark} AS BIGINT) ELSE at END, holder = NULL, "
    "lease_until = NULL, urgent = urgent AND version <> {mark} WHERE lane = {mark} AND subject = {mark}"
)


def concern(connection: Connection, lane: str) -> None:
    """For those who wait for commits that concern them (Database.on_commit)."""
    lanes: set[str] = connection.info.setdefault(DUE_LANES, set())
    lanes.add(lane)


def finish(connection: Connection, lane: str, subject: str, version: int) -> None:
    """Nothing is left to do for subject, which was claimed at version: its row leaves the queue, unless a mark came in
    between."""
    if not _FINISH.run(connection, {"lane": lane, "subject": subject, "version": version}):
        settle(connection, lane, [(subject, version, None)])


_FINISH = prepared(
    due.delete().where(
        due.c.lane == given("lane"), due.c.subject == given("subject"), due.c.version == given("version")
    )
)


def free_at(connection: Connection, lanes: Sequence[str]) -> dict[str, datetime]:
    """The earliest moment of each lane at which anything is due and in nobody's hand: what is leased counts from the
    end of its lease. Lanes for which nothing is planned are missing."""
    sql = _FREE_AT.format(latest="max" if dialect.is_sqlite(connection) else "greatest", among="{among}")
    return {lane: from_micros(at) for lane, at in dialect.rows_among(connection, sql, lanes)}


_FREE_AT = (
    "SELECT lane, min({latest}(at, coalesce(lease_until, at))) FROM due WHERE at IS NOT NULL AND lane {among} "
    "GROUP BY lane"
)


def forget(connection: Connection, lane: str, subjects: Sequence[str]) -> None:
    """Take rows out for good."""
    for some in dialect.chunks(subjects):
        _FORGET.run(connection, {"lane": lane, "subjects": some})


def drop_idle(connection: Connection, lane: str, subjects: Sequence[str]) -> None:
    """Take out those rows for which nothing is planned: of subjects that will not be marked again."""
    for some in dialect.chunks(subjects):
        _DROP_IDLE.run(connection, {"lane": lane, "subjects": some})


_FORGET = prepared(due.delete().where(due.c.lane == given("lane"), due.c.subject.in_(any_of("subjects"))))
_DROP_IDLE = prepared(
    due.delete().where(due.c.lane == given("lane"), due.c.subject.in_(any_of("subjects")), due.c.at.is_(None))
)


def next_at(connection: Connection, lanes: Collection[str] | None = None) -> datetime | None:
    """The earliest moment at which anything (in lanes) is due; None: nothing is planned."""
    if lanes is None:
        return _NEXT.scalar(connection, {})
    return _NEXT_OF.scalar(connection, {"lanes": sorted(lanes)})


_NEXT = prepared(select(func.min(due.c.at)))
_NEXT_OF = prepared(select(func.min(due.c.at)).where(due.c.lane.in_(any_of("lanes"))))


def next_of(connection: Connection) -> tuple[datetime | None, datetime | None]:
    """When rules, and when anything else, are due next, whoever holds it; None: nothing is planned."""
    return _NEXT_RULE.scalar(connection, {}), _NEXT_OTHER.scalar(connection, {})


_NEXT_RULE = prepared(select(func.min(due.c.at)).where(due.c.lane == RULES))
_NEXT_OTHER = prepared(select(func.min(due.c.at)).where(due.c.lane != RULES))
