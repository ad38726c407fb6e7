"""Metadata and column types shared by all tables.

Instants are stored as whole microseconds since the epoch (UTC): exact, ordered, the same on every engine, and an
integer is what SQLite compares fastest.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, MetaData, Text, TypeDecorator

from watchtower.model.instants import from_micros, to_micros

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite gives rowids only to INTEGER PRIMARY KEY.
RowId = BigInteger().with_variant(Integer(), "sqlite")
Bytes = LargeBinary


class Instant(TypeDecorator[datetime]):
    """An aware datetime, read back as UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class Json(TypeDecorator[Any]):
    """A JSON document as text. Lone surrogates, which real senders produce, are kept as escapes by the encoder."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dump_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


def dump_json(value: Any) -> str:
    """Compact JSON of builtins, datetimes, enums and dataclasses; sorted keys, so equal documents are equal text."""
    return msgspec.json.encode(value, order="sorted").decode()
