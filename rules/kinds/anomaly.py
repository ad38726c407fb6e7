"""A number is not where its own past puts it: too high, too low, or either, without a limit that somebody must know.

What is expected is worked out as `watchtower anomalies` does (rules.anomaly.usual), from the newest samples of the
series alone, so that an evaluation costs the same however long the history is. A difference must be unusual and large:
`min_change` and `min_difference` keep a very steady series from alarming about nothing. The baseline leaves out the
sample that is judged. After a change of the job (a deploy) it is learned anew, or allowed to be wider for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import Field

from rules.anomaly.calendar import Seasonality
from rules.anomaly.turns import at_turn
from rules.anomaly.usual import NEARLY, Expectation, Range, comes_often
from rules.changes import ChangeOptions
from rules.kinds.threshold import number_pair, number_words
from rules.options import Calendar, SeriesOptions, Share, Zone
from rules.schedules.zones import known_zone, zone
from rules.seasons import Seen
from rules.words import iso, subject_words
from watchtower.model.business import BusinessCalendar
from watchtower.model.rule import Evaluation, Rule, SeriesSnapshot, Snapshot, Violation
from watchtower.model.series import Sample, SeriesKind

Direction = Literal["both", "up", "down"]
Sensitivity = Literal["low", "medium", "high"]

SIGMAS = {"low": 5.0, "medium": 3.5, "high": 2.5}
WIDER = 2.0  # times as wide is the range that holds for the first samples after a change
FIRST = 10  # samples after a change in which it does
COMMON = 0.01  # of the samples before: what more of them were nearly as far out as is an anomaly for its hour at most
_WHEN = {"hour": "at this time of day", "weekday": "at this time on this weekday"}
WEEKEND = 5  # the weekday that it begins on, where no calendar says otherwise; Monday is 0
_LONGEST_STREAK = 50  # samples that are looked back for the first one that is out of its range


class AnomalyConfig(SeriesOptions, ChangeOptions):
    direction: Direction = Field(default="both", description="which side is wrong")
    sensitivity: Sensitivity = Field(
        default="medium", description="how far out a value must be: 5, 3.5 or 2.5 usual deviations"
    )
    min_samples: int = Field(default=10, ge=5, le=400, description="before so many the rule is learning")
    min_change: Share = Field(
        default=Decimal("0.2"), description="a difference of less than this share of what is expected is nothing"
    )
    min_difference: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="nor is one of less than this, in the unit of the series"
    )
    seasonality: Seasonality = Field(default="auto", description="compare with the same hour, or the same weekday too")
    after: Literal["restart", "widen", "ignore"] = Field(
        default="widen", description="what a change does: learn anew, twice as wide for ten samples, nothing"
    )
    timezone: Zone | None = Field(default=None, description="by whose clock hours and weekdays go; else the job's")
    calendar: Calendar = Field(
        default=None, description="whose days without business are compared apart; else the job's"
    )


class Anomaly:
    kind: ClassVar[str] = "anomaly"
    subject: ClassVar[str] = "series"
    Config: ClassVar[type[AnomalyConfig]] = AnomalyConfig
    clears: ClassVar[str] = "the number is back where its past puts it"

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        options: AnomalyConfig = rule.options
        if not isinstance(snapshot, SeriesSnapshot) or snapshot.series.ref.name != options.series:
            return Evaluation()
        next_at = min((sample.at for sample in snapshot.samples if sample.at > now), default=None)
        points = points_of(snapshot, now)
        if not points:
            return Evaluation(next_at=next_at)
        judged, residuals = _judged(options, snapshot, points)
        newest = judged[-1]
        if newest.expected is None:
            return Evaluation(learning=f"{newest.learned} of {options.min_samples} samples", next_at=next_at)
        streak = _streak(options, judged)
        before = _before(options, points, streak, newest)
        if streak and _is_first_day_off(options, snapshot, points, streak):
            return Evaluation(learning="the first day without business that it sees", next_at=next_at)
        if not streak or _is_common(points, residuals, streak, before, newest):
            return Evaluation(next_at=next_at, resolution={"value": newest.value})
        return Evaluation((_violation(options, snapshot, streak, before),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: AnomalyConfig = rule.options
        side = {"both": "as usual", "up": "no higher than usual", "down": "no lower than usual"}[options.direction]
        if not isinstance(snapshot, SeriesSnapshot):
            return f"{options.series} must be {side}."
        points = points_of(snapshot, None)
        expected = _judged(options, snapshot, points)[0][-1].expected if points else None
        who = subject_words(snapshot)
        if expected is None:
            return f"{who} must be {side}; what is usual is being learned."
        return f"{who} must be {side}: {_range_words(options, expected, snapshot.series.unit)}."


@dataclass(frozen=True, slots=True)
class Point:
    at: datetime
    value: float
    sample: Sample


@dataclass(frozen=True, slots=True)
class Judged:
    """A point and what was expected of it; learned: from how many samples. wider: after a change."""

    point: Point
    expected: Range | None
    learned: int
    wider: float = 1.0

    @property
    def value(self) -> float:
        return self.point.value

    def is_out(self, options: AnomalyConfig) -> bool:
        if self.expected is None:
            return False
        low, high = limits(options, self.expected, self.wider)
        return (options.direction != "down" and self.value > high) or (options.direction != "up" and self.value < low)


class Reach(Protocol):
    """Of options: how far out a value must be."""

    @property
    def sensitivity(self) -> Sensitivity: ...
    @property
    def min_change(self) -> Decimal: ...
    @property
    def min_difference(self) -> float | None: ...


def limits(options: Reach, expected: Range, wider: float = 1.0) -> tuple[float, float]:
    """Between which values nothing is wrong."""
    unusual = SIGMAS[options.sensitivity] * expected.sigma
    reach = wider * max(unusual, float(options.min_change) * abs(expected.middle), options.min_difference or 0.0)
    return expected.middle - reach, expected.middle + reach


def points_of(snapshot: SeriesSnapshot, now: datetime | None) -> list[Point]:
    """Oldest first, without those that are still to come. A counter is looked at by what it grew from one sample to the
    next; where it began anew, nothing is known of that."""
    told = [sample for sample in reversed(snapshot.samples) if now is None or sample.at <= now]
    if snapshot.series.kind is not SeriesKind.SUM or snapshot.series.is_delta:
        return [Point(sample.at, sample.value, sample) for sample in told]
    return [
        Point(after.at, after.value - before.value, after)
        for before, after in pairwise(told)
        if after.value >= before.value and after.start == before.start
    ]


def _judged(
    options: AnomalyConfig, snapshot: SeriesSnapshot, points: Sequence[Point]
) -> tuple[list[Judged], list[float | None]]:
    """The newest points that an answer can rest on, oldest first, each by those before it; and of each point what the
    calendar leaves of it."""
    clock = _clock(options, snapshot)
    expectation = Expectation(options.seasonality, options.min_samples)
    changes = sorted(change.at for change in snapshot.changes) if options.after != "ignore" else []
    calendar = options.calendar or snapshot.calendar
    judged: list[Judged] = []
    seen: list[Seen] = []
    residuals: list[float | None] = []
    learned = since_change = 0
    wider = 1.0
    for place, point in enumerate(points):
        if changes and changes[0] <= point.at:
            changes = [at for at in changes if at > point.at]
            since_change = 0
            if options.after == "restart":
                expectation.restart()
                learned = 0
            else:
                wider = WIDER
        elif since_change >= FIRST:
            wider = 1.0
        local = point.at.astimezone(clock).replace(tzinfo=None)
        if place >= len(points) - _LONGEST_STREAK:
            one = Judged(point, expectation.range(local), learned, wider)
            if options.seasonality == "auto" and one.expected and (one.is_out(options) or place == len(points) - 1):
                turned = at_turn(one.expected, local, seen[place - learned :], calendar)
                one = replace(one, expected=turned)
            judged.append(one)
        seen.append(Seen(local, point.value))
        residuals.append(expectation.see(local, point.value))
        learned, since_change = learned + 1, since_change + 1
    return judged, residuals


def _clock(options: AnomalyConfig, snapshot: SeriesSnapshot) -> ZoneInfo:
    return zone(options.timezone or known_zone(snapshot.job.timezone if snapshot.job else None))


def _is_first_day_off(
    options: AnomalyConfig, snapshot: SeriesSnapshot, points: Sequence[Point], streak: Sequence[Judged]
) -> bool:
    """Whether what is out of its range began on the first weekend day or holiday of the series: nobody knows yet what
    it is like then. A derived series is known since its job is, whatever of it is in view."""
    known = snapshot.job if snapshot.series.derived else snapshot.series
    if known is None or known.first_seen is None:
        return False
    clock, calendar = _clock(options, snapshot), options.calendar or snapshot.calendar
    day, began, today = (
        moment.astimezone(clock).date()
        for moment in (min(known.first_seen, points[0].at), streak[0].point.at, points[-1].at)
    )
    if day == today or began != today or _is_open(today, calendar):
        return False
    while day < today and _is_open(day, calendar):
        day += timedelta(days=1)
    return day == today


def _is_open(day: date, calendar: BusinessCalendar | None) -> bool:
    return calendar.is_open(day) if calendar else day.weekday() < WEEKEND


@dataclass(frozen=True, slots=True)
class Before:
    """How many of the samples before the streak that count were nearly as far out, and on which side."""

    as_far: int
    count: int
    side: str

    @property
    def share(self) -> float:
        return self.as_far / self.count if self.count else 0.0

    def words(self) -> str:
        return f"{self.as_far} of {self.count} samples before were nearly as {self.side}"


def _before(options: AnomalyConfig, points: Sequence[Point], streak: Sequence[Judged], newest: Judged) -> Before:
    earlier = points[-1 - newest.learned : len(points) - len(streak)]
    assert newest.expected is not None
    middle = newest.expected.middle
    nearly = middle + NEARLY * (newest.value - middle)
    if nearly > middle:
        return Before(sum(point.value >= nearly for point in earlier), len(earlier), "high")
    return Before(sum(point.value <= nearly for point in earlier), len(earlier), "low")


def _is_common(
    points: Sequence[Point], residuals: Sequence[float | None], streak: Sequence[Judged], before: Before, newest: Judged
) -> bool:
    """Whether so much is usual for the series after all; where hours or weekdays are compared with, by what these
    leave."""
    assert newest.expected is not None
    away: Sequence[float | None]
    match newest.expected.pattern:
        case None:
            away = [point.value - newest.expected.middle for point in points]
        case "hour" | "weekday":
            away = residuals
        case _:
            return False
    earlier = range(len(points) - 1 - newest.learned, len(points) - len(streak))
    days = [points[place].at.date() for place in earlier]
    often = comes_often(away[-1], [away[place] for place in earlier], days)
    return often or (newest.expected.pattern is None and before.share > COMMON)


def _violation(options: AnomalyConfig, snapshot: SeriesSnapshot, streak: Sequence[Judged], before: Before) -> Violation:
    newest, expected = streak[-1], streak[-1].expected
    assert expected is not None
    unit, value = snapshot.series.unit, newest.value
    low, high = limits(options, expected, newest.wider)
    evidence: dict[str, Any] = {
        "series": snapshot.series.ref.name,
        "value": value,
        "expected": _range_words(options, expected, unit, newest.wider),
        "expected_low": low,
        "expected_high": high,
        "usual": expected.middle,
        "seen_before": before.words(),
        "seasonality": expected.pattern,
        "learned_from": expected.count,
        "unit": unit,
        "in_a_row": len(streak),
        "last_sample": iso(newest.point.at),
        "since": iso(streak[0].point.at),
        ("run_id" if snapshot.series.derived else "native_run_id"): newest.point.sample.run,
    }
    shown, limit = number_pair(value, high if before.side == "high" else low, unit)
    side = "above" if before.side == "high" else "below"
    when = f" {_when(expected.pattern)}" if expected.pattern else ""
    return Violation(
        since=streak[0].point.at,
        summary=f"{subject_words(snapshot)} is {shown}, {side} the {limit} that is usual{when} ({before.words()})",
        value=value,
        evidence={name: said for name, said in evidence.items() if said is not None},
        historical=all(each.point.sample.historical for each in streak),
    )


def _when(pattern: str) -> str:
    return _WHEN.get(pattern, pattern)


def _streak(options: AnomalyConfig, judged: Sequence[Judged]) -> list[Judged]:
    """The newest points in a row that are out of their ranges, oldest first."""
    start = len(judged)
    while start and judged[start - 1].is_out(options):
        start -= 1
    return list(judged[start:])


def _range_words(options: AnomalyConfig, expected: Range, unit: str | None, wider: float = 1.0) -> str:
    """`between 90 s and 110 s`, or only the side that counts."""
    low, high = limits(options, expected, wider)
    low_words, high_words = number_pair(low, high, unit)
    pattern = f", {_when(expected.pattern)}" if expected.pattern else ""
    if options.direction == "up":
        return f"at most {number_words(high, unit)}{pattern}"
    if options.direction == "down":
        return f"at least {number_words(low, unit)}{pattern}"
    return f"between {low_words} and {high_words}{pattern}"
