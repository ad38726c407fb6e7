"""SLOs with what was counted of them, for rules, pages, the API and metrics."""

from collections.abc import Collection

from sqlalchemy import Connection

from watchtower.model.rule import SloSnapshot, SubjectKey
from watchtower.store import slos
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
