"""Statements that are built once and run often: to build one through Core costs four times as much as to run it.

On the way from a failure to the message about it some sixty of them are run. Where a statement has no part of its own
that changes, it is a constant of its module, made with `given` and `any_of`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, Update, bindparam, update


def given(name: str) -> BindParameter[Any]:
    """A value that comes with each execution."""
    return bindparam(name)


def any_of(name: str) -> BindParameter[Any]:
    """A list that comes with each execution, for `column.in_(…)`."""
    return bindparam(name, expanding=True)


def change(connection: Connection, table: Table, where: Mapping[str, Any], **values: Any) -> int:
    """Set values where the columns of where are equal to what it says (never null); the number of rows."""
    statement = _changing(table, tuple(where), tuple(values))
    parameters = {f"of_{name}": value for name, value in where.items()}
    return connection.execute(statement, parameters | {f"to_{name}": value for name, value in values.items()}).rowcount


@lru_cache(maxsize=512)
def _changing(table: Table, where: tuple[str, ...], names: tuple[str, ...]) -> Update:
    return (
        update(table)
        .where(*(table.c[name] == given(f"of_{name}") for name in where))
        .values({name: given(f"to_{name}") for name in names})
    )
