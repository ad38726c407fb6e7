"""Change markers: what was deployed when."""

from datetime import datetime

import msgspec

from watchtower.model.change import Change
from watchtower.server.endpoints import Call, ListQuery, cut_page
from watchtower.store.reading import changes
from watchtower.store.reading.changes import ChangeFilter


class ChangeItem(msgspec.Struct, frozen=True):
    """pipelines (shell wildcards) and team: what it concerns; neither: everything."""

    id: str
    at: datetime
    source: str
    kind: str
    title: str
    commit: str | None
    actor: str | None
    url: str | None
    environment: str | None
    repository: str | None
    pipelines: list[str]
    team: str | None


class ChangeList(msgspec.Struct, frozen=True):
    items: list[ChangeItem]
    next_cursor: str | None


class ChangeQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: str | None = None
    repository: str | None = None
    environment: str | None = None


def list_changes(call: Call) -> ChangeList:
    query = call.asked(ChangeQuery)
    wanted = ChangeFilter(query.source, query.repository, query.environment)
    return ChangeList(*cut_page(call.read(lambda c: changes.list_changes(c, wanted, call.window(query))), change_item))


def change_item(change: Change) -> ChangeItem:
    return ChangeItem(
        id=change.id,
        at=change.at,
        source=change.source,
        kind=change.kind,
        title=change.title,
        commit=change.commit,
        actor=change.actor,
        url=change.url,
        environment=change.environment,
        repository=change.repository,
        pipelines=list(change.pipelines),
        team=change.team,
    )
