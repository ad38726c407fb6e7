"""What a rule says of a pipeline that is missing where another came in its place: that it may have been renamed.

A rule that somebody wrote still expects the old name, and its alert says what to look at. What was only learned of the
old one is given up once the new one has ended well three times: nothing else would ever end that alert.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from rules.words import iso, moment_words
from watchtower.model.follower import Follower
from watchtower.model.rule import Evaluation, JobSnapshot, Rule

_ASKED_AGAIN: Final = tuple(timedelta(minutes=minutes) for minutes in (10, 30, 60, 180, 720))


def looks_for_follower(since: datetime, now: datetime) -> datetime | None:
    """When to ask again who came in its place, since nothing that is told of that one wakes the one that is missing:
    what a run writes is told at its end."""
    return next((since + after for after in _ASKED_AGAIN if since + after > now), None)


def was_replaced(rule: Rule, snapshot: JobSnapshot) -> Follower | None:
    """Who stands for it now, where nobody wrote that it must run under its old name."""
    settled = (each for each in snapshot.followers if each.is_settled)
    return None if rule.declared or snapshot.job.declared else next(settled, None)


def replaced(follower: Follower) -> Evaluation:
    return Evaluation(resolution={"reason": follower_words(follower), "renamed_to": follower.ref.pipeline})


def follower_words(follower: Follower) -> str:
    """`orders_v2 came on 2026-03-23 06:00 UTC and writes shop.orders, too: was it renamed?`."""
    return f"{follower.ref.pipeline} came at {moment_words(follower.since)} and {follower.shares}: was it renamed?"


def with_follower(summary: str, snapshot: JobSnapshot) -> str:
    first = next(iter(snapshot.followers), None)
    return f"{summary}; {follower_words(first)}" if first else summary


def follower_evidence(snapshot: JobSnapshot) -> dict[str, Any]:
    first = next(iter(snapshot.followers), None)
    if first is None:
        return {}
    told = {"pipeline": first.ref.pipeline, "namespace": first.ref.namespace, "source": first.ref.source}
    return {"renamed_to": {**told, "first_seen": iso(first.since), "shares": first.shares}}
