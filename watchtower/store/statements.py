"""Statements that are built and compiled once and run often, through the driver underneath SQLAlchemy.

On the way from a failure to the message about it some sixty of them are run. Core builds one in four times the time it
takes to run it, and where it is built already, Core's way to the driver and back still takes three times as long as
SQLite does. So a statement that has no part of its own that changes is a constant of its module, made with `given` and
`any_of`, and `prepared`: SQLAlchemy compiles it and names the conversions of its values, and no more.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    BindParameter,
    Boolean,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Table,
    TypeDecorator,
    Update,
    bindparam,
    update,
)
from sqlalchemy.sql import visitors

from watchtower.store import driver

Convert = Callable[[Any], Any]
_CONVERTED = (TypeDecorator, Boolean)  # numbers, text and bytes come from both drivers as they are

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete


class Row(Protocol):
    """A row of an answer, its columns by name; those of Core are such rows, too."""

    def __getattr__(self, name: str, /) -> Any: ...

    def __getitem__(self, place: int, /) -> Any: ...


def given(name: str) -> BindParameter[Any]:
    """A value that comes with each execution."""
    return bindparam(name)


def any_of(name: str) -> BindParameter[Any]:
    """A list that comes with each execution, for `column.in_(…)`."""
    return bindparam(name, expanding=True)


class Prepared:
    """A statement of which only the values change. It behaves as through Core, in the connection's transaction; the
    rows are named tuples."""

    def __init__(self, statement: Statement) -> None:
        # Of an insert nobody wants the new key back, which PostgreSQL would be asked for.
        self._statement = statement.inline() if isinstance(statement, Insert) else statement
        self._lists = tuple(
            each.key
            for each in visitors.iterate(statement)
            if isinstance(each, BindParameter) and each.expanding and each.required
        )
        self._texts: dict[tuple[Any, ...], _Text] = {}

    def all(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        text, parameters = self._ready(connection, values)
        return text.shape(driver.rows(connection, text.sql, parameters))

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        found = self.all(connection, values)
        return found[0] if found else None

    def one(self, connection: Connection, values: Mapping[str, Any]) -> Row:
        """Where there is none, something is wrong with the store."""
        return self.all(connection, values)[0]

    def scalars(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """The first column."""
        return [row[0] for row in self.all(connection, values)]

    def scalar(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """The first column of the first row; None where there is none."""
        return next(iter(self.scalars(connection, values)), None)

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Write; the number of rows."""
        return self.run_each(connection, [values])

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write once for each of rows, which have the same names; the number of rows that were written."""
        if not rows:
            return 0
        made = [self._ready(connection, values) for values in rows]
        return driver.write(connection, made[0][0].sql, [parameters for _, parameters in made])

    def _ready(self, connection: Connection, values: Mapping[str, Any]) -> "tuple[_Text, Any]":
        """The text for so many values, and they in its order. Few different texts come of it: lists are filled up with
        their last item, which `IN` does not mind."""
        lists = {name: _filled_up(values[name]) for name in self._lists}
        key = (connection.dialect.name, *map(len, lists.values()), *values)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _compiled(self._statement, connection.dialect, tuple(values), lists)
        return text, text.parameters({**values, **{name: _flat(some) for name, some in lists.items()}})


def prepared(statement: Statement) -> Prepared:
    return Prepared(statement)


class _Slot(NamedTuple):
    """Where a value goes. item: of a list, which one."""

    place: int
    name: str
    item: int | None
    convert: Convert | None


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as one engine takes it. names: of its parameters in their order, None: by position."""

    sql: str
    constants: list[Any]
    slots: tuple[_Slot, ...]
    names: tuple[str, ...] | None
    shape: Callable[[Sequence[tuple[Any, ...]]], list[Row]]

    def parameters(self, values: Mapping[str, Any]) -> Any:
        row = self.constants.copy()
        for place, name, item, convert in self.slots:
            value = values[name] if item is None else values[name][item]
            row[place] = value if convert is None else convert(value)
        return tuple(row) if self.names is None else dict(zip(self.names, row, strict=True))


def _compiled(
    statement: Statement,
    dialect: Dialect,
    names: Sequence[str],
    lists: Mapping[str, Sequence[Any]],
) -> _Text:
    columns = list(names) if isinstance(statement, Insert) else None
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    given_now = {**dict.fromkeys(names), **lists}
    expanded = compiled.construct_expanded_state(given_now)
    order = expanded.positiontup or list(expanded.parameters)
    items = {
        made: (name, item) for name, some in expanded.parameter_expansion.items() for item, made in enumerate(some)
    }
    converts = {
        name: bound.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bound in compiled.binds.items()
        if not bound.expanding
    } | dict(expanded.processors)
    constants: list[Any] = [None] * len(order)
    slots: list[_Slot] = []
    for place, made in enumerate(order):
        name, item = items.get(made, (made, None))
        convert = converts.get(made)
        if name in given_now:
            slots.append(_Slot(place, name, item, convert))
        else:
            value = expanded.parameters[made]
            constants[place] = value if convert is None else convert(value)
    return _Text(
        expanded.statement,
        constants,
        tuple(slots),
        None if compiled.positional else tuple(order),
        _shape(statement, dialect),
    )


def _filled_up(values: Sequence[Any]) -> list[Any]:
    """As many as the next power of two, by saying the last one again."""
    size = 1 << (len(values) - 1).bit_length() if values else 0
    return [*values, *[values[-1]] * (size - len(values))] if values else []


def _flat(values: Sequence[Any]) -> Sequence[Any]:
    """The parts of tuples one after the other, as they are bound."""
    return [part for each in values for part in each] if values and isinstance(values[0], tuple) else values


def _shape(statement: Statement, dialect: Dialect) -> Callable[[Sequence[tuple[Any, ...]]], list[Row]]:
    """What makes rows with names of what the driver gives, its values converted as the columns' types say."""
    if not isinstance(statement, Select):
        return lambda found: []
    columns = list(statement.selected_columns)
    make = _rows_of([str(column.name) for column in columns])
    converts = [
        (place, convert)
        for place, column in enumerate(columns)
        if isinstance(column.type, _CONVERTED)
        and (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
    ]

    def shaped(found: Sequence[tuple[Any, ...]]) -> list[Row]:
        rows: list[Row] = []
        for each in found:
            values = list(each)
            for place, convert in converts:
                values[place] = convert(values[place])
            rows.append(make(values))
        return rows

    return shaped


def _rows_of(names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    return namedtuple("Row", names, rename=True)._make  # pyright: ignore[reportUntypedNamedTuple]


def change(connection: Connection, table: Table, where: Mapping[str, Any], **values: Any) -> int:
    """Set values where the columns of where are equal to what it says (never null); the number of rows."""
    statement = _changing(table, tuple(where), tuple(values))
    parameters = {f"of_{name}": value for name, value in where.items()}
    return statement.run(connection, parameters | {f"to_{name}": value for name, value in values.items()})


@lru_cache(maxsize=512)
def _changing(table: Table, where: tuple[str, ...], names: tuple[str, ...]) -> Prepared:
    return prepared(
        update(table)
        .where(*(table.c[name] == given(f"of_{name}") for name in where))
        .values({name: given(f"to_{name}") for name in names})
    )
