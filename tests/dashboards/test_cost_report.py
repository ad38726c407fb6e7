"""A table of costs is exact to the last digit, and nothing in it runs in a spreadsheet."""

import csv as reader
import io
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.reports.costs import OTHERS, TOTAL, Cost, csv, flat_csv, pivot, safe

S3, EC2 = "AmazonS3", "AmazonEC2"
SOME = [
    Cost("2026-11-20", S3, "USD", Decimal("0.1")),
    Cost("2026-11-20", EC2, "USD", Decimal("0.2")),
    Cost("2026-11-21", EC2, "USD", Decimal("1.00000000000000000000000000000000000001")),
    Cost("2026-11-21", "BigQuery", "EUR", Decimal("-5")),
]


def test_days_go_down_and_services_across_the_dearest_first_each_currency_alone() -> None:
    euro, dollar = pivot(SOME)
    assert (euro.currency, euro.columns) == ("EUR", ("BigQuery", TOTAL))
    assert (dollar.currency, dollar.columns) == ("USD", (EC2, S3, TOTAL))
    assert dollar.rows == (
        ("2026-11-20", (Decimal("0.2"), Decimal("0.1"), Decimal("0.3"))),
        ("2026-11-21", (Decimal(SOME[2].amount), None, Decimal(SOME[2].amount))),
        (
            TOTAL,
            (
                Decimal("1.20000000000000000000000000000000000001"),
                Decimal("0.1"),
                Decimal("1.30000000000000000000000000000000000001"),
            ),
        ),
    )
    assert pivot([]) == []


def test_what_does_not_fit_is_summed_up() -> None:
    many = [Cost("d", f"service {number}", "USD", Decimal(number)) for number in range(1, 10)]
    (table,) = pivot(many, 3)
    assert table.columns == ("service 9", "service 8", OTHERS, TOTAL)
    assert table.rows[0][1] == (Decimal(9), Decimal(8), Decimal(28), Decimal(45))


def test_as_csv_it_is_unrounded_with_the_currency_beside_it() -> None:
    assert csv(pivot(SOME), "day") == (
        "day,currency,BigQuery,AmazonEC2,AmazonS3,total\n"
        "2026-11-21,EUR,-5,,,-5\n"
        "total,EUR,-5,,,-5\n"
        "2026-11-20,USD,,0.2,0.1,0.3\n"
        "2026-11-21,USD,,1.00000000000000000000000000000000000001,,1.00000000000000000000000000000000000001\n"
        "total,USD,,1.20000000000000000000000000000000000001,0.1,1.30000000000000000000000000000000000001\n"
    )


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "--1", "=", "-1.2.3"]
)
def test_what_a_spreadsheet_would_run_is_a_text(text: str) -> None:
    shown = "'" + text.replace("\t", " ").replace("\r", " ")
    assert safe(text) == shown
    whole = csv(pivot([Cost(text, text, "USD", Decimal(1))]), "day")
    header, first, _ = reader.reader(io.StringIO(whole, newline=""))
    assert (header, first) == (["day", "currency", shown, "total"], [shown, "USD", "1", "1"])
    assert list(reader.reader(io.StringIO(flat_csv([{"a": text}]), newline=""))) == [["a"], [shown]]


@pytest.mark.parametrize("text", ["", "-5", "+1.50", "AmazonS3", "2026-11-20", "'=1"])
def test_what_is_harmless_stays(text: str) -> None:
    assert safe(text) == text


AMOUNT = st.decimals(min_value=-(10**20), max_value=10**20, places=18)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), AMOUNT), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_totals_are_the_sums_of_what_they_stand_for(drawn: list[tuple[str, str, Decimal]]) -> None:
    (table,) = pivot(Cost(row, column, "USD", amount) for row, column, amount in drawn)
    *rows, (last, totals) = table.rows
    assert last == TOTAL
    assert exact(totals[-1]) == sum(Fraction(amount) for _, _, amount in drawn)
    for name, amounts in rows:
        assert exact(amounts[-1]) == sum(Fraction(amount) for row, _, amount in drawn if row == name)


def exact(amount: Decimal | None) -> Fraction:
    assert amount is not None
    return Fraction(amount)
