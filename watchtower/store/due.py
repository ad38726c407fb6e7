"""The due queue: every durable timer of the system is one row (lane, subject, at, version).

Writing a fact marks its subjects; an evaluation answers with the next moment at which time alone could change its
answer. `settle` sets that moment only if no mark came in between (`version`), so no wake-up is lost. Leases let
replicas on one PostgreSQL share a lane; a crashed holder's rows are free again when the lease ends. What is urgent is
taken first and by itself: a failure does not wait behind a thousand runs that went well; and all that is due at once
is taken in turns by whose it is: one team's storm does not hold another's page (store.turns).

Lanes: `rules` (subjects of rules), `group` (flush of a group episode), `deliver` (a notice's next attempt),
`silence` (end of a silence), `ack` (expiry of an acknowledgement), `flap` (an alert that flapped is stable).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter, itemgetter

from sqlalchemy import Connection, func, select

from watchtower.model.instants import from_micros, to_micros
from watchtower.model.labels import OTHERS
from watchtower.store import dialect, driver, turns
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
PAGES = 0  # the rank of what wakes people, and of what may do so for all that is known
_NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A due row in hand. at: when it was due (aware UTC); version: to be given back to `settle`; rank: of what it may
    tell, None: it is not urgent."""

    subject: str
    version: int
    at: datetime
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Of what waits. rank: 0 goes first; party: whose turn it takes, where it is new to the queue."""

    rank: int
    party: str


def mark(
    connection: Connection,
    lane: str,
    subjects: Collection[str],
    at: datetime,
    *,
    urgent: Collection[str] = (),
    parties: Mapping[str, str] = _NOBODY,
) -> None:
    """Make subjects due at `at` or earlier, and outdate any evaluation that is under way. urgent: those of them that go
    before the others (lane RULES). parties: whose they are, of those that are new here (see store.turns)."""
    if not subjects:
        return
    concern(connection, lane)
    if urgent:
        concern(connection, URGENT)
    micros = to_micros(at)
    # Sorted: two replicas that mark the same subjects lock the rows in the same order.
    rows = [
        (lane, subject, micros, 1, PAGES if subject in urgent else None, parties.get(subject, OTHERS))
        for subject in sorted(set(subjects))
    ]
    driver.insert(connection, _MARK[connection.dialect.name], rows)


# Through the driver underneath: it runs for every event there is.
_MARKING = (
    "INSERT INTO due (lane, subject, at, version, rank, party) VALUES {{values}} ON CONFLICT (lane, subject) "
    "DO UPDATE SET at = {least}(coalesce(due.at, excluded.at), excluded.at), version = due.version + 1, rank = {rank}"
)
_LEAST = {"sqlite": "min", "postgresql": "least"}
# What is urgent has the rank of what it may tell, as far as that is known.
_URGENT = "CASE WHEN excluded.rank IS NULL THEN due.rank ELSE coalesce(due.gravity, excluded.rank) END"
_MARK = {engine: _MARKING.format(least=least, rank=_URGENT) for engine, least in _LEAST.items()}


def plan(connection: Connection, lane: str, subject: str, at: datetime | None) -> None:
    """Set the moment of subject, later or earlier than before; None takes it out of the queue until it is marked."""
    concern(connection, lane)
    statement = dialect.insert(connection, due).values(lane=lane, subject=subject, at=at, version=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["lane", "subject"], set_={"at": statement.excluded.at, "version": due.c.version + 1}
        )
    )


def mark_ranked(connection: Connection, lane: str, subject: str, at: datetime, place: Place) -> None:
    """As mark, and what is due for subject has at least this rank until it leaves the queue."""
    concern(connection, lane)
    row = (lane, subject, to_micros(at), 1, place.rank, place.party)
    driver.insert(connection, _MARK_RANKED[connection.dialect.name], [row])


_HIGHER = "CASE WHEN due.rank <= excluded.rank THEN due.rank ELSE excluded.rank END"
_MARK_RANKED = {engine: _MARKING.format(least=least, rank=_HIGHER) for engine, least in _LEAST.items()}


def peek(connection: Connection, lane: str, now: datetime, limit: int) -> list[Claimed]:
    """What is due, without a lease: for the only process that uses this lane. In the order of `claim`."""
    return _claimed(_next(lane, turns.Turns(connection, lane, to_micros(now), limit, lock=False)))


def claim(
    connection: Connection,
    lane: str,
    now: datetime,
    limit: int,
    holder: str,
    *,
    lease_s: float = 30.0,
    among: Collection[str] | None = None,
    is_leased: bool = True,
) -> list[Claimed]:
    """Take up to limit due rows for lease_s seconds, of all subjects or of those among. Other holders pass them by
    until the lease ends. is_leased False: until this transaction ends, in which they are settled.

    By rank (pages before tickets before the rest), in turns by whose they are, the oldest first (store.turns). Of what
    rules watch, what is urgent is taken by itself.
    """
    micros = to_micros(now)
    waiting = turns.Turns(connection, lane, micros, limit)
    rows = _next(lane, waiting) if among is None else waiting.among(among)
    if rows and is_leased:
        until = micros + round(lease_s * 1e6)
        which, subjects = dialect.among(connection, [subject for subject, *_ in rows])
        leasing = _LEASE.format(mark=dialect.mark(connection), among=which)
        driver.write(connection, leasing, [(holder, until, lane, *subjects)])
    return _claimed(rows)


def _next(lane: str, waiting: turns.Turns) -> list[turns.Row]:
    return waiting.urgent_first() if lane == RULES else waiting.taken()


def _claimed(rows: Sequence[turns.Row]) -> list[Claimed]:
    return [Claimed(subject, version, from_micros(at), rank) for subject, version, at, rank in rows]


_LEASE = "UPDATE due SET holder = {mark}, lease_until = {mark} WHERE lane = {mark} AND subject {among}"


def settle(connection: Connection, lane: str, done: Sequence[tuple[str, int, datetime | None]]) -> None:
    """Give back (subject, version as claimed, next moment): the moment counts only if no mark came in between."""
    if done:
        concern(connection, lane)
        rows = [
            (version, None if at is None else to_micros(at), lane, subject)
            for subject, version, at in sorted(done, key=itemgetter(0))
        ]
        driver.write(connection, _SETTLE.format(mark=dialect.mark(connection)), rows)


@dataclass(frozen=True, slots=True)
class Judged:
    """A subject of rules as it is given back. party: whose it is, as is known now; gravity: the rank of what it may
    tell. None: as before."""

    subject: str
    version: int
    next_at: datetime | None
    party: str | None = None
    gravity: int | None = None


def settle_judged(connection: Connection, done: Sequence[Judged]) -> None:
    """As settle, of RULES. What was urgent stays so only if it was marked meanwhile. Concerns nobody: who evaluates
    rules asks for the next moment by itself."""
    rows = [
        (
            each.subject,
            each.version,
            None if each.next_at is None else to_micros(each.next_at),
            each.party,
            each.gravity,
        )
        for each in sorted(done, key=attrgetter("subject"))
    ]
    if not rows:
        return
    if dialect.is_sqlite(connection):
        driver.write(connection, _SETTLE_EACH, rows)
    else:  # together, since each statement has a way to go and back
        driver.write(connection, _SETTLE_ALL, [[list(column) for column in zip(*rows, strict=True)]])


_SETTLING = (
    "UPDATE due SET at = CASE WHEN version = {mark} THEN CAST({mark} AS BIGINT) ELSE at END, holder = NULL, "
    "lease_until = NULL"
)
_SETTLED = " WHERE lane = {mark} AND subject = {mark}"
_SETTLE = _SETTLING + _SETTLED
_SETTLING_JUDGED = (
    "UPDATE due SET at = CASE WHEN due.version = {version} THEN {at} ELSE due.at END, "
    "rank = CASE WHEN due.version = {version} THEN NULL ELSE due.rank END, party = coalesce({party}, due.party), "
    "gravity = coalesce({gravity}, due.gravity), holder = NULL, lease_until = NULL"
)
_SETTLE_EACH = (
    _SETTLING_JUDGED.format(version="?2", at="?3", party="?4", gravity="?5") + " WHERE lane = 'rules' AND subject = ?1"
)
# Locked in the order in which `mark` locks them.
_LOCKED = (
    "WITH done AS (SELECT given.* FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::integer[]) "
    "AS given (subject, version, at, party, gravity) JOIN due ON due.lane = 'rules' AND due.subject = given.subject "
    "ORDER BY given.subject FOR UPDATE OF due) "
)
_SETTLE_ALL = (
    _LOCKED
    + _SETTLING_JUDGED.format(version="done.version", at="done.at", party="done.party", gravity="done.gravity")
    + " FROM done WHERE due.lane = 'rules' AND due.subject = done.subject"
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
    sql = _FREE_AT.format(latest="max" if dialect.is_sqlite(connection) else "greatest", values="{values}")
    found = driver.rows_for(connection, sql, [(lane,) for lane in sorted(set(lanes))])
    moments = {lane: [at for at in some if at is not None] for lane, *some in found}
    return {lane: from_micros(min(some)) for lane, some in moments.items() if some}


# Two looks at an index for each lane, however long the queue is. Few rows are leased at any moment.
_FREE_AT = (
    "WITH wanted (lane) AS (VALUES {values}) SELECT lane, "
    "(SELECT at FROM due WHERE due.lane = wanted.lane AND at IS NOT NULL AND lease_until IS NULL ORDER BY at LIMIT 1), "
    "(SELECT min({latest}(at, lease_until)) FROM due WHERE due.lane = wanted.lane AND lease_until IS NOT NULL) "
    "FROM wanted"
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
    """When rules, and when anything else, are due next, whoever holds it; None: nothing is planned. Three looks into an
    index: what is due for rules is most of it, and is not gone through to find the rest."""
    rules, *others = driver.rows(connection, _NEXT_OF_TWO, ())[0]
    other = min((at for at in others if at is not None), default=None)
    return (None if rules is None else from_micros(rules)), (None if other is None else from_micros(other))


_NEXT_OF_TWO = (
    "SELECT (SELECT min(at) FROM due WHERE lane = 'rules'), (SELECT min(at) FROM due WHERE lane < 'rules'), "
    "(SELECT min(at) FROM due WHERE lane > 'rules')"
)
