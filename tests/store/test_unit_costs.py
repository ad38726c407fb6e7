"""What a job and a dataset cost and moved by day, as the store has it: on SQLite and on PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tests.builders import ORDERS, ORDERS_TABLE, complete, fail, start, task_of, writes
from tests.charges import PROD, Line, bring
from watchtower.model.cost import BillState, CostMetric, CostScope
from watchtower.model.rule import SubjectKey
from watchtower.model.spent import Asked, Per, Spent
from watchtower.store import facts
from watchtower.store.database import Database
from watchtower.store.unit_costs import spent

DAY = date(2026, 3, 2)
SIX = datetime(2026, 3, 2, 6, tzinfo=UTC)


def _asked(per: Per) -> Asked:
    return Asked(CostScope(PROD), CostMetric.BILLED, per)


def _spent(database: Database, key: SubjectKey, per: Per) -> Spent:
    with database.read() as connection:
        return spent(connection, key, _asked(per))


def _two_days(database: Database) -> None:
    """On the first day a run with a task wrote 3 GB in 30 rows, on the second one 1 GB and failed afterwards."""
    task = task_of(ORDERS, "load")
    first, second = SIX, SIX + timedelta(days=1)
    given = [
        start("r1", first),
        complete("t1", first + timedelta(minutes=1), job=task, datasets=(writes(rows=20, size_bytes=2 * 10**9),)),
        complete("r1", first + timedelta(minutes=2), datasets=(writes(rows=10, size_bytes=10**9, partition="b"),)),
        start("r2", second),
        complete("t2", second + timedelta(minutes=1), job=task, datasets=(writes(rows=5, size_bytes=10**9),)),
        fail("r2", second + timedelta(minutes=2)),
    ]
    facts.append(database, facts.Intake(given)).result(10)


def _bill(database: Database, amounts: Sequence[str]) -> None:
    """Of each day from DAY on; charges of others beside them. A later one has longer texts."""
    lines = [Line(DAY + timedelta(days=place), amount) for place, amount in enumerate(amounts)]
    others = [Line(DAY, "500", tags={"Environment": "test"})]
    bring(database, [*lines, *others], SIX + timedelta(days=len(amounts), hours=sum(map(len, amounts))))


def test_writings_of_a_pipeline_are_those_of_its_tasks_too(database: Database) -> None:
    _two_days(database)
    _bill(database, ["6.60", "4"])
    job, table = SubjectKey("job", ORDERS.id), SubjectKey("dataset", ORDERS_TABLE.id)
    found = _spent(database, job, Per.GB)
    next_day = DAY + timedelta(days=1)
    assert (found.currency, found.costs) == ("USD", {DAY: Decimal("6.6"), next_day: Decimal(4)})
    assert found.moved == {DAY: 3 * 10**9, next_day: 10**9}
    assert found.by_day(Per.GB) == [(DAY, 2.2), (next_day, 4.0)]
    assert _spent(database, table, Per.GB).moved == found.moved
    assert _spent(database, table, Per.MILLION_ROWS).moved == {DAY: 30, next_day: 5}
    assert _spent(database, SubjectKey("job", task_of(ORDERS, "load").id), Per.MILLION_ROWS).moved == {
        DAY: 20,
        next_day: 5,
    }
    assert _spent(database, job, Per.RUN).moved == {DAY: 1}


def test_a_restated_bill_counts_in_place_of_the_one_before(database: Database) -> None:
    _two_days(database)
    _bill(database, ["6", "4"])
    _bill(database, ["3.0", "4"])
    assert _spent(database, SubjectKey("job", ORDERS.id), Per.GB).by_day(Per.GB)[0] == (DAY, 1.0)


def test_without_a_bill_nothing_is_known_and_what_is_not_told_is_none(database: Database) -> None:
    key = SubjectKey("job", ORDERS.id)
    assert _spent(database, key, Per.GB) == Spent(BillState(None, None))
    _bill(database, ["6"])
    assert (_spent(database, key, Per.GB).moved, _spent(database, key, Per.GB).by_day(Per.GB)) == ({}, [])


def test_currencies_are_never_added(database: Database) -> None:
    bring(database, [Line(DAY, "1"), Line(DAY, "1", currency="EUR")], SIX)
    found = _spent(database, SubjectKey("job", ORDERS.id), Per.GB)
    assert found.bill.problem is not None
    assert not found.costs
