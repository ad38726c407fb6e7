"""The budgets on the page "Now"."""

from collections.abc import Iterable
from decimal import Decimal

from dashboards import web
from watchtower.model.access import Permission
from watchtower.model.cost import Budget, BudgetPeriod, Money
from watchtower.model.spending import (
    BudgetState,
    BudgetStatus,
    Spent,
    broken,
    money_words,
    rounded,
    share_of,
    share_words,
    when,
)
from watchtower.server.endpoints import Call
from watchtower.store.database import Connection
from watchtower.store.reading.budgets import budget_status

_WORST = (BudgetState.OVER, BudgetState.UNKNOWN, BudgetState.WARNING, BudgetState.OK, BudgetState.WAITING)
_NOTES = 3  # of one budget


def budget_rows(call: Call, connection: Connection) -> Iterable[web.BudgetRow]:
    """The worst first; none for those who may not see costs."""
    if not call.principal.may(Permission.COSTS_READ):
        return
    found = budget_status(connection, call.now, team=call.principal.team)
    for status in sorted(found, key=lambda each: (_WORST.index(each.state), each.budget.name)):
        yield _budget_row(status)


def _budget_row(status: BudgetStatus) -> web.BudgetRow:
    budget, shown, problem = status.budget, status.shown, status.bill.problem
    notes = [f"{_spent_words(each, budget)} {when(each)}" for each in status.over if each != shown]
    late = status.late_since is not None
    return web.BudgetRow(
        name=budget.name,
        owner=budget.owner or "",
        state=status.state,
        tone=web.budget_tone(status.state),
        fill="warn" if late and status.state is BudgetState.UNKNOWN else _spent_tone(shown, budget),
        when=when(shown),
        spent="" if problem else _spent_words(shown, budget),
        limit=f"{money_words(budget.limit)} per {budget.period.value}",
        share=share_words(status.share),
        percent=float(status.share * 100),
        ticks=tuple(float(share * 100) for share in budget.thresholds),
        late=late,
        covered_until=status.bill.covered_until,
        notes=(problem,) if problem else tuple(notes[:_NOTES]),
        bars=tuple(_period_bar(each, budget) for each in status.periods) if budget.period is BudgetPeriod.DAY else (),
    )


def _period_bar(spent: Spent, budget: Budget) -> web.PeriodBar:
    title = f"{spent.period}: {_spent_words(spent, budget)}"
    return web.PeriodBar(float(share_of(spent, budget) * 100), _spent_tone(spent, budget), title)


def _spent_tone(spent: Spent, budget: Budget) -> str:
    above = broken(budget, spent.amount, (*budget.thresholds, Decimal(1)))
    return "bad" if Decimal(1) in above else "warn" if above else "good"


def _spent_words(spent: Spent, budget: Budget) -> str:
    """To the digits of the currency, unless that would hide on which side of the limit it is."""
    exact, limit = Money(spent.amount, budget.limit.currency), budget.limit.amount
    short = rounded(exact)
    return money_words(short if (short.amount > limit) == (exact.amount > limit) else exact)
