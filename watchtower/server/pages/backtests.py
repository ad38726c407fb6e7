"""The pages of backtests: those that were kept, and of one what would have fired, and whom that would have told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from dashboards import web
from dashboards.web import words
from watchtower.model.backtest import BacktestReport, FiredAlert, Kept, MovedAlert, Score
from watchtower.server.api.backtests import found, kept_page
from watchtower.server.endpoints import Call, Raw, html
from watchtower.server.pages.parts import shell
from watchtower.store.reading.paging import Window

ROWS = 50  # of the list
LINES = 60  # of the timeline
SHOWN = 200  # alerts of a table

IN_FORCE = "the configuration in force"


class BacktestsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """cursor: the place of the last one of the page before."""

    cursor: str | None = None


def backtest_list(call: Call) -> Raw:
    page = kept_page(call, Window(ROWS, call.asked(BacktestsQuery).cursor))
    next_url = f"/backtests?{urlencode({'cursor': page.next})}" if page.next else ""
    rows, team = tuple(map(_row, page.items)), call.principal.team or ""
    return html(web.render_backtests(web.BacktestsView(shell(call, refresh_s=0), rows, next_url, team)))


def backtest(call: Call) -> Raw:
    kept, report = found(call)
    lines = _lines(report)
    judged, against = report.judged, report.against
    view = web.BacktestView(
        shell=shell(call, refresh_s=0),
        row=_row(kept),
        begins=report.begins,
        ends=report.ends,
        facts=tuple(_facts(kept, report)),
        lines=tuple(lines[:LINES]),
        more_lines=len(lines[LINES:]),
        weeks=tuple(report.weeks),
        rules=tuple(report.rules),
        missed=tuple(web.Fact(one.name, _time(one.begins, one.ends)) for one in judged.missed) if judged else (),
        false=_fired(judged.false if judged else ()),
        only_here=_fired(against.only_here if against else ()),
        only_there=_fired(against.only_there if against else ()),
        moved=_fired(against.moved if against else ()),
        alerts=_fired(report.alerts),
        more_alerts=len(report.alerts[SHOWN:]),
    )
    return html(web.render_backtest(view))


def _row(kept: Kept) -> web.BacktestRow:
    found = kept.summary
    difference = ""
    if found.same is not None:
        difference = (
            f"{found.same} the same, {found.moved} moved, {found.only_here} only here, {found.only_there} only there"
        )
    return web.BacktestRow(
        id=kept.id,
        made_at=kept.made_at,
        made_by=kept.made_by.removeprefix("person:"),
        rules=kept.rules or IN_FORCE,
        against=kept.against or "",
        time=f"{found.events:,} events, {_time(found.begins, found.ends)}",
        alerts=found.alerts,
        pages=found.pages,
        pages_a_week=f"{found.pages_a_week:.3g}",
        precision=_share(found.precision),
        recall=_share(found.recall),
        difference=difference,
    )


def _facts(kept: Kept, report: BacktestReport) -> Iterable[web.Fact]:
    yield web.Fact("Pages a week", f"{kept.summary.pages_a_week:.3g}")
    if report.judged is not None:
        for what, score in (("alerts", report.judged.all), ("pages", report.judged.pages)):
            yield from _scored(what, score)
    if kept.against is not None and report.against is not None:
        yield web.Fact(f"Against {kept.against}", _row(kept).difference)
    left_out = sum(each.events for each in report.unread)
    if left_out:
        yield web.Fact("Events left out", f"{left_out:,}: nothing in the configuration reads them")


def _scored(what: str, score: Score) -> Iterable[web.Fact]:
    yield web.Fact(f"Recall of {what}", f"{_share(score.recall)}: {score.caught} of {score.incidents} incidents caught")
    yield web.Fact(f"Precision of {what}", f"{_share(score.precision)}: {score.true} of {score.alerts} tell of one")
    if score.delay_s is not None:
        yield web.Fact(f"Delay of {what}, median", words.span(score.delay_s))


def _lines(report: BacktestReport) -> list[web.TimelineLine]:
    """By subject, those with most pages and alerts first."""
    by_subject: dict[str, list[FiredAlert]] = defaultdict(list)
    for alert in report.alerts:
        by_subject[alert.subject].append(alert)
    loudest = sorted(
        by_subject.items(),
        key=lambda each: (-sum(one.severity == "page" for one in each[1]), -len(each[1]), each[0]),
    )
    return [web.TimelineLine(name, _whom(alerts), tuple(_one(alert) for alert in alerts)) for name, alerts in loudest]


def _whom(alerts: Sequence[FiredAlert]) -> str:
    counts = Counter(receiver for alert in alerts for receiver in alert.told)
    said = " and ".join(f"{receiver} of {count}" for receiver, count in counts.most_common(3))
    return f"{len(alerts)} alert{'' if len(alerts) == 1 else 's'}; told: {said or 'nobody'}"


def _fired(alerts: Sequence[FiredAlert]) -> tuple[web.Fired, ...]:
    return tuple(_one(alert) for alert in alerts[:SHOWN])


def _one(alert: FiredAlert) -> web.Fired:
    return web.Fired(
        at=alert.starts_at,
        ended=alert.ends_at,
        rule=alert.rule,
        severity=alert.severity,
        about=alert.subject,
        summary=alert.summary,
        told=tuple(alert.told),
        later=_moved(alert) if isinstance(alert, MovedAlert) else "",
    )


def _moved(alert: MovedAlert) -> str:
    if alert.begins_later_s:
        return f"{words.span(abs(alert.begins_later_s))} {'later' if alert.begins_later_s > 0 else 'earlier'}"
    return "ends at another time"


def _time(begins: datetime, ends: datetime) -> str:
    return f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
