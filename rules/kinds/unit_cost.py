"""What a GB, a million rows or a run costs is not what it usually costs, by the bills.

Each day of the bill is one number: what the charges of `scope` come to, by what the subject moved on that day. The
newest day that the bill has told of whole is judged by the days before it, as the kind `anomaly` judges a sample.
Bills come late and are restated, so every evaluation works all days out anew, and an alert is about the day itself,
whenever it was billed. Days without a charge, or on which nothing was moved, have no cost per unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from rules.anomaly.calendar import Seasonality
from rules.anomaly.turns import at_turn
from rules.anomaly.usual import Expectation, Range
from rules.kinds.anomaly import Direction, Sensitivity, limits
from rules.kinds.threshold import number_pair, number_words
from rules.options import Options, Share
from rules.seasons import Seen
from rules.words import iso, subject_words
from watchtower.model.business import BusinessCalendar
from watchtower.model.cost import CostMetric, CostScope
from watchtower.model.rule import DatasetSnapshot, Evaluation, JobSnapshot, Rule, Snapshot, Violation
from watchtower.model.spent import Asked, Per, Spent, end_of

LOOKS_EVERY = timedelta(hours=1)  # nothing that a bill brings wakes a job
OLD = timedelta(days=7)  # a day that was billed later than so is history
_NOON = time(12)  # no zone has another weekday then


class ScopeOptions(Options):
    """As that of a budget."""

    tag: dict[str, str] = Field(default={}, description="tags that a charge must have, key and value exactly")
    service: str | None = Field(default=None, description="exact name of the service on the bill")
    account: str | None = Field(default=None, description="the account (subscription, project) that is charged")
    source: str | None = Field(default=None, description="name of the bill's source")


class UnitCostConfig(Options):
    per: Per = Field(description="of what the cost is looked at: gb, million_rows or run")
    scope: ScopeOptions = Field(description="which charges are its own: tag, service, account, source, as of a budget")
    metric: CostMetric = Field(default=CostMetric.BILLED, description="billed, effective or list")
    of: Literal["job", "dataset"] = Field(
        default="job", description="what is watched: what jobs write and run, or what is written to datasets"
    )
    direction: Direction = Field(default="up", description="which side is wrong: up, down or both")
    sensitivity: Sensitivity = Field(
        default="medium", description="how far out a value must be: 5, 3.5 or 2.5 usual deviations"
    )
    min_samples: int = Field(default=10, ge=5, le=100, description="before so many days the rule is learning")
    min_change: Share = Field(
        default=Decimal("0.2"), description="a difference of less than this share of what is expected is nothing"
    )
    min_difference: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="nor is one of less than this, in the currency of the bill"
    )
    seasonality: Seasonality = Field(
        default="auto", description="compare with the same weekday, the turn of a month and holidays, where they differ"
    )

    @model_validator(mode="after")
    def _fits(self) -> "UnitCostConfig":
        if self.of == "dataset" and self.per is Per.RUN:
            raise ValueError("a dataset has no runs; write per: gb or million_rows, or of: job")
        return self

    @property
    def subject(self) -> str:
        return self.of

    @property
    def asked(self) -> Asked:
        scope = CostScope(self.scope.tag, self.scope.service, self.scope.account, self.scope.source)
        return Asked(scope, self.metric, self.per)


class UnitCost:
    kind: ClassVar[str] = "unit_cost"
    subject: ClassVar[str] = "job"
    clears: ClassVar[str] = "a later day costs as much per unit as usual, or the bill of the day is restated"
    Config: ClassVar[type[UnitCostConfig]] = UnitCostConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        options: UnitCostConfig = rule.options
        if not isinstance(snapshot, JobSnapshot | DatasetSnapshot):
            return Evaluation()
        next_at = now.replace(minute=0, second=0, microsecond=0) + LOOKS_EVERY
        spent = snapshot.spent.get(options.asked)
        if spent is None:
            return Evaluation(learning="no bill yet", next_at=next_at)
        if spent.bill.problem:
            return Evaluation(unknown=spent.bill.problem, next_at=next_at)
        judged = judged_days(options, spent, _calendar(snapshot))
        if not judged or judged[-1].expected is None:
            return Evaluation(learning=_progress(options, spent, len(judged)), next_at=next_at)
        wrong = _streak(options, judged)
        if not wrong:
            newest = judged[-1]
            return Evaluation(next_at=next_at, resolution={"day": newest.day.isoformat(), "value": newest.value})
        return Evaluation((_violation(options, snapshot, spent, wrong),), next_at)

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        options: UnitCostConfig = rule.options
        what = f"{subject_words(snapshot)}: a {options.per.words} must cost"
        if not isinstance(snapshot, JobSnapshot | DatasetSnapshot):
            return f"{what} what it usually does."
        spent = snapshot.spent.get(options.asked)
        judged = judged_days(options, spent, _calendar(snapshot)) if spent else []
        newest = judged[-1] if judged else None
        if spent is None or newest is None or newest.expected is None:
            progress = _progress(options, spent, len(judged)) if spent else "no bill yet"
            return f"{what} what it usually does; that is being learned ({progress})."
        expected = newest.expected
        low, high = limits(options, expected)
        sides = {"up": f"at most {_money(high, spent)}", "down": f"at least {_money(low, spent)}"}
        said = sides.get(options.direction, f"{_money(low, spent)} to {_money(high, spent)}")
        seen = f"the newest day of the bill, {newest.day}: {_money(newest.value, spent)}"
        return f"{what} {said} ({seen}; learned from {expected.count} days before)."


@dataclass(frozen=True, slots=True)
class Day:
    """expected: by the days before it; None: they are too few."""

    day: date
    value: float
    expected: Range | None


def judged_days(options: UnitCostConfig, spent: Spent, calendar: BusinessCalendar | None = None) -> list[Day]:
    """Oldest first."""
    seen: list[Seen] = []
    expectation = Expectation(options.seasonality, options.min_samples)
    judged: list[Day] = []
    for day, value in spent.by_day(options.per):
        at = datetime.combine(day, _NOON)
        expected = expectation.range(at)
        if expected and options.seasonality == "auto":
            expected = at_turn(expected, at, seen, calendar)
        judged.append(Day(day, value, expected))
        seen.append(Seen(at, value))
        expectation.see(at, value)
    return judged


def _calendar(snapshot: JobSnapshot | DatasetSnapshot) -> BusinessCalendar | None:
    return snapshot.calendar if isinstance(snapshot, JobSnapshot) else None


def _streak(options: UnitCostConfig, judged: Sequence[Day]) -> list[Day]:
    """The newest days in a row that are out of their ranges, oldest first."""
    start = len(judged)
    while start and _is_out(options, judged[start - 1]):
        start -= 1
    return list(judged[start:])


def _is_out(options: UnitCostConfig, one: Day) -> bool:
    if one.expected is None:
        return False
    low, high = limits(options, one.expected)
    return (options.direction != "down" and one.value > high) or (options.direction != "up" and one.value < low)


def _progress(options: UnitCostConfig, spent: Spent, days: int) -> str:
    """Why nothing is known yet: what is missing."""
    if spent.bill.covered_until is None:
        return "no bill yet"
    if not spent.costs:
        return "no charge of the bill meets its scope"
    if not spent.moved:
        told = {Per.GB: "bytes that were written", Per.MILLION_ROWS: "rows that were written", Per.RUN: "runs"}
        return f"no {told[options.per]} were told on the days of the bill"
    return f"{days} of {options.min_samples} days with a charge and something to divide it by"


def _violation(
    options: UnitCostConfig, snapshot: JobSnapshot | DatasetSnapshot, spent: Spent, wrong: Sequence[Day]
) -> Violation:
    newest, expected = wrong[-1], wrong[-1].expected
    assert expected is not None
    low, high = limits(options, expected)
    is_high = newest.value > expected.middle
    shown, limit = number_pair(newest.value, high if is_high else low, spent.currency)
    since = end_of(wrong[0].day)
    evidence: dict[str, Any] = {
        "day": newest.day.isoformat(),
        "per": options.per.value,
        "value": newest.value,
        "currency": spent.currency,
        "cost": f"{spent.costs[newest.day]:f}",
        "moved": spent.moved[newest.day],
        "expected_low": low,
        "expected_high": high,
        "usual": expected.middle,
        "learned_from": expected.count,
        "seasonality": expected.pattern,
        "in_a_row": len(wrong),
        "bill_until": iso(spent.bill.covered_until),
        "since": iso(since),
    }
    side = "above" if is_high else "below"
    loaded = spent.bill.loaded_at
    return Violation(
        since=since,
        summary=f"{subject_words(snapshot)}: a {options.per.words} cost {shown} on {newest.day}, {side} the {limit} "
        "that is usual",
        value=newest.value,
        evidence={name: said for name, said in evidence.items() if said is not None},
        historical=loaded is not None and loaded > end_of(newest.day) + OLD,
    )


def _money(value: float, spent: Spent) -> str:
    return number_words(value, spent.currency)
