"""Which generation of a run Airflow's API shows: it tells a run that was cleared by nothing but its new times.

Pure. A run that is cleared keeps its id; its start and end are overwritten, and its OpenLineage run id is another one
(`clear_number`). What the store has of the run tells which it is. A run that was cleared before anybody had told of it
counts as its first.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from watchtower.model.source import KnownRun

SAME: Final = timedelta(seconds=1)


def generation_of_run(known: Sequence[KnownRun], queued_at: datetime | None, started_at: datetime | None) -> int:
    """Of a run that the API shows with these times. known: oldest first, may be empty."""
    if not known:
        return 0
    newest = known[-1]
    if started_at is not None:
        for each in reversed(known):
            if each.started_at is not None and abs(each.started_at - started_at) <= SAME:
                return each.generation
        if newest.started_at is not None and started_at > newest.started_at:
            return newest.generation + 1
        earlier = [each for each in known if each.started_at is None or each.started_at <= started_at + SAME]
        return earlier[-1].generation if earlier else known[0].generation
    if newest.ended_at is not None and queued_at is not None and queued_at > newest.ended_at:
        return newest.generation + 1
    return newest.generation


def generation_of_try(known: Sequence[KnownRun], begun_at: datetime | None) -> int:
    """Of the run that a try belongs to: the newest that had begun when the try did. begun_at: its start, or when it was
    queued."""
    if not known:
        return 0
    if begun_at is None:
        return known[-1].generation
    had_begun = [each for each in known if (each.started_at or each.queued_at or begun_at) <= begun_at + SAME]
    return had_begun[-1].generation if had_begun else known[0].generation
