"""Builders of SLOs and of what was counted of them. Minutes are counted back from NOW, a whole hour."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from rules.kinds.slo import SloBurn
from watchtower.model.alert import Alert, AlertState
from watchtower.model.labels import Matcher, fingerprint
from watchtower.model.rule import Rule, SloSnapshot, SubjectKey, Violation
from watchtower.model.slo import Correction, Counted, Indicator, Objective, Period, Sli, Slo, minute_of
from watchtower.model.slo_days import days_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH = Period(30, "d")
SLO_BURN = SloBurn()
RULE = Rule("SloBurn", "slo", SLO_BURN.Config())


def indicator(name: str = "orders-runs", sli: Sli = Sli.SUCCESS, **said: Any) -> Indicator:
    return Indicator(name, sli, (Matcher("pipeline", "=", "orders_daily"),), **said)


def objective(target: str, **said: Any) -> Objective:
    return Objective(Decimal(target), said.pop("indicator", indicator()), **said)


def slo(target: str = "0.999", **said: Any) -> Slo:
    made: dict[str, Any] = {"name": "orders", "period": MONTH, "objectives": (objective(target),)}
    return Slo(**(made | said))


def counted(events: Mapping[int, tuple[int, int]]) -> Counted:
    """events: minutes before NOW → (good, bad)."""
    base = minute_of(NOW)
    return Counted(days_of({base - ago: each for ago, each in events.items()}))


def steady(every: int, days: float, good: int = 1) -> dict[int, tuple[int, int]]:
    """A good event each so many minutes, for days up to now."""
    return dict.fromkeys(range(0, int(days * 1_440), every), (good, 0))


def failing(events: Mapping[int, tuple[int, int]], ago: Iterable[int]) -> dict[int, tuple[int, int]]:
    """events, those of the minutes ago bad instead."""
    made = dict(events)
    for minute in ago:
        made[minute] = (0, sum(made.get(minute, (0, 1))))
    return made


def of_slo(
    events: Mapping[int, tuple[int, int]],
    *,
    slo: Slo | None = None,
    more: Sequence[Mapping[int, tuple[int, int]]] = (),
    corrections: Sequence[Correction] = (),
    alerts: Sequence[Alert] = (),
) -> SloSnapshot:
    """more: events of the further objectives."""
    of = slo or globals()["slo"]()
    parts = tuple(counted(each) for each in (events, *more))
    return SloSnapshot(SubjectKey("slo", of.name), of, parts, tuple(corrections), tuple(alerts))


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def alert_of(violation: Violation) -> Alert:
    labels = {"alertname": "SloBurn", "kind": "slo", "slo": "orders", **violation.labels}
    since = violation.since
    return Alert(
        "a1", fingerprint(labels), "SloBurn", "slo:orders", labels, {}, AlertState.FIRING, since, starts_at=since
    )
