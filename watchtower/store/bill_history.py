"""Bills as they came in, for a backtest: each version with the moment from which it was in force.

Of each period the newest versions have their daily sums still. What an older one said is taken from the oldest of
those, as far as it reached itself: what was restated since is known from the beginning.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from watchtower.model.cost import Bill, BillImport, CostGroup, CostMetric, CostScope, DaySum
from watchtower.model.spent import end_of
from watchtower.store import costs
from watchtower.store.amounts import LIMBS, day_of, from_limbs
from watchtower.store.database import Database
from watchtower.store.schema.costs import cost_days, cost_groups


@dataclass(frozen=True, slots=True)
class Version:
    """at: from when on it was in force; sums: what it said of the charges that are asked for."""

    at: datetime
    bill: Bill
    sums: tuple[DaySum, ...]


def versions(database: Database, scopes: Collection[CostScope], since: datetime, until: datetime) -> Iterator[Version]:
    """By time: those that were in force at since, and all that came in from then until. Sums only of charges that one
    of scopes may mean."""
    with database.read() as connection:
        known = _by_version(costs.imports(connection) if scopes else ())
        groups = _groups(connection, scopes)
    wanted = [
        (each, kept)
        for some in known.values()
        for each, kept in _with_kept(some)
        if each.loaded_at <= until and (each.loaded_at > since or each is _in_force_at(some, since))
    ]
    for each, kept in sorted(wanted, key=lambda pair: (pair[0].loaded_at, pair[0].id)):
        with database.read() as connection:
            sums = list(_sums(connection, kept.id, groups))
        if kept is not each:
            sums = [one for one in sums if end_of(one.day) <= each.bill.covered_until]
        yield Version(each.loaded_at, each.bill, tuple(sums))


def _by_version(imports: Sequence[BillImport]) -> Mapping[tuple[str, str], list[BillImport]]:
    """Of each source and period, the first one first."""
    found: dict[tuple[str, str], list[BillImport]] = {}
    for each in sorted(imports, key=lambda one: one.version):
        found.setdefault((each.bill.source, each.bill.period), []).append(each)
    return found


def _with_kept(some: Sequence[BillImport]) -> Iterator[tuple[BillImport, BillImport]]:
    """Each with the one whose sums stand for it: itself, or the next one that still has some."""
    for place, each in enumerate(some):
        kept = next((one for one in some[place:] if one.kept), None)
        if kept is not None:
            yield each, kept


def _in_force_at(some: Sequence[BillImport], moment: datetime) -> BillImport | None:
    return next((one for one in reversed(some) if one.loaded_at <= moment), None)


def _groups(connection: Connection, scopes: Collection[CostScope]) -> dict[int, CostGroup]:
    """By id, those that one of scopes may mean."""
    found = {
        row.id: CostGroup(row.account, row.service, row.tags) for row in connection.execute(select(cost_groups)).all()
    }
    return {ident: group for ident, group in found.items() if any(_may_mean(scope, group) for scope in scopes)}


def _may_mean(scope: CostScope, group: CostGroup) -> bool:
    """Whatever the source is: that is the whole bill's."""
    return (
        scope.service in (None, group.service)
        and scope.account in (None, group.account)
        and all(group.tags.get(name) == value for name, value in scope.tags.items())
    )


def _sums(connection: Connection, import_id: str, groups: Mapping[int, CostGroup]) -> Iterator[DaySum]:
    query = select(cost_days).where(cost_days.c.import_id == import_id).order_by(cost_days.c.day, cost_days.c.group_id)
    for row in connection.execute(query).all():
        group = groups.get(row.group_id)
        if group is not None:
            amounts = {metric: amount for metric in CostMetric if (amount := _amount(row, metric)) is not None}
            yield DaySum(day_of(row.day), group, row.currency, amounts, row.rows, bool(row.provisional))


def _amount(row: Any, metric: CostMetric) -> Decimal | None:
    limbs = [getattr(row, f"{metric.value}_{limb}") for limb in LIMBS]
    return None if limbs[0] is None else from_limbs(map(int, limbs))
