"""SLOs in the store: declared by the configuration, due whenever an event counts, and times that do not count.

The configuration is the only source of SLOs. One that it no longer holds is gone at once, and its alerts end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from watchtower.model.slo import Correction, Indicator, Slo
from watchtower.store import alerts, dialect, due, slo_counts
from watchtower.store.schema.slos import slo_corrections, slos


@dataclass(frozen=True, slots=True)
class Known:
    """A declared SLO. team: whom it belongs to, by its labels or by `ownership`."""

    slo: Slo
    team: str | None
    counted: str
    declared_at: datetime


def declare(connection: Connection, declared: Sequence[Slo], now: datetime) -> None:
    """Take over the SLOs of the configuration in force, all due now; count anew what is counted in another way, and end
    what is no longer among them."""
    slo_counts.lock(connection, shared=False)
    before = by_name(connection)
    rows: list[dict[str, Any]] = [
        {
            "name": slo.name,
            "document": slo,
            "counted": digest(slo),
            "team": slo.team or (before[slo.name].team if slo.name in before else None),
            "declared_at": now,
        }
        for slo in declared
    ]
    dialect.upsert(connection, slos, rows, keep=("declared_at",))
    other = [slo for slo in declared if slo.name not in before or before[slo.name].counted != digest(slo)]
    for slo in other:
        slo_counts.recount(connection, slo, now)
    gone = before.keys() - {slo.name for slo in declared}
    _remove(connection, gone, now)
    if other or gone:
        slo_counts.note_change(connection, now)
    due.mark(connection, due.RULES, [_subject(slo.name) for slo in declared], now)


def digest(slo: Slo) -> str:
    """Of what is counted, and over how long a time: all that the sums in the store depend on."""
    what = ([_counted(each.indicator) for each in slo.objectives], slo.period.seconds)
    return blake2b(msgspec.json.encode(what, order="sorted"), digest_size=16).hexdigest()


def _counted(indicator: Indicator) -> dict[str, Any]:
    """Without what it does not ask, so that what can be asked later counts nothing anew that was counted before."""
    said: dict[str, Any] = msgspec.to_builtins(indicator)
    return {name: value for name, value in said.items() if name != "asked" or value is not None}


def set_team(connection: Connection, teams: Mapping[str, str | None]) -> None:
    for name, team in sorted(teams.items()):
        connection.execute(update(slos).where(slos.c.name == name).values(team=team))


def _remove(connection: Connection, names: Collection[str], now: datetime) -> None:
    subjects = [_subject(name) for name in sorted(names)]
    alerts.end(connection, subjects, "the SLO was removed", now)
    connection.execute(delete(slos).where(slos.c.name.in_(sorted(names))))
    slo_counts.forget(connection, names)
    due.forget(connection, due.RULES, subjects)


def _subject(name: str) -> str:
    return f"slo:{name}"


# -- reading ------------------------------------------------------------------------------------------------------


def by_name(connection: Connection, names: Collection[str] | None = None, team: str | None = None) -> dict[str, Known]:
    """By name, in that order; all for None. team: only what belongs to it."""
    query = select(slos).order_by(slos.c.name)
    if names is not None:
        query = query.where(slos.c.name.in_(sorted(names)))
    if team is not None:
        query = query.where(slos.c.team == team)
    return {
        row.name: Known(_owned(msgspec.convert(row.document, Slo), row.team), row.team, row.counted, row.declared_at)
        for row in connection.execute(query)
    }


def _owned(slo: Slo, team: str | None) -> Slo:
    return slo if slo.team == team else replace(slo, team=team)


# -- corrections --------------------------------------------------------------------------------------------------


def plan(connection: Connection, wanted: Collection[tuple[str, Correction]], now: datetime) -> list[str]:
    """Keep exactly these (SLO, correction) of the configuration; the names of the SLOs that are judged anew by it."""
    table = slo_corrections.c
    known = {
        (row.slo, row.start, row.end, row.reason, row.author): row.id
        for row in connection.execute(select(slo_corrections).where(table.planned))
    }
    keys = {(name, each.start, each.end, each.reason, each.author) for name, each in wanted}
    gone, new = known.keys() - keys, sorted(keys - known.keys())
    for some in dialect.chunks(sorted(known[key] for key in gone)):
        connection.execute(delete(slo_corrections).where(table.id.in_(some)))
    names = ("slo", "start", "end", "reason", "author")
    rows = [dict(zip(names, key, strict=True)) | {"created_at": now, "planned": True} for key in new]
    if rows:
        connection.execute(insert(slo_corrections), rows)
    changed = sorted({key[0] for key in (*gone, *new)})
    due.mark(connection, due.RULES, [_subject(name) for name in changed], now)
    return changed


def correct(connection: Connection, name: str, given: Correction, now: datetime) -> Correction:
    """Keep that given does not count of an SLO, which is judged anew at once."""
    made = connection.execute(
        insert(slo_corrections)
        .values(
            slo=name,
            start=given.start,
            end=given.end,
            reason=given.reason,
            author=given.author,
            created_at=now,
            planned=False,
        )
        .returning(slo_corrections.c.id)
    ).scalar_one()
    due.mark(connection, due.RULES, [_subject(name)], now)
    return replace(given, id=made, created_at=now)


def withdraw(connection: Connection, name: str, ident: int, now: datetime) -> Correction | None:
    """Count again what a correction took out; None if there is none of this id. One that is planned stays."""
    found = next((each for each in corrections(connection, [name]).get(name, ()) if each.id == ident), None)
    if found and not found.is_planned:
        connection.execute(delete(slo_corrections).where(slo_corrections.c.id == ident))
        due.mark(connection, due.RULES, [_subject(name)], now)
    return found


def corrections(connection: Connection, names: Collection[str]) -> dict[str, tuple[Correction, ...]]:
    """By the name of the SLO, the newest first."""
    found: dict[str, list[Correction]] = {}
    for some in dialect.chunks(sorted(names)):
        query = select(slo_corrections).where(slo_corrections.c.slo.in_(some)).order_by(slo_corrections.c.start.desc())
        for row in connection.execute(query):
            found.setdefault(row.slo, []).append(
                Correction(row.start, row.end, row.reason, row.author, row.id, row.created_at, row.planned)
            )
    return {name: tuple(its) for name, its in found.items()}
