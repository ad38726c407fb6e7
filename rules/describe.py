"""A rule in one plain sentence with its seconds, for `watchtower check` and the alert's description."""

from collections.abc import Mapping

from watchtower.model.duration import format_duration
from watchtower.model.rule import Rule, Snapshot
from watchtower.ports import RuleKind


def describe(rule: Rule, kinds: Mapping[str, RuleKind], snapshot: Snapshot | None = None) -> str:
    """`orders_daily: must have succeeded by 07:00 Europe/Berlin. Fires after 5m (300 s), severity page.`"""
    kind = kinds[rule.kind]
    where = ", ".join(str(matcher) for matcher in rule.matchers)
    matching = f" Where {where}." if where and snapshot is None else ""
    return f"{rule.name} ({rule.severity.value}): {kind.describe(rule, snapshot)}{matching}{waits_words(rule)}"


def waits_words(rule: Rule) -> str:
    """What a rule waits for before it fires, and before it resolves; "" if it does not."""
    waits = f" Fires when that stands for {_both(rule.for_s)}." if rule.for_s else ""
    keeps = f" Resolves {_both(rule.keep_firing_for_s)} after it is well again." if rule.keep_firing_for_s else ""
    return waits + keeps


def _both(seconds: float) -> str:
    return f"{format_duration(seconds)} ({seconds:g} s)"
