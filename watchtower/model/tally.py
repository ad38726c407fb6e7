"""What the spans of one trace come to, by operation and task. Pure: the order in which they arrived does not matter.

An operation's own time is the time of its spans that no child of theirs covers: concurrent children count once, and
what a child does after its parent ended is not the parent's. Its own errors are
those of its spans that no child of theirs has, too. The task of a span is that of its nearest ancestor that
names one. All times are whole microseconds, so that sums are exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from watchtower.model.sketch import Sketch

_US = 1e6


class TallySpan(NamedTuple):
    """What a tally needs of a span. task: "" if the span itself names none."""

    span_id: bytes
    parent_span_id: bytes | None
    started_us: int
    duration_us: int
    operation_id: str
    is_error: bool
    message: str
    task: str

    @property
    def ended_us(self) -> int:
        return self.started_us + self.duration_us


@dataclass(slots=True)
class Tally:
    """Of one operation in one task. message: of its first own error, else of its first; slowest: the span that took
    longest."""

    calls: int = 0
    errors: int = 0
    own_errors: int = 0
    total_us: int = 0
    own_us: int = 0
    durations: Sketch = field(default_factory=Sketch)
    message: str = ""
    has_own_message: bool = False
    slowest: bytes = b""
    slowest_us: int = -1


def tally(spans: Iterable[TallySpan]) -> dict[tuple[str, str], Tally]:
    """By (operation id, task)."""
    ordered = sorted(spans, key=lambda span: (span.started_us, span.span_id))
    family = _Family(ordered)
    found: dict[tuple[str, str], Tally] = {}
    for place, span in enumerate(ordered):
        key = (span.operation_id, family.task_of(place))
        into = found.get(key)
        if into is None:
            into = found[key] = Tally()
        _add(into, span, family.own_us(place), is_own=family.is_own_error(place))
    return found


def _add(into: Tally, span: TallySpan, own_us: int, *, is_own: bool) -> None:
    into.calls += 1
    into.total_us += span.duration_us
    into.own_us += own_us
    into.durations.add(span.duration_us / _US)
    if span.is_error:
        into.errors += 1
        into.own_errors += is_own
        if span.message and (not into.message or (is_own and not into.has_own_message)):
            into.message, into.has_own_message = span.message, is_own
    if span.duration_us > into.slowest_us:
        into.slowest, into.slowest_us = span.span_id, span.duration_us


class _Family:
    """Who is whose parent. A span id may be there more than once, as further tries: the parent of a span is the one
    that was under way when it began, else the last that began before it, else the first."""

    def __init__(self, ordered: Sequence[TallySpan]) -> None:
        self._spans = ordered
        places: dict[bytes, list[int]] = {}
        for place, span in enumerate(ordered):
            places.setdefault(span.span_id, []).append(place)
        self._parents = [self._parent(place, places) for place in range(len(ordered))]
        self._children: dict[int, list[int]] = {}
        for place, parent in enumerate(self._parents):
            if parent is not None:
                self._children.setdefault(parent, []).append(place)
        self._tasks: dict[int, str] = {}

    def task_of(self, place: int) -> str:
        """A trace may claim to be its own ancestor; it then has no task from there."""
        path: list[int] = []
        at: int | None = place
        seen: set[int] = set()
        task = ""
        while at is not None and at not in seen:
            known = self._tasks.get(at)
            if known is not None or self._spans[at].task:
                task = known if known is not None else self._spans[at].task
                break
            seen.add(at)
            path.append(at)
            at = self._parents[at]
        for passed in path:
            self._tasks[passed] = task
        return task

    def own_us(self, place: int) -> int:
        """Children are in the order in which they begin."""
        span = self._spans[place]
        covered, reached = 0, span.started_us
        for child in self._children.get(place, ()):
            begin = max(self._spans[child].started_us, reached)
            end = min(self._spans[child].ended_us, span.ended_us)
            if end > begin:
                covered += end - begin
                reached = end
        return span.duration_us - covered

    def is_own_error(self, place: int) -> bool:
        """It began here: an error that passes through several spans is marked on each of them."""
        if not self._spans[place].is_error:
            return False
        return not any(self._spans[child].is_error for child in self._children.get(place, ()))

    def _parent(self, place: int, places: Mapping[bytes, list[int]]) -> int | None:
        span = self._spans[place]
        found = places.get(span.parent_span_id or b"", ())
        others = [each for each in found if each != place]
        if len(others) <= 1:
            return others[0] if others else None
        before = [each for each in others if self._spans[each].started_us <= span.started_us]
        under_way = [each for each in before if self._spans[each].ended_us >= span.started_us]
        return (under_way or before or others[:1])[-1]
