"""dataset_probe: tables of a real PostgreSQL and of SQLite are read, never written; what is wrong with one is told."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine, text

from collectors.probes.moments import to_moment
from collectors.probes.tables import DatabaseSource, ProbedDatabase, TableDocument
from tests.app.polls import context
from tests.services.postgres import PostgresServer
from tests.simulators.webhook import WebhookSimulator
from watchtower.clock import ManualClock
from watchtower.errors import DeliveryError
from watchtower.model.fact import Fact
from watchtower.model.source import Page, Problem, Window
from watchtower.ports import Received

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
AT = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)


@pytest.fixture
def shop(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Generator[str]:
    """The URL of a database with a table `orders` of three rows, on each engine."""
    if engine == "sqlite":
        made = f"sqlite:///{tmp_path / 'shop.db'}"
        _fill(create_engine(made))
        yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    made = server.url(name)
    _fill(create_engine(made.replace("postgresql:", "postgresql+psycopg:")))
    yield made
    server.drop_database(name)


def _fill(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id integer, amount numeric(10, 2), changed timestamp)"))
        for number in range(3):
            values = {"id": number, "at": str(AT.replace(tzinfo=None) - timedelta(hours=number))}
            connection.execute(text("INSERT INTO orders VALUES (:id, 2.5, CAST(:at AS text)::timestamp)"
                                    if connection.dialect.name == "postgresql"
                                    else "INSERT INTO orders VALUES (:id, 2.5, :at)"), values)  # fmt: skip
    database.dispose()


def change(url: str, sql: str) -> None:
    made = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with made.begin() as connection:
        connection.execute(text(sql))
    made.dispose()


def source(url: str, *tables: dict[str, Any], clock: ManualClock | None = None, **said: Any) -> ProbedDatabase:
    config = {"name": "warehouse", "url": url, "tables": list(tables), "namespace": "warehouse", **said}
    return ProbedDatabase(DatabaseSource.model_validate(config), context(clock or ManualClock(NOW)))


ORDERS = {"table": "orders", "updated_at": "changed", "dataset": "shop.orders"}


def look(probed: ProbedDatabase, cursor: str | None = None) -> tuple[list[Fact], tuple[Problem, ...], str | None]:
    pages: list[Page] = list(probed.read(Window(NOW, NOW, cursor=cursor)))
    facts = [
        fact
        for page in pages
        for record in page.records
        for fact in probed.decode(record, Received(NOW, "warehouse")).facts
    ]
    cursors = [page.cursor for page in pages if page.cursor is not None]
    assert pages[-1].problems is not None
    return facts, pages[-1].problems, cursors[-1] if cursors else cursor


def test_a_look_tells_the_newest_row_the_count_and_the_columns(shop: str) -> None:
    facts, problems, _ = look(source(shop, ORDERS))
    (patch,) = facts[0].datasets
    assert problems == ()
    assert (patch.ref.namespace, patch.ref.name) == ("warehouse", "shop.orders")
    assert (patch.updated_at, patch.row_count, patch.measured, facts[0].historical) == (AT, 3, True, False)
    assert patch.fields is not None
    assert [(name, kind.partition("(")[0]) for name, kind in patch.fields] == [
        ("id", "INTEGER"),
        ("amount", "NUMERIC"),
        ("changed", "TIMESTAMP"),
    ]


def test_what_was_seen_before_is_no_news_and_what_changed_is(shop: str) -> None:
    probed = source(shop, ORDERS)
    facts, _, cursor = look(probed)
    assert len(facts) == 1
    assert look(probed, cursor)[0] == []
    change(shop, "INSERT INTO orders VALUES (9, 1, '2026-03-02 07:00:00')")
    facts, _, _ = look(probed, cursor)
    assert (facts[0].datasets[0].updated_at, facts[0].datasets[0].row_count) == (AT + timedelta(minutes=30), 4)


def test_what_is_remembered_of_a_wide_table_is_short_and_a_new_column_is_still_news(shop: str) -> None:
    columns = ", ".join(f"column_number_{number} integer" for number in range(200))
    change(shop, f"CREATE TABLE wide ({columns})")
    probed = source(shop, {"table": "wide", "dataset": "shop.wide"})
    _, _, cursor = look(probed)
    assert len(cursor or "") < 500
    assert look(probed, cursor)[0] == []
    change(shop, "ALTER TABLE wide ADD COLUMN one_more integer")
    facts, _, _ = look(probed, cursor)
    assert len(facts[0].datasets[0].fields or ()) == 201


def test_a_table_that_says_no_time_counts_as_written_when_its_rows_change(shop: str) -> None:
    probed = source(shop, {"table": "orders", "dataset": "shop.orders"})
    facts, _, cursor = look(probed)
    assert facts[0].datasets[0].updated_at == NOW
    change(shop, "DELETE FROM orders WHERE id = 0")
    later = NOW + timedelta(minutes=5)
    (page, *_) = probed.read(Window(NOW, later, cursor=cursor))
    (fact,) = probed.decode(page.records[0], Received(later)).facts
    assert (fact.datasets[0].updated_at, fact.datasets[0].row_count) == (later, 2)


def test_a_query_of_ones_own_tells_known_columns_and_its_other_numbers_as_series(shop: str) -> None:
    query = "SELECT max(changed) AS updated_at, count(*) AS row_count, sum(amount) AS revenue FROM orders WHERE id < 2"
    probed = source(shop, {"dataset": "revenue", "query": query})
    facts, problems, cursor = look(probed)
    assert problems == ()
    assert (facts[0].datasets[0].updated_at, facts[0].datasets[0].row_count) == (AT, 2)
    (told,) = facts[0].series
    assert (told.ref.name, dict(told.ref.labels), told.source) == ("revenue", {"table": "revenue"}, "warehouse")
    assert told.samples[0].value == 5.0
    assert len(look(probed, cursor)[0]) == 1  # numbers are samples, and told at every look


def test_nothing_is_ever_written(shop: str) -> None:
    """Neither by a function of the database nor by a statement that hides behind WITH."""
    on_postgres = "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) AS row_count FROM gone"
    query = on_postgres if shop.startswith("postgresql") else "WITH a AS (SELECT 1) INSERT INTO orders SELECT 1, 2, 3"
    facts, problems, _ = look(source(shop, {"dataset": "bad", "query": query}, ORDERS))
    assert [problem.key for problem in problems] == ["bad"]
    assert "read" in problems[0].summary
    assert facts[0].datasets[0].row_count == 3


def test_a_table_that_is_gone_is_named_with_what_it_may_be_called_now_and_costs_the_others_nothing(shop: str) -> None:
    change(shop, "CREATE TABLE customers_v2 (id integer)")
    facts, problems, _ = look(source(shop, {"table": "customers", "dataset": "shop.customers"}, ORDERS))
    (gone,) = problems
    assert gone.summary == "customers: there is no such table; there is customers_v2: was it renamed?"
    assert gone.concerns == (f"dataset:{_ref_id('shop.customers')}",)
    assert [fact.datasets[0].ref.name for fact in facts] == ["shop.orders"]


def test_a_column_that_is_not_there_is_told_and_the_columns_still_are(shop: str) -> None:
    facts, (problem,), _ = look(source(shop, {**ORDERS, "updated_at": "altered"}))
    assert "altered" in problem.summary
    assert "may the user of `url` read it?" in problem.summary
    assert facts[0].datasets[0].fields


def test_an_empty_table_is_a_problem_and_no_new_data(shop: str) -> None:
    change(shop, "DELETE FROM orders")
    facts, (problem,), _ = look(source(shop, ORDERS))
    assert problem.summary == "orders holds no row"
    assert (facts[0].datasets[0].updated_at, facts[0].datasets[0].row_count) == (None, 0)


def test_a_row_of_the_future_makes_nothing_fresh(shop: str) -> None:
    change(shop, "INSERT INTO orders VALUES (9, 1, '2036-03-02 07:00:00')")
    facts, (problem,), _ = look(source(shop, ORDERS))
    assert "still to come; is `timezone` right?" in problem.summary
    assert facts[0].datasets[0].updated_at is None


def test_a_zone_of_its_own_is_counted_in(shop: str) -> None:
    facts, _, _ = look(source(shop, {**ORDERS, "timezone": "Europe/Berlin"}))
    assert facts[0].datasets[0].updated_at == AT - timedelta(hours=1)


def test_a_statement_is_ended_at_its_time_out(shop: str) -> None:
    """By the engine itself: on SQLite by the clock, which stands; so one that has run for ever is given."""
    slow = "SELECT count(*) AS row_count, pg_sleep(30) FROM orders"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(i) AS row_count FROM n"
    query = slow if shop.startswith("postgresql") else endless
    probed = source(shop, {"dataset": "slow", "query": query}, ORDERS, clock=Hurried(NOW), timeout="200ms")
    facts, problems, _ = look(probed)
    assert [problem.key for problem in problems] == ["slow"]
    assert "did not end within `timeout` (0.2 s)" in problems[0].summary
    assert [fact.datasets[0].ref.name for fact in facts] == ["shop.orders"]


class Hurried(ManualClock):
    """Goes on by a hundredth of a second with each look at it."""

    def boottime(self) -> float:
        self.advance(0.01)
        return super().boottime()


def test_a_statement_that_would_cost_too_much_is_not_run(postgres: PostgresServer) -> None:
    name = postgres.create_database()
    url = postgres.url(name)
    _fill(create_engine(url.replace("postgresql:", "postgresql+psycopg:")))
    dear = {"dataset": "dear", "query": "SELECT count(*) AS row_count FROM generate_series(1, 100000000)"}
    facts, (problem,), _ = look(source(url, dear, ORDERS, max_cost=10_000))
    assert "is above max_cost 10,000; index the column, say `rows: estimate`, or raise it" in problem.summary
    assert facts[0].datasets[0].row_count == 3
    postgres.drop_database(name)


def test_an_estimate_is_the_engines_own_statistics(postgres: PostgresServer) -> None:
    name = postgres.create_database()
    url = postgres.url(name)
    _fill(create_engine(url.replace("postgresql:", "postgresql+psycopg:")))
    probed = source(url, {**ORDERS, "rows": "estimate"})
    assert look(probed)[0][0].datasets[0].row_count is None  # never analyzed
    change(url, "ANALYZE orders")
    assert look(probed)[0][0].datasets[0].row_count == 3
    postgres.drop_database(name)


def test_without_a_name_of_its_own_a_table_is_called_as_lineage_calls_it(postgres: PostgresServer) -> None:
    name = postgres.create_database()
    _fill(create_engine(postgres.url(name).replace("postgresql:", "postgresql+psycopg:")))
    probed = source(postgres.url(name), {"table": "orders"}, namespace=None)
    facts, _, _ = look(probed)
    ref = facts[0].datasets[0].ref
    assert (ref.namespace, ref.name) == ("postgres://localhost:5432", f"{name}.public.orders")
    postgres.drop_database(name)


def test_a_database_that_is_away_is_told_once_with_all_that_it_concerns_and_without_its_password() -> None:
    probed = source("postgresql://reader:s3cret-word@127.0.0.1:1/shop", ORDERS, {**ORDERS, "dataset": "shop.other"})
    pages: list[Page] = []
    with pytest.raises(DeliveryError) as raised:
        pages.extend(probed.read(Window(NOW, NOW)))
    assert "dataset_probe source 'warehouse': cannot connect" in str(raised.value)
    assert "s3cret-word" not in str(raised.value)


def test_the_problem_of_a_database_that_is_away_comes_before_the_error() -> None:
    probed = source("postgresql://reader@127.0.0.1:1/shop", ORDERS)
    page = next(probed.read(Window(NOW, NOW)))
    assert page.problems is not None
    assert [(each.key, each.concerns) for each in page.problems] == [
        ("connection", (f"dataset:{_ref_id('shop.orders')}",))
    ]


def test_a_user_that_is_refused_is_told_and_the_password_is_not_shown(postgres: PostgresServer) -> None:
    reader = postgres.url().replace("postgres@", "nobody_of_that_name:s3cret-word@", 1)
    with pytest.raises(DeliveryError, match=r"dataset_probe source 'warehouse'.*nobody_of_that_name") as raised:
        list(source(reader, ORDERS).read(Window(NOW, NOW)))
    assert "s3cret-word" not in str(raised.value)


def test_what_is_no_database_is_told() -> None:
    with WebhookSimulator(NOW) as server:
        address = server.url.removeprefix("http://")
        with pytest.raises(DeliveryError, match="dataset_probe source 'warehouse': cannot connect"):
            list(source(f"postgresql://reader@{address}/shop", ORDERS).read(Window(NOW, NOW)))


def test_an_address_that_the_guard_refuses_is_not_connected_to() -> None:
    probed = source("postgresql://reader@10.9.8.7/shop", ORDERS)
    with pytest.raises(DeliveryError, match=r"10\.9\.8\.7"):
        list(probed.read(Window(NOW, NOW)))


def test_a_driver_that_is_not_there_is_named() -> None:
    probed = source("teradatasql://reader@127.0.0.1/shop", ORDERS)
    with pytest.raises(DeliveryError, match="install its SQLAlchemy driver"):
        list(probed.read(Window(NOW, NOW)))


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "name a table or give a query"),
        ({"table": "a", "query": "SELECT 1"}, "and not both"),
        ({"query": "SELECT 1"}, "needs `dataset`"),
        ({"query": "SELECT 1; DROP TABLE a", "dataset": "a"}, "more than one statement"),
        ({"query": "DELETE FROM a", "dataset": "a"}, "a probe only reads"),
        ({"query": "SELECT 1", "dataset": "a", "updated_at": "b"}, "AS updated_at"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        TableDocument.model_validate(said)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        (None, None),
        (AT, AT),
        (AT.replace(tzinfo=None), AT),
        (AT.date(), AT.replace(hour=0, minute=0)),
        ("2026-03-02T06:30:00Z", AT),
        ("2026-03-02 06:30:00", AT),
        ("2026-03-02", AT.replace(hour=0, minute=0)),
        ("20260302", AT.replace(hour=0, minute=0)),
        (int(AT.timestamp()), AT),
        (AT.timestamp() * 1e3, AT),
        (AT.timestamp() * 1e6, AT),
        (str(int(AT.timestamp())), AT),
    ],
    ids=str,
)
def test_a_moment_is_read_in_every_form_that_databases_have(said: Any, moment: datetime | None) -> None:
    assert to_moment(said, UTC) == moment


@pytest.mark.parametrize("said", ["yesterday", True, 1e300], ids=str)
def test_what_is_no_moment_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="is no time"):
        to_moment(said, UTC)


def _ref_id(name: str) -> str:
    from watchtower.model.run import DatasetRef

    return DatasetRef("warehouse", name).id


# -- checksums -------------------------------------------------------------------------------------------------------

SUMMED = {"table": "orders", "dataset": "shop.orders", "checksum": ["id", "amount"]}
# Of the rows (0, 2.5), (1, 2.5), (2, 2.5), where an amount is the text `2.50`, as PostgreSQL has it, and `2.5`.
BY_HAND = {"postgresql": ["1:04:2.50", "1:14:2.50", "1:24:2.50"], "sqlite": ["1:03:2.5", "1:13:2.5", "1:23:2.5"]}


def by_hand(texts: list[str]) -> str:
    digests = [md5(each.encode(), usedforsecurity=False).hexdigest() for each in texts]
    high, low = (sum(int(each[at : at + 7], 16) for each in digests) for at in (0, 7))
    return f"{high % 2**32:08x}{low % 2**32:08x}"


def checksum_of(url: str, table: dict[str, Any] = SUMMED) -> str:
    facts, problems, _ = look(source(url, table))
    assert problems == ()
    told = facts[0].datasets[0].checksum
    assert told is not None
    return told


def test_a_checksum_is_what_anybody_can_compute_by_hand(shop: str, engine: str) -> None:
    assert checksum_of(shop) == by_hand(BY_HAND[engine])


def test_a_checksum_knows_no_order_and_every_change(shop: str) -> None:
    first = checksum_of(shop)
    change(shop, "UPDATE orders SET id = id + 10")
    assert checksum_of(shop) != first
    change(shop, "DELETE FROM orders")
    assert checksum_of(shop) == "0" * 16
    for number in (2, 0, 1):
        change(shop, f"INSERT INTO orders VALUES ({number}, 2.5, NULL)")
    assert checksum_of(shop) == first
    change(shop, "UPDATE orders SET amount = NULL WHERE id = 1")
    with_null = checksum_of(shop)
    change(shop, "INSERT INTO orders VALUES (1, NULL, NULL)")
    assert len({first, with_null, checksum_of(shop)}) == 3


def test_the_same_texts_give_the_same_checksum_in_any_engine(shop: str) -> None:
    change(shop, "CREATE TABLE names (id integer, name text)")
    for number, name in enumerate(("Zoë", "", "1:2", "O''Hara")):
        change(shop, f"INSERT INTO names VALUES ({number}, '{name}')")
    texts = ["1:03:Zoë", "1:10:", "1:23:1:2", "1:36:O'Hara"]
    assert checksum_of(shop, {**SUMMED, "table": "names", "checksum": ["id", "name"]}) == by_hand(texts)


def test_each_whole_day_is_told_by_itself_and_only_what_changed_is_news(shop: str) -> None:
    """Today is told tomorrow; a day without rows is none."""
    change(shop, "INSERT INTO orders VALUES (7, 1, '2026-03-01 23:59:59'), (8, 1, '2026-02-27 00:00:00')")
    probed = source(shop, {**SUMMED, "by": "changed", "updated_at": "changed"})
    facts, problems, cursor = look(probed)
    told = [fact.datasets[0] for fact in facts]
    assert problems == ()
    assert [(each.partition, each.row_count) for each in told] == [("2026-03-01", 1), ("2026-02-27", 1)]
    assert told[0].updated_at == datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    assert look(probed, cursor)[0] == []
    change(shop, "UPDATE orders SET amount = 2 WHERE id = 8")
    facts, _, _ = look(probed, cursor)
    assert [fact.datasets[0].partition for fact in facts] == ["2026-02-27"]
    assert facts[0].datasets[0].checksum not in {each.checksum for each in told}


def test_a_column_that_is_not_there_is_named_and_costs_the_others_nothing(shop: str) -> None:
    facts, problems, _ = look(source(shop, {**SUMMED, "checksum": ["id", "price"]}, ORDERS))
    assert "price" in problems[0].summary
    assert facts[-1].datasets[0].row_count == 3


def test_a_query_tells_a_checksum_of_its_own(shop: str) -> None:
    query = "SELECT max(changed) AS updated_at, 'v7' AS checksum FROM orders"
    facts, _, _ = look(source(shop, {"dataset": "mine", "query": query}))
    assert facts[0].datasets[0].checksum == "v7"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"dataset": "a", "query": "SELECT 1 AS row_count", "by": "day"}, "knows no `by`"),
        ({"table": "a", "by": "day", "rows": "none"}, "rows of a day are counted"),
        ({"table": "a", "checksum": []}, "at least 1"),
    ],
    ids=str,
)
def test_a_checksum_that_cannot_be_made_is_refused_with_the_configuration(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TableDocument.model_validate(table)
