"""The windows are those that the SRE workbook and Sloth publish, to the digit; other periods are fitted to them."""

from fractions import Fraction
from typing import Any

import pytest

from rules.slo.windows import Share, Step, share_of, steps_of, tables
from tests.rules.objectives import slo
from watchtower.model.alert import Severity
from watchtower.model.duration import parse_duration
from watchtower.model.slo import Period

# slok/sloth, internal/alert/windows/google-30d.yaml and google-28d.yaml, and examples/windows/7d.yaml:
# (errorBudgetPercent, shortWindow, longWindow) of page quick, page slow, ticket quick and ticket slow.
GOOGLE = [("2", "5m", "1h"), ("5", "30m", "6h"), ("10", "2h", "1d"), ("10", "6h", "3d")]
WEEK = [("8", "5m", "1h"), ("12.5", "30m", "6h"), ("20", "2h", "1d"), ("42", "6h", "3d")]
SLOTH = {"30d": GOOGLE, "28d": GOOGLE, "7d": WEEK}
SEVERITIES = [Severity.PAGE, Severity.PAGE, Severity.TICKET, Severity.TICKET]


@pytest.mark.parametrize("period", SLOTH)
def test_the_shipped_tables_are_those_of_sloth(period: str) -> None:
    shares = tables().by_period_s[round(parse_duration(period))]
    expected = [
        (severity, Fraction(budget) / 100, parse_duration(short), parse_duration(long))
        for severity, (budget, short, long) in zip(SEVERITIES, SLOTH[period], strict=True)
    ]
    assert [(each.severity, each.budget, each.short_s, each.long_s) for each in shares] == expected


@pytest.mark.parametrize(
    ("period", "factors"),
    [
        (Period(30, "d"), ["14.4", "6", "3", "1"]),
        (Period(28, "d"), ["13.44", "5.6", "2.8", "14/15"]),
        (Period(4, "w"), ["13.44", "5.6", "2.8", "14/15"]),
        (Period(7, "d"), ["13.44", "3.5", "1.4", "0.98"]),
        (Period(90, "d"), ["43.2", "18", "9", "3"]),
        (Period(1, "M", "Europe/Berlin"), ["14.4", "6", "3", "1"]),
        (Period(1, "Q", "UTC"), ["43.2", "18", "9", "3"]),
    ],
)
def test_the_factor_is_the_share_of_the_budget_over_the_share_of_the_period(period: Period, factors: list[str]) -> None:
    assert [step.factor for step in steps_of(slo(period=period))] == [Fraction(each) for each in factors]


def test_a_shorter_period_shrinks_the_windows_and_keeps_the_factors() -> None:
    steps = steps_of(slo(period=Period(3, "d")))
    assert [(step.long, step.short) for step in steps] == [(6, 1), (36, 3), (144, 12), (432, 36)]
    assert [step.factor for step in steps] == [Fraction("14.4"), 6, 3, 1]


def test_every_step_says_what_follows() -> None:
    assert all(share.consequence for shares in tables().by_period_s.values() for share in shares)
    assert tables().exhausted


def test_a_table_of_ones_own_takes_the_place_of_the_shipped_one() -> None:
    own: dict[str, Any] = {"name": "only", "severity": "ticket", "budget": 5, "short": "1h", "long": "12h"}
    (step,) = steps_of(slo(), [share_of(own)])
    assert step == Step("only", Severity.TICKET, Fraction(3), 720, 60)
    assert isinstance(share_of(own), Share)
