"""Windows over which a burn is measured: the table of `rules/slo_windows.yaml` fitted to the period of an SLO.

Sources: SRE workbook, chapter 5, table "Recommended parameters for an SLO-based alerting configuration"; Sloth's
windows for 30, 28 and 7 days, whose numbers a test compares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from watchtower.model.alert import Severity
from watchtower.model.duration import parse_duration
from watchtower.model.slo import MINUTE_S, Period, Slo

TABLES = Path(__file__).parents[1] / "slo_windows.yaml"
_MONTH_S = 28 * 86_400  # shorter periods shrink the windows


@dataclass(frozen=True, slots=True)
class Step:
    """Alerts while the budget burns more than factor times too fast, over the long window and over the short one, both
    in whole minutes."""

    name: str
    severity: Severity
    factor: Fraction
    long: int
    short: int
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A line of a table: budget, the part of it (0 to 1) that goes within the long window. Windows in seconds."""

    name: str
    severity: Severity
    budget: Fraction
    long_s: float
    short_s: float
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class Tables:
    by_period_s: dict[int, tuple[Share, ...]]
    usual: tuple[Share, ...]
    exhausted: str


def steps_of(slo: Slo, shares: Sequence[Share] | None = None) -> tuple[Step, ...]:
    """What alerts of slo: its own conditions, else shares, else the table for its period."""
    if slo.conditions is not None:
        return tuple(
            Step(
                each.name,
                each.severity,
                Fraction(each.factor),
                _minutes(each.long_s),
                _minutes(each.short_s),
                each.consequence,
            )
            for each in slo.conditions
        )
    return _fitted(slo.period, tuple(shares) if shares is not None else None)


@cache
def _fitted(period: Period, shares: tuple[Share, ...] | None) -> tuple[Step, ...]:
    """Factors by the nominal length of the period: a month of the calendar is 30 days, whichever it is."""
    known = tables()
    if shares is None:
        shares = known.by_period_s.get(period.seconds)
        if shares is None:
            shares = tuple(_shrunk(share, period) for share in known.usual)
    return tuple(_step(share, period) for share in shares)


def _shrunk(share: Share, period: Period) -> Share:
    if period.seconds >= _MONTH_S:
        return share
    part = period.seconds / (30 * 86_400)
    return replace(share, long_s=share.long_s * part, short_s=share.short_s * part)


def _step(share: Share, period: Period) -> Step:
    long, short = _minutes(share.long_s), _minutes(share.short_s)
    factor = share.budget * period.seconds / Fraction(share.long_s)
    return Step(share.name, share.severity, factor, long, short, share.consequence)


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / MINUTE_S))


@cache
def tables() -> Tables:
    given = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    by_period: dict[int, tuple[Share, ...]] = {}
    for table in given["tables"].values():
        shares = tuple(share_of(step) for step in table["steps"])
        by_period |= {round(parse_duration(period)): shares for period in table["periods"]}
    return Tables(by_period, by_period[30 * 86_400], given["exhausted"]["consequence"])


def share_of(step: dict[str, Any]) -> Share:
    """A step as a table has it: `budget` in percent."""
    return Share(
        name=step["name"],
        severity=Severity(step["severity"]),
        budget=Fraction(str(step["budget"])) / 100,
        long_s=parse_duration(step["long"]),
        short_s=parse_duration(step["short"]),
        consequence=step.get("consequence", ""),
    )
