"""Bills that a rule test gives: at each moment at which one comes, all that its provider then says of the period."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from watchtower.config.rule_tests import GivenCharge, RuleTest
from watchtower.model.cost import Bill, BudgetPeriod, CostGroup, CostMetric, DaySum
from watchtower.model.spending import DAY, bounds, midnight
from watchtower.rehearsal.story import moments

_Key = tuple[date, str, str, tuple[tuple[str, str], ...]]  # day, account, service, tags


@dataclass(frozen=True, slots=True)
class Billed:
    """One version of the bill of a period, as importers hand it to the store."""

    bill: Bill
    sums: tuple[DaySum, ...]


def bills_of(test: RuleTest) -> Iterator[tuple[datetime, Billed]]:
    """By time, each with the moment at which it is heard. What is charged twice for one day, account, service and tags
    was restated: the last word counts."""
    told = sorted(_charges(test), key=lambda each: each[0])
    known: dict[tuple[str, date], _Period] = {}
    for at, together in groupby(told, key=lambda each: each[0]):
        touched: dict[tuple[str, date], _Period] = {}
        for _, day, charge in together:
            name = (charge.source, day.replace(day=1))
            touched[name] = known.setdefault(name, _Period(*name))
            touched[name].say(day, charge)
        for period in touched.values():
            yield at, period.as_of(at)


def _charges(test: RuleTest) -> Iterable[tuple[datetime, date, GivenCharge]]:
    for given in test.given:
        if given.charge is not None:
            for moment in moments(given.charge, test.begins):
                day = moment.astimezone(UTC).date()
                yield midnight(day + DAY) + timedelta(seconds=given.charge.billed_after), day, given.charge


@dataclass(slots=True)
class _Period:
    """A month of one source."""

    source: str
    first: date
    sums: dict[_Key, DaySum] = field(default_factory=dict[_Key, DaySum], init=False)

    def say(self, day: date, charge: GivenCharge) -> None:
        group = CostGroup(charge.account, charge.service, charge.tags)
        amounts = dict.fromkeys(CostMetric, charge.cost)
        key = (day, charge.account, charge.service, tuple(sorted(charge.tags.items())))
        self.sums[key] = DaySum(day, group, charge.currency, amounts, rows=1)

    def as_of(self, at: datetime) -> Billed:
        sums = tuple(self.sums.values())
        _, end = bounds(BudgetPeriod.MONTH, self.first)
        bill = Bill(
            source=self.source,
            period=f"{self.first:%Y-%m}",
            digest=f"{self.source} {at.isoformat()}",
            rows=len(sums),
            scale=28,
            currencies=tuple(sorted({each.currency for each in sums})),
            covered_from=midnight(self.first),
            covered_until=min(midnight(max(each.day for each in sums) + DAY), midnight(end)),
            metrics=tuple(CostMetric),
        )
        return Billed(bill, sums)
