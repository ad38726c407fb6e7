"""Slices of a composite: one is bad once if it is bad for any of the objectives, whatever their number (OpenSLO).

Each slice in which anything happened is one of every objective. Where it is bad it is bad for the one that it costs
most, and good for the others, so that the burn rates still add up.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from rules.slo.timeline import SlicedDay, Timeline, corrected, slices_of
from watchtower.model.slo import Budgeting, Correction, Counted, Fresh, Objective, Slo
from watchtower.model.slo_days import DAY


def are_joined(slo: Slo, parts: Sequence[Counted | Fresh]) -> bool:
    """Slices of different lengths have nothing in common that could be bad once."""
    return (
        slo.is_composite
        and slo.budgeting is Budgeting.TIMESLICES
        and len({objective.slice_minutes for objective in slo.objectives}) == 1
        and all(isinstance(part, Counted) for part in parts)
    )


def joined(slo: Slo, parts: Sequence[Counted], corrections: Sequence[Correction]) -> list[Timeline]:
    """In the order of the objectives."""
    bad = [_bad(objective, part, corrections) for objective, part in zip(slo.objectives, parts, strict=True)]
    dearest = sorted(range(len(bad)), key=lambda place: _cost(slo.objectives[place]), reverse=True)
    by_day: list[dict[int, list[tuple[int, int, int]]]] = [{} for _ in bad]
    for begin in sorted(set[int]().union(*bad)):
        bearer = next((place for place in dearest if bad[place].get(begin)), None)
        for place, days in enumerate(by_day):
            entry = (begin % DAY, int(place != bearer), int(place == bearer))
            days.setdefault(begin // DAY, []).append(entry)
    return [Timeline(_day(number, some) for number, some in days.items()) for days in by_day]


def _day(number: int, entries: Sequence[tuple[int, int, int]]) -> SlicedDay:
    minutes, good, bad = zip(*entries, strict=True)
    return SlicedDay(number, (minutes, good, bad))


def _bad(objective: Objective, part: Counted, corrections: Sequence[Correction]) -> Mapping[int, bool]:
    """Of each slice that saw an event, by its first minute."""
    found, wanted = slices_of(corrected(part.days, corrections), objective), Fraction(objective.slice_target)
    return {begin: Fraction(good, good + bad) < wanted for begin, (good, bad) in found.items()}


def _cost(objective: Objective) -> Fraction:
    """Of a bad slice."""
    return Fraction(objective.weight) / (1 - Fraction(objective.target))
