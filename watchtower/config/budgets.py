"""`budgets`: what may be spent, of which charges, in which time; each entry is a subject and the rule that watches it.

An amount is exact: a text or a whole number, never a binary float. What may be spent is one number for one scope; who
is told, and how loudly, is said by severity and by the routes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from watchtower.config.document import Path
from watchtower.config.faults import Faults, close_to
from watchtower.config.rules import severity
from watchtower.config.types import PositiveDuration, Section, WebAddress
from watchtower.errors import BadInput
from watchtower.model.alert import Severity
from watchtower.model.cost import Budget, BudgetPeriod, CostMetric, CostScope, Money
from watchtower.model.currencies import DIGITS
from watchtower.model.labels import Matcher
from watchtower.model.rule import Rule
from watchtower.model.spending import SHARE, parse_share
from watchtower.registry import Registry

BUDGET_EXCEEDED = "BudgetExceeded"

_MOST_SHARE = 10  # of the limit; above it a percentage is meant: 80 for 80%
_AMOUNT = re.compile(r"[0-9]{1,28}(?:\.[0-9]{1,28})?")
_NAME = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,98}[^\s\x00-\x1f])?")
# Names that a bill's own provider has for a metric.
_ALIASES = {"UnblendedCost": CostMetric.BILLED}
_LESS = {Severity.PAGE: Severity.TICKET, Severity.TICKET: Severity.INFO, Severity.INFO: Severity.INFO}


def _amount(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError(f'{value!r} may have lost digits as a binary float; put it in quotes: "{value!r}"')
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f'{value!r} is no amount; write it in quotes with a point, e.g. "1250.00"')
    return Decimal(text)


def _limit(value: Decimal) -> Decimal:
    if not value:
        raise ValueError('a limit of 0 has no shares; write the smallest amount that counts, e.g. "0.01"')
    return value


def _currency(value: Any) -> Any:
    if not isinstance(value, str) or value not in DIGITS:
        close = close_to(value.upper(), sorted(DIGITS)) if isinstance(value, str) else ""
        hint = f"; {close}" if close.startswith("did you mean") else ""
        raise ValueError(f"{value!r} is no currency of ISO 4217 such as USD or EUR{hint}")
    return value


def _share(value: Any) -> Any:
    try:
        share = parse_share(value)
    except BadInput as error:
        raise ValueError(str(error)) from error
    if share > _MOST_SHARE:
        meant = (share / 100).normalize()
        raise ValueError(f"{value} is {share:f} times the limit; for a percentage write {value}% or {meant:f}")
    return share


def _threshold(value: Any) -> Any:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"at": value}


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_AMOUNT.pattern}$"}, {"type": "integer"}]}),
]
Limit = Annotated[Amount, AfterValidator(_limit)]
Currency = Annotated[str, BeforeValidator(_currency), WithJsonSchema({"enum": sorted(DIGITS)})]
Share = Annotated[
    Decimal,
    BeforeValidator(_share),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{SHARE.pattern}$"}]}
    ),
]


class ScopeDocument(Section):
    """`scope` of a budget: all conditions hold; without any, every charge."""

    tag: dict[str, str] = Field(default={}, description="tags that a charge must have, key and value exactly")
    service: str | None = Field(default=None, description="exact name of the service on the bill")
    account: str | None = Field(default=None, description="the account (subscription, project) that is charged")
    source: str | None = Field(default=None, description="name of the bill's source")


class LimitDocument(Section):
    """`limit` of a budget."""

    amount: Limit = Field(description="what may be spent, as a text or a whole number")
    currency: Currency = Field(description="code of ISO 4217; amounts are never converted")


class ThresholdDocument(Section):
    """One of `thresholds`: a share of the limit, with a severity of its own or without."""

    at: Share = Field(description="share of the limit, 0.8 or 80%")
    severity: str | None = Field(default=None, description="page, ticket or info")


Threshold = Annotated[ThresholdDocument, BeforeValidator(_threshold)]
_THRESHOLDS = (ThresholdDocument(at="0.8"), ThresholdDocument(at="1"))  # pyright: ignore[reportArgumentType] - read as in a file

# Stands in for what an entry lacks, so that the faults of the rest are found too.
_FILL = {"name": "?", "limit": {"amount": "1", "currency": "USD"}}


class BudgetDocument(Section):
    """One entry of `budgets`."""

    name: str = Field(description="name of the budget; alerts carry it as the label `budget`")
    scope: ScopeDocument = Field(default=ScopeDocument(), description="which charges: tag, service, account, source")
    period: BudgetPeriod = Field(default=BudgetPeriod.MONTH, description="day or month, of UTC")
    limit: LimitDocument = Field(description="amount and currency")
    thresholds: tuple[Threshold, ...] = Field(
        default=_THRESHOLDS,
        description="shares of the limit above which an alert fires, ascending; each a number, or at and severity",
    )
    metric: str = Field(default="billed", description="billed, effective or list; UnblendedCost means billed")
    late_after: PositiveDuration = Field(
        default=172_800.0, description="how long after the end of a day its bill may be missing, or change"
    )
    severity: str = Field(
        default="ticket", description="of thresholds from 1 on; those below it are one step less severe"
    )
    owner: str | None = Field(default=None, description="who answers for it")
    team: str | None = Field(default=None, description="which team it belongs to")
    runbook_url: WebAddress | None = Field(default=None, description="where the remedy is written down")
    description: str | None = Field(default=None, description="what it is for")


@dataclass(frozen=True, slots=True)
class Declared:
    """budgets by the order of the file; rules: one for each."""

    budgets: tuple[Budget, ...] = ()
    rules: tuple[Rule, ...] = ()


def budgets(data: dict[str, Any], kinds: Registry, severities: Mapping[str, Severity], faults: Faults) -> Declared:
    found: list[Budget] = []
    rules: list[Rule] = []
    lines: dict[str, int | None] = {}
    for index, item in enumerate(faults.listed(data.get("budgets"), ("budgets",))):
        path: Path = ("budgets", index)
        document = faults.salvaged(BudgetDocument, item, path, _FILL)
        if document is None:
            continue
        if "name" in item:
            _named_once(document.name, path, lines, faults)
        budget = _budget(document, path, faults)
        found.append(budget)
        rule = _rule(document, budget, path, kinds=kinds, severities=severities, faults=faults)
        rules += [rule] if rule else []
    return Declared(tuple(found), tuple(rules))


def _named_once(name: str, path: Path, lines: dict[str, int | None], faults: Faults) -> None:
    if not _NAME.fullmatch(name):
        faults.add((*path, "name"), f"{name!r} is no name", "write 1 to 100 characters on one line")
    if name in lines:
        faults.add((*path, "name"), f"two budgets are called {name!r}, the other at line {lines[name]}", "rename one")
    lines.setdefault(name, faults.line((*path, "name")))


def _budget(document: BudgetDocument, path: Path, faults: Faults) -> Budget:
    shares = [threshold.at for threshold in document.thresholds]
    if not shares:
        faults.add((*path, "thresholds"), "needs at least one share of the limit", "write e.g. [0.8, 1]")
    if any(later <= earlier for earlier, later in pairwise(shares)):
        shown = ", ".join(f"{share:f}" for share in shares)
        faults.add((*path, "thresholds"), f"{shown} do not ascend", "write each share once, the smallest first")
    scope = document.scope
    return Budget(
        name=document.name,
        scope=CostScope(scope.tag, scope.service, scope.account, scope.source),
        period=document.period,
        limit=Money(document.limit.amount, document.limit.currency),
        thresholds=tuple(shares),
        metric=_metric(document.metric, (*path, "metric"), faults),
        late_after_s=document.late_after,
        owner=document.owner,
        team=document.team,
        description=document.description,
    )


def _metric(text: str, path: Path, faults: Faults) -> CostMetric:
    if text in _ALIASES:
        meant = _ALIASES[text]
        faults.warn(
            path, f"{text} is taken as {meant.value}, as bills of every provider have it", f"write {meant.value}"
        )
        return meant
    known = [metric.value for metric in CostMetric]
    if text not in known:
        faults.add(path, f"unknown metric {text!r}", close_to(text, [*known, *_ALIASES]))
        return CostMetric.BILLED
    return CostMetric(text)


def _rule(
    document: BudgetDocument,
    budget: Budget,
    path: Path,
    *,
    kinds: Registry,
    severities: Mapping[str, Severity],
    faults: Faults,
) -> Rule | None:
    """What watches this budget. Thresholds below the limit warn: one step less severe, unless they say otherwise."""
    if "budget" not in kinds:
        return None
    own = severity(document.severity, (*path, "severity"), severities, faults)
    thresholds: list[dict[str, Any]] = []
    for index, each in enumerate(document.thresholds):
        here = (*path, "thresholds", index, "severity")
        said = severity(each.severity, here, severities, faults) if each.severity else None
        thresholds.append({"at": str(each.at), "severity": said or (own if each.at >= 1 else _LESS[own])})
    options = faults.validated(kinds.get("budget").Config, {"thresholds": thresholds}, path)
    if options is None:
        return None
    return Rule(
        BUDGET_EXCEEDED,
        "budget",
        options,
        (Matcher("budget", "=", budget.name),),
        severity=own,
        runbook_url=document.runbook_url,
        declared=True,
    )
