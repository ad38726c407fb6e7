"""Lists of what could not be understood."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from watchtower.store.reading.paging import Page, Window, matching, paged, within
from watchtower.store.schema.observed import quarantine

HEAD = 500  # bytes that are shown


@dataclass(frozen=True, slots=True)
class Item:
    """head: the first bytes of the body."""

    id: int
    collector: str
    source: str | None
    reason: str
    message: str
    received_at: datetime
    attempts: int
    size: int
    head: bytes


def listed(connection: Connection, window: Window, *, collector: str | None, reason: str | None) -> Page[Item]:
    """Oldest first, as it is tried again."""
    shown = [column for column in quarantine.c if column.name not in ("body", "digest")]
    size, head = func.length(quarantine.c.body).label("size"), func.substr(quarantine.c.body, 1, HEAD).label("head")
    wanted: dict[ColumnElement[Any], Any] = {quarantine.c.collector: collector, quarantine.c.reason: reason}
    query = within(matching(select(*shown, size, head), wanted), quarantine.c.received_at, window)
    return paged(
        connection,
        query,
        [quarantine.c.id],
        window,
        lambda row: Item(
            row.id, row.collector, row.source, row.reason, row.message, row.received_at, row.attempts, row.size,
            bytes(row.head),
        ),
        descending=False,
    )  # fmt: skip
