"""In which order what is due is taken: by rank, and within a rank in turns by whose it is, the oldest of each first.

Each row knows whose it is (its party: a team, else a namespace), so ten thousand failures of one team are one turn
beside the single failure of another. What a claim costs does not grow with the queue: where all that is due fits into
one claim nobody is asked for, else the parties that have something are found by skipping through an index.
"""

import json
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from watchtower.store import dialect, driver

Row = tuple[str, int, int, int | None]  # subject, version, at, rank

RANKS = (0, 1, 2)  # pages, tickets, the rest
URGENT_IN_A_ROW = 3  # claims, after which all that is due has one: a storm of failures does not hold a deadline

_FREE = "lane = {mark} AND at <= {mark} AND (lease_until IS NULL OR lease_until <= {mark})"
_ROWS = "SELECT subject, version, at, rank FROM due WHERE {free} {which} ORDER BY {order} LIMIT {mark}{lock}"
_RANKED = (
    "SELECT subject, version, at, rank, lease_until FROM due WHERE lane = {mark} AND rank IS NOT NULL LIMIT {mark}"
)
# Whoever is next in the index, and next again: as many looks as there are parties, however many rows they have.
_PARTIES = (
    "WITH RECURSIVE turns (party) AS ("
    "SELECT (SELECT party FROM due WHERE lane = {mark} AND party > {mark} {which} ORDER BY party LIMIT 1) UNION ALL "
    "SELECT (SELECT due.party FROM due WHERE lane = {mark} AND due.party > turns.party {which} "
    "ORDER BY due.party LIMIT 1) FROM turns WHERE turns.party IS NOT NULL) "
    "SELECT party FROM turns WHERE party IS NOT NULL AND EXISTS "
    "(SELECT 1 FROM due WHERE due.party = turns.party AND {free} {which}) LIMIT {mark}"
)
_OF_EACH = {
    "sqlite": "WITH asked (party) AS (SELECT value FROM json_each({mark})) "
    "SELECT due.subject, due.version, due.at, due.rank FROM asked CROSS JOIN due ON due.rowid IN "
    "(SELECT rowid FROM due WHERE {free} {which} AND party = asked.party ORDER BY at LIMIT {mark}{lock})",
    "postgresql": "SELECT found.subject, found.version, found.at, found.rank FROM "
    "(SELECT value AS party FROM json_array_elements_text({mark}::json)) AS asked CROSS JOIN LATERAL "
    "(SELECT subject, version, at, rank FROM due WHERE {free} {which} AND party = asked.party "
    "ORDER BY at LIMIT {mark}{lock}) AS found",
}
_LOCK = {"sqlite": "", "postgresql": " FOR UPDATE SKIP LOCKED"}


class _Last:
    """Whose turn was last, by lane and rank. In memory: which party a new process begins with does not matter."""

    def __init__(self) -> None:
        self.party: dict[tuple[str, str], str] = {}
        self.urgent_in_a_row = 0


_by_engine: "weakref.WeakKeyDictionary[Engine, _Last]" = weakref.WeakKeyDictionary()


def _last_of(engine: Engine) -> _Last:
    found = _by_engine.get(engine)
    if found is None:
        found = _by_engine[engine] = _Last()
    return found


@dataclass(frozen=True, slots=True)
class Turns:
    """What of one lane is free and due at a moment (in microseconds), up to limit rows of it. lock: they will be leased
    in this transaction."""

    connection: Connection
    lane: str
    micros: int
    limit: int
    lock: bool = True

    def taken(self) -> list[Row]:
        rows = self._all()
        return self._by_rank(*RANKS, None) if rows is None else rows

    def urgent_first(self) -> list[Row]:
        """As taken, but nothing beside what has a rank, while there is any; then whatever waits has its turn."""
        last = _last_of(self.connection.engine)
        if last.urgent_in_a_row < URGENT_IN_A_ROW:
            rows = self._ranked()
            if rows:
                last.urgent_in_a_row += 1
                return rows
        last.urgent_in_a_row = 0
        rows = self._all()
        return self._in_turns("", self.limit) if rows is None else rows

    def among(self, subjects: Collection[str]) -> list[Row]:
        """As taken, of these subjects alone, which are few."""
        which, parameters = dialect.among(self.connection, subjects)
        parameters = (self.lane, self.micros, self.micros, *parameters, self.limit)
        return self._found(_ROWS, parameters, which=f"AND subject {which}", order="coalesce(rank, 2), at")

    def _all(self) -> list[Row] | None:
        """All that is due, by rank; None if it is more than limit. Rows that will not be taken are not locked: another
        replica may take them."""
        parameters = (self.lane, self.micros, self.micros)
        rows = self._found(_ROWS, (*parameters, self.limit + 1), order="at", lock=False)
        if len(rows) > self.limit:
            return None
        if rows and self.lock and not dialect.is_sqlite(self.connection):
            rows = self._found(_ROWS, (*parameters, self.limit), order="at")
        return sorted(rows, key=_place)

    def _ranked(self) -> list[Row]:
        """What has a rank: as a rule a few rows, taken together after one look; where they are many, in turns."""
        rows = self._asked(_RANKED, (self.lane, self.limit + 1))
        if len(rows) > self.limit:
            return self._by_rank(*RANKS)
        free = [
            (subject, version, at, rank)
            for subject, version, at, rank, leased in rows
            if at is not None and at <= self.micros and (leased is None or leased <= self.micros)
        ]
        if free and self.lock and not dialect.is_sqlite(self.connection):
            return self.among([subject for subject, *_ in free])
        return sorted(free, key=_place)

    def _by_rank(self, *ranks: int | None) -> list[Row]:
        rows: list[Row] = []
        for rank in ranks:
            if len(rows) < self.limit:
                which = "AND rank IS NULL" if rank is None else f"AND rank = {rank}"
                rows += self._in_turns(which, self.limit - len(rows))
        return rows

    def _in_turns(self, which: str, limit: int) -> list[Row]:
        last, place = _last_of(self.connection.engine), (self.lane, which)
        before = last.party.get(place, "")
        parties = self._parties(which, before, limit)
        if before and len(parties) < limit:
            again = [party for party in self._parties(which, "", limit) if party not in parties]
            parties += again[: limit - len(parties)]
        if not parties:
            return []
        last.party[place] = parties[-1]
        parameters = (json.dumps(parties), self.lane, self.micros, self.micros, limit // len(parties))
        return self._found(_OF_EACH[self.connection.dialect.name], parameters, which=which)

    def _parties(self, which: str, after: str, limit: int) -> list[str]:
        parameters = (self.lane, after, self.lane, self.lane, self.micros, self.micros, limit)
        return [party for (party,) in self._asked(_PARTIES, parameters, which=which)]

    def _found(
        self, sql: str, parameters: Sequence[object], *, which: str = "", order: str = "", lock: bool = True
    ) -> list[Row]:
        rows = self._asked(sql, parameters, which=which, order=order, lock=lock)
        return [(subject, version, at, rank) for subject, version, at, rank in rows]

    def _asked(
        self, sql: str, parameters: Sequence[object], *, which: str = "", order: str = "", lock: bool = False
    ) -> list[tuple[Any, ...]]:
        mark = dialect.mark(self.connection)
        locked = _LOCK[self.connection.dialect.name] if lock and self.lock else ""
        text = sql.format(free=_FREE.format(mark=mark), mark=mark, which=which, order=order, lock=locked)
        return driver.rows(self.connection, text, parameters)


def _place(row: Row) -> tuple[int, int, str]:
    subject, _, at, rank = row
    return RANKS[-1] if rank is None else rank, at, subject
