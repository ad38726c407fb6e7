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

from rules.slo.burn import (
    MIN_EVENTS,
    Budget,
    Finding,
    budgets,
    burn_rate,
    consumed_of,
    findings,
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
    not go, or not within the period. windows: of each step the counts of its long window and of its short one, by
    objective. next_at: when time alone changes what is said here. newest_bad: minute of the newest bad event;
    corrected: what does not count of this period."""

    slo: Slo
    state: SloState
    starts: datetime
    ends: datetime
    budgets: tuple[Budget, ...]
    consumed: Fraction | None
    burn_rate: Fraction
    exhausts_in: timedelta | None
    findings: tuple[Finding, ...]
    windows: tuple[tuple[Step, tuple[Counts, ...], tuple[Counts, ...]], ...]
    next_at: datetime | None
    newest_bad: int | None = None
    corrected: tuple[Correction, ...] = ()

    @property
    def left(self) -> Fraction | None:
        """Part of the budget, never below 0."""
        return None if self.consumed is None else max(Fraction(0), 1 - self.consumed)


def status(
    snapshot: SloSnapshot, now: datetime, *, least: int = MIN_EVENTS, shares: Sequence[Share] | None = None
) -> SloStatus:
    slo, at = snapshot.slo, minute_of(now)
    steps = steps_of(slo, shares)
    lines = lines_of(slo, snapshot.parts, snapshot.corrections)
    period = _period(slo, now)
    found = findings(slo, steps, lines, period, at, least=least)
    of_budget = budgets(slo, lines, period, at)
    consumed = consumed_of(slo, of_budget)
    rate = burn_rate(slo, within(lines, _PACE, at))
    starts, ends = slo.period.bounds(now)
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
        windows=tuple(
            (step, tuple(within(lines, step.long, at)), tuple(within(lines, step.short, at))) for step in steps
        ),
        next_at=_next_at(slo, steps, lines, found, now, least=least),
        newest_bad=_newest_bad(lines, period[0], at),
        corrected=tuple(each for each in snapshot.corrections if each.end > starts),
    )


def _newest_bad(lines: Sequence[Line], since: int, at: int) -> int | None:
    newest = (line.newest_bad(since, at + 1) for line in lines)
    return max((minute for minute in newest if minute is not None), default=None)


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
    at = minute_of(now)
    oldest = min([_period(slo, now)[0], *(at - each.long + 1 for each in steps)])
    if not any(line.within(oldest, at + 1).bad for line in lines):
        turns = (line.turns_bad_after(at) for line in lines)
        return _moment(min((minute for minute in turns if minute is not None), default=None))
    ahead = _changes(slo, steps, lines, now)
    if found:
        return _moment(next(ahead, None))
    said = [(finding.severity, finding.name) for finding in found]
    last = None
    for last in islice(ahead, _LOOKED_AHEAD):
        then = moment_of(last)
        again = findings(slo, steps, lines, _period(slo, then), last, least=least)
        if [(finding.severity, finding.name) for finding in again] != said:
            break
    return _moment(last)


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
    for begin in line.begins:
        if begin >= first:
            yield begin // HOUR * HOUR + HOUR + length


def _moment(minute: int | None) -> datetime | None:
    return None if minute is None else moment_of(minute)
