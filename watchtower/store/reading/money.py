"""What the bills of the last month say and how budgets stand, for `/metrics`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, func, select

from watchtower.model.spending import BudgetStatus
from watchtower.store.budgets import by_name
from watchtower.store.reading import costs
from watchtower.store.reading.budgets import budget_status
from watchtower.store.reading.costs import Question
from watchtower.store.schema.costs import bill_imports

DAYS = 31
SERVICES = 10  # of each source and currency, the dearest; the rest is one series
OTHER = "other services"


@dataclass(frozen=True, slots=True)
class ServiceDay:
    day: str
    source: str
    service: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BillReach:
    """covered_until: the end of what the bills of source tell of; loaded_at: of the newest import."""

    source: str
    covered_until: datetime
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class MoneyState:
    """teams: whom each budget belongs to, by its name."""

    days: tuple[ServiceDay, ...]
    bills: tuple[BillReach, ...]
    budgets: tuple[BudgetStatus, ...]
    teams: dict[str, str]


def newest_import(connection: Connection) -> datetime | None:
    """As long as this is the same, so are the sums."""
    return connection.execute(select(func.max(bill_imports.c.loaded_at))).scalar_one()


def read(connection: Connection, now: datetime) -> MoneyState:
    return MoneyState(
        days=_days(connection, now),
        bills=_bills(connection),
        budgets=tuple(budget_status(connection, now)),
        teams={name: known.team or "" for name, known in by_name(connection).items()},
    )


def _days(connection: Connection, now: datetime) -> tuple[ServiceDay, ...]:
    today = now.astimezone(UTC).date()
    asked = Question(today - timedelta(days=DAYS - 1), today + timedelta(days=1), by=("day", "source", "service"))
    found = [
        ServiceDay(day or "", source or "", service or "", line.currency, line.amount)
        for line in costs.lines(connection, asked)
        for day, source, service in (line.keys,)
    ]
    return _bounded(found)


def _bounded(found: Sequence[ServiceDay]) -> tuple[ServiceDay, ...]:
    """The dearest services of each source and currency by name, the others added up."""
    totals: dict[tuple[str, str], dict[str, Decimal]] = {}
    for each in found:
        services = totals.setdefault((each.source, each.currency), {})
        services[each.service] = services.get(each.service, Decimal(0)) + each.amount
    named = {
        (place, service)
        for place, services in totals.items()
        for service in sorted(services, key=lambda name: (-services[name], name))[:SERVICES]
    }
    summed: dict[tuple[str, str, str, str], Decimal] = {}
    for each in found:
        service = each.service if ((each.source, each.currency), each.service) in named else OTHER
        key = (each.day, each.source, service, each.currency)
        summed[key] = summed.get(key, Decimal(0)) + each.amount
    return tuple(ServiceDay(*key, amount) for key, amount in summed.items())


def _bills(connection: Connection) -> tuple[BillReach, ...]:
    query = (
        select(bill_imports.c.source, func.max(bill_imports.c.covered_until), func.max(bill_imports.c.loaded_at))
        .where(bill_imports.c.in_force)
        .group_by(bill_imports.c.source)
    )
    return tuple(BillReach(source, until, at) for source, until, at in connection.execute(query))
