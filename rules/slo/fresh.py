"""A dataset that must be young enough, minute by minute: an event is a minute, good while the data is not too old.

Nothing has to happen for a minute to be bad, so its answer goes on by itself from the last update; and minutes are no
independent events, so few of them are judged by rate all the same.
"""

from collections.abc import Iterator, Sequence
from itertools import count

from rules.slo.timeline import Counts, Event
from watchtower.model.slo import Correction, Fresh, minute_of

Span = tuple[int, int]
_NEVER = 1 << 40  # minutes; after all that will be asked


class FreshLine:
    """As Timeline, of a dataset that was first heard of at fresh.first."""

    counts_events = False

    def __init__(self, fresh: Fresh, corrections: Sequence[Correction]) -> None:
        self._first = _NEVER if fresh.first is None else fresh.first
        self._turns = _NEVER if fresh.last is None else fresh.last + fresh.limit
        self._bad = [*fresh.stale, (self._turns, _NEVER)]
        self._cut = _joined([(minute_of(each.start), minute_of(each.end)) for each in corrections])

    def within(self, since: int, until: int) -> Counts:
        begin = max(since, self._first)
        total = self._counted((begin, until))
        bad = sum(self._counted((max(begin, start), min(until, end))) for start, end in self._bad)
        return Counts(total - bad, bad)

    def newest(self, since: int) -> Iterator[Event]:
        return iter(())

    def newest_bad(self, since: int, until: int) -> int | None:
        ends = (min(until, end) - 1 for start, end in self._bad if max(start, since) < min(until, end))
        return max(ends, default=None)

    def span_within(self, since: int, until: int) -> int:
        return max(0, until - 1 - max(since, self._first))

    def leaving(self, minutes: int, now: int) -> Iterator[int]:
        """Every minute that passes."""
        return count(now + 1)

    def goes(self, since: int, events: int) -> int | None:
        """See Timeline: each minute from since on is one."""
        return max(since, self._first) + events

    def turns_bad_after(self, now: int) -> int | None:
        return self._turns if now < self._turns < _NEVER else None

    def _counted(self, span: Span) -> int:
        """Minutes of span that no correction takes out."""
        whole = max(0, span[1] - span[0])
        return whole - sum(max(0, min(span[1], end) - max(span[0], start)) for start, end in self._cut)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Without overlaps, in order."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
