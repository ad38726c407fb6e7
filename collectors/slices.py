"""A long window in pieces, oldest first: a poll that is ended after a long absence goes on with the piece it was at.

The source's own clock says where the last piece begins, since a mark that lies ahead of it would hide what comes later.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from watchtower.model.source import Window

SLICE: Final = timedelta(hours=1)
MOST_SLICES: Final = 100  # each is a question or more; those of a year are longer

Slice = tuple[datetime, datetime | None]


def slices(window: Window, now: datetime | None) -> Iterator[Slice]:
    """(since, until) of each; the last is open. now: by the source's clock, which counts also where there is no mark
    yet; None if it is not known, and then the window is one piece."""
    if now is None:
        yield window.since, None
        return
    start = window.since if window.mark else now - (window.until - window.since)
    length = max(SLICE, (now - start) / MOST_SLICES)
    while now - start > 1.5 * length:
        yield start, start + length
        start += length
    yield start, None
