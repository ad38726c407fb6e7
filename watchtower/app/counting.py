"""Counts what became of each attempt to deliver, but for those of round trips."""

from alerting.outbox import Attempt
from watchtower.app.round_trip import NullChannel
from watchtower.telemetry import metrics


def count_attempt(attempt: Attempt) -> None:
    if attempt.channel == NullChannel.name:
        return
    result = "delivered" if attempt.reason is None else "gave_up" if attempt.gave_up else "failed"
    metrics.DELIVERY_ATTEMPTS.labels(attempt.channel, result, attempt.reason or "").inc()
    metrics.DELIVERY_SECONDS.labels(attempt.channel).observe(max(0.0, attempt.seconds))  # of a clock moved by hand
    if attempt.duplicates:
        metrics.DUPLICATES.labels(attempt.channel).inc(attempt.duplicates)
    if attempt.gave_up:
        metrics.DEAD_LETTERS.labels(attempt.channel, attempt.reason or "").inc()
