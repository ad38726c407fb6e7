"""SLOs of datasets and of series: what the store has of them, and that news of them make the SLO due."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from tests.builders import DAY, ORDERS, at, complete, fail, writes
from tests.charges import PROD, Line, bring
from tests.rules.objectives import slo as slo_of
from tests.rules.spending import THE_DAY, budget
from tests.rules.spending import at as at_day
from tests.store.test_series import told
from tests.store.test_slos import declare, hear, minute
from watchtower.model.cost import CostMetric, CostScope
from watchtower.model.labels import Matcher
from watchtower.model.run import DatasetRef, JobRef, Trigger
from watchtower.model.series import Sample, SeriesRef
from watchtower.model.slo import Counted, Fresh, Indicator, Objective, Sli, Slo, minute_of
from watchtower.model.slo_days import days_of, entries
from watchtower.model.spending import DAY as ONE_DAY
from watchtower.model.spending import midnight
from watchtower.model.spent import Asked, Per
from watchtower.store import budgets, due
from watchtower.store.database import Database
from watchtower.store.reading.slos import snapshots
from watchtower.store.schema.observed import due as due_table

OTHER = DatasetRef("postgres://warehouse:5432", "shop.public.other")
NAMED = (Matcher("dataset", "=", "shop.public.orders"),)


def of_dataset(sli: Sli, op: str, value: float) -> Slo:
    return slo_of(name="orders", objectives=(Objective(Decimal("0.9"), Indicator("data", sli, NAMED, op, value)),))


def part(database: Database) -> Counted | Fresh:
    with database.read() as connection:
        (found,) = snapshots(connection)
    return found.parts[0]


def due_at(database: Database) -> datetime | None:
    with database.read() as connection:
        query = select(due_table.c.at).where(due_table.c.lane == due.RULES, due_table.c.subject == "slo:orders")
        return connection.execute(query).scalar_one()


def settle(database: Database) -> None:
    database.write(lambda connection: due.plan(connection, due.RULES, "slo:orders", None))


def made(run: str, seconds: float, rows: int | None = 100, ref: Any = None, **said: Any) -> Any:
    datasets = (writes(ref, rows) if ref else writes(rows=rows),)
    return complete(run, at(seconds), datasets=datasets, **said)


def test_a_writing_of_enough_rows_is_good(database: Database) -> None:
    declare(database, of_dataset(Sli.VOLUME, "gte", 100.0))
    hear(database, made("a", 60, 100), made("b", 70, 99), made("c", 130, 500), made("d", 140, None))
    hear(database, made("e", 200, 5, OTHER), fail("f", at(210), datasets=(writes(rows=1),)))
    hear(database, made("g", 300, 1, trigger=Trigger.BACKFILL))
    assert part(database) == Counted(days_of({minute(60): (1, 1), minute(120): (1, 0)}))


def test_times_in_which_the_data_was_too_old_are_found(database: Database) -> None:
    declare(database, of_dataset(Sli.FRESHNESS, "lte", 3_600.0))
    assert part(database) == Fresh(60)
    hear(database, made("a", 0), made("b", 3_600), made("c", 4 * 3_600))
    assert part(database) == Fresh(60, minute(0), minute(4 * 3_600), ((minute(2 * 3_600), minute(4 * 3_600)),))


def test_only_news_of_its_dataset_make_an_slo_due(database: Database) -> None:
    declare(database, of_dataset(Sli.VOLUME, "gte", 100.0))
    settle(database)
    hear(database, made("a", 60, ref=OTHER), complete("b", at(70), job=ORDERS))
    assert due_at(database) is None
    hear(database, made("c", 80))
    assert due_at(database) == at(80)


def test_samples_of_a_series_are_good_on_their_side_of_the_limit(database: Database) -> None:
    measured = Indicator("score", Sli.SERIES, (Matcher("series", "=", "validation_score"),), "gte", 0.95)
    declare(database, slo_of(name="orders", objectives=(Objective(Decimal("0.9"), measured),)))
    settle(database)
    ref = SeriesRef("validation_score", ORDERS)
    hear(database, told(ref, Sample(at(60), 0.95), Sample(at(70), 0.949), Sample(at(140), 0.99)))
    hear(database, told(SeriesRef("other", ORDERS), Sample(at(60), 1.0)))
    assert part(database) == Counted(days_of({minute(60): (1, 1), minute(120): (1, 0)}))
    assert due_at(database) == at(140)


def of_budget_days(database: Database) -> None:
    measured = Indicator("days", Sli.COST, (Matcher("budget", "=", "prod-daily"),))
    database.write(lambda connection: budgets.declare(connection, [budget()], DAY))
    declare(database, slo_of(name="orders", objectives=(Objective(Decimal("0.9"), measured),)))


def last_minute(day: date) -> int:
    return minute_of(midnight(day + ONE_DAY)) - 1


def test_a_day_of_a_budget_is_good_within_its_limit_and_counts_once_its_bill_reaches_it(database: Database) -> None:
    of_budget_days(database)
    settle(database)
    some = [Line(THE_DAY - 3 * ONE_DAY, "100", PROD), Line(THE_DAY - ONE_DAY, "100.01", PROD), Line(THE_DAY, "5", PROD)]
    bring(database, some, at_day(THE_DAY, 18), covered_until=midnight(THE_DAY))
    good, nothing, bad = (last_minute(THE_DAY - days * ONE_DAY) for days in (3, 2, 1))
    told_of = part(database)
    assert isinstance(told_of, Counted)
    assert list(entries(told_of.days)) == [(good, 1, 0), (nothing, 1, 0), (bad, 0, 1)], "today is not over"
    assert due_at(database) == at_day(THE_DAY, 18)


def test_a_bill_that_is_restated_changes_what_it_says_of_a_day(database: Database) -> None:
    of_budget_days(database)
    for number, amount in enumerate(("150", "99")):
        bring(database, [Line(THE_DAY, amount, PROD)], at_day(THE_DAY + ONE_DAY, 6 + number))
        told_of = part(database)
        assert isinstance(told_of, Counted)
        assert list(entries(told_of.days))[-1] == (last_minute(THE_DAY), number, 1 - number)


def test_a_bill_in_another_currency_says_nothing_of_a_budget(database: Database) -> None:
    of_budget_days(database)
    assert part(database) == Counted()
    bring(database, [Line(THE_DAY, "5", PROD, currency="EUR")], at_day(THE_DAY + ONE_DAY, 6))
    assert part(database) == Counted()


GIGABYTE = 10**9
LIMIT = 2.0  # that a GB may cost


def of_gigabytes(*more: Matcher) -> Slo:
    asked = Asked(CostScope(PROD), CostMetric.BILLED, Per.GB)
    matchers = (Matcher("pipeline", "=", ORDERS.pipeline), *more)
    measured = Indicator("gigabytes", Sli.UNIT_COST, matchers, "lte", LIMIT, asked=asked)
    return slo_of(name="orders", objectives=(Objective(Decimal("0.9"), measured),))


def test_a_day_on_which_a_gigabyte_was_too_dear_is_bad_and_one_without_bytes_counts_for_nothing(
    database: Database,
) -> None:
    declare(database, of_gigabytes())
    first = DAY.date()
    wrote = [(0, 3), (1, 1)]  # day, GB; nothing on the third
    runs = [
        complete(f"r{day}", DAY + day * ONE_DAY, datasets=(writes(size_bytes=gigabytes * GIGABYTE),))
        for day, gigabytes in wrote
    ]
    hear(database, *runs)
    settle(database)
    bills = [Line(first + day * ONE_DAY, amount, PROD) for day, amount in enumerate(("6", "2.01", "5"))]
    bring(database, bills, at_day(first, 80))
    told_of = part(database)
    assert isinstance(told_of, Counted)
    assert list(entries(told_of.days)) == [(last_minute(first), 1, 0), (last_minute(first + ONE_DAY), 0, 1)]
    assert due_at(database) == at_day(first, 80)


def test_of_one_name_in_two_places_the_bytes_of_both_are_paid_by_the_same_charges(database: Database) -> None:
    elsewhere = JobRef("cron", "cron", ORDERS.pipeline)
    hear(
        database,
        complete("r1", DAY, datasets=(writes(size_bytes=GIGABYTE),)),
        complete("r2", DAY, job=elsewhere, datasets=(writes(size_bytes=GIGABYTE),)),
    )
    bring(database, [Line(DAY.date(), "3", PROD)], at_day(DAY.date(), 30))
    for more, good in (((), 1), ((Matcher("namespace", "=", "cron"),), 0)):
        declare(database, of_gigabytes(*more))
        told_of = part(database)
        assert isinstance(told_of, Counted)
        assert list(entries(told_of.days)) == [(last_minute(DAY.date()), good, 1 - good)]
