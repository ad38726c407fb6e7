"""Ids of runs that had not ended, kept from poll to poll in a source's cursor: some APIs cannot say what changed."""

from collections.abc import Sequence
from typing import Final

import msgspec

MOST_OPEN: Final = 2_000


def open_ids(cursor: str | None) -> list[str]:
    """In the order in which they were first seen; none where the cursor says something else."""
    if not cursor:
        return []
    try:
        return msgspec.json.decode(cursor, type=list[str])
    except msgspec.DecodeError:
        return []


def to_cursor(ids: Sequence[str]) -> str:
    """The newest that there is room for."""
    return msgspec.json.encode(list(ids)[-MOST_OPEN:]).decode()
