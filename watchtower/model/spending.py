"""What a budget has spent, period by period, and whether its bill is late. Pure and exact; gets now.

Days and months are those of UTC. A period is settled by time and by the bill, which may come, and change, until
`late_after` past the end of the period, and longer while it tells of no later day; one that came later than that counts
for a day. Rules, pages and the API share this one reckoning.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, localcontext
from enum import StrEnum

from watchtower.errors import BadInput
from watchtower.model.cost import BillState, Budget, BudgetPeriod, Money
from watchtower.model.currencies import DIGITS
from watchtower.model.rule import BudgetSnapshot

DAY = timedelta(days=1)
# Amounts have up to 38 digits; the default context would round a sum of them to 28.
_EXACT = Context(prec=400)
_ALL = Decimal(1)
SHARE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(%?)")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a scope cost from start to end (exclusive), as far as the bill tells. complete: the bill reaches the end;
    provisional: the provider may still add to it or restate it; told_at: when the bill first reached the end."""

    start: date
    end: date
    amount: Decimal
    complete: bool
    provisional: bool
    told_at: datetime | None = None

    @property
    def period(self) -> str:
        """`2026-11-20`, or `2026-11` for a month."""
        return f"{self.start}" if self.end - self.start == DAY else f"{self.start:%Y-%m}"

    @property
    def ends_at(self) -> datetime:
        return midnight(self.end)


class BudgetState(StrEnum):
    """over: above the limit, known for sure or so far; warning: above a lower threshold; unknown: its bill is late or
    cannot be used, so that nothing may be called well; waiting: no bill has come yet, and none need have."""

    OK = "ok"
    WARNING = "warning"
    OVER = "over"
    UNKNOWN = "unknown"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget as people look at it. shown: its newest period that the bill tells something of, else the present
    one. periods: oldest first, those of this month and the one before that the bill tells of. over: those above the
    limit that are not settled yet. late_since: since when the bill is late, None while it is not."""

    budget: Budget
    state: BudgetState
    shown: Spent
    periods: tuple[Spent, ...]
    over: tuple[Spent, ...]
    bill: BillState
    late_since: datetime | None

    @property
    def share(self) -> Decimal:
        """Of the limit, 1 is all of it; for people, to four digits."""
        return share_of(self.shown, self.budget)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def bounds(period: BudgetPeriod, day: date) -> tuple[date, date]:
    """The first day of the period that holds day, and the first one after it."""
    if period is BudgetPeriod.DAY:
        return day, day + DAY
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def window(now: datetime) -> tuple[date, date]:
    """The days that a budget is judged by: of the month before this one, until tomorrow (exclusive)."""
    today = now.astimezone(UTC).date()
    first, _ = bounds(BudgetPeriod.MONTH, today)
    return bounds(BudgetPeriod.MONTH, first - DAY)[0], today + DAY


def periods(snapshot: BudgetSnapshot) -> list[Spent]:
    """Every period of which days or the bill tell something, oldest first."""
    period = snapshot.budget.period
    known = {bounds(period, day)[0] for day in (*snapshot.told, *(each.day for each in snapshot.days))}
    return [_spent(snapshot, start) for start in sorted(known)]


def _spent(snapshot: BudgetSnapshot, first: date) -> Spent:
    start, end = bounds(snapshot.budget.period, first)
    within = [each for each in snapshot.days if start <= each.day < end]
    covered_until = snapshot.bill.covered_until
    complete = covered_until is not None and covered_until >= midnight(end)
    return Spent(
        start=start,
        end=end,
        amount=total(each.amount for each in within),
        complete=complete,
        provisional=not complete or any(each.provisional for each in within),
        told_at=snapshot.told.get(end - DAY) if complete else None,
    )


def judged(snapshot: BudgetSnapshot, now: datetime) -> list[Spent]:
    """Those periods that a budget is judged by at now: begun, not settled, and not over before it was declared."""
    late_after = timedelta(seconds=snapshot.budget.late_after_s)
    return [
        each
        for each in periods(snapshot)
        if midnight(each.start) <= now
        and snapshot.declared_at < each.ends_at + late_after
        and ((until := settled_at(each, snapshot)) is None or now < until)
    ]


def settled_at(spent: Spent, snapshot: BudgetSnapshot) -> datetime | None:
    """From when on a period is history; None: not before the bill has told of the day after it. A bill that stands
    still settles nothing."""
    budget, covered_until = snapshot.budget, snapshot.bill.covered_until
    if covered_until is None or covered_until < spent.ends_at + DAY:
        return None
    settled = spent.ends_at + timedelta(seconds=budget.late_after_s)
    if spent.told_at is not None and spent.told_at >= settled:
        return spent.told_at + DAY
    return settled


def late_at(snapshot: BudgetSnapshot) -> datetime:
    """From when on the bill is late: the first day that it does not reach ended that long ago. Without any bill, that
    long after the budget was declared."""
    late_after = timedelta(seconds=snapshot.budget.late_after_s)
    covered_until = snapshot.bill.covered_until
    if covered_until is None:
        return snapshot.declared_at + late_after
    return midnight(covered_until.astimezone(UTC).date() + DAY) + late_after


def broken(budget: Budget, amount: Decimal, thresholds: Iterable[Decimal]) -> list[Decimal]:
    """The thresholds that amount is above, ascending."""
    with localcontext(_EXACT):
        return sorted(share for share in thresholds if amount > share * budget.limit.amount)


def share_of(spent: Spent, budget: Budget) -> Decimal:
    with localcontext(_EXACT):
        return (spent.amount / budget.limit.amount).quantize(Decimal("0.0001"))


def total(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(_EXACT):
        return sum(amounts, Decimal(0))


def status(snapshot: BudgetSnapshot, now: datetime) -> BudgetStatus:
    budget, bill = snapshot.budget, snapshot.bill
    begun = [each for each in periods(snapshot) if midnight(each.start) <= now and not bill.problem]
    here, _ = bounds(budget.period, now.astimezone(UTC).date())
    shown = begun[-1] if begun else _spent(snapshot, here)
    late = late_at(snapshot)
    late_since = late if late <= now else None
    judging = {each.start: each for each in (*judged(snapshot, now), shown)}.values()
    over = tuple(each for each in judging if broken(budget, each.amount, [_ALL]))
    if bill.problem:
        state = BudgetState.UNKNOWN
    elif over:
        state = BudgetState.OVER
    elif late_since:
        state = BudgetState.UNKNOWN
    elif any(broken(budget, each.amount, budget.thresholds) for each in judging):
        state = BudgetState.WARNING
    else:
        state = BudgetState.OK if begun else BudgetState.WAITING
    return BudgetStatus(budget, state, shown, tuple(begun), over, bill, late_since)


def parse_share(value: object) -> Decimal:
    """`0.8`, `"80%"` → 0.8, exactly as it was written. Raises BadInput that shows the form."""
    text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value).strip()
    found = SHARE.fullmatch(text)
    share = Decimal(found[1]) / (100 if found[2] else 1) if found else Decimal(0)
    if not share:
        raise BadInput(f'{value!r} is no share of a limit; write 0.8 or "80%", more than 0')
    return share


def money_words(money: Money) -> str:
    """`1,234.50 USD`: every digit that counts, and at least those that the currency has."""
    digits = f"{money.amount:,f}"
    whole, _, behind = digits.partition(".")
    behind = behind.rstrip("0").ljust(DIGITS.get(money.currency, 2), "0")
    return f"{whole}.{behind} {money.currency}" if behind else f"{whole} {money.currency}"


def rounded(money: Money) -> Money:
    """To the digits that the currency has, for people only."""
    unit = Decimal(1).scaleb(-DIGITS.get(money.currency, 2))
    return Money(money.amount.quantize(unit, context=_EXACT), money.currency)


def when(spent: Spent) -> str:
    """`on 2026-11-20`, `in 2026-11 so far, provisional`: by the bill, never by the clock."""
    day = spent.end - spent.start == DAY
    text = f"on {spent.period}" if day else f"in {spent.period}"
    if not spent.complete:
        return f"{text} so far, provisional"
    return f"{text}, provisional" if spent.provisional else text


def share_words(share: Decimal) -> str:
    """`80%`, `100%`, `112.5%`."""
    return f"{(share * 100).normalize():f}%"
