"""Plays rule tests, and says of each what was expected and did not come, and what came and was not expected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from pathlib import Path
from tempfile import TemporaryDirectory

from watchtower.config import Config
from watchtower.config.rule_tests import NAMESPACE, Expected, ExpectedAlert, ExpectedMessage, RuleTest
from watchtower.model.alert import Alert
from watchtower.model.duration import format_duration
from watchtower.registry import COLLECTORS
from watchtower.rehearsal.billed import Billed, bills_of
from watchtower.rehearsal.stage import Stage, Told, by_receiver
from watchtower.rehearsal.story import World, facts_of

MOST_SHOWN = 10  # of one moment


@dataclass(frozen=True, slots=True)
class Played:
    """One test. failures: what did not hold, in the order of time; empty: all of it held."""

    name: str
    failures: tuple[str, ...]


def play(test: RuleTest, config: Config) -> Played:
    """Raises ConfigError for what cannot be given."""
    with TemporaryDirectory(prefix="watchtower-test-") as folder:
        stage = Stage(config, Path(folder) / "state", test.begins)
        try:
            return Played(test.name, tuple(_failures(test, stage)))
        finally:
            stage.close()


def _failures(test: RuleTest, stage: Stage) -> list[str]:
    reader = COLLECTORS.get("series")
    namespace = stage.config.only_namespace or NAMESPACE
    facts = facts_of(test, World(namespace, stage.config.source_of, reader(reader.Config())))
    waiting = list(merge(facts, bills_of(test), key=lambda each: each[0]))
    failures: list[str] = []
    heard, known = 0, 0
    for expected in test.expect:
        moment = test.begins + timedelta(seconds=expected.at)
        while heard < len(waiting) and waiting[heard][0] <= moment:
            at, what = waiting[heard]
            stage.run_until(at)
            if isinstance(what, Billed):
                stage.bill(what.bill, what.sums)
            else:
                stage.hear([what])
            heard += 1
        stage.run_until(moment)
        alerts = [alert for alert in stage.alerts() if _is_looked_at(test, alert)]
        told = [seen for each in stage.told[known:] if (seen := _as_looked_at(test, each)).notice.alerts]
        failures += _not_as_expected(expected, alerts, by_receiver(told))
        known = len(stage.told)
    return failures


def _is_looked_at(test: RuleTest, alert: Alert) -> bool:
    return all(alert.labels.get(name) == value for name, value in test.only.items())


def _as_looked_at(test: RuleTest, told: Told) -> Told:
    shown = tuple(alert for alert in told.notice.alerts if _is_looked_at(test, alert))
    return replace(told, notice=replace(told.notice, alerts=shown))


def _not_as_expected(expected: Expected, alerts: Sequence[Alert], told: Sequence[Told]) -> list[str]:
    failures: list[str] = []
    if expected.alerts is not None:
        failures += _of_alerts(expected.alerts, alerts)
    if expected.told is not None:
        failures += _of_messages(expected.told, told)
    return [f"at {_after(expected.at)}: {failure}" for failure in failures]


def _of_alerts(wanted: Sequence[ExpectedAlert], alerts: Sequence[Alert]) -> list[str]:
    left = list(alerts)
    failures: list[str] = []
    for each in sorted(wanted, key=lambda one: len(one.labels), reverse=True):  # the most particular first
        found = next((alert for alert in left if _is(each, alert)), None)
        if found is None:
            failures.append(f"expected {_expected_words(each)}, which is not there")
        else:
            left.remove(found)
    return failures + _few([f"not expected: {_alert_words(alert)}" for alert in left])


def _is(wanted: ExpectedAlert, alert: Alert) -> bool:
    labels = {"alertname": wanted.alertname, **wanted.labels}
    return (
        alert.state.value == wanted.state
        and all(alert.labels.get(name) == value for name, value in labels.items())
        and (wanted.says is None or wanted.says in alert.annotations.get("summary", ""))
    )


def _of_messages(wanted: Sequence[ExpectedMessage], told: Sequence[Told]) -> list[str]:
    left = list(told)
    failures: list[str] = []
    for each in sorted(wanted, key=lambda one: (len(one.about), one.reason is not None), reverse=True):
        found = next((message for message in left if _is_message(each, message)), None)
        if found is None:
            about = f" about {', '.join(each.about)}" if each.about else ""
            reason = f" ({each.reason})" if each.reason else ""
            failures.append(f"expected a message to {each.receiver}{about}{reason}, which was not sent")
        else:
            left.remove(found)
    return failures + _few([f"not expected: {_message_words(message)}" for message in left])


def _is_message(wanted: ExpectedMessage, told: Told) -> bool:
    return (
        told.receiver == wanted.receiver
        and (wanted.reason is None or told.notice.reason.value == wanted.reason)
        and (not wanted.about or sorted(wanted.about) == _names(told))
    )


def _names(told: Told) -> list[str]:
    return sorted(alert.labels.get("alertname", "") for alert in told.notice.alerts)


def _expected_words(wanted: ExpectedAlert) -> str:
    labels = "".join(f" {name}={value}" for name, value in sorted(wanted.labels.items()))
    says = f" that says {wanted.says!r}" if wanted.says else ""
    return f"{wanted.alertname}{labels} {wanted.state}{says}"


def _alert_words(alert: Alert) -> str:
    shown = {name: value for name, value in sorted(alert.labels.items()) if name not in ("alertname", "kind", "source")}
    labels = "".join(f" {name}={value}" for name, value in shown.items())
    return f"{alert.labels.get('alertname')}{labels} {alert.state.value}: {alert.annotations.get('summary', '')}"


def _message_words(told: Told) -> str:
    at: datetime = told.at
    about = ", ".join(_names(told))
    return f"a message to {told.receiver} about {about} ({told.notice.reason.value}) at {at:%Y-%m-%d %H:%M:%S} UTC"


def _few(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - MOST_SHOWN} more that were not expected"] if len(lines) > MOST_SHOWN else []
    return [*lines[:MOST_SHOWN], *more]


def _after(seconds: float) -> str:
    return format_duration(seconds, 3) if seconds else "the beginning"
