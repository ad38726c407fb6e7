"""What a backtest comes to: by week and by rule. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from watchtower.model.alert import Alert, Severity
from watchtower.model.backtest import OfRule, Week
from watchtower.rehearsal.backtest import Fired, Span
from watchtower.rehearsal.stage import by_receiver

_WEEK = timedelta(days=7)


def by_week(fired: Fired, span: Span) -> list[Week]:
    """Every week of span, also those in which nothing was."""
    alerts: dict[date, int] = defaultdict(int)
    messages: dict[date, int] = defaultdict(int)
    pages: dict[date, int] = defaultdict(int)
    for alert in fired.alerts:
        alerts[monday_of(began(alert))] += 1
    for told in by_receiver(fired.told):
        messages[monday_of(told.at)] += 1
        pages[monday_of(told.at)] += told.is_page
    return [Week(week, alerts[week], messages[week], pages[week]) for week in _weeks(span)]


def by_rule(fired: Fired, span: Span) -> list[OfRule]:
    """The loudest first."""
    found: dict[str, list[Alert]] = defaultdict(list)
    for alert in fired.alerts:
        found[alert.rule].append(alert)
    pages: dict[str, int] = defaultdict(int)
    for told in by_receiver(fired.told):
        for rule in {alert.rule for alert in told.notice.firing} if told.is_page else ():
            pages[rule] += 1
    rows = [
        OfRule(
            rule=rule,
            severity=min((alert.severity for alert in alerts), key=list(Severity).index).value,
            fired=len(alerts),
            subjects=len({alert.subject for alert in alerts}),
            pages=pages[rule],
            firing_s=sum(((alert.ends_at or span.ends) - began(alert)).total_seconds() for alert in alerts),
        )
        for rule, alerts in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.pages, -row.fired, row.rule))


def began(alert: Alert) -> datetime:
    """Of one that fired."""
    return alert.starts_at or alert.active_since


def monday_of(moment: datetime) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def _weeks(span: Span) -> Iterator[date]:
    week = monday_of(span.begins)
    while week <= monday_of(span.ends):
        yield week
        week += _WEEK
