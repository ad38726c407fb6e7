"""SLOs with what was counted of them, for rules, pages, the API and metrics."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from watchtower.model.rule import SloSnapshot, SubjectKey
from watchtower.model.slo import Slo
from watchtower.store import dialect, driver, due, slo_counts, slos
from watchtower.store.slo_parts import parts


def snapshots(
    connection: Connection, names: Collection[str] | None = None, team: str | None = None
) -> list[SloSnapshot]:
    """By name, without alerts: one seek for each objective, whatever the length of the history."""
    known = slos.by_name(connection, names, team)
    corrected = slos.corrections(connection, known)
    counted = parts(connection, [one.slo for one in known.values()])
    return [
        SloSnapshot(
            key=SubjectKey("slo", name),
            slo=one.slo,
            parts=counted[name],
            corrections=corrected.get(name, ()),
            alerts=(),
        )
        for name, one in known.items()
    ]


def versions(connection: Connection) -> dict[str, int]:
    """Of each SLO, by name: another number whenever an event counted, a correction came, or it was declared anew."""
    sql = _VERSIONS.format(mark=dialect.mark(connection))
    return {str(name): int(version) for name, version in driver.rows(connection, sql, (due.RULES,))}


_VERSIONS = (
    "SELECT slos.name, coalesce(due.version, 0) FROM slos LEFT JOIN due ON due.lane = {mark} "
    "AND due.subject = 'slo:' || slos.name ORDER BY slos.name"
)


def as_if_declared(connection: Connection, given: Sequence[Slo], now: datetime) -> list[SloSnapshot]:
    """Of SLOs that are not declared, which count runs: what those say that the store has."""
    return [
        SloSnapshot(SubjectKey("slo", slo.name), slo, slo_counts.anew(connection, slo, now), (), ()) for slo in given
    ]
