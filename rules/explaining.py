"""Why an alert stands, in sentences: what its rule expects, what is wrong, what it waits for, what would end it. Pure.

The rule is asked anew, so what is said holds now and not when the alert began.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rules.describe import waits_words
from rules.engine import Explained
from rules.judge import Verdict
from rules.words import length_words, moment_words
from watchtower.model.alert import Alert, AlertState
from watchtower.model.rule import Rule

_GONE = "no rule of this name watches it any more"


@dataclass(frozen=True, slots=True)
class Explanation:
    """expects: what the rule wants, with its waits; "" where the rule is gone. why: what is wrong, with its numbers.
    value and limit: where the kind has them. since: when it began to be wrong; stands: what that comes to, in one
    sentence; clears: what would end it, likewise. fires_at: of one that is pending, if it stays wrong. clears_at: the
    earliest moment at which it can be over; None: as soon as that happens. looks_at: when time alone could change the
    answer."""

    alert: Alert
    expects: str
    why: str
    value: float | None
    limit: float | None
    since: datetime
    stands: str
    clears: str
    fires_at: datetime | None
    clears_at: datetime | None
    looks_at: datetime | None


def explain(alert: Alert, explained: Explained | None, now: datetime) -> Explanation:
    """explained: what the rules say of its subject now; None where that is not known any more."""
    verdict = _verdict(alert, explained)
    rule = verdict.rule if verdict else None
    newest = _newest(alert, explained)
    fires_at = newest.active_since + timedelta(seconds=rule.for_s) if rule and newest.starts_at is None else None
    clears_at = _clears_at(newest, rule, now)
    limit = newest.evidence.get("limit")
    return Explanation(
        alert=newest,
        expects=_expects(rule, explained),
        why=newest.annotations.get("summary", ""),
        value=newest.value,
        limit=float(limit) if isinstance(limit, int | float) else None,
        since=_since(newest),
        stands=_stands(newest, verdict, fires_at),
        clears=_clears(newest, verdict, explained, clears_at),
        fires_at=fires_at if newest.state is AlertState.PENDING else None,
        clears_at=clears_at,
        looks_at=verdict.evaluation.next_at if verdict and newest.state is not AlertState.RESOLVED else None,
    )


def _verdict(alert: Alert, explained: Explained | None) -> Verdict | None:
    verdicts = explained.judgement.verdicts if explained else ()
    return next((verdict for verdict in verdicts if verdict.rule.name == alert.rule), None)


def _newest(alert: Alert, explained: Explained | None) -> Alert:
    """As the rules see it now; one that is over stays as it ended."""
    judged = explained.judgement.alerts if explained and alert.state is not AlertState.RESOLVED else ()
    return next((each for each in judged if each.id == alert.id), alert)


def _expects(rule: Rule | None, explained: Explained | None) -> str:
    if rule is None or explained is None:
        return ""
    return f"{explained.expects[rule.name]}{waits_words(rule)}"


def _since(alert: Alert) -> datetime:
    """As its evidence says; it may have begun before it was seen."""
    said = alert.evidence.get("since")
    try:
        since = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        since = None
    return since if since is not None and since.tzinfo else alert.active_since


def _stands(alert: Alert, verdict: Verdict | None, fires_at: datetime | None) -> str:
    if alert.state is AlertState.RESOLVED:
        return f"It is over since {moment_words(alert.ends_at or alert.active_since)}."
    if alert.state is AlertState.UNKNOWN:
        return (
            f"Nothing can be said of it: {alert.evidence.get('unknown') or 'it cannot be evaluated'}. It is kept open."
        )
    if alert.starts_at is None:
        waits = f"; it fires at {moment_words(fires_at)} if that stays so" if fires_at and verdict else ""
        return f"It is pending, and nobody was told{waits}."
    if alert.clear_since is not None:
        return f"It is well since {moment_words(alert.clear_since)}, and still held."
    return f"It fires since {moment_words(alert.starts_at)}."


def _clears(alert: Alert, verdict: Verdict | None, explained: Explained | None, clears_at: datetime | None) -> str:
    if alert.state is AlertState.RESOLVED:
        return ""
    if verdict is None or explained is None:
        return f"It is over when it is looked at next: {_GONE}."
    if alert.clear_since is not None and clears_at is not None:
        return f"It is over at {moment_words(clears_at)} if it stays well."
    held = length_words(verdict.rule.keep_firing_for_s)
    then = f", and {held} later: not before {moment_words(clears_at)}" if clears_at else ""
    return f"It is over when {explained.clears[verdict.rule.name]}{then}."


def _clears_at(alert: Alert, rule: Rule | None, now: datetime) -> datetime | None:
    """What it waits for can come at any moment, so only `keep_firing_for` puts it off."""
    if rule is None or not rule.keep_firing_for_s or alert.starts_at is None or alert.state is AlertState.RESOLVED:
        return None
    return (alert.clear_since or now) + timedelta(seconds=rule.keep_firing_for_s)
