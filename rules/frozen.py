"""Rules that judge by the absence of data do not count time in which nothing was watched.

A machine that was suspended, a process that stood still and a clock that was put forward have the same look: hours have
passed, and nothing came. For as long as that lasted, such rules go on from where they were when it began (promise P18);
what is still missing then is an alert. A restart is something else: what stands after it is told, marked found late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from watchtower.clock import Gap
from watchtower.model.rule import Evaluation, Rule, Snapshot
from watchtower.ports import RuleKind

WAITING_KINDS = frozenset({"freshness", "missing_run", "deadline", "orphan"})
LONGEST = timedelta(hours=8)  # a longer absence delays an alert by no more than this


def freeze(kinds: Mapping[str, RuleKind], gaps: Callable[[], Sequence[Gap]]) -> dict[str, RuleKind]:
    """The same kinds; those that wait for data know of the time that was missed."""
    return {
        name: cast("RuleKind", Frozen(kind, gaps)) if name in WAITING_KINDS else kind for name, kind in kinds.items()
    }


class Frozen:
    """A rule kind that is asked about an earlier moment while it makes up for what was missed."""

    def __init__(self, kind: RuleKind, gaps: Callable[[], Sequence[Gap]]) -> None:
        self._inner = kind
        self._gaps = gaps

    def __getattr__(self, name: str) -> Any:
        """All that a kind has beside what it is asked: its name, subject, Config, and how it describes itself."""
        return getattr(self._inner, name)

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        behind, until = missed(self._gaps(), now)
        if until is None:
            return self._inner.evaluate(rule, snapshot, now)
        found = self._inner.evaluate(rule, snapshot, now - behind)
        next_at = until if found.next_at is None else min(found.next_at + behind, until)
        return replace(found, next_at=next_at)


def missed(gaps: Sequence[Gap], now: datetime) -> tuple[timedelta, datetime | None]:
    """How far such rules are behind now, and until when at the latest; (0, None): not at all. Pure."""
    running = [(gap.end, min(gap.end - gap.start, LONGEST)) for gap in gaps]
    running = [(end, length) for end, length in running if end <= now < end + length]
    if not running:
        return timedelta(0), None
    return sum((length for _, length in running), timedelta(0)), min(end + length for end, length in running)
