"""Fields of a record, as far as they can be read: one that is of another type than ever seen counts as not said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from collectors.openlineage.instants import parse_instant

Record = Mapping[str, Any]
_MOST = 2**31 - 2


def text(record: Record, name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value else None


def integer(record: Record, name: str) -> int | None:
    """From 0 on, and small enough for a column."""
    value = record.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def number(record: Record, name: str) -> float | None:
    value = record.get(name)
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else None
    )


def flag(record: Record, name: str) -> bool | None:
    value = record.get(name)
    return value if isinstance(value, bool) else None


def instant(record: Record, *names: str) -> datetime | None:
    """Of the first of names that is one."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and (found := parse_instant(value)) is not None:
            return found
    return None


def mapped(value: object) -> Record:
    """value if it is an object, else an empty one."""
    return cast("Record", value) if isinstance(value, Mapping) else {}


def listed(record: Record, name: str) -> list[Any]:
    value = record.get(name)
    return cast("list[Any]", value) if isinstance(value, list) else []
