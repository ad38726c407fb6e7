"""SLOs that can be read and make no sense: that allow everything, or so little that the first bad run is too many.

What can be known only from what comes in, such as a pipeline that is misspelt, is said where the SLO stands.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import islice

from rules.schedules.declared import Schedule, timetable
from rules.slo.burn import allowed_of
from rules.slo.words import number, target_words
from watchtower.model.rule import Rule
from watchtower.model.slo import Objective, Slo

_COUNTED = 1_000  # starts of a period; no declared target is that demanding beyond them


def doubts(slos: Iterable[Slo], rules: Iterable[Rule], now: datetime) -> Iterator[tuple[str, str]]:
    """(what is doubtful, what to do). rules: of the file; from them it is known how often a pipeline runs."""
    schedules = _schedules(rules)
    for slo in slos:
        for objective in slo.objectives:
            if objective.target == 0:
                yield f"SLO {slo.name}: a target of 0 % allows everything, so nothing ever alerts", "write more"
        if not slo.is_composite:
            (objective,) = slo.objectives
            schedule = schedules.get(_pipeline(objective) or "")
            if schedule and objective.indicator.sli.of_runs and not objective.slice_minutes:
                yield from _of_few(slo, objective, schedule, now)


def _of_few(slo: Slo, objective: Objective, schedule: Schedule, now: datetime) -> Iterator[tuple[str, str]]:
    count = _starts(schedule, now, slo.period.seconds)
    allowed = count * allowed_of(objective.target)
    who = f"SLO {slo.name} ({target_words(slo)})"
    runs = f"{count} {'run' if count == 1 else 'runs'} ({schedule.describe()})"
    if count < 2:
        yield (
            f"{who}: it sees {runs} in that time, so nothing can be said of its budget",
            f"write a longer period than {slo.period}",
        )
    elif allowed < 1 and objective.target > 0:
        yield (
            f"{who}: of {runs} it allows {number(allowed)} to be bad, so the first one is too many",
            f"write target: {_kept(count)} or less, or a longer period",
        )


def _kept(count: int) -> str:
    """The highest target in whole percent that allows one bad run of so many."""
    return f"{int(Fraction(100 * (count - 1), count)) / 100:g}"


def _starts(schedule: Schedule, now: datetime, seconds: int) -> int:
    return sum(1 for _ in islice(_until(schedule, now, now + timedelta(seconds=seconds)), _COUNTED))


def _until(schedule: Schedule, moment: datetime, end: datetime) -> Iterator[datetime]:
    following = schedule.after(moment)
    while following is not None and following <= end:
        yield following
        following = schedule.after(following)


def _schedules(rules: Iterable[Rule]) -> dict[str, Schedule]:
    """By the exact name of a pipeline, as rules about missing runs have them."""
    found: dict[str, Schedule] = {}
    for rule in rules:
        named = [matcher.value for matcher in rule.matchers if matcher.name == "pipeline" and matcher.op == "="]
        written = getattr(rule.options, "schedule", None)
        if rule.kind == "missing_run" and named and written:
            found[named[0]] = timetable(written, rule.options.timezone or "UTC")
    return found


def _pipeline(objective: Objective) -> str | None:
    """The one pipeline whose runs are counted; None for tasks, and for several."""
    matchers = objective.indicator.matchers
    if any(matcher.name == "task" for matcher in matchers):
        return None
    return next((each.value for each in matchers if each.name == "pipeline" and each.op == "="), None)
