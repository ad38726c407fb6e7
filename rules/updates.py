"""Which writings make a dataset fresh, and how often that usually happens. Pure.

Backfills and rewrites of older partitions bring no new data (Dagster discussion #34023).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile

from rules.baseline import Baseline
from rules.schedules.learned import MIN_RUNS, LearnedSchedule, learn, learning_progress
from rules.words import length_words
from watchtower.model.run import DatasetUpdate

_NUMBERS = re.compile(r"([0-9]+)")
_CHANGED = 3  # gaps in a row that are longer than usual: another cadence
_WIDER = 1.5  # times the longest of them


def newest_data(updates: Sequence[DatasetUpdate]) -> DatasetUpdate | None:
    """The newest update that brought new data: no backfill, and of no older partition than was there before it.
    updates: newest first."""
    fresh = fresh_updates(updates)
    return fresh[-1] if fresh else None


def fresh_updates(updates: Sequence[DatasetUpdate]) -> list[DatasetUpdate]:
    """Updates that brought new data, oldest first. Where the data itself was looked at, only that counts: a run may
    succeed and write nothing."""
    updates = [update for update in updates if update.measured] or updates
    fresh: list[DatasetUpdate] = []
    newest_partition: tuple[tuple[int, str], ...] = ()
    for update in sorted(updates, key=lambda each: each.at):
        if update.backfill:
            continue
        if update.partition:
            order = _partition_order(update.partition)
            if order < newest_partition:
                continue
            newest_partition = order
        fresh.append(update)
    return fresh


def _partition_order(partition: str) -> tuple[tuple[int, str], ...]:
    """Numbers compare as numbers, so that `hour=9` is before `hour=10`; dates of the usual form compare as dates."""
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if index % 2 else (0, part)
        for index, part in enumerate(_NUMBERS.split(partition))
    )


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often new data comes. since: of the newest; next_at: when the next usually comes, usually_by: at the latest;
    late_at: from when on a rule alerts; words: what was learned."""

    since: datetime
    next_at: datetime
    usually_by: datetime
    late_at: datetime
    words: str


def cadence_of(updates: Sequence[DatasetUpdate]) -> Cadence | str:
    """From a regular schedule of updates: late half a period after the next expected one. Else from the gaps between
    updates, by the same formula as durations. Or why nothing can be said."""
    moments = tuple(dict.fromkeys(update.at for update in fresh_updates(updates)))
    if len(moments) < MIN_RUNS + 1:
        return learning_progress(max(0, len(moments) - 1), "updates") or "too few updates"
    since = moments[-1]
    schedule = _learn(moments)
    following = schedule.following(since) if schedule else None
    if schedule and following:
        previous = schedule.before(following - timedelta(seconds=1))
        period = (following - (previous or since)).total_seconds()
        jitter, half = timedelta(seconds=schedule.jitter_s), timedelta(seconds=period / 2)
        return Cadence(since, following, following + jitter, following + max(jitter, half), schedule.pattern.describe())
    return _by_gaps(moments)


def _by_gaps(moments: Sequence[datetime]) -> Cadence | str:
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    usual = Baseline.of(gaps)
    if usual is None:
        return "too few updates"
    limit_s, middle_s = usual.usual_limit, usual.median
    if wider := _wider(gaps):
        limit_s, middle_s = max(wider) * _WIDER, sorted(wider)[len(wider) // 2]
    often = f"every {length_words(middle_s)}"
    words = f"{f'{often} lately' if wider else f'usually {often}'}, at most {length_words(limit_s)}"
    since = moments[-1]
    late_at = since + timedelta(seconds=limit_s)
    return Cadence(since, since + timedelta(seconds=middle_s), late_at, late_at, words)


def _wider(gaps: Sequence[float]) -> Sequence[float]:
    """The newest gaps, if the last few are all beyond what was usual before them: it is written less often now, and not
    late each time. Empty else. gaps: oldest first."""
    before = Baseline.of(gaps[:-_CHANGED])
    if before is None or min(gaps[-_CHANGED:]) <= before.usual_limit:
        return ()
    newest = list(takewhile(lambda gap: gap > before.usual_limit, reversed(gaps)))
    return newest[::-1]


@lru_cache(maxsize=2048)
def _learn(moments: tuple[datetime, ...]) -> LearnedSchedule | None:
    return learn(moments)
