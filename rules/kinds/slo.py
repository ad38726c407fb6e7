"""An error budget burns too fast, or is used up: multi-window, multi-burn-rate alerts, and exact counts of few events.

One alert for each severity. What was told once as a ticket stays while it is so, though a page has come since; a ticket
that would only repeat a page does not begin. Windows, factors and consequences: `rules/slo_windows.yaml`.
"""

from datetime import datetime
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field

from rules.options import Options, Seconds, Share
from rules.slo import windows
from rules.slo.burn import MIN_EVENTS, Finding, burn_rate
from rules.slo.status import SloStatus, status
from rules.slo.words import consequence, finding_words, number, percent, target_words, used_words, window_words
from rules.words import iso
from watchtower.model.alert import Severity
from watchtower.model.rule import Evaluation, Rule, SloSnapshot, Snapshot, Violation
from watchtower.model.slo import moment_of


class WindowStep(BaseModel):
    """One step of a table of your own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity = Field(description="page, ticket or info")
    budget: Share = Field(description="part of the budget that goes within `long`, 2%")
    long: Seconds = Field(description="the long window")
    short: Seconds = Field(description="the short window, in which it must still burn")
    consequence: str = Field(default="", description="what follows; the alert carries it")

    def share(self, place: int) -> windows.Share:
        name = f"{self.severity.value}_{place + 1}"
        budget = windows.Fraction(self.budget)
        return windows.Share(name, self.severity, budget, self.long, self.short, self.consequence)


class SloConfig(Options):
    min_events: int = Field(
        default=MIN_EVENTS, ge=2, le=100, description="events in the long window, below which they are counted"
    )
    steps: tuple[WindowStep, ...] | None = Field(
        default=None, min_length=1, description="windows of your own, the gravest first; without them the shipped ones"
    )


class SloBurn:
    kind: ClassVar[str] = "slo"
    subject: ClassVar[str] = "slo"
    Config: ClassVar[type[SloConfig]] = SloConfig
    clears: ClassVar[str] = "its budget burns slowly enough again, and some of it is left"

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, SloSnapshot):
            return Evaluation()
        found = status_of(rule, snapshot, now)
        told = {
            alert.labels.get("severity") for alert in snapshot.alerts if alert.rule == rule.name and alert.starts_at
        }
        kept = [each for place, each in enumerate(found.findings) if place == 0 or each.severity.value in told]
        return Evaluation(
            violations=tuple(_violation(found, each) for each in kept),
            next_at=found.next_at,
            resolution={"used": used_words(found)} if snapshot.alerts and found.consumed is not None else {},
        )

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        if not isinstance(snapshot, SloSnapshot):
            return "each matching SLO: alerts while its error budget burns too fast, or is used up."
        said = ", ".join(
            f"{number(each.factor)} times too fast within {window_words(each.long)} and {window_words(each.short)}"
            f" ({each.severity.value})"
            for each in windows.steps_of(snapshot.slo, _shares(rule))
        )
        return f"{snapshot.slo.name}: {target_words(snapshot.slo)}; alerts while its budget burns {said or 'never'}."


def status_of(rule: Rule, snapshot: SloSnapshot, now: datetime) -> SloStatus:
    """How the SLO stands by the windows of rule."""
    options = cast("SloConfig", rule.options)
    return status(snapshot, now, least=options.min_events, shares=_shares(rule))


def _shares(rule: Rule) -> tuple[windows.Share, ...] | None:
    steps = cast("SloConfig", rule.options).steps
    return None if steps is None else tuple(step.share(place) for place, step in enumerate(steps))


def _violation(found: SloStatus, finding: Finding) -> Violation:
    return Violation(
        since=_since(found, finding),
        summary=finding_words(found, finding),
        value=float(burn_rate(found.slo, _long(found, finding))) if finding.step else None,
        labels={"severity": finding.severity.value},
        evidence=_evidence(found, finding),
    )


def _evidence(found: SloStatus, finding: Finding) -> dict[str, Any]:
    said: dict[str, Any] = {
        "objective": target_words(found.slo),
        "step": finding.name,
        "budget_used": used_words(found),
        "consequence": consequence(finding),
    }
    if found.left is not None:
        said["budget_left"] = percent(found.left)
    if finding.step:
        said["burn_rate"] = float(burn_rate(found.slo, _long(found, finding)))
        said["windows"] = f"{window_words(finding.step.long)} and {window_words(finding.step.short)}"
    if found.slo.description:
        said["about"] = found.slo.description
    if found.corrected:
        said["corrected"] = [f"{iso(each.start)} to {iso(each.end)}: {each.reason}" for each in found.corrected[:5]]
    return {name: value for name, value in said.items() if value != ""}


def _long(found: SloStatus, finding: Finding) -> tuple[Any, ...]:
    assert finding.step is not None
    return found.within(finding.step.long)


def _since(found: SloStatus, finding: Finding) -> datetime:
    """When the newest bad event happened: the one that made it so."""
    return moment_of(found.newest_bad) if found.newest_bad is not None else found.starts
