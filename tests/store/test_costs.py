"""Daily costs: exact, replaced by whole periods, and nothing in between."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import START
from watchtower.model.cost import Bill, BillFile, Budget, BudgetPeriod, CostGroup, CostMetric, CostScope, DaySum, Money
from watchtower.store import budgets, costs, due
from watchtower.store.amounts import exact, from_limbs, to_limbs
from watchtower.store.database import Database

EXACT = Context(prec=100)
SEPTEMBER = date(2024, 9, 1)
PROD = CostGroup("acct-1", "EC2", {"Environment": "prod-data-pipeline", "team": "data"})
TEST = CostGroup("acct-2", "S3", {"Environment": "test"})


def bill(digest: str = "d1", period: str = "2024-09", source: str = "aws", **changes: Any) -> Bill:
    known: dict[str, Any] = {
        "rows": 1,
        "scale": 10,
        "currencies": ("USD",),
        "covered_from": datetime(2024, 9, 1, tzinfo=UTC),
        "covered_until": datetime(2024, 9, 3, tzinfo=UTC),
        "metrics": (CostMetric.BILLED, CostMetric.EFFECTIVE),
    }
    return Bill(source=source, period=period, digest=digest, **{**known, **changes})


def day(
    number: int, amount: str, group: CostGroup = PROD, currency: str = "USD", *, provisional: bool = False
) -> DaySum:
    amounts = {CostMetric.BILLED: Decimal(amount), CostMetric.EFFECTIVE: Decimal(amount) / 2}
    return DaySum(SEPTEMBER + timedelta(days=number - 1), group, currency, amounts, 1, provisional)


def put(database: Database, known: Bill, *sums: DaySum, now: datetime = START) -> costs.Written:
    return costs.write_import(database, known, sums, now)


def read(
    database: Database, scope: CostScope | None = None, metric: CostMetric = CostMetric.BILLED, **more: datetime
) -> list[tuple[date, str, Decimal, bool]]:
    with database.read() as connection:
        return costs.day_costs(
            connection, scope or CostScope(), metric, SEPTEMBER, SEPTEMBER + timedelta(days=30), **more
        )


def amounts(found: Iterable[tuple[date, str, Decimal, bool]]) -> list[str]:
    return [f"{amount:f}" for _, _, amount, _ in found]


def test_a_day_is_the_sum_of_its_groups_and_a_scope_chooses_among_them(database: Database) -> None:
    put(database, bill(), day(1, "1.25"), day(1, "-0.05", TEST), day(2, "3", provisional=True))
    assert read(database) == [(SEPTEMBER, "USD", Decimal("1.2"), False), (date(2024, 9, 2), "USD", Decimal(3), True)]
    assert amounts(read(database, CostScope(tags={"Environment": "prod-data-pipeline", "team": "data"}))) == [
        "1.25",
        "3",
    ]
    assert amounts(read(database, CostScope(tags={"Environment": "prod-data-pipeline", "team": "web"}))) == []
    assert amounts(read(database, CostScope(service="S3"))) == ["-0.05"]
    assert amounts(read(database, CostScope(account="acct-1", source="aws"))) == ["1.25", "3"]
    assert amounts(read(database, CostScope(source="gcp"))) == []
    assert amounts(read(database, metric=CostMetric.EFFECTIVE)) == ["0.6", "1.5"]


def test_currencies_are_never_added_up(database: Database) -> None:
    put(database, bill(currencies=("EUR", "USD")), day(1, "1"), day(1, "2", currency="EUR"))
    assert [(currency, amount) for _, currency, amount, _ in read(database)] == [("EUR", 2), ("USD", 1)]
    with database.read() as connection:
        state = costs.bill_state(connection, CostScope())
    assert state.problem == "its charges are in several currencies (EUR, USD), which are never added up"


def test_a_restated_period_is_replaced_whole_and_the_old_one_stays_known(database: Database) -> None:
    put(database, bill("d1"), day(1, "1"), day(2, "1"))
    second = put(database, bill("d2"), day(1, "5"), now=START + timedelta(hours=8))
    assert (second.changed, second.bill.version, second.before and second.before.version) == (True, 2, 1)
    assert amounts(read(database)) == ["5"]
    assert amounts(read(database, as_known_on=START + timedelta(hours=1))) == ["1", "1"]
    assert read(database, as_known_on=START - timedelta(hours=1)) == []


def test_the_same_bill_again_changes_nothing_but_where_it_lies(database: Database) -> None:
    put(database, bill("d1"), day(1, "1"))
    again = bill("d1", files=(BillFile("copy.csv", 3, "2", "abc"),))
    written = put(database, again, day(1, "1"), now=START + timedelta(hours=8))
    assert (written.changed, written.bill.version) == (False, 1)
    with database.read() as connection:
        (only,) = costs.imports(connection)
    assert (only.loaded_at, only.bill.files) == (START, again.files)


def test_what_an_interrupted_import_left_counts_for_nothing_and_is_cleared_away(database: Database) -> None:
    put(database, bill("d1"), day(1, "1"))
    costs.stage(database, costs.new_id(START), [day(1, "100"), day(2, "100")])
    assert amounts(read(database)) == ["1"]
    assert costs.discard_unfinished(database, START) == 0
    assert costs.discard_unfinished(database, START + timedelta(seconds=1)) == 1
    assert costs.discard_unfinished(database, START + timedelta(seconds=1)) == 0
    assert amounts(read(database)) == ["1"]


def test_a_bill_makes_every_budget_due(database: Database) -> None:
    budget = Budget("ml-daily", CostScope(), BudgetPeriod.DAY, Money(Decimal(100), "USD"))
    database.write(lambda connection: budgets.declare(connection, [budget], START))
    database.write(lambda connection: due.settle(connection, due.RULES, [("budget:ml-daily", 1, None)]))
    put(database, bill(), day(1, "1"))
    with database.read() as connection:
        assert [row.subject for row in due.peek(connection, due.RULES, START, 10)] == ["budget:ml-daily"]


def test_bills_reach_as_far_as_the_shortest_of_those_that_a_scope_needs(database: Database) -> None:
    put(database, bill(), day(1, "1"))
    put(database, bill(source="gcp", covered_until=datetime(2024, 9, 2, tzinfo=UTC)), day(1, "1", TEST))
    with database.read() as connection:
        both = costs.bill_state(connection, CostScope())
        one = costs.bill_state(connection, CostScope(tags={"Environment": "prod-data-pipeline"}))
        none = costs.bill_state(connection, CostScope(source="azure"))
    assert (both.covered_until, both.sources) == (datetime(2024, 9, 2, tzinfo=UTC), ("aws", "gcp"))
    assert (one.covered_until, one.sources) == (datetime(2024, 9, 3, tzinfo=UTC), ("aws",))
    assert (none.covered_until, none.sources) == (None, ())


def test_a_day_is_told_when_the_last_source_first_reached_its_end(database: Database) -> None:
    put(database, bill("a1", covered_until=datetime(2024, 9, 2, tzinfo=UTC)), day(1, "1"))
    put(database, bill("a2"), day(1, "1"), day(2, "1"), now=START + timedelta(hours=1))
    put(database, bill("a3"), day(1, "1"), day(2, "2"), now=START + timedelta(hours=2))
    with database.read() as connection:
        told = costs.told(connection, CostScope(), SEPTEMBER, date(2024, 9, 5))
    assert told == {SEPTEMBER: START, date(2024, 9, 2): START + timedelta(hours=1)}


@pytest.mark.parametrize(
    ("changes", "scope", "metric", "said"),
    [
        ({"dropped_tags": ("run_id",)}, CostScope(tags={"run_id": "r1"}), CostMetric.BILLED, "'run_id'"),
        ({}, CostScope(), CostMetric.LIST, "has no list cost"),
    ],
)
def test_amounts_that_cannot_be_known_are_a_problem(
    database: Database, changes: dict[str, Any], scope: CostScope, metric: CostMetric, said: str
) -> None:
    put(database, bill(**changes), day(1, "1"))
    with database.read() as connection:
        assert said in str(costs.bill_state(connection, scope, metric).problem)


def test_old_versions_give_up_their_sums_but_not_their_place_in_history(database: Database) -> None:
    for number in range(5):
        put(database, bill(f"d{number}"), day(1, f"{number}"), now=START + timedelta(hours=number))
    costs.let_go(database, keep=2)
    with database.read() as connection:
        assert [(each.version, each.kept) for each in costs.imports(connection)] == [
            (5, True),
            (4, True),
            (3, False),
            (2, False),
            (1, False),
        ]
    assert amounts(read(database)) == ["4"]
    assert amounts(read(database, as_known_on=START + timedelta(hours=3))) == ["3"]


def test_many_days_of_many_groups_are_summed_to_the_last_digit(database: Database) -> None:
    groups = [CostGroup("a", "s", {"n": str(number)}) for number in range(300)]
    amount = "-922337203685477580.000000000000000000000000000000000001"
    whole = int(amount.replace(".", ""))
    put(database, bill(), *[day(number, amount, group) for number in range(1, 10) for group in groups])
    assert [int(found.scaleb(36, EXACT)) for _, _, found, _ in read(database)] == [whole * 300] * 9
    with database.read() as connection:
        (known,) = costs.imports(connection)
        total = costs.totals(connection, known.id, CostMetric.BILLED)["USD"]
    assert int(total.scaleb(36, EXACT)) == whole * 2_700


@given(st.integers(min_value=-(10**53), max_value=10**53))
def test_limbs_hold_every_digit(number: int) -> None:
    amount = exact(number, 36)
    units, atto, rest = to_limbs(amount)
    assert units is not None and atto is not None and rest is not None
    assert (units * 10**18 + atto) * 10**18 + rest == number
    assert {each > 0 for each in (units, atto, rest) if each} in ({True}, {False}, set())
    assert from_limbs((units, atto, rest)) == amount
