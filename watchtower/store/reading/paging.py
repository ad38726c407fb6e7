"""Pages of a list. A cursor is the place of the last item, opaque to those who hand it back."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, or_, tuple_

from watchtower.errors import BadInput
from watchtower.model.instants import from_micros, to_micros
from watchtower.store.schema.base import Instant

T = TypeVar("T")

MAX_LIMIT = 1_000
_LIKE_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted. start (inclusive) and end (exclusive): aware UTC, of the list's own time; after:
    the cursor of the page before; team: what that team may see, None for everything."""

    limit: int = 100
    after: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """next: the cursor of the following page; None: there is none."""

    items: list[T] = field(default_factory=list[T])
    next: str | None = None


def paged(
    connection: Connection,
    query: Select[Any],
    order: Sequence[ColumnElement[Any]],
    window: Window,
    convert: Callable[[Row[Any]], T],
    *,
    descending: bool = True,
) -> Page[T]:
    """One page of query. order: columns that are selected under their own names, together unique, none null."""
    if window.after is not None:
        place = tuple_(*order)
        last = tuple_(
            *(literal(value, column.type) for value, column in zip(_decode(window.after, order), order, strict=True))
        )
        query = query.where(place < last if descending else place > last)
    columns = [column.desc() if descending else column.asc() for column in order]
    rows = connection.execute(query.order_by(*columns).limit(window.limit + 1)).all()
    shown = rows[: window.limit]
    more = len(rows) > window.limit
    return Page([convert(row) for row in shown], _encode(shown[-1], order) if more else None)


def within(query: Select[Any], column: ColumnElement[Any], window: Window) -> Select[Any]:
    """Only what lies in the window's time."""
    if window.start is not None:
        query = query.where(column >= literal(window.start, column.type))
    if window.end is not None:
        query = query.where(column < literal(window.end, column.type))
    return query


def matching(query: Select[Any], filters: dict[ColumnElement[Any], Any]) -> Select[Any]:
    """Only rows whose column has the given value, or one of the given values; None and () ask for nothing."""
    for column, wanted in filters.items():
        if isinstance(wanted, tuple | list | frozenset):
            if wanted:
                query = query.where(column.in_(list(wanted)))  # pyright: ignore[reportUnknownArgumentType] - of any type
        elif wanted is not None:
            query = query.where(column == wanted)
    return query


def holding(text: str, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether one of columns holds text, taken literally, in any case."""
    part = f"%{text.lower().translate(_LIKE_SPECIAL)}%"
    return or_(*(func.lower(column).like(part, escape="\\") for column in columns))


def _encode(row: Row[Any], order: Sequence[ColumnElement[Any]]) -> str:
    values = [getattr(row, str(column.key)) for column in order]
    plain = [to_micros(value) if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(msgspec.json.encode(plain)).decode().rstrip("=")


def _decode(cursor: str, order: Sequence[ColumnElement[Any]]) -> list[Any]:
    wrong = BadInput(f"cursor {cursor[:40]!r} is not one that this list gave; begin again without it")
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[Any])
        if len(values) != len(order):
            raise wrong
        return [_typed(value, column, wrong) for value, column in zip(values, order, strict=True)]
    except (binascii.Error, ValueError, OverflowError) as error:
        raise wrong from error


def _typed(value: Any, column: ColumnElement[Any], wrong: BadInput) -> Any:
    if isinstance(column.type, Instant):
        if type(value) is not int:
            raise wrong
        return from_micros(value)
    wanted = column.type.python_type
    if type(value) is not wanted or (wanted is int and abs(value) >= 1 << 63) or "\0" in str(value):
        raise wrong
    return value
