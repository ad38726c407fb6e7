"""The list of change markers."""

from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from watchtower.model.change import Change
from watchtower.store.changes import to_change
from watchtower.store.reading.paging import Page, Window, matching, paged, within
from watchtower.store.schema.changes import changes


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    source: str | None = None
    repository: str | None = None
    environment: str | None = None


def list_changes(connection: Connection, wanted: ChangeFilter, window: Window) -> Page[Change]:
    """Newest first. A change that names no team concerns everybody."""
    query = matching(
        select(changes),
        {
            changes.c.source: wanted.source,
            changes.c.repository: wanted.repository,
            changes.c.environment: wanted.environment,
        },
    )
    if window.team is not None:
        query = query.where(or_(changes.c.team == window.team, changes.c.team.is_(None)))
    query = within(query, changes.c.at, window)
    return paged(connection, query, [changes.c.at, changes.c.id], window, to_change)
