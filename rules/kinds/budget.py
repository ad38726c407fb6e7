"""More was spent than a budget allows: by the amount, exactly, and only by what a bill says.

A threshold is broken by an amount strictly above its share of the limit. Each period is an episode of its own, so
`period` is a label, the only time among them: a budget that is broken on two days is told of twice, and a day whose
bill is polled again is not. Of several thresholds the highest broken one alerts; one that fired before stays while it
is broken, so that nothing is "resolved" by getting worse. A period is judged until `late_after` past its end, since
bills come late and are restated; a bill that is later than that leaves open alerts `unknown` (kind `bill` tells of it).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rules.options import Options, Share
from rules.words import iso
from watchtower.model.alert import Alert, Severity
from watchtower.model.cost import Budget, CostScope, Money
from watchtower.model.listing import listed
from watchtower.model.rule import BudgetSnapshot, Evaluation, Rule, Snapshot, Violation
from watchtower.model.spending import (
    DAY,
    Spent,
    broken,
    judged,
    late_at,
    money_words,
    periods,
    settled_at,
    share_of,
    share_words,
    when,
)


class BudgetThreshold(BaseModel):
    """severity: null for the rule's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Share = Field(description="share of the limit, 0.8 or 80%")
    severity: Severity | None = Field(default=None, description="page, ticket or info")


def _threshold(value: Any) -> Any:
    """A share alone stands at the rule's severity."""
    return cast("Any", value) if isinstance(value, dict | BudgetThreshold) else {"at": value}


class BudgetConfig(Options):
    thresholds: tuple[Annotated[BudgetThreshold, BeforeValidator(_threshold)], ...] | None = Field(
        default=None, description="shares of the limit, at the rule's severity; without them those of the budget"
    )


class BudgetExceeded:
    kind: ClassVar[str] = "budget"
    subject: ClassVar[str] = "budget"
    clears: ClassVar[str] = "its period is over, or a later bill puts it right"
    Config: ClassVar[type[BudgetConfig]] = BudgetConfig

    def evaluate(self, rule: Rule, snapshot: Snapshot, now: datetime) -> Evaluation:
        if not isinstance(snapshot, BudgetSnapshot):
            return Evaluation()
        if snapshot.bill.problem:
            return Evaluation(unknown=snapshot.bill.problem)
        mine = [alert for alert in snapshot.alerts if alert.rule == rule.name and alert.labels.get("kind") == self.kind]
        judging = judged(snapshot, now)
        late = late_at(snapshot)
        return Evaluation(
            violations=tuple(found for spent in judging for found in _violations(rule, snapshot, spent, mine)),
            next_at=min(moment for moment in _moments(snapshot, late, now) if moment > now),
            unknown=_late_words(snapshot) if late <= now else None,
            resolution=_resolution(snapshot, mine),
        )

    def describe(self, rule: Rule, snapshot: Snapshot | None = None) -> str:
        if not isinstance(snapshot, BudgetSnapshot):
            said = [share_words(each.at) for each in _options(rule).thresholds or ()]
            return f"each matching budget: alerts above {listed(said) if said else 'its thresholds'} of its limit."
        budget = snapshot.budget
        shares = listed([share_words(share) for share, _ in _thresholds(rule, budget)])
        return f"{budget.name}: {_limit_words(budget)} may be spent; alerts above {shares} of it."


def _moments(snapshot: BudgetSnapshot, late: datetime, now: datetime) -> Iterable[datetime]:
    """Those at which time alone may change the answer: days begin, periods settle, bills become late."""
    yield now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    yield late
    for spent in periods(snapshot):
        yield settled_at(spent, snapshot) or late


def _thresholds(rule: Rule, budget: Budget) -> list[tuple[Decimal, Severity]]:
    thresholds = _options(rule).thresholds
    if thresholds is None:
        return [(share, rule.severity) for share in budget.thresholds]
    return [(each.at, each.severity or rule.severity) for each in thresholds]


def _options(rule: Rule) -> BudgetConfig:
    return rule.options


def _violations(rule: Rule, snapshot: BudgetSnapshot, spent: Spent, mine: Sequence[Alert]) -> list[Violation]:
    """Of the highest broken threshold, and of those below it that fired before."""
    severities = dict(_thresholds(rule, snapshot.budget))
    shares = broken(snapshot.budget, spent.amount, severities)
    fired = {(alert.labels.get("period"), alert.labels.get("threshold")) for alert in mine if alert.starts_at}
    told = [share for share in shares[:-1] if (spent.period, share_words(share)) in fired]
    return [_violation(snapshot, spent, share, severities[share]) for share in (*told, *shares[-1:])]


def _violation(snapshot: BudgetSnapshot, spent: Spent, share: Decimal, severity: Severity) -> Violation:
    budget, bill = snapshot.budget, snapshot.bill
    amount = money_words(Money(spent.amount, budget.limit.currency))
    above = "" if share == 1 else f", above {share_words(share)} of the limit"
    return Violation(
        since=max(bill.loaded_at or snapshot.declared_at, snapshot.declared_at),
        summary=f"{budget.name}: {amount} {when(spent)}{above} (limit {_limit_words(budget)})",
        value=float(spent.amount),
        labels={"period": spent.period, "threshold": share_words(share), "severity": severity.value},
        evidence={
            "spent": amount,
            "limit": money_words(budget.limit),
            "share": share_words(share_of(spent, budget)),
            "metric": budget.metric.value,
            "scope": scope_words(budget.scope),
            "provisional": spent.provisional,
            **({"bill_until": iso(bill.covered_until)} if bill.covered_until else {}),
            **({"bills": listed(bill.sources)} if bill.sources else {}),
        },
    )


def _limit_words(budget: Budget) -> str:
    scope = scope_words(budget.scope)
    return f"{money_words(budget.limit)} per {budget.period.value}{f', {scope}' if scope else ''}"


def scope_words(scope: CostScope) -> str:
    """`tag Environment=prod, service AmazonS3`; nothing for every charge."""
    said = [f"tag {name}={value}" for name, value in sorted(scope.tags.items())]
    named = (("service", scope.service), ("account", scope.account), ("source", scope.source))
    return ", ".join([*said, *(f"{name} {value}" for name, value in named if value)])


def _late_words(snapshot: BudgetSnapshot) -> str:
    until = snapshot.bill.covered_until
    return f"the bill reaches only until {until:%Y-%m-%d}" if until else "no bill has come"


def _resolution(snapshot: BudgetSnapshot, mine: Sequence[Alert]) -> dict[str, Any]:
    """What the periods that alerts are open about cost by now."""
    open_about = {alert.labels.get("period") for alert in mine}
    spent = {each.period: each for each in periods(snapshot) if each.period in open_about}
    currency = snapshot.budget.limit.currency
    words = [f"{money_words(Money(each.amount, currency))} {when(each)}" for each in spent.values()]
    until = snapshot.bill.covered_until
    return {"spent": listed(words), **({"bill_until": iso(until)} if until else {})} if words else {}
