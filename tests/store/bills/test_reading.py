"""Bills as providers write them, in all their forms: read exactly, or refused with everything that is wrong."""

import gzip
import json
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard

from tests import bills
from tests.bills import line
from watchtower.clock import ManualClock
from watchtower.model.cost import CostMetric, CostScope
from watchtower.store import costs
from watchtower.store.bills.folder import BillFolder
from watchtower.store.bills.importing import Importer
from watchtower.store.bills.orders import BadBill, Result
from watchtower.store.database import Database

NO_TIME = "is no time such as 2026-10-01T00:00:00Z, of the years 2000 to 2099"
NOW = datetime(2024, 9, 20, 12, tzinfo=UTC)


@pytest.fixture
def store(migrated_sqlite: Path, tmp_path: Path) -> Generator[Database]:
    file = tmp_path / "watchtower.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    opened = Database(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.fixture
def importer(store: Database, tmp_path: Path) -> Importer:
    return Importer(store, BillFolder(tmp_path / "bills"), ManualClock(NOW))


Bring = Callable[..., list[Result]]
Content = bytes | str | list[dict[str, str]]
Pack = Callable[[bytes], bytes]


@pytest.fixture
def bring(importer: Importer, tmp_path: Path) -> Bring:
    """Import bytes, text or lines as one file."""

    def run(content: Content, name: str = "bill.csv", **more: Any) -> list[Result]:
        file = tmp_path / name
        text = bills.text(content) if isinstance(content, list) else content
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return importer.run(bills.order(file, **more))

    return run


def days(store: Database, metric: CostMetric = CostMetric.BILLED, **scope: Any) -> dict[str, Decimal]:
    with store.read() as connection:
        found = costs.day_costs(connection, CostScope(**scope), metric, date(2000, 1, 1), date(2100, 1, 1))
    return {f"{day:%m-%d}" + ("" if currency == "USD" else currency): amount for day, currency, amount, _ in found}


def refused(bring: Bring, content: Content, **more: Any) -> str:
    with pytest.raises(BadBill) as caught:
        bring(content, **more)
    return str(caught.value)


# -- amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", "1"),
        ("-0.05", "-0.05"),
        ("+5", "5"),
        (".5", "0.5"),
        ("5.", "5"),
        (" 1.25 ", "1.25"),
        ("007.10", "7.1"),
        ("1E-7", "0.0000001"),
        ("1.2e3", "1200"),
        ("-1.81E-8", "-0.0000000181"),
        ("1.5e+2", "150"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("1.10000000000000000000000000000000000", "1.1"),
        ("999999999999999999.99", "999999999999999999.99"),
        ("12345678.12345678901234567890123456", "12345678.12345678901234567890123456"),
        ("", "0"),
        ("NULL", "0"),
    ],
)
def test_amounts_are_read_to_the_last_digit(bring: Bring, store: Database, written: str, meant: str) -> None:
    bring([line(cost=written)])
    assert days(store) == {"09-01": Decimal(meant)}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("abc", "is no number: line 3 ('abc')"),
        ("1,5", "is no number"),
        ("1_000", "is no number"),
        ("$5", "is no number"),
        ("NaN", "is no number"),
        ("inf", "is no number"),
        ("0x10", "is no number"),
        ("--1", "is no number"),
        ("1e999", "is no number"),
        (".", "is no number"),
        ("0." + "0" * 28 + "1", "has more than 28 digits behind the point: line 3"),
        ("1e-29", "has more than 28 digits behind the point"),
        ("1" + "0" * 18, "has more than 18 digits before the point: line 3"),
        (
            "123456789012345678.1234567890123456789012",
            "the amounts need 40 digits (18 before the point: bill.csv, line 3",
        ),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_with_its_line(bring: Bring, written: str, said: str) -> None:
    assert said in refused(bring, [line(), line(cost=written, EffectiveCost="1", ListCost="1")])


def test_digits_that_only_a_late_line_has_are_not_rounded(bring: Bring, store: Database) -> None:
    lines = [line(cost="1.5") for _ in range(21_000)]
    bring([*lines, line(2, "0.00000000000000000001")])
    assert days(store) == {"09-01": Decimal("31500"), "09-02": Decimal("0.00000000000000000001")}


def test_an_amount_that_is_missing_adds_nothing_and_is_told(bring: Bring, store: Database) -> None:
    (result,) = bring([line(), line(cost="NULL"), line(cost="", EffectiveCost="2")])
    assert result.bill.bill.empty == {CostMetric.BILLED: 2, CostMetric.EFFECTIVE: 1, CostMetric.LIST: 2}
    assert days(store) == {"09-01": 1}
    assert days(store, CostMetric.EFFECTIVE) == {"09-01": 3}


def test_credits_are_subtracted(bring: Bring, store: Database) -> None:
    bring([line(cost="10.10"), line(cost="-0.10", ChargeCategory="Credit"), line(2, "-3")])
    assert days(store) == {"09-01": Decimal(10), "09-02": Decimal(-3)}


def test_each_metric_is_summed_by_itself(bring: Bring, store: Database) -> None:
    bring([line(cost="1", EffectiveCost="0.7", ListCost="1.3"), line(cost="2", EffectiveCost="0", ListCost="2")])
    assert [days(store, metric)["09-01"] for metric in CostMetric] == [3, Decimal("0.7"), Decimal("3.3")]


def test_currencies_are_kept_apart(bring: Bring, store: Database) -> None:
    (result,) = bring([line(), line(cost="2", BillingCurrency="EUR")])
    assert days(store) == {"09-01": 1, "09-01EUR": 2}
    assert result.totals == {"EUR": 2, "USD": 1}


# -- days and periods ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [
        ("2024-09-05T00:00:00Z", "2024-09-06T00:00:00Z", "09-05"),
        ("2024-09-05 00:00:00", "2024-09-06 00:00:00", "09-05"),
        ("2024-09-05", "2024-09-06", "09-05"),
        ("2024-09-05T01:00:00+02:00", "2024-09-05T02:00:00+02:00", "09-04"),
        ("2024-09-05T23:30:00-0100", "2024-09-06T00:30:00-0100", "09-06"),
        ("2024-09-05T01:00+02", "2024-09-05T02:00+02", "09-04"),
        ("2024-09-05T23:00:00.123456Z", "2024-09-06T01:00:00Z", "09-05"),
        ("2024-09-05 10:00:00 UTC", "2024-09-05 10:00:00 UTC", "09-05"),
    ],
)
def test_a_charge_belongs_to_the_utc_day_on_which_it_begins(
    bring: Bring, store: Database, start: str, end: str, day: str
) -> None:
    bring([line(ChargePeriodStart=start, ChargePeriodEnd=end)])
    assert days(store) == {day: 1}


@pytest.mark.parametrize(
    "written", ["9/2/2024", "09/21/2024", "20240905", "yesterday", "infinity", "epoch", "0001-01-01"]
)
def test_what_is_no_time_is_refused(bring: Bring, written: str) -> None:
    said = refused(bring, [line(), line(ChargePeriodStart=written)])
    assert f"ChargePeriodStart {NO_TIME}: line 3 ('{written}')" in said


@pytest.mark.parametrize("written", ["infinity", "1999-12-31", "2100-06-01", "soon"])
def test_a_time_that_may_be_missing_is_refused_where_it_is_none(bring: Bring, written: str) -> None:
    assert f"BillingPeriodEnd {NO_TIME}: line 3 ('{written}')" in refused(
        bring, [line(BillingPeriodEnd=""), line(BillingPeriodEnd=written)]
    )


def test_a_monthly_fee_is_spread_over_its_days_and_loses_no_digit(bring: Bring, store: Database) -> None:
    bring([line(cost="100.01", ChargePeriodStart="2024-09-01T00:00:00Z", ChargePeriodEnd="2024-10-01T00:00:00Z")])
    found = days(store)
    assert len(found) == 30
    assert sum(found.values()) == Decimal("100.01")
    assert (found["09-01"], found["09-29"], found["09-30"]) == (Decimal("3.33"), Decimal("3.33"), Decimal("3.44"))


def test_a_refund_of_a_monthly_fee_is_spread_likewise(bring: Bring, store: Database) -> None:
    bring([line(cost="-1", ChargePeriodStart="2024-09-01T00:00:00Z", ChargePeriodEnd="2024-09-04T00:00:00Z")])
    assert days(store) == {"09-01": 0, "09-02": 0, "09-03": -1}


def test_a_yearly_charge_stays_within_the_period_that_bills_it(bring: Bring, store: Database) -> None:
    bring([line(cost="365", ChargePeriodStart="2024-09-21T00:00:00Z", ChargePeriodEnd="2025-09-21T00:00:00Z")])
    found = days(store)
    assert (min(found), max(found), len(found), sum(found.values())) == ("09-21", "09-30", 10, 365)


def test_a_correction_of_an_earlier_month_stands_on_the_day_it_corrects(bring: Bring, store: Database) -> None:
    start, end = "2024-08-03T00:00:00Z", "2024-08-10T00:00:00Z"
    bring([line(), line(cost="-2", ChargePeriodStart=start, ChargePeriodEnd=end, ChargeClass="Correction")])
    assert days(store) == {"08-03": -2, "09-01": 1}


def test_several_periods_in_one_file_are_several_bills(bring: Bring, store: Database, importer: Importer) -> None:
    october = {"BillingPeriodStart": "2024-10-01T00:00:00Z", "ChargePeriodStart": "2024-10-01T00:00:00Z"}
    results = bring([line(), line(2), {**line(cost="5"), **october, "ChargePeriodEnd": "2024-10-01T01:00:00Z"}])
    assert [(each.bill.bill.period, each.bill.bill.rows, each.bill.version) for each in results] == [
        ("2024-09", 2, 1),
        ("2024-10", 1, 1),
    ]
    for each in results:
        file = importer.folder.path(str(each.bill.path))
        assert duckdb.execute(f"SELECT count(*) FROM read_parquet('{file}')").fetchall() == [(each.bill.bill.rows,)]


def test_the_period_can_be_given(bring: Bring, store: Database) -> None:
    columns = [column for column in bills.COLUMNS if not column.startswith("BillingPeriod")]
    (result,) = bring(bills.text([line()], columns), period="2024-09")
    assert result.bill.bill.period == "2024-09"


@pytest.mark.parametrize(
    ("last_end", "now", "reach"),
    [
        ("2024-09-20T00:00:00Z", "2024-09-20T12:00:00", "2024-09-20T00:00:00"),
        ("2024-09-21T00:00:00Z", "2024-09-20T12:00:00", "2024-09-20T12:00:00"),
        ("2024-09-19T23:00:00Z", "2024-09-20T12:00:00", "2024-09-19T23:00:00"),
        ("2024-09-18T23:00:00Z", "2024-09-20T12:00:00", "2024-09-19T00:00:00"),
    ],
)
def test_a_bill_reaches_as_far_as_its_hours_tell(last_end: str, now: str, reach: str) -> None:
    from watchtower.store.bills.importing import covered_until

    assert covered_until(datetime.fromisoformat(last_end), datetime.fromisoformat(f"{now}Z")) == datetime.fromisoformat(
        f"{reach}Z"
    )


# -- files --------------------------------------------------------------------------------------------------------


def test_order_case_and_unknown_columns_do_not_matter(bring: Bring, store: Database, importer: Importer) -> None:
    columns = [*(column.lower() for column in reversed(bills.COLUMNS)), "x_CostCenter", "Id"]
    lowered = {name.lower(): value for name, value in line().items()}
    (result,) = bring(bills.text([{**lowered, "x_CostCenter": "4711", "Id": "1"}], columns))
    file = importer.folder.path(str(result.bill.path))
    assert duckdb.execute(f'SELECT "x_CostCenter", "BilledCost", "Id" FROM read_parquet(\'{file}\')').fetchall() == [
        ("4711", Decimal(1), "1")
    ]
    assert days(store) == {"09-01": 1}


def in_two_members(raw: bytes) -> bytes:
    return gzip.compress(raw[:99]) + gzip.compress(raw[99:])


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, in_two_members])
def test_compressed_files_are_known_by_their_content(bring: Bring, store: Database, pack: Pack) -> None:
    bring(pack(bills.text([line()]).encode()), name="bill.bin")
    assert days(store) == {"09-01": 1}


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_seen(bring: Bring, store: Database, delimiter: str) -> None:
    bring(bills.text([line()], delimiter=delimiter))
    assert days(store) == {"09-01": 1}


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(bring: Bring, store: Database) -> None:
    bring(b"\xef\xbb\xbf" + bills.text([line()]).replace("\n", "\r\n").encode())
    assert days(store) == {"09-01": 1}


def test_many_files_are_one_bill_also_with_different_columns(
    importer: Importer, store: Database, tmp_path: Path
) -> None:
    parts = tmp_path / "1.csv", tmp_path / "2.csv.gz", tmp_path / "3.csv"
    parts[0].write_text(bills.text([line()]))
    parts[1].write_bytes(gzip.compress(bills.text([line(2)], [*bills.COLUMNS[:-1], "x_more"]).encode()))
    parts[2].write_text(bills.text([]))
    (result,) = importer.run(bills.order(*parts))
    assert (result.bill.bill.rows, len(result.bill.bill.files)) == (2, 3)
    assert days(store) == {"09-01": 1, "09-02": 1}
    assert days(store, tags={"Environment": "prod"}) == {"09-01": 1}


def parquet(tmp_path: Path, select: str) -> bytes:
    file = tmp_path / "made.parquet"
    duckdb.sql(f"SET TimeZone = 'UTC'; COPY ({select}) TO '{file}' (FORMAT parquet)")
    return file.read_bytes()


COMMON = (
    "'payer' AS BillingAccountId, 'USD' AS BillingCurrency, TIMESTAMPTZ '2024-09-01 00:00:00Z' AS BillingPeriodStart, "
    "'EC2' AS ServiceName, TIMESTAMPTZ '2024-09-05 01:00:00+02' AS ChargePeriodStart, "
    "TIMESTAMP '2024-09-05 00:00:00' AS ChargePeriodEnd"
)


@pytest.mark.parametrize(
    ("cost", "result"),
    [
        ("1.25::DECIMAL(18,4)", ("1.25", False)),
        ("0.1::DOUBLE + 0.2::DOUBLE", ("0.30000000000000004", True)),
        ("1e-7::DOUBLE", ("0.0000001", True)),
        ("0.1::FLOAT", ("0.1", True)),
        ("5::BIGINT", ("5", False)),
        ("'1E-7'", ("0.0000001", False)),
        ("1.5::DECIMAL(38,30)", ("1.5", False)),
        ("999999999999999999.5::DECIMAL(38,10)", ("999999999999999999.5", False)),
        ("-1.5::DECIMAL(38,2)", ("-1.5", False)),
    ],
)
def test_parquet_amounts_keep_their_type_and_doubles_are_marked(
    bring: Bring, store: Database, tmp_path: Path, cost: str, result: tuple[str, bool]
) -> None:
    raw = parquet(tmp_path, f"SELECT {cost} AS BilledCost, {COMMON}, MAP {{'Environment': 'prod'}} AS Tags")
    (made,) = bring(raw, name="bill")
    assert days(store, tags={"Environment": "prod"}) == {"09-04": Decimal(result[0])}
    assert made.bill.bill.inexact is result[1]


@pytest.mark.parametrize("cost", ["1000000000000000000", "-1000000000000000000"])
def test_parquet_amounts_of_too_many_digits_are_refused(bring: Bring, tmp_path: Path, cost: str) -> None:
    raw = parquet(tmp_path, f"SELECT {cost}::DECIMAL(38,10) AS BilledCost, {COMMON}")
    assert "BilledCost has more than 18 digits before the point: row 1" in refused(bring, raw, name="b.parquet")


def test_parquet_columns_of_a_type_that_cannot_be_are_named(bring: Bring, tmp_path: Path) -> None:
    raw = parquet(tmp_path, f"SELECT [1] AS BilledCost, {COMMON}, 5 AS Tags")
    said = refused(bring, raw, name="b.parquet")
    assert said.splitlines() == [
        "b.parquet: BilledCost is of the type INTEGER[]; wanted is a number",
        "b.parquet: Tags is of the type INTEGER; wanted is JSON text, a map or a struct",
    ]


# -- tags ---------------------------------------------------------------------------------------------------------


def test_tags_choose_whatever_their_order_and_form(bring: Bring, store: Database) -> None:
    bring(
        [
            line(Tags='{"Environment": "prod", "team": "ml"}'),
            line(Tags='{ "team":"ml","Environment":"prod" }'),
            line(Tags='{"Environment": "prod", "n": 7, "on": true, "none": null}'),
            line(Tags=""),
            line(Tags="NULL"),
            line(Tags="{}"),
        ]
    )
    assert days(store, tags={"Environment": "prod", "team": "ml"}) == {"09-01": 2}
    assert days(store, tags={"n": "7", "on": "true"}) == {"09-01": 1}
    assert days(store) == {"09-01": 6}


@pytest.mark.parametrize("tags", ["team=data", "{'team': 'data'}", "[1]", "7", '"a": "x","b": "y"'])
def test_tags_that_are_no_json_object_are_refused(bring: Bring, tags: str) -> None:
    said = refused(bring, [line(), line(Tags=tags), line(Tags=tags)])
    assert 'Tags is no JSON object such as {"team": "data"}: 2 lines, first line 3' in said


def test_tag_keys_with_too_many_values_are_left_out_of_sums_and_told(
    bring: Bring, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchtower.store.bills import sums

    monkeypatch.setattr(sums.reduce_tags, "__defaults__", (20,))
    lines = [line(Tags=json.dumps({"run": f"r{number}", "team": f"t{number % 5}"})) for number in range(100)]
    (result,) = bring(lines)
    assert result.bill.bill.dropped_tags == ("run",)
    assert days(store, tags={"team": "t3"}) == {"09-01": 20}
    assert sum(days(store).values()) == 100
    with store.read() as connection:
        problem = costs.bill_state(connection, CostScope(tags={"run": "r1"})).problem
    assert problem and "'run' has too many values" in problem


def test_only_the_named_tags_are_kept(bring: Bring, store: Database) -> None:
    bring([line(Tags='{"team": "ml", "run": "r1"}')], tags=("team",))
    assert days(store, tags={"team": "ml"}) == {"09-01": 1}
    assert days(store, tags={"run": "r1"}) == {}


# -- what is no bill ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "bill.csv: is empty"),
        (bytes(range(256)) * 50, "is neither text nor Parquet, gzip or zstd: no bill"),
        (b"PAR1 and then nothing", "is a Parquet file that was cut off"),
        (b"PAR1xxxxxxxxxxxxxxxxPAR1", "is no Parquet file that can be read"),
        ("name,amount\nx,1\n", "is no FOCUS bill: no column is known; its first line holds 'name', 'amount'"),
        ('{"BilledCost": 1}\n', "is no FOCUS bill"),
        (bills.text([line()]).encode("utf-16"), "is UTF-16 text"),
        (bills.text([]), "no line, only a header"),
        (gzip.compress(bills.text([line()] * 5_000).encode())[:-9], "is damaged or cut off (gzip"),
        (gzip.compress(bills.text([line()] * 5_000).encode())[:-2] + b"xx", "is damaged or cut off (gzip"),
        (b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"a name without end" * 60_000, "is damaged or cut off (gzip"),
        (zstandard.compress(bills.text([line()] * 5_000).encode())[:-9], "is damaged or cut off (zstd"),
        (gzip.compress(bills.text([line()]).encode() + b"0" * 200_000_000), "inflates to more than 400 times its size"),
        (bills.text([line()]) + "1,2,3\n", "fewer columns than the header has: line 3"),
        (bills.text([line()]) + "1," * 30 + "\n", "more columns than the header has: line 3"),
        (bills.text([line()]) + '"never ends', "a quote that does not end: line 3"),
        (bills.text([line()]).encode() + b"\xff\xfe" + b"," * 11 + b"\n", "no UTF-8 text: line 3"),
        (bills.text([line(BillingCurrency="ZZZ")]), "BillingCurrency is no currency of ISO 4217: line 2 ('ZZZ')"),
        (bills.text([line(BillingCurrency="usd")]), "is no currency of ISO 4217"),
        (bills.text([line(BillingCurrency="")]), "BillingCurrency is empty: line 2"),
        (bills.text([line(ChargePeriodEnd="2024-08-01")]), "ChargePeriodEnd is before ChargePeriodStart: line 2"),
        (bills.text([line(BillingPeriodStart="")]), "BillingPeriodStart is empty: line 2"),
        (bills.text([line()], [*bills.COLUMNS, "billedcost"]), "the column BilledCost stand"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and "\n" not in value else "",
)
def test_what_is_no_bill_is_refused_and_the_previous_numbers_stay(
    bring: Bring, store: Database, importer: Importer, content: Content, said: str
) -> None:
    bring([line(cost="42")], name="good.csv")
    found = refused(bring, content)
    assert said in found
    assert len(found) < 2_000
    assert days(store) == {"09-01": 42}
    assert [
        str(file.relative_to(importer.folder.root)) for file in importer.folder.root.rglob("*") if file.is_file()
    ] == ["aws/2024-09/v1.parquet"]


def test_all_missing_columns_are_named_at_once_with_what_was_found(bring: Bring) -> None:
    said = refused(bring, "BilledCost,Currency,Date\n1,USD,2024-09-01\n")
    assert said == (
        "bill.csv: FOCUS columns are missing: BillingAccountId, BillingCurrency, BillingPeriodStart, ChargePeriodEnd, "
        "ChargePeriodStart, ServiceName; found: BilledCost, Currency, Date"
    )


def test_every_kind_of_fault_is_told_at_once_with_its_first_line_and_its_number(bring: Bring) -> None:
    lines = [
        line(),
        line(cost="abc", EffectiveCost="1", ListCost="1"),
        line(BillingCurrency="???"),
        line(cost="x", EffectiveCost="1", ListCost="1"),
        line(ChargePeriodStart="1/9/2024"),
        line(Tags="no json"),
    ]
    content = bills.text(lines[:2]) + "1,2\n" + bills.text(lines[2:]).partition("\n")[2]
    assert refused(bring, content).splitlines() == [
        "bill.csv: fewer columns than the header has: line 4",
        "bill.csv: BilledCost is no number: 2 lines, first line 3 ('abc')",
        f"bill.csv: ChargePeriodStart {NO_TIME}: line 7 ('1/9/2024')",
        "bill.csv: BillingCurrency is no currency of ISO 4217: line 5 ('???')",
        'bill.csv: Tags is no JSON object such as {"team": "data"}: line 8 (\'no json\')',
    ]
