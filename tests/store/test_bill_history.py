"""Bills as they came in: each version in its order, with the sums that it had, on every store."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tests.charges import PROD, Line, bring
from watchtower.model.cost import CostMetric, CostScope
from watchtower.store import costs
from watchtower.store.bill_history import Version, versions
from watchtower.store.database import Database

DAY = date(2026, 3, 2)
FOREVER = datetime(2027, 1, 1, tzinfo=UTC)
SCOPE = CostScope(PROD)


def at(day: int, hour: int = 6) -> datetime:
    return datetime(2026, 3, 2, hour, tzinfo=UTC) + timedelta(days=day)


def three_mornings(database: Database) -> None:
    """Each tells of one day more; the third one restates the first day."""
    amounts = ["1.000000000000000000000000000000000001", "2", "3"]
    for day in range(3):
        if day == 2:
            amounts[0] = "-9.5"
        lines = [Line(DAY + timedelta(days=each), amounts[each]) for each in range(day + 1)]
        bring(database, [*lines, Line(DAY, "500", {"Environment": "test"})], at(day + 1))


def told(found: Collection[Version]) -> list[tuple[datetime, list[str]]]:
    return [(each.at, [str(one.amounts[CostMetric.BILLED]) for one in each.sums]) for each in found]


def test_each_version_says_what_it_said_of_the_charges_that_are_asked_for(database: Database) -> None:
    three_mornings(database)
    assert told(list(versions(database, [SCOPE], at(0), FOREVER))) == [
        (at(1), ["1.000000000000000000000000000000000001"]),
        (at(2), ["1.000000000000000000000000000000000001", "2"]),
        (at(3), ["-9.5", "2", "3"]),
    ]
    assert list(versions(database, [], at(0), FOREVER)) == []
    [first, *_] = versions(database, [SCOPE, CostScope({"Environment": "test"})], at(0), FOREVER)
    assert {one.amounts[CostMetric.BILLED] for one in first.sums} > {Decimal(500)}


def test_what_was_in_force_at_the_beginning_is_known_and_what_came_later_is_not(database: Database) -> None:
    three_mornings(database)
    assert [each.at for each in versions(database, [SCOPE], at(2, 12), FOREVER)] == [at(2), at(3)]
    assert [each.at for each in versions(database, [SCOPE], at(0), at(2))] == [at(1), at(2)]


def test_where_sums_are_gone_a_later_version_tells_of_the_days_that_it_reached(database: Database) -> None:
    three_mornings(database)
    costs.let_go(database, keep=1)
    assert told(list(versions(database, [SCOPE], at(0), FOREVER))) == [
        (at(1), ["-9.5"]),
        (at(2), ["-9.5", "2"]),
        (at(3), ["-9.5", "2", "3"]),
    ]
