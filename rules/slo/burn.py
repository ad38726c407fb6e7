"""Whether an error budget burns so fast that somebody must know. Pure, exact; minutes since the epoch.

With enough events a step alerts as in the SRE workbook: the burn rate is above its factor over the long window and over
the short one, which lets go as soon as it is clean. A target so low that no outage could reach the factor (14.4 x (1 -
target) >= 1) alerts when nine tenths of the events are bad instead.

With few events in the long window a rate says nothing: one failed run of one burns at any speed. Then the newest events
are judged as such, at least two bad ones among them: by the exact binomial probability of so many, were the objective
kept. A page wants it below 1 %, a ticket below 5 %, over all the places at which such a row could have begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import islice
from math import comb

from rules.slo.timeline import Counts, Line
from rules.slo.windows import Step
from watchtower.model.alert import Severity
from watchtower.model.slo import Objective, Slo

MIN_EVENTS = 20  # in the long window, below which events are counted
_NEARLY_ALL = Fraction(9, 10)
_NOTHING = Fraction(0)
_CHANCE = {Severity.PAGE: Fraction(1, 100), Severity.TICKET: Fraction(5, 100), Severity.INFO: Fraction(5, 100)}
_RANK = {Severity.PAGE: 0, Severity.TICKET: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class Few:
    """bad of the newest `total` events of an objective are bad: too many for chance."""

    objective: int
    bad: int
    total: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a severity alerts: a step that burns, or few; neither: the budget is used up."""

    severity: Severity
    step: Step | None = None
    few: Few | None = None

    @property
    def name(self) -> str:
        return self.step.name if self.step else "few_events" if self.few else "exhausted"


@dataclass(frozen=True, slots=True)
class Budget:
    """Of one objective in its period. events: that the period will have seen at its end, by the pace so far; None while
    fewer than two are known. allowed: how many of them may be bad."""

    counts: Counts
    events: int | None
    allowed: Fraction | None


def findings(
    slo: Slo,
    steps: Sequence[Step],
    lines: Sequence[Line],
    since: int,
    now: int,
    *,
    least: int,
    consumed: Fraction | None,
) -> list[Finding]:
    """The gravest first, one for each severity. since: first minute of the period; now: the minute that runs; least:
    events in the long window, below which they are counted; consumed: part of the budget that is used."""
    found = _of_steps(slo, steps, lines, (since, now), least) if may_burn(steps, lines, since, now) else {}
    if slo.conditions is None and Severity.TICKET not in found and consumed is not None and consumed > 1:
        found[Severity.TICKET] = Finding(Severity.TICKET)
    return sorted(found.values(), key=lambda finding: _RANK[finding.severity])


def may_burn(steps: Sequence[Step], lines: Sequence[Line], since: int, now: int) -> bool:
    """Whether a step could alert at all: some short window holds a bad event, or the newest event is one. Where it does
    not hold it does not come to hold by time alone either, but for data that becomes too old."""
    longest = max((step.short for step in steps), default=0)
    return any(
        line.within(now - longest + 1, now + 1).bad or any(event.counts.bad for event in islice(line.newest(since), 1))
        for line in lines
    )


def _of_steps(
    slo: Slo, steps: Sequence[Step], lines: Sequence[Line], span: tuple[int, int], least: int
) -> dict[Severity, Finding]:
    since, now = span
    found: dict[Severity, Finding] = {}
    few_count = all(line.counts_events for line in lines)
    for step in steps:
        if step.severity in found:
            continue
        long = within(lines, step.long, now)
        if few_count and sum(each.total for each in long) < least:
            few = _too_many(slo, lines, since, _CHANCE[step.severity], least)
            if few:
                found[step.severity] = Finding(step.severity, few=few)
        elif _burns(slo, long, step.factor) and _burns(slo, within(lines, step.short, now), step.factor):
            found[step.severity] = Finding(step.severity, step)
    return found


def within(lines: Sequence[Line], minutes: int, now: int) -> list[Counts]:
    """Of each objective, in the window that ends with the minute that runs."""
    return [line.within(now - minutes + 1, now + 1) for line in lines]


def burn_rate(slo: Slo, counts: Sequence[Counts]) -> Fraction:
    """How many times faster than allowed the budget goes; of a composite the weighted sum of its objectives."""
    rates = (
        Fraction(each.bad) / each.total / allowed_of(objective.target) * weight_of(objective.weight)
        for objective, each in zip(slo.objectives, counts, strict=True)
        if each.bad
    )
    return sum(rates, _NOTHING)


def budgets(slo: Slo, lines: Sequence[Line], period: tuple[int, int], now: int) -> list[Budget]:
    return [_budget(objective, line, period, now) for objective, line in zip(slo.objectives, lines, strict=True)]


def consumed_of(slo: Slo, found: Sequence[Budget]) -> Fraction | None:
    """Which part of the budget is used, 1 is all of it; None while no objective has a known one."""
    parts = [
        budget.counts.bad / budget.allowed * weight_of(objective.weight) if budget.counts.bad else _NOTHING
        for objective, budget in zip(slo.objectives, found, strict=True)
        if budget.allowed
    ]
    return sum(parts[1:], parts[0]) if parts else None


@cache
def allowed_of(target: Decimal) -> Fraction:
    return 1 - Fraction(target)


@cache
def weight_of(weight: Decimal) -> Fraction:
    return Fraction(weight)


def chance(bad: int, total: int, allowed: Fraction) -> Fraction:
    """That at least bad of total events are bad, if each is so with probability allowed: the binomial tail, exactly."""
    kept = 1 - allowed
    return sum(
        (comb(total, each) * allowed**each * kept ** (total - each) for each in range(bad, total + 1)), Fraction(0)
    )


def _burns(slo: Slo, counts: Sequence[Counts], factor: Fraction) -> bool:
    if len(counts) == 1:
        (each,), (objective,) = counts, slo.objectives
        if not each.bad:
            return False
        part, whole = _limit(objective.target, factor)
        return each.bad * whole > part * each.total
    reach = sum(
        (_nearly_all(each.target) / allowed_of(each.target) * weight_of(each.weight) for each in slo.objectives),
        _NOTHING,
    )
    return burn_rate(slo, counts) > min(factor, reach)


@cache
def _limit(target: Decimal, factor: Fraction) -> tuple[int, int]:
    """The share of bad events above which it burns factor times too fast, as a ratio of whole numbers."""
    return min(factor * allowed_of(target), _nearly_all(target)).as_integer_ratio()


def _nearly_all(target: Decimal) -> Fraction:
    return max(_NEARLY_ALL, (1 + allowed_of(target)) / 2)


def _too_many(slo: Slo, lines: Sequence[Line], since: int, limit: Fraction, most: int) -> Few | None:
    for place, (objective, line) in enumerate(zip(slo.objectives, lines, strict=True)):
        found = _rows(line, since, most)
        for bad, total in found:
            if chance(bad, total, allowed_of(objective.target)) * len(found) <= limit:
                return Few(place, bad, total)
    return None


def _rows(line: Line, since: int, most: int) -> list[tuple[int, int]]:
    """(bad, total) of the newest events, from each bad one on, the first aside; none once the newest went well."""
    found: list[tuple[int, int]] = []
    bad = total = Fraction(0)
    for event in line.newest(since):
        bad, total = bad + event.counts.bad, total + event.counts.total
        if not bad or total > most:
            break
        if event.counts.bad and bad >= 2:
            found.append((int(bad), int(total)))
    return found


def _budget(objective: Objective, line: Line, period: tuple[int, int], now: int) -> Budget:
    since, length = period
    counts = line.within(since, now + 1)
    span = line.span_within(since, now + 1)
    if counts.total < 2 or not span:
        return Budget(counts, None, None)
    events = max(int(counts.total), round(length * (int(counts.total) - 1) / span))
    return Budget(counts, events, events * allowed_of(objective.target))
