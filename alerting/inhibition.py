"""Inhibition: a firing source alert keeps target alerts quiet while the `equal` labels agree. Pure.

Source: `inhibit_rules` in Alertmanager's configuration documentation and `inhibit/inhibit.go`: a missing label equals
an empty one, and an alert that matches both sides of a rule is not inhibited by another of which that is true too (so
none inhibits itself).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from watchtower.model.delivery import Source
from watchtower.model.labels import Labels, Matcher, all_match


@dataclass(frozen=True, slots=True)
class Inhibition:
    """One inhibit rule. equal: names of labels that must agree; none: any source inhibits any target."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    def inhibits(self, source: Labels, target: Labels) -> bool:
        """source: of an alert that fires."""
        if not all_match(self.target, target) or not all_match(self.source, source):
            return False
        if all_match(self.source, target) and all_match(self.target, source):
            return False
        return all(source.get(name, "") == target.get(name, "") for name in self.equal)


def inhibited_by(labels: Labels, rules: Sequence[Inhibition], sources: Callable[[], Sequence[Source]]) -> str | None:
    """The id of a firing alert that inhibits one with labels. sources is only called when a rule has it as target."""
    relevant = [rule for rule in rules if all_match(rule.target, labels)]
    if not relevant:
        return None
    return next(
        (source.alert_id for source in sources() if any(rule.inhibits(source.labels, labels) for rule in relevant)),
        None,
    )
