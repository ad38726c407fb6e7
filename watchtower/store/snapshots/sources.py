"""Snapshots of sources: of one that is asked how far it was read and how it went, of one that sends when it did."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from watchtower.model.alert import Alert
from watchtower.model.rule import SenderSnapshot, Snapshot, SourceSnapshot, SubjectKey
from watchtower.model.source import Source
from watchtower.store import senders, sources
from watchtower.store.snapshots.loader import open_alerts


class SourceLoader:
    """Of a source that is asked the id is its name, of one that sends a digest of its source and namespace."""

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        polled = sources.by_name(connection)
        asked = {each.namespace for each in polled.values()}
        pushing = {each.namespace for each in polled.values() if each.pushes}
        sending = senders.by_id(connection, [ident for ident in ids if ident not in polled])
        keys = [SubjectKey("source", ident) for ident in ids if ident in polled or ident in sending]
        alerts = open_alerts(connection, keys)
        found: dict[SubjectKey, Snapshot] = {}
        for key in keys:
            if key.id in polled:
                found[key] = _of_polled(connection, key, polled[key.id], alerts[key])
            else:
                sender = sending[key.id]
                is_asked = sender.namespace in asked
                untold = senders.runs_since(connection, sender) if is_asked else 0
                pushes = sender.namespace in pushing
                found[key] = SenderSnapshot(key, sender, alerts[key], asked=is_asked, untold=untold, pushes=pushes)
        return found

    def ids(self, connection: Connection, name: str | None) -> list[str]:
        sending = senders.by_id(connection).values()
        return [
            *sources.by_name(connection, None if name is None else [name]),
            *(each.id for each in sending if name is None or each.source == name),
        ]

    def set_team(self, connection: Connection, teams: Mapping[str, str | None]) -> None:
        sources.set_team(connection, teams)
        senders.set_team(connection, teams)


def _of_polled(connection: Connection, key: SubjectKey, source: Source, alerts: tuple[Alert, ...]) -> SourceSnapshot:
    if not source.pushes:
        return SourceSnapshot(key, source, alerts)
    pushed_at = senders.newest_event(connection, source.namespace)
    since = max(pushed_at or source.declared_at, source.declared_at)
    untold = senders.runs_of_namespace_since(connection, source.namespace, since)
    return SourceSnapshot(key, source, alerts, pushed_at, untold)
