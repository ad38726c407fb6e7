"""A backtest as a report: what came of it, in the form in which it is shown, kept and handed on. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from watchtower.config.labelled import LabelledIncident
from watchtower.model import backtest as model
from watchtower.model.alert import Alert
from watchtower.rehearsal.backtest import Fired, Replayed
from watchtower.rehearsal.judging import Difference, Judged, Score, compare, judge
from watchtower.rehearsal.stage import by_receiver
from watchtower.rehearsal.weighing import began, by_rule, by_week


def report(replayed: Replayed, incidents: Sequence[LabelledIncident] = ()) -> model.BacktestReport:
    """Of the first configuration; judged by incidents if there are any, compared with the second if there is one."""
    here, *there = replayed.fired
    span = replayed.span
    return model.BacktestReport(
        begins=span.begins,
        ends=span.ends,
        events=replayed.heard,
        earlier_runs=replayed.carried.runs,
        unread=[model.Unread(*name, events) for name, events in sorted(replayed.unread.items())],
        weeks=by_week(here, span),
        rules=by_rule(here, span),
        alerts=_with_whom(here),
        messages=_messages(here),
        judged=_judged(judge(here, incidents, span)) if incidents else None,
        against=_compared(compare(here, there[0], span.ends)) if there else None,
    )


def _with_whom(fired: Fired) -> list[model.FiredAlert]:
    told: dict[str, list[str]] = {}
    for each in by_receiver(fired.told):
        for alert in each.notice.alerts:
            who = told.setdefault(alert.id, [])
            if each.receiver not in who:
                who.append(each.receiver)
    return [model.FiredAlert(**_of(alert), told=told.get(alert.id, [])) for alert in fired.alerts]


def _of(alert: Alert) -> dict[str, Any]:
    return {
        "starts_at": began(alert),
        "ends_at": alert.ends_at,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "rule": alert.rule,
        "fingerprint": alert.fingerprint,
        "labels": dict(alert.labels),
        "value": alert.value,
        "summary": alert.annotations.get("summary", ""),
    }


def _messages(fired: Fired) -> list[model.Message]:
    return [
        model.Message(
            at=each.at,
            receiver=each.receiver,
            destination=each.notice.destination,
            reason=each.notice.reason.value,
            page=each.is_page,
            rings=each.rings,
            fingerprints=[alert.fingerprint for alert in each.notice.alerts],
        )
        for each in fired.told
    ]


def _judged(judged: Judged) -> model.Judged:
    missed = [model.KnownIncident(each.name, dict(each.labels), each.begins, each.ends) for each in judged.missed]
    return model.Judged(_score(judged.all), _score(judged.pages), missed, _alerts(judged.false))


def _score(score: Score) -> model.Score:
    counts = (score.alerts, score.true, score.incidents, score.caught)
    return model.Score(*counts, score.delay_s, score.precision, score.recall)


def _compared(difference: Difference) -> model.Compared:
    moved = [
        model.MovedAlert(**_of(each.after), begins_later_s=each.begins_s, ends_later_s=each.ends_s)
        for each in difference.moved
    ]
    return model.Compared(difference.same, _alerts(difference.only_before), _alerts(difference.only_after), moved)


def _alerts(alerts: Iterable[Alert]) -> list[model.FiredAlert]:
    return [model.FiredAlert(**_of(alert)) for alert in alerts]
