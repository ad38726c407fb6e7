"""Made series of pipelines by the hour, and the faults in them; labelled ones of real pipelines could not be had.

Four natures: rows loaded (night and day, weekdays, growth), seconds that a job takes (long tails, month ends), what an
hour costs (slow waves, few surprises), seconds in the queue (mostly nothing, bursts). On top of what belongs to them
come new levels, drifts, holes and days that are missing; none of that is a fault. Faults are those that people are
called for, some of them small. All of it follows from the seed.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

HOUR = timedelta(hours=1)
DAYS = 182
FIRST_FAULT = 35  # days: five weeks to learn from
APART = 14  # days, about, from one fault to the next
LEVELS = 2  # new levels in a series, on average
SETTLING = 24  # hours after a new level in which an alarm is neither right nor wrong
START = datetime(2026, 1, 5)  # noqa: DTZ001 - the clock that people live by has no zone; a Monday

Nature = Literal["rows", "duration", "cost", "queue"]
NATURES: tuple[Nature, ...] = ("rows", "duration", "cost", "queue")
FAULTS: dict[Nature, tuple[str, ...]] = {
    "rows": ("spike", "drop", "loss", "stuck", "quiet day", "shifted", "scattered"),
    "duration": ("spike", "slow", "creeping", "fast", "scattered"),
    "cost": ("spike", "slow", "creeping", "drop", "stuck"),
    "queue": ("spike", "slow", "creeping"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """first and last: rows, both within it."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Made:
    """settling: (first, last) rows in which an alarm is neither right nor wrong."""

    nature: Nature
    moments: Sequence[datetime]
    values: Sequence[float]
    faults: Sequence[Fault]
    settling: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Hour:
    """One hour of what is to become a series. usual: without chance, as the clock and the level have it."""

    at: datetime
    usual: float
    value: float


def make(seed: int) -> Made:
    """Natures follow one another by the seed."""
    dice = random.Random(f"made {seed}")
    nature = NATURES[seed % len(NATURES)]
    hours, levels = _healthy(nature, dice)
    faults = _faults(nature, dice, levels)
    values = [hour.value for hour in hours]
    for fault in faults:
        _break(fault, hours, values, dice)
    gone = _missing(dice, faults)
    kept = [place for place in range(len(hours)) if place not in gone]
    row = {place: number for number, place in enumerate(kept)}
    return Made(
        nature,
        [hours[place].at for place in kept],
        [round(max(0.0, values[place]), 3) for place in kept],
        [Fault(fault.kind, row[fault.first], row[fault.last]) for fault in faults],
        [_rows(row, level, level + SETTLING) for level in levels],
    )


def _rows(row: dict[int, int], first: int, last: int) -> tuple[int, int]:
    """Of what is left of those hours."""
    left = [row[place] for place in range(first, last + 1) if place in row]
    return (left[0], left[-1]) if left else (0, -1)


# -- what belongs to a series -------------------------------------------------------------------------------------


def _healthy(nature: Nature, dice: random.Random) -> tuple[list[_Hour], list[int]]:
    """And the hours at which its level changed for good."""
    usual_at, chance = _SHAPES[nature](dice)
    drift = dice.choice((0.0, 0.0, dice.uniform(-0.001, 0.003)))  # a day
    levels = sorted(dice.sample(range(24 * FIRST_FAULT, 24 * DAYS), dice.randint(0, 2 * LEVELS)))
    level, hours = 10 ** dice.uniform(0.5, 4), list[_Hour]()
    for place in range(24 * DAYS):
        if place in levels:
            level *= dice.choice((0.6, 0.75, 1.35, 1.7))
        at = START + place * HOUR
        usual = level * (1 + drift) ** (place / 24) * usual_at(at)
        hours.append(_Hour(at, usual, usual * chance()))
    return hours, levels


def _rows_loaded(dice: random.Random) -> tuple[Callable[[datetime], float], Callable[[], float]]:
    peak, width, night = dice.uniform(10, 16), dice.uniform(3, 5), dice.uniform(0.05, 0.4)
    weekend, turn = dice.choice((1.0, dice.uniform(0.3, 0.8))), dice.choice((1.0, dice.uniform(1.2, 1.8)))

    def usual(at: datetime) -> float:
        away = min((at.hour - peak) % 24, (peak - at.hour) % 24)
        day = night + (1 - night) * math.exp(-((away / width) ** 2) / 2)
        return day * (weekend if at.weekday() >= 5 else 1.0) * (turn if _is_turn(at) else 1.0)

    return usual, _lognormal(dice, dice.uniform(0.03, 0.15))


def _seconds(dice: random.Random) -> tuple[Callable[[datetime], float], Callable[[], float]]:
    busy, turn = dice.choice((1.0, dice.uniform(1.1, 1.8))), dice.choice((1.0, dice.uniform(1.2, 2.0)))
    nightly = dice.choice((1.0, dice.uniform(1.5, 3.0)))  # the one run a night that does more
    small, tail = _lognormal(dice, dice.uniform(0.05, 0.15)), dice.uniform(0.0, 0.02)

    def usual(at: datetime) -> float:
        hour = nightly if at.hour == 2 else busy if 8 <= at.hour < 18 else 1.0
        return hour * (turn if _is_turn(at) else 1.0)

    return usual, lambda: small() * (1 + dice.expovariate(2.0) if dice.random() < tail else 1.0)


def _cost(dice: random.Random) -> tuple[Callable[[datetime], float], Callable[[], float]]:
    weekend, waves = dice.choice((1.0, dice.uniform(0.5, 0.9))), dice.uniform(0.01, 0.04)
    small, wave = _lognormal(dice, dice.uniform(0.01, 0.05)), [0.0]

    def chance() -> float:
        wave[0] = 0.97 * wave[0] + dice.gauss(0, waves)
        return math.exp(wave[0]) * small()

    return lambda at: (weekend if at.weekday() >= 5 else 1.0) * (1.15 if 6 <= at.hour < 20 else 1.0), chance


def _queue(dice: random.Random) -> tuple[Callable[[datetime], float], Callable[[], float]]:
    rush, often = dice.uniform(1.0, 5.0), dice.uniform(0.01, 0.06)
    return (
        lambda at: rush if at.hour in (0, 6) else 1.0,
        lambda: dice.expovariate(1.0) * (dice.uniform(3, 10) if dice.random() < often else 1.0),
    )


_SHAPES: dict[Nature, Callable[[random.Random], tuple[Callable[[datetime], float], Callable[[], float]]]] = {
    "rows": _rows_loaded,
    "duration": _seconds,
    "cost": _cost,
    "queue": _queue,
}


def _lognormal(dice: random.Random, spread: float) -> Callable[[], float]:
    return lambda: math.exp(dice.gauss(0, spread))


def _is_turn(at: datetime) -> bool:
    return (at + timedelta(days=1)).month != at.month


def _missing(dice: random.Random, faults: Sequence[Fault]) -> set[int]:
    """Hours and a day of which nothing was told, none in a fault."""
    gone = {dice.randrange(24 * DAYS) for _ in range(20)}
    for _ in range(dice.randint(0, 2)):
        day = dice.randrange(DAYS)
        gone |= set(range(24 * day, 24 * day + 24))
    return gone - {hour for fault in faults for hour in range(fault.first, fault.last + 1)}


# -- what breaks --------------------------------------------------------------------------------------------------

_HOURS: dict[str, tuple[int, int]] = {  # from which to which a fault of that kind lasts
    "spike": (1, 3),
    "drop": (2, 8),
    "loss": (6, 24),
    "stuck": (12, 36),
    "quiet day": (24, 24),
    "shifted": (24, 24),
    "scattered": (18, 48),
    "slow": (8, 48),
    "fast": (4, 24),
    "creeping": (48, 96),
}


def _faults(nature: Nature, dice: random.Random, levels: Sequence[int]) -> list[Fault]:
    """None near a new level, where nobody could say which of them an alarm was about."""
    found: list[Fault] = []
    day = FIRST_FAULT + dice.randint(0, APART)
    while day < DAYS - 5:
        kind = dice.choice(FAULTS[nature])
        whole = kind in ("quiet day", "shifted")
        while whole and (START + timedelta(days=day)).weekday() >= 5:
            day += 1
        first = 24 * day + (0 if whole else dice.randrange(24))
        last = first + dice.randint(*_HOURS[kind]) - 1
        if last < 24 * DAYS and not any(first - 4 * 24 <= level <= last + 24 for level in levels):
            found.append(Fault(kind, first, last))
        day += dice.randint(APART - 3, APART + 3)
    return found


def _break(fault: Fault, hours: Sequence[_Hour], values: list[float], dice: random.Random) -> None:
    rows = range(fault.first, fault.last + 1)
    much = dice.uniform(0.0, 1.0)
    match fault.kind:
        case "spike":
            times = 2 + 4 * much
            changed = [values[row] * times for row in rows]
        case "drop" | "fast":
            changed = [values[row] * 0.4 * much for row in rows]
        case "loss":
            changed = [values[row] * (0.5 + 0.25 * much) for row in rows]
        case "stuck":
            changed = [values[fault.first] for _ in rows]
        case "quiet day":
            lowest = min(hours[row].usual for row in rows)
            changed = [lowest * (1 + 0.1 * much) * values[row] / hours[row].usual for row in rows]
        case "shifted":
            changed = [values[row - 6] for row in rows]
        case "scattered":
            changed = [hours[row].usual * math.exp(dice.gauss(0, 0.3 + 0.4 * much)) for row in rows]
        case "slow":
            changed = [values[row] * (1.4 + much) for row in rows]
        case _:
            changed = [values[row] * (1 + (0.6 + 1.4 * much) * (row - fault.first) / len(rows)) for row in rows]
    values[fault.first : fault.last + 1] = changed
