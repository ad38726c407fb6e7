"""Snapshots of sources: of one that is asked how far it was read and how it went, of one that sends when it did."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from watchtower.model.rule import SenderSnapshot, Snapshot, SourceSnapshot, SubjectKey
from watchtower.store import senders, sources
from watchtower.store.snapshots.loader import open_alerts


class SourceLoader:
    """Of a source that is asked the id is its name, of one that sends a digest of its source and namespace."""

    def load(self, connection: Connection, ids: Sequence[str]) -> dict[SubjectKey, Snapshot]:
        polled = sources.by_name(connection)
        asked = {each.namespace for each in polled.values()}
        sending = senders.by_id(connection, [ident for ident in ids if ident not in polled])
        keys = [SubjectKey("source", ident) for ident in ids if ident in polled or ident in sending]
        alerts = open_alerts(connection, keys)
        found: dict[SubjectKey, Snapshot] = {}
        for key in keys:
            if key.id in polled:
                found[key] = SourceSnapshot(key, polled[key.id], alerts[key])
            else:
                sender = sending[key.id]
                is_asked = sender.namespace in asked
                untold = senders.runs_since(connection, sender) if is_asked else 0
                found[key] = SenderSnapshot(key, sender, alerts[key], asked=is_asked, untold=untold)
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
