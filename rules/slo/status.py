"""How an SLO stands at a moment: what is used of its budget, how fast it goes, when it is gone, and who is told.

Rules, pages, metrics and the API share this one reckoning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from heapq import merge
from itertools import islice
from math import floor

from rules.slo.burn import (
    MIN_EVENTS,
    Budget,
    Finding,
    allowed_of,
    budgets,
    burn_rate,
    consumed_of,
    findings,
    may_burn,
    within,
)
from rules.slo.lines import lines_of
from rules.slo.timeline import Counts, Line
from rules.slo.windows import Share, Step, steps_of
from watchtower.model.rule import SloSnapshot
from watchtower.model.slo import HOUR, Correction, Slo, minute_of, moment_of

_LOOKED_AHEAD = 16  # moments at which events leave a window, before it is looked at anew
_PACE = 1_440  # minutes by which the present pace is told


class SloState(StrEnum):
    """exhausted: more bad events than the whole period allows; burning: somebody is alerted, or would be; waiting: too
    little has happened to tell."""

    OK = "ok"
    BURNING = "burning"
    EXHAUSTED = "exhausted"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class SloStatus:
    """starts, ends: of the period. budgets: by objective. consumed: part of the budget that is used, None while too
    little is known. burn_rate: over the newest day. exhausts_in: until the budget is gone at that pace; None if it does
    not go, or not within the period. steps: by which it is judged; lines: what was counted, by objective, until at (a
    minute). next_at: when time alone changes what is told of it; corrected: what does not count of this period;
    uncorrected: consumed, if all of that counted."""

    slo: Slo
    state: SloState
    starts: datetime
    ends: datetime
    budgets: tuple[Budget, ...]
    consumed: Fraction | None
    burn_rate: Fraction
    exhausts_in: timedelta | None
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...]
    lines: tuple[Line, ...]
    at: int
    next_at: datetime | None
    corrected: tuple[Correction, ...] = ()
    uncorrected: Fraction | None = None

    @property
    def left(self) -> Fraction | None:
        """Part of the budget, never below 0."""
        return None if self.consumed is None else max(Fraction(0), 1 - self.consumed)

    @property
    def windows(self) -> tuple[tuple[Step, tuple[Counts, ...], tuple[Counts, ...]], ...]:
        """Of each step the counts of its long window and of its short one, by objective."""
        return tuple((step, self.within(step.long), self.within(step.short)) for step in self.steps)

    def within(self, minutes: int) -> tuple[Counts, ...]:
        return tuple(within(self.lines, minutes, self.at))

    @property
    def newest_bad(self) -> int | None:
        """The minute of the newest bad event of the period."""
        since = minute_of(self.starts)
        newest = (line.newest_bad(since, self.at + 1) for line in self.lines)
        return max((minute for minute in newest if minute is not None), default=None)


def status(
    snapshot: SloSnapshot, now: datetime, *, least: int = MIN_EVENTS, shares: Sequence[Share] | None = None
) -> SloStatus:
    slo, at = snapshot.slo, minute_of(now)
    steps = steps_of(slo, shares)
    lines = lines_of(slo, snapshot.parts, snapshot.corrections)
    period = _period(slo, now)
    of_budget = budgets(slo, lines, period, at)
    consumed = consumed_of(slo, of_budget)
    found = findings(slo, steps, lines, period[0], at, least=least, consumed=consumed)
    rate = burn_rate(slo, within(lines, _PACE, at))
    starts, ends = slo.period.bounds(now)
    corrected = tuple(each for each in snapshot.corrections if each.end > starts)
    return SloStatus(
        slo=slo,
        state=_state(found, consumed),
        starts=starts,
        ends=ends,
        budgets=tuple(of_budget),
        consumed=consumed,
        burn_rate=rate,
        exhausts_in=_exhausts_in(slo, consumed, rate),
        findings=tuple(found),
        steps=steps,
        lines=tuple(lines),
        at=at,
        next_at=_next_at(slo, steps, lines, found, now, least=least),
        corrected=corrected,
        uncorrected=_uncorrected(snapshot, period, at) if corrected else consumed,
    )


def _uncorrected(snapshot: SloSnapshot, period: tuple[int, int], at: int) -> Fraction | None:
    return consumed_of(snapshot.slo, budgets(snapshot.slo, lines_of(snapshot.slo, snapshot.parts, ()), period, at))


def _state(found: Sequence[Finding], consumed: Fraction | None) -> SloState:
    if consumed is not None and consumed > 1:
        return SloState.EXHAUSTED
    if found:
        return SloState.BURNING
    return SloState.WAITING if consumed is None else SloState.OK


def _period(slo: Slo, now: datetime) -> tuple[int, int]:
    """First minute and length; of the calendar this very one, which has 28 to 31 days."""
    starts, ends = slo.period.bounds(now)
    if slo.period.is_rolling:
        return minute_of(starts), slo.period.seconds // 60
    return minute_of(starts), minute_of(ends) - minute_of(starts)


def _exhausts_in(slo: Slo, consumed: Fraction | None, rate: Fraction) -> timedelta | None:
    if consumed is None or consumed >= 1 or not rate:
        return None
    seconds = (1 - consumed) * slo.period.seconds / rate
    return timedelta(seconds=float(seconds)) if seconds <= slo.period.seconds else None


def _next_at(
    slo: Slo, steps: Sequence[Step], lines: Sequence[Line], found: Sequence[Finding], now: datetime, *, least: int
) -> datetime | None:
    """The next moment at which events leave a window and the answer changes. While something is found its words name
    numbers of every window, so it is the next at which any event leaves."""
    at, period = minute_of(now), _period(slo, now)
    oldest = min([period[0], *(at - each.long + 1 for each in steps)])
    if not any(line.within(oldest, at + 1).bad for line in lines):
        turns = (line.turns_bad_after(at) for line in lines)
        return _moment(min((minute for minute in turns if minute is not None), default=None))
    if found:
        return _moment(next(_changes(slo, steps, lines, now), None))
    if all(line.counts_events for line in lines) and not may_burn(steps, lines, period[0], at):
        if slo.conditions is not None or not slo.period.is_rolling:
            return None  # bad events only become fewer, and of a period of the calendar all stay until it ends
        lasts = _lasts(slo, lines, period, at)
        if lasts is not None:
            return _moment(lasts)
    last = None
    for last in islice(_changes(slo, steps, lines, now), _LOOKED_AHEAD):
        then = moment_of(last)
        later = _period(slo, then)
        consumed = consumed_of(slo, budgets(slo, lines, later, last))
        if findings(slo, steps, lines, later[0], last, least=least, consumed=consumed):
            break
    return _moment(last)


def _lasts(slo: Slo, lines: Sequence[Line], period: tuple[int, int], at: int) -> int | None:
    """Until when the budget is enough, though nothing else happens: as long as the events that have not left the period
    allow as many bad ones as there are now. None where that is not so even now, or of several objectives."""
    if len(lines) != 1:
        return None
    (line,), (objective,) = lines, slo.objectives
    counts = line.within(period[0], at + 1)
    leaving = floor(counts.total - counts.bad / allowed_of(objective.target))
    if leaving < 0:
        return None
    minute = line.goes(period[0], leaving)
    return None if minute is None else minute // HOUR * HOUR + HOUR + period[1]


def _changes(slo: Slo, steps: Sequence[Step], lines: Sequence[Line], now: datetime) -> Iterator[int]:
    """Minutes after now, ascending, each once."""
    at = minute_of(now)
    known = {_PACE, *(each.long for each in steps), *(each.short for each in steps)}
    leaving = [line.leaving(minutes, at) for line in lines for minutes in known]
    if slo.period.is_rolling:
        length = slo.period.seconds // 60
        leaving += [_hourly(line, length, at) for line in lines]
    else:
        leaving.append(iter([minute_of(slo.period.bounds(now)[1])]))
    before = at
    for minute in merge(*leaving):
        if minute > before:
            yield minute
            before = minute


def _hourly(line: Line, length: int, at: int) -> Iterator[int]:
    """A rolling period moves by whole hours."""
    first = (at - length) // HOUR * HOUR
    return (minute // HOUR * HOUR + HOUR + length for minute in line.leaving(0, first - 1))


def _moment(minute: int | None) -> datetime | None:
    return None if minute is None else moment_of(minute)
