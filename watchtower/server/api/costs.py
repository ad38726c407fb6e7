"""Costs and budgets: what bills add up to, and how much of what may be spent is spent. Amounts are unrounded."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from watchtower.errors import BadInput
from watchtower.model.cost import BillState, CostMetric, CostScope
from watchtower.model.cost import Money as Amount
from watchtower.model.spending import DAY, BudgetState, BudgetStatus, Spent, share_of
from watchtower.server.api.observed import Money
from watchtower.server.endpoints import Call, Moment, Problem, known, one_of
from watchtower.store import costs as bills
from watchtower.store.reading.budgets import budget_status
from watchtower.store.reading.costs import Line, Question, lines

DAYS = 14  # that are shown if nobody says which
MOST_DAYS = 800
MOST_KEYS = 4


class BillItem(msgspec.Struct, frozen=True):
    """How far bills reach. covered_until: end (exclusive) of the last day that all of them tell of; problem: why the
    amounts cannot be added."""

    covered_until: datetime | None
    loaded_at: datetime | None
    sources: list[str]
    problem: str | None


class CostItem(msgspec.Struct, frozen=True):
    """One sum. Keys that were not asked for are null; tags: of the `tag:NAME`s asked for, null for charges without it.
    provisional: the provider may still add to it or restate it."""

    day: date | None
    service: str | None
    account: str | None
    source: str | None
    tags: dict[str, str | None]
    cost: Money
    provisional: bool


class CostList(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    items: list[CostItem]
    from_: date
    to: date
    metric: str
    as_of: datetime | None
    bill: BillItem


class CostQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """from (inclusive), to (exclusive): days of UTC; default the last 14 and today. by: day, service, account, source,
    tag:NAME, more than once; default day. tag: NAME=VALUE, more than once. metric: billed, effective, list. as_of: by
    the bills as they were known at that moment."""

    by: list[str] = msgspec.field(default_factory=list[str])
    from_: date | None = None
    to: date | None = None
    tag: list[str] = msgspec.field(default_factory=list[str])
    service: str | None = None
    account: str | None = None
    source: str | None = None
    metric: Annotated[str, known(CostMetric)] = CostMetric.BILLED.value
    as_of: Moment | None = None

    def __post_init__(self) -> None:
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise ValueError("as_of has no time zone; write 2026-03-02T08:00:00Z")


def list_costs(call: Call) -> CostList:
    if call.principal.team is not None:
        raise Problem(403, "costs are not divided by team, only budgets are", slug="forbidden")
    query = call.asked(CostQuery)
    asked = _question(query, call.now.date())
    found, bill = call.read(lambda c: (lines(c, asked), bills.bill_state(c, asked.scope, asked.metric)))
    return CostList(
        items=[_cost(line, asked) for line in found],
        from_=asked.start,
        to=asked.end,
        metric=asked.metric.value,
        as_of=asked.as_of,
        bill=_bill(bill),
    )


def _question(query: CostQuery, today: date) -> Question:
    """Raises BadInput for what cannot be answered."""
    one_of("metric", [query.metric], CostMetric)
    by = tuple(dict.fromkeys(query.by)) or ("day",)
    if len(by) > MOST_KEYS:
        raise BadInput(f"costs are grouped by at most {MOST_KEYS} keys")
    end = query.to or today + DAY
    start = query.from_ or date.fromordinal(max(1, end.toordinal() - DAYS - 1))
    if not timedelta() < end - start <= timedelta(MOST_DAYS):
        raise BadInput(f"from {start} to {end} are not 1 to {MOST_DAYS} days; to is exclusive")
    scope = CostScope(dict(map(_tag, query.tag)), query.service, query.account, query.source)
    texts = (*by, *scope.tags, *scope.tags.values(), query.service or "", query.account or "", query.source or "")
    if any("\0" in text for text in texts):
        raise BadInput("no name on a bill holds a NUL")
    return Question(start, end, by, scope, CostMetric(query.metric), query.as_of)


def _tag(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise BadInput(f"tag {text[:80]!r} is not of the form NAME=VALUE")
    return name, value


def _cost(line: Line, asked: Question) -> CostItem:
    keys = dict(zip(asked.by, line.keys, strict=True))
    day = keys.get("day")
    return CostItem(
        day=date.fromisoformat(day) if day else None,
        service=keys.get("service"),
        account=keys.get("account"),
        source=keys.get("source"),
        tags={name.removeprefix("tag:"): value for name, value in keys.items() if name.startswith("tag:")},
        cost=_money(line.amount, line.currency),
        provisional=line.provisional,
    )


def _bill(bill: BillState) -> BillItem:
    return BillItem(bill.covered_until, bill.loaded_at, list(bill.sources), bill.problem)


def _money(amount: Decimal, currency: str) -> Money:
    return Money(f"{amount:f}", currency)


# -- budgets ------------------------------------------------------------------------------------------------------


class ScopeItem(msgspec.Struct, frozen=True):
    """All conditions hold; null and {}: any."""

    tags: dict[str, str]
    service: str | None
    account: str | None
    source: str | None


class SpentItem(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """What one period cost from `from` to `to` (exclusive). share: of the limit, a decimal, 1 is all of it; complete:
    the bill reaches its end."""

    period: str
    from_: date
    to: date
    spent: Money
    share: str
    complete: bool
    provisional: bool


class BudgetItem(msgspec.Struct, frozen=True):
    """state: ok, warning, over, unknown (its bill is late or cannot be used), waiting (no bill yet). current: the
    newest period that the bill tells of, null if its amounts cannot be used; over: periods above the limit that are not
    settled; periods: oldest first, of this month and the one before; late_since: since when the bill is late."""

    name: str
    state: str
    period: str
    limit: Money
    thresholds: list[str]
    metric: str
    scope: ScopeItem
    current: SpentItem | None
    over: list[SpentItem]
    periods: list[SpentItem]
    bill: BillItem
    late_since: datetime | None
    owner: str | None
    team: str | None
    description: str | None


class BudgetList(msgspec.Struct, frozen=True):
    items: list[BudgetItem]


class BudgetQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name, state: more than once; any if absent."""

    name: list[str] = msgspec.field(default_factory=list[str])
    state: list[Annotated[str, known(BudgetState)]] = msgspec.field(default_factory=list[str])


def list_budgets(call: Call) -> BudgetList:
    query = call.asked(BudgetQuery)
    states = one_of("state", query.state, BudgetState)
    if any("\0" in name for name in query.name):
        raise BadInput("no budget's name holds a NUL")
    names = query.name or None
    found = call.read(lambda c: budget_status(c, call.now, names=names, team=call.principal.team))
    return BudgetList([budget_item(each) for each in found if not states or each.state in states])


def budget_item(status: BudgetStatus) -> BudgetItem:
    budget = status.budget
    scope = budget.scope

    def spent(each: Spent) -> SpentItem:
        money = _money(each.amount, budget.limit.currency)
        share = f"{share_of(each, budget):f}"
        return SpentItem(each.period, each.start, each.end, money, share, each.complete, each.provisional)

    return BudgetItem(
        name=budget.name,
        state=status.state.value,
        period=budget.period.value,
        limit=_limit(budget.limit),
        thresholds=[f"{share:f}" for share in budget.thresholds],
        metric=budget.metric.value,
        scope=ScopeItem(dict(scope.tags), scope.service, scope.account, scope.source),
        current=None if status.bill.problem else spent(status.shown),
        over=[spent(each) for each in status.over],
        periods=[spent(each) for each in status.periods],
        bill=_bill(status.bill),
        late_since=status.late_since,
        owner=budget.owner,
        team=budget.team,
        description=budget.description,
    )


def _limit(limit: Amount) -> Money:
    return _money(limit.amount, limit.currency)
